//! `cargo bench -p srtlog`: from the file to the rollup, on one core, against `grep -c` of the same file in the same run.
//!
//! The logs are written here: the formats of SGLang behind Dynamo and of TensorRT-LLM, where about three lines in four are
//! metric lines and the rest is what else a worker prints. Wall time suffers on a busy machine, so CPU time stands beside it.

use std::{
    fmt::Write as _,
    fs::{self, File},
    hint::black_box,
    io::{self, BufWriter, Write},
    path::Path,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput};
use srtlog::{Event, RunFacts, node_parser};

/// Size of each log that is compared with `grep`, in megabytes.
const LOG_MB: u32 = 1000;
/// Times each side is run; the fastest counts.
const ROUNDS: usize = 5;
/// Size of the logs that criterion reads, in memory.
const SMALL_BYTES: u64 = 16 << 20;

fn main() {
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    readers(&mut criterion);
    criterion.final_summary();
    // `cargo test --benches` runs this with `--test`, and only wants to see that it runs.
    if std::env::args().any(|argument| argument == "--bench") {
        against_grep().expect("the temporary folder takes a few gigabytes");
    }
}

/// The readers alone, from memory.
fn readers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reader");
    for format in [Format::Sglang, Format::Trtllm] {
        let mut log = Vec::new();
        format.write(&mut log, SMALL_BYTES).expect("memory takes it");
        group.throughput(Throughput::Bytes(log.len() as u64));
        group.bench_function(format.engine(), |bencher| {
            bencher.iter(|| {
                let mut parser = node_parser(format.engine()).expect("registered");
                let mut events = 0_u64;
                let mut sink = |_: &Event<'_>| events += 1;
                log.chunks(128 << 10).for_each(|piece| parser.push(piece, &mut sink));
                parser.finish(&mut sink);
                black_box(events)
            });
        });
    }
    group.finish();
}

#[expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]
fn against_grep() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    println!("\nfrom file to rollup, one core, fastest of {ROUNDS} (wall / CPU seconds)");
    for format in [Format::Sglang, Format::Trtllm] {
        let run = folder.path().join(format.engine());
        fs::create_dir_all(run.join("logs"))?;
        fs::write(run.join("config.yaml"), format!("backend: {{type: {}}}\n", format.engine()))?;
        let log = run.join("logs/node0001_agg_w0.out");
        let mut file = BufWriter::new(File::create(&log)?);
        format.write(&mut file, u64::from(LOG_MB) * 1_000_000)?;
        file.flush()?;
        let one_core = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(io::Error::other)?;
        let mut grep = Cost::MAX;
        let mut rollup = Cost::MAX;
        // In turns, so that what else the machine does hits both.
        for _ in 0..ROUNDS {
            grep = grep.min(Cost::of(|| grep_count(&log)));
            rollup = rollup.min(Cost::of(|| one_core.install(|| roll_up(&run))));
        }
        println!(
            "{:>7}: grep -c {grep}   rollup {rollup}   ratio {:.2} / {:.2}   {:.2} GB/s",
            format.engine(),
            rollup.wall.as_secs_f64() / grep.wall.as_secs_f64(),
            rollup.cpu_s / grep.cpu_s,
            f64::from(LOG_MB) / 1e3 / rollup.cpu_s,
        );
        if format == Format::Sglang {
            scaling(&run, &log)?;
        }
        fs::remove_dir_all(&run)?;
    }
    println!("peak memory of this process: {} kB", peak_memory_kb());
    Ok(())
}

/// Four workers' logs, read by one thread and by as many as there are cores.
#[expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]
fn scaling(run: &Path, log: &Path) -> io::Result<()> {
    for worker in 1..4 {
        let copy = run.join(format!("logs/node0001_agg_w{worker}.out"));
        fs::hard_link(log, copy)?;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for threads in [1, cores] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(io::Error::other)?;
        let mut cost = Cost::MAX;
        for _ in 0..2 {
            cost = cost.min(Cost::of(|| pool.install(|| roll_up(run))));
        }
        println!("         four such logs, {threads} thread(s): {cost}");
    }
    Ok(())
}

fn roll_up(run: &Path) {
    let rollup = srtlog::rollup(run, RunFacts::UNKNOWN).expect("the folder is a run");
    assert!(black_box(rollup).nodes_summary.is_some_and(|summary| summary.nodes[0].total_batches > 0));
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is outside the supervisor's care")]
fn grep_count(log: &Path) {
    // Its output is read: into nowhere, grep would stop at the first match.
    let output = std::process::Command::new("grep")
        .args(["-c", "Decode batch"])
        .arg(log)
        .env("LC_ALL", "C")
        .output()
        .expect("grep is installed");
    assert!(output.stdout.len() > 1);
}

#[derive(Clone, Copy)]
struct Cost {
    wall: Duration,
    cpu_s: f64,
}

impl Cost {
    const MAX: Cost = Cost { wall: Duration::MAX, cpu_s: f64::MAX };

    fn of(work: impl FnOnce()) -> Cost {
        let (start, cpu_before) = (Instant::now(), cpu_seconds());
        work();
        Cost { wall: start.elapsed(), cpu_s: cpu_seconds() - cpu_before }
    }

    fn min(self, other: Cost) -> Cost {
        Cost { wall: self.wall.min(other.wall), cpu_s: self.cpu_s.min(other.cpu_s) }
    }
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} / {:.2}", self.wall.as_secs_f64(), self.cpu_s)
    }
}

/// CPU time of this process and of the children it has waited for, in seconds, to a hundredth.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("this is Linux");
    // The name in brackets may hold spaces; the times are fields 14 to 17, counted from 1.
    let after_name = stat.rsplit(')').next().expect("there is a name");
    after_name
        .split_ascii_whitespace()
        .skip(11)
        .take(4)
        .map(|ticks| ticks.parse::<f64>().expect("a number") / 100.0)
        .sum()
}

fn peak_memory_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("Linux states it");
    line.split_ascii_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Sglang,
    Trtllm,
}

/// What else workers print.
const NOISE: &[&str] = &[
    "INFO:     10.0.0.12:39214 - \"POST /v1/completions HTTP/1.1\" 200 OK",
    "/usr/local/lib/python3.12/dist-packages/torch/cuda/__init__.py:61: FutureWarning: The pynvml package is deprecated.",
    "  warnings.warn(",
    "[rank3]:[W116 06:20:11.123456789 ProcessGroupNCCL.cpp:1538] Warning: destroy_process_group() was not called",
    "Cache hit rate: 12.5% (prefix), batch is full",
    "",
    "    at frame decode_loop (batch=3)",
    "GPU memory: 100%|##########| 64/64 [00:12<00:00,  5.1it/s]",
    "NCCL INFO Channel 00/24 : 0[0] -> 1[1] via P2P/CUMEM",
];

impl Format {
    fn engine(self) -> &'static str {
        match self {
            Format::Sglang => "sglang",
            Format::Trtllm => "trtllm",
        }
    }

    /// Writes about `bytes` of log, always the same.
    fn write(self, out: &mut impl Write, bytes: u64) -> io::Result<()> {
        let mut random = Random(42);
        let mut written = 0;
        let mut line = String::new();
        let mut number = 0;
        while written < bytes {
            line.clear();
            if random.below(4) == 0 {
                line.push_str(NOISE[usize::try_from(random.below(NOISE.len() as u64)).expect("below nine")]);
            } else {
                match self {
                    Format::Sglang => sglang_line(&mut line, &mut random, number),
                    Format::Trtllm => trtllm_line(&mut line, &mut random, number),
                }
                number += 1;
            }
            line.push('\n');
            out.write_all(line.as_bytes())?;
            written += line.len() as u64;
        }
        Ok(())
    }
}

fn sglang_line(line: &mut String, random: &mut Random, number: u64) {
    let (hour, minute, second) = (number / 3600 % 24, number / 60 % 60, number % 60);
    let is_prefill = random.below(5) < 2;
    let target = if is_prefill { "log_prefill_stats" } else { "log_decode_stats" };
    let prefix = format!(
        "\u{1b}[2m2026-01-16T{hour:02}:{minute:02}:{second:02}.{:06}Z\u{1b}[0m \u{1b}[32m INFO\u{1b}[0m \
         \u{1b}[2mscheduler_metrics_mixin.{target}\u{1b}[0m\u{1b}[2m:\u{1b}[0m ",
        random.below(1_000_000)
    );
    line.push_str(&prefix);
    let hundredths = |number: u64| format!("{}.{:02}", number / 100, number % 100);
    let body = if is_prefill {
        format!(
            "Prefill batch, #new-seq: {}, #new-token: {}, #cached-token: {}, token usage: {}, #running-req: {}, \
             #queue-req: {}, #prealloc-req: {}, #inflight-req: {}, input throughput (token/s): {},",
            random.below(18),
            random.below(32768),
            random.below(9000),
            hundredths(random.below(100)),
            random.below(64),
            random.below(40),
            random.below(3),
            random.below(12),
            hundredths(random.below(3_000_000)),
        )
    } else {
        format!(
            "Decode batch, #running-req: {}, #token: {}, token usage: {}, pre-allocated usage: {}, #prealloc-req: {}, \
             #transfer-req: {}, #retracted-req: 0, cuda graph: {}, gen throughput (token/s): {}, #queue-req: {}",
            random.below(512),
            random.below(900_000),
            hundredths(random.below(100)),
            hundredths(random.below(10)),
            random.below(9),
            random.below(9),
            if random.below(2) == 0 { "True" } else { "False" },
            hundredths(random.below(900_000)),
            random.below(30),
        )
    };
    line.push_str(&body);
}

fn trtllm_line(line: &mut String, random: &mut Random, number: u64) {
    let (minute, second) = (number / 60 % 60, number % 60);
    let is_context = random.below(20) == 0;
    let (requests, tokens, generated) =
        if is_context { (random.below(8), random.below(65536), 0) } else { (0, 0, random.below(4096)) };
    let previous = if random.below(2) == 0 { "N/A" } else { "243.13ms" };
    let step = random.below(12_000);
    write!(
        line,
        "[01/16/2026-06:{minute:02}:{second:02}] [TRT-LLM] [RANK 0] [I] iter = {number}, global_rank = 0, rank = 0, \
         currank_total_requests = {}/{}, host_step_time = {}.{:02}ms, prev_device_step_time = {previous}, \
         timestamp = 2026-01-16 06:{minute:02}:{second:02}, num_scheduled_requests: {}, states = {{'num_ctx_requests': \
         {requests}, 'num_ctx_tokens': {tokens}, 'num_generation_tokens': {generated}}}",
        random.below(9),
        random.below(99),
        step / 100,
        step % 100,
        random.below(512),
    )
    .expect("text grows");
}

/// Numbers without a pattern that a branch predictor could learn, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}
