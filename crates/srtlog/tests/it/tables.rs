//! Tables for other programs.

use expect_test::{Expect, expect};
use srtlog::{Csv, RunFacts, Table};

use crate::support::fixture;

#[track_caller]
fn check(table: Table, scenario: &str, lines: usize, expected: &Expect) {
    let run = fixture(&format!("runs/python/{scenario}"));
    let facts = RunFacts { job_id: Some("7, \"x\"".to_owned()), ..RunFacts::UNKNOWN };
    let rollup = srtlog::rollup(&run, facts).expect("a run");
    let mut bytes = Vec::new();
    let mut csv = Csv::new(&mut bytes, &table.columns()).expect("memory takes it");
    table.write(&run, &rollup, &mut csv).expect("memory takes it");
    csv.finish().expect("memory takes it");
    let text = String::from_utf8(bytes).expect("text");
    let header = text.lines().next().expect("a header").split(',').count();
    assert_eq!(header, table.columns().len());
    let shown: String = text.lines().skip(1).take(lines).flat_map(|line| [line, "\n"]).collect();
    expected.assert_eq(&format!("{} rows\n{shown}", text.lines().count() - 1));
}

#[test]
fn results_as_csv() {
    check(
        Table::Results,
        "06_truncated_json",
        2,
        &expect![[r#"
        6 rows
        "7, ""x""",truncated,dsr1-fp8,h200,sglang,sa-bench,24,1024,1024,0,0.0,,,,,,,,,,,,,,,,,,,,,,,,,,,sa-bench_isl_1024_osl_1024/zero_conc.json
        "7, ""x""",truncated,dsr1-fp8,h200,sglang,sa-bench,24,1024,1024,1,100.0,,,,,,,,,,,,,,,,,,,,,,,,,inf,,sa-bench_isl_1024_osl_1024/inf.json
    "#]],
    );
}

#[test]
fn workers_as_csv() {
    check(
        Table::Nodes,
        "01_sglang_disagg",
        1,
        &expect![[r#"
        3 rows
        "7, ""x""",sglang-disagg,node0001,prefill,w0,sglang,8,,1,1,171.34,105.42,40.44,719501,122,122,0,823439,216582,20.824771807492347,13913.794833333335,29382.35,,,,,40,12,,0.99,,3,,,1,3
    "#]],
    );
}

#[test]
fn batches_as_csv() {
    check(
        Table::Batches,
        "04_trtllm_agg",
        1,
        &expect![[r#"
        240 rows
        "7, ""x""",node0001,agg,w0,01/16/2026-06:21:45,1768544505.0,prefill,,0,,,,13918,,,26,,,,122993.99080947331,,,,,,,,,,,,,,,,,,1,0,0,4,34,113.16,,3,13918,,0,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,
    "#]],
    );
}
