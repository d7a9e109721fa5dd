//! Input of every kind: split anywhere, shuffled, polluted, compressed, endless.

use std::{fs, io::Write as _, path::Path};

use proptest::prelude::*;
use srtlog::{Metric, NODE_PARSERS, RunFacts};

use crate::support::{fixture, fixture_bytes, read, read_in_chunks};

const LOGS: &[(&str, &str)] = &[
    ("sglang", "logs/sglang_variants.log"),
    ("sglang", "logs/sglang_reqtimestats.log"),
    ("trtllm", "logs/trtllm_variants.log"),
    ("vllm", "logs/vllm_variants.log"),
    ("sglang", "runs/python/10_hostile_text_sglang/logs/node0005_decode_w3.out"),
    ("trtllm", "runs/python/11_hostile_text_trtllm/logs/node0003_decode_w1.out"),
];

#[test]
fn a_log_reads_the_same_however_it_is_split() {
    for (engine, log) in LOGS {
        let log = fixture_bytes(log);
        let whole = read(engine, &log);
        for chunk in [1, 2, 3, 7, 64, 1000] {
            assert_eq!(read_in_chunks(engine, &log, chunk), whole, "{engine} in chunks of {chunk}");
        }
    }
}

#[test]
fn a_line_reads_the_same_wherever_it_is_split() {
    for (engine, log) in LOGS {
        let log = fixture_bytes(log);
        for line in log.split_inclusive(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"#")) {
            let whole = read(engine, line);
            for at in 1..line.len() {
                let mut parser = srtlog::node_parser(engine).expect("registered");
                let mut metrics = srtlog::NodeMetrics::default();
                parser.push(&line[..at], &mut metrics);
                parser.push(&line[at..], &mut metrics);
                parser.finish(&mut metrics);
                assert_eq!((metrics, parser.coverage().clone()), whole, "{engine} split at {at}");
            }
        }
    }
}

/// A reader that has seen other lines compares a line with these first; a fresh one takes it apart by its tokens.
#[test]
fn a_line_reads_the_same_whatever_came_before() {
    let more = [
        ("sglang", "runs/python/10_hostile_text_sglang/logs/node0001_prefill_w0.out"),
        ("sglang", "runs/python/02_sglang_agg/logs/node0001_agg_w0.out"),
        ("sglang", "runs/python/10_hostile_text_sglang/logs/node0003_decode_w1.out"),
        ("sglang", "runs/python/12_sglang_legacy_timestamps/logs/node0001_prefill_w0.out"),
        ("trtllm", "runs/python/11_hostile_text_trtllm/logs/node0001_prefill_w0.out"),
        ("trtllm", "runs/python/04_trtllm_agg/logs/node0002_agg_w1.out"),
    ];
    for (engine, log) in LOGS.iter().chain(&more) {
        // States that go on in the next line need both.
        let log: Vec<u8> = fixture_bytes(log).into_iter().collect();
        let text = String::from_utf8_lossy(&log).replace(",\n '", ", '");
        for log in [text.clone(), text.lines().rev().collect::<Vec<_>>().join("\n")] {
            let (whole, coverage) = read(engine, log.as_bytes());
            let mut batches = Vec::new();
            let mut parsed = 0;
            for line in log.split_inclusive('\n') {
                let (one, coverage) = read(engine, line.as_bytes());
                batches.extend(one.batches);
                parsed += coverage.parsed;
            }
            assert_eq!(whole.batches, batches, "{engine}");
            assert_eq!(coverage.parsed, parsed, "{engine}");
        }
    }
}

#[test]
fn line_ends_and_colours_make_no_difference() {
    for (engine, log) in LOGS.iter().take(4) {
        let text = String::from_utf8(fixture_bytes(log)).expect("these are text");
        let plain: String = text.replace('\u{1b}', "");
        let (expected, _) =
            read(engine, plain.replace("[2m", "").replace("[0m", "").replace("[32m", "").as_bytes());
        for changed in [
            text.replace('\n', "\r\n"),
            text.replace(": ", "\u{1b}[0m: \u{1b}[1;33m"),
            text.replace('\n', "\u{1b}[0m\n\u{1b}[31m"),
        ] {
            let (metrics, _) = read(engine, changed.as_bytes());
            let values = |metrics: &srtlog::NodeMetrics| {
                metrics.batches.iter().map(|batch| (batch.kind, batch.values)).collect::<Vec<_>>()
            };
            assert_eq!(values(&metrics), values(&expected), "{engine}");
        }
    }
}

#[test]
fn bad_bytes_lose_no_good_line() {
    for (engine, log) in LOGS.iter().take(4) {
        let log = fixture_bytes(log);
        let expected = read(engine, &log).0;
        let mut polluted = Vec::new();
        for line in log.split_inclusive(|byte| *byte == b'\n') {
            polluted.extend_from_slice(b"\xff\xfe\x00\x80 noise\n");
            polluted.extend_from_slice(line);
            polluted.extend_from_slice(b"\x00\n\xc3\n");
        }
        assert_eq!(read(engine, &polluted).0.batches, expected.batches, "{engine}");
    }
}

#[test]
fn a_log_that_is_still_written_reads_up_to_its_end() {
    for (engine, log) in LOGS.iter().take(4) {
        let log = fixture_bytes(log);
        let whole = read(engine, &log).0.batches;
        for end in (0..log.len()).step_by(17) {
            let part = read(engine, &log[..end]).0.batches;
            let settled = part.len().saturating_sub(1);
            assert_eq!(part[..settled], whole[..settled], "{engine} cut at {end}");
        }
    }
}

/// Compresses the logs of a run folder, and rotates one of them.
fn compress(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("logs")).expect("the folder can be made");
    fs::copy(from.join("config.yaml"), to.join("config.yaml")).expect("the recipe can be copied");
    for (index, entry) in fs::read_dir(from.join("logs")).expect("there are logs").enumerate() {
        let path = entry.expect("listed").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        if !path.is_file() {
            continue;
        }
        let bytes = fs::read(&path).expect("read");
        let target = |suffix: &str| to.join("logs").join(format!("{name}{suffix}"));
        match index % 3 {
            0 => {
                let file = fs::File::create(target(".gz")).expect("made");
                let mut stream = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
                stream.write_all(&bytes).expect("written");
                stream.finish().expect("written");
            }
            1 => {
                fs::write(target(".zst"), zstd::encode_all(&bytes[..], 1).expect("packed")).expect("written");
            }
            _ => {
                let line = bytes.len() / 2;
                let middle =
                    bytes[line..].iter().position(|byte| *byte == b'\n').map_or(line, |at| line + at + 1);
                fs::write(target(".1"), &bytes[..middle]).expect("written");
                fs::write(target(""), &bytes[middle..]).expect("written");
            }
        }
    }
}

#[test]
fn compressed_and_rotated_logs_read_as_plain_ones() {
    let source = fixture("runs/python/16_sglang_wide");
    let copy = tempfile::tempdir().expect("a folder for the test");
    compress(&source, copy.path());
    let expected = srtlog::rollup(&source, RunFacts::UNKNOWN).expect("a run").nodes_summary.expect("logs");
    let found = srtlog::rollup(copy.path(), RunFacts::UNKNOWN).expect("a run").nodes_summary.expect("logs");
    assert_eq!(found.nodes.len(), expected.nodes.len());
    for (found, expected) in found.nodes.iter().zip(&expected.nodes) {
        assert_eq!(found.total_batches, expected.total_batches, "{}", expected.node_name);
        assert_eq!(found.max_gen_throughput, expected.max_gen_throughput, "{}", expected.node_name);
        assert_eq!(found.launch_command, expected.launch_command, "{}", expected.node_name);
    }
}

#[test]
fn a_truncated_archive_gives_what_it_has() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    fs::create_dir(folder.path().join("logs")).expect("made");
    let log = fixture_bytes("runs/python/01_sglang_disagg/logs/node0002_decode_w0.out");
    let mut stream = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    stream.write_all(&log).expect("packed");
    let packed = stream.finish().expect("packed");
    let path = folder.path().join("logs/node0002_decode_w0.out.gz");
    fs::write(path, &packed[..packed.len() / 2]).expect("written");
    let rollup = srtlog::rollup(folder.path(), RunFacts::UNKNOWN).expect("a run");
    let node = &rollup.nodes_summary.expect("one log").nodes[0];
    assert!((20..202).contains(&node.total_batches), "{}", node.total_batches);
    assert_eq!(rollup.warnings.len(), 1, "{:?}", rollup.warnings);
}

#[test]
fn endless_lines_are_read_once_and_forgotten() {
    for engine in NODE_PARSERS {
        for piece in [
            &b"x"[..],
            b"[",
            b"(,",
            b"Decode batch ",
            b"Decode batch, ",
            b"Decode batch, #running-req: [",
            b"states = {",
            b"iter = 1, states = {'a': ",
            b"\x1b[",
            b"KV Transfer metrics: ",
            b"'\"",
            b"Config(",
            b"engine args: {{",
            b"Peak memory :",
            b"[MemUsageChange]",
            b"Avg prompt throughput: ",
            b"Iteration(1",
            b"ServerArgs(tp_size=",
            b"python3 launch_server.py ",
        ] {
            let line: Vec<u8> = piece.iter().copied().cycle().take((256 << 10) + 5000).collect();
            let (metrics, coverage) = read_in_chunks(engine, &line, 1 << 16);
            assert_eq!((coverage.lines, coverage.cut_lines), (1, 1), "{engine} {piece:?}");
            assert!(metrics.problems.is_empty());
        }
    }
}

const SGLANG_FIELDS: &[(&str, Metric)] = &[
    ("#running-req", Metric::RunningReq),
    ("#token", Metric::NumTokens),
    ("token usage", Metric::TokenUsage),
    ("pre-allocated usage", Metric::PreallocatedUsage),
    ("#prealloc-req", Metric::PreallocReq),
    ("#transfer-req", Metric::TransferReq),
    ("#retracted-req", Metric::RetractedReq),
    ("accept len", Metric::AcceptLen),
    ("gen throughput (token/s)", Metric::GenThroughput),
    ("#queue-req", Metric::QueueReq),
];

const TRTLLM_FIELDS: &[(&str, Metric)] = &[
    ("global_rank", Metric::GlobalRank),
    ("rank", Metric::LocalRank),
    ("num_scheduled_requests", Metric::RunningReq),
    ("kv_cache_util", Metric::TokenUsage),
    ("host_step_time", Metric::StepMs),
    ("prev_device_step_time", Metric::PrevDeviceStepMs),
    ("num_active", Metric::ActiveReq),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn shuffled_dropped_and_added_fields_change_nothing_else(
        values in prop::collection::vec(0_u32..1_000_000, 10),
        order in Just((0..10_usize).collect::<Vec<_>>()).prop_shuffle(),
        dropped in prop::collection::vec(any::<bool>(), 10),
        added in prop::collection::vec("[a-z]{3,9}", 0..4),
        tail in prop::sample::select(vec!["", ",", ", ", " "]),
        split in 1_usize..40,
    ) {
        for (engine, fields) in [("sglang", SGLANG_FIELDS), ("trtllm", TRTLLM_FIELDS)] {
            let chosen: Vec<usize> = order.iter().copied().filter(|at| *at < fields.len() && !dropped[*at]).collect();
            let mut parts: Vec<String> =
                chosen.iter().map(|at| format!("{}: {}", fields[*at].0, values[*at])).collect();
            for (index, name) in added.iter().enumerate() {
                parts.insert(index.min(parts.len()), format!("new {name}: {index}"));
            }
            let body = parts.join(", ");
            let line = match engine {
                "sglang" => format!("[2026-01-16 06:20:15 DP1 TP2] Decode batch, {body}{tail}\n"),
                _ => format!(
                    "[01/16/2026-06:20:17] [TRT-LLM] [RANK 2] [I] iter = 5, {body}, \
                     states = {{'num_generation_tokens': 4}}{tail}\n"
                ),
            };
            let (metrics, coverage) = read_in_chunks(engine, line.as_bytes(), split);
            let is_read = engine == "trtllm" || !chosen.is_empty();
            prop_assert_eq!(metrics.batches.len(), usize::from(is_read), "{}", line);
            for batch in &metrics.batches {
                for (at, (_, metric)) in fields.iter().enumerate() {
                    let expected = chosen.contains(&at).then(|| f64::from(values[at]));
                    prop_assert_eq!(batch.values.as_f64(*metric), expected, "{:?} of {}", metric, line);
                }
                prop_assert_eq!(batch.rank.tp, Some(2));
            }
            let mut names: Vec<&String> = added.iter().collect();
            names.sort();
            names.dedup();
            prop_assert_eq!(coverage.unknown_fields.len(), names.len(), "{}", line);
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic_and_alike_however_split(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        words in prop::collection::vec(prop::sample::select(vec![
            " Decode batch, ", "#running-req: ", "iter = ", "states = {", "}", "\r\n", "\n", "[CMD] ", "avail mem=",
            "ServerArgs(", "Config(", "engine args: {", "Avg prompt throughput: ", "Iteration(", "1.5", ", ", "'", "\u{1b}[0m",
            "2026-01-16T06:20:15.5Z", "ERROR", "ReqTimeStats(rid=", "): ", "[MemUsageChange] Allocated 1 GiB for max tokens (",
        ]), 0..40),
        split in 1_usize..30,
    ) {
        let mut log = Vec::new();
        for (index, word) in words.iter().enumerate() {
            log.extend_from_slice(word.as_bytes());
            log.extend(bytes.iter().skip(index * 10).take(10));
        }
        for engine in NODE_PARSERS {
            prop_assert_eq!(read_in_chunks(engine, &log, split), read(engine, &log));
        }
    }
}
