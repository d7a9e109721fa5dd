//! What the load generator reports beside what the server knows: a timed server on the first core, the load
//! generator on the second. `ground_truth [CONCURRENCY…]`.
//!
//! The server's time to first token runs from the complete request to the write that the kernel accepted, and both
//! are late when the machine is busy; that is in its record, and no error of the client.

use std::{error::Error, path::Path, thread, time::Duration};

use rustix::thread::{CpuSet, sched_setaffinity};
use srt_loadgen::{Arrival, BenchConfig, Dataset, Gpus, Point, Slos, Thresholds};
use srt_mocker::timed::{RequestRecord, TimedConfig, TimedServer, read_record};
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

const OUTPUT_TOKENS: u32 = 128;
/// Each point lasts about this many answers of 1.32 s.
const WAVES: u32 = 4;

#[expect(clippy::print_stdout, reason = "an example is a program of its own")]
fn main() -> Result<(), Box<dyn Error>> {
    let asked: Vec<u32> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let concurrencies = if asked.is_empty() { vec![1, 64, 256, 1024] } else { asked };
    println!("| concurrency | figure | client ms | server ms | difference |");
    println!("|---|---|---|---|---|");
    for concurrency in concurrencies {
        let folder = std::env::temp_dir().join(format!("srt-ground-truth-{}", std::process::id()));
        let (figures, requests) = measure(concurrency, &folder)?;
        std::fs::remove_dir_all(&folder)?;
        // The first request is the one before the measurement.
        let measured = &requests[1..];
        let ttft: Vec<f64> = measured.iter().filter_map(ttft_ms).collect();
        let itl: Vec<f64> = measured.iter().flat_map(gaps_ms).collect();
        let truths = [mean(&ttft), p99(ttft), mean(&itl), p99(itl)];
        for ((name, client), truth) in
            ["TTFT mean", "TTFT p99", "ITL mean", "ITL p99"].iter().zip(figures).zip(truths)
        {
            let percent = (client / truth - 1.0) * 100.0;
            println!(
                "| {concurrency} | {name} | {client:.3} | {truth:.3} | {:+.3} ms, {percent:+.2} % |",
                client - truth
            );
        }
    }
    Ok(())
}

fn measure(concurrency: u32, folder: &Path) -> Result<([f64; 4], Vec<RequestRecord>), Box<dyn Error>> {
    std::fs::create_dir_all(folder)?;
    let record = folder.join("record.jsonl");
    let config = TimedConfig {
        port: 0,
        ttft: Duration::from_millis(50),
        itl: Duration::from_millis(10),
        output_tokens: OUTPUT_TOKENS,
        record: Some(record.clone()),
        ..TimedConfig::default()
    };
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let (tell, told) = std::sync::mpsc::channel();
    let server = thread::spawn(move || -> Result<(), String> {
        pin(0);
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        runtime.block_on(async {
            let server = TimedServer::bind(config).await.map_err(|error| error.to_string())?;
            tell.send(server.address()).map_err(|error| error.to_string())?;
            server.serve(stop).await.map(drop).map_err(|error| error.to_string())
        })
    });
    let address = told.recv()?;
    pin(1);
    let outcome = srt_loadgen::run(
        &bench(&format!("http://{address}"), concurrency, folder),
        |_| {},
        &shutdown.child_token(),
    )?;
    shutdown.cancel();
    server.join().map_err(|_| "the server panicked")??;
    let point = outcome.points.first().ok_or_else(|| format!("no result: {:?}", outcome.verdict))?;
    let figures = [point.mean_ttft_ms, point.p99_ttft_ms, point.mean_itl_ms, point.p99_itl_ms];
    Ok((figures, read_record(&record)?.1))
}

fn bench(url: &str, concurrency: u32, folder: &Path) -> BenchConfig {
    BenchConfig {
        url: url.to_owned(),
        model: "mock".to_owned(),
        tokenizer: None,
        tokenizer_id: None,
        vocab_size: None,
        use_chat_template: false,
        dataset: Dataset::Random { isl: 64, osl: OUTPUT_TOKENS, range_ratio: 1.0 },
        points: vec![Point::of_concurrency(concurrency, WAVES, 0)],
        arrival: Arrival::AllAtOnce,
        seed: 0,
        ignore_eos: true,
        reuse_http_connections: true,
        request_timeout_s: 600.0,
        api_key: None,
        result_dir: folder.to_owned(),
        gpus: Gpus { total: 1, split: None },
        slos: Slos::default(),
        thresholds: Thresholds::DEFAULT,
        threads: Some(1),
    }
}

/// Binds this thread, and those it starts, to one core. On a machine with fewer, they share.
fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    // Without it the figures are only noisier.
    let _pinned = sched_setaffinity(None, &cores);
}

fn ttft_ms(request: &RequestRecord) -> Option<f64> {
    let first = request.writes_ns.first()?;
    Some(ms((request.head_ns + first).saturating_sub(request.body_ns)))
}

fn gaps_ms(request: &RequestRecord) -> impl Iterator<Item = f64> + '_ {
    request.writes_ns.windows(2).map(|pair| ms(pair[1] - pair[0]))
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a short run")]
fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "counts of a short run")]
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn p99(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) * 99 / 100).copied().unwrap_or(f64::NAN)
}
