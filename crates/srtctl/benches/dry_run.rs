//! `dry-run` of one recipe as a whole process, beside the cost of starting any process at all.
#![expect(clippy::disallowed_methods, reason = "a benchmark starts the binary as a person does")]

use std::{
    path::Path,
    process::{Command, Stdio},
};

use criterion::{Criterion, criterion_group, criterion_main};

fn dry_run(criterion: &mut Criterion) {
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/recipes");
    let mut group = criterion.benchmark_group("process");
    group.bench_function("true", |bencher| bencher.iter(|| run(&mut Command::new("true"))));
    for name in ["quickstart", "sglang-dynamo-disagg", "overrides"] {
        let recipe = recipes.join(format!("{name}.yaml"));
        group.bench_function(format!("dry-run {name}"), |bencher| {
            bencher.iter(|| {
                let mut command = Command::new(env!("CARGO_BIN_EXE_srtctl"));
                run(command.args(["dry-run", "--no-preflight", "-f"]).arg(&recipe));
            });
        });
    }
    group.finish();
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

criterion_group!(benches, dry_run);
criterion_main!(benches);
