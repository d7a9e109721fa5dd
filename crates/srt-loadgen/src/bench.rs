//! [`run`]: all points of a configuration, one after the other.

use std::{
    mem,
    net::{SocketAddr, ToSocketAddrs as _},
    panic,
    sync::{Arc, OnceLock, atomic::AtomicUsize},
    thread,
    time::{Duration, Instant},
};

use srt_http::{Target, TargetError};
use srtlog::Verdict;
use tokio_util::sync::CancellationToken;

use crate::{
    analysis::analyse,
    arrival::Schedule,
    config::{Arrival, BenchConfig, Dataset, Point},
    engine::{self, EngineError, Job, PointRun, Session, Totals},
    health::ClientHealth,
    limits::{LimitError, raise_open_files},
    numpy::NumpyRandom,
    progress::{PointSummary, Progress, ProgressEvent},
    prompts::Prompt,
    request::RequestTemplate,
    result::{PointResult, WriteError},
    verdict,
    workload::{Draft, Script, Workload, WorkloadError},
};

/// Warm-up requests are sent at this rate, as sa-bench does.
const WARMUP_RATE_RPS: f64 = 250.0;
/// Where completions are asked for.
const COMPLETIONS_PATH: &str = "v1/completions";
/// The stage of a verdict over a run that the load generator could not finish.
const STAGE: &str = "benchmark";

/// What came of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchOutcome {
    /// Points whose results are on disk.
    pub points: Vec<PointSummary>,
    /// How far the point came that was not finished.
    pub unfinished: Option<Unfinished>,
    /// The judgement over all.
    pub verdict: Verdict,
}

/// A point that was not finished.
#[derive(Debug, Clone, PartialEq)]
pub struct Unfinished {
    /// Requests in flight at most.
    pub concurrency: Option<u32>,
    /// Requests of the point.
    pub num_prompts: u32,
    /// Requests that had succeeded. Zero also where it was still being warmed up.
    pub completed: u32,
    /// Requests that had failed.
    pub failed: u32,
}

/// A configuration that cannot be run. Nothing has been sent.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The URL cannot be asked.
    #[error(transparent)]
    Url(#[from] TargetError),
    /// The host is unknown.
    #[error("failed to find the address of `{host}`: {reason}")]
    Resolve {
        /// The host.
        host: String,
        /// Why.
        reason: String,
    },
    /// A number makes no sense.
    #[error("{what} is {value}; it must be {wanted}")]
    Value {
        /// Which number.
        what: &'static str,
        /// What it is.
        value: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// The machine allows less than is asked for.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The data set or the tokenizer cannot be used.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
}

/// A point that was given up.
#[derive(Debug, thiserror::Error)]
enum PointError {
    #[error("the first request failed, so nothing was measured: {0}")]
    Probe(String),
    #[error("this machine refused another connection: {0}; lower the concurrency or reuse connections")]
    Refused(String),
    #[error("the run was ended from outside")]
    Cancelled(Totals),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Runs every point of `config`, writes a result file for each, and judges them.
///
/// Blocks until the last request has ended or `cancel` is cancelled. A point that cannot be finished ends the
/// run; the results before it stay.
pub fn run(
    config: &BenchConfig,
    mut progress: impl FnMut(ProgressEvent),
    cancel: &CancellationToken,
) -> Result<BenchOutcome, BenchError> {
    let progress: &mut dyn FnMut(ProgressEvent) = &mut progress;
    let bench = Bench::prepare(config, cancel)?;
    let mut outcome = BenchOutcome { points: Vec::new(), unfinished: None, verdict: Verdict::Valid };
    for &point in &config.points {
        match bench.run_point(point, progress) {
            Ok(summary) => {
                progress(ProgressEvent::PointFinished(Box::new(summary.clone())));
                outcome.points.push(summary);
            }
            Err(error) => {
                let totals =
                    if let PointError::Cancelled(totals) = &error { *totals } else { Totals::default() };
                outcome.unfinished = Some(Unfinished {
                    concurrency: point.concurrency,
                    num_prompts: point.num_prompts,
                    completed: totals.completed,
                    failed: totals.failed,
                });
                outcome.verdict = Verdict::Failed {
                    stage: STAGE.to_owned(),
                    text: format!(
                        "{} ({} of {} points finished): {error}",
                        name(point),
                        outcome.points.len(),
                        config.points.len()
                    ),
                };
                break;
            }
        }
    }
    if outcome.unfinished.is_none() {
        outcome.verdict =
            verdict::over_all(outcome.points.iter().map(|it| (name_of(it.concurrency), &it.verdict)));
    }
    progress(ProgressEvent::Finished { verdict: outcome.verdict.clone() });
    Ok(outcome)
}

fn name(point: Point) -> String {
    name_of(point.concurrency)
}

fn name_of(concurrency: Option<u32>) -> String {
    concurrency.map_or_else(|| "unlimited concurrency".to_owned(), |limit| format!("concurrency {limit}"))
}

/// A configuration that has been checked, and what is the same for all its points.
struct Bench<'a> {
    config: &'a BenchConfig,
    cancel: &'a CancellationToken,
    address: SocketAddr,
    template: RequestTemplate,
    workload: Workload<'a>,
    cores: usize,
}

impl<'a> Bench<'a> {
    fn prepare(config: &'a BenchConfig, cancel: &'a CancellationToken) -> Result<Self, BenchError> {
        check(config)?;
        let target = Target::parse(&config.url)?.join(COMPLETIONS_PATH);
        let address = resolve(&target)?;
        let streams = config.points.iter().map(|&point| limit(point)).max().unwrap_or_default();
        raise_open_files(streams as u64)?;
        let template = RequestTemplate::new(
            &target,
            &config.model,
            config.api_key.as_deref(),
            config.ignore_eos,
            config.reuse_http_connections,
        );
        let workload = Workload::load(config)?;
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Ok(Self { config, cancel, address, template, workload, cores })
    }

    fn run_point(
        &self,
        point: Point,
        progress: &mut dyn FnMut(ProgressEvent),
    ) -> Result<PointSummary, PointError> {
        let Point { concurrency, num_prompts, num_warmup } = point;
        // Prompts are written out while requests that are not measured are under way, never while any is.
        thread::scope(|scope| {
            let (mut script, schedule) = self.draw(num_prompts, self.config.arrival);
            let first = script.drafts.first().cloned();
            let drafts = mem::take(&mut script.drafts);
            let prompts = scope.spawn(move || self.workload.finish_all(&drafts, self.cores, self.cancel));
            if num_warmup > 0 {
                progress(ProgressEvent::Warmup { concurrency, num_prompts: num_warmup });
                let rate = Arrival::Gamma { rate_rps: WARMUP_RATE_RPS, burstiness: 1.0 };
                let (script, schedule) = self.draw(num_warmup, rate);
                self.probe(script.drafts.first())?;
                let prompts = self.workload.finish_all(&script.drafts, self.cores, self.cancel);
                let prompts = prompts.ok_or(PointError::Cancelled(Totals::default()))??;
                let job = self.job(limit(point), prompts, script, schedule);
                send(point, &job, true, progress)?;
            }
            self.probe(first.as_ref())?;
            let prompts = prompts.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked));
            let prompts = prompts.ok_or(PointError::Cancelled(Totals::default()))??;
            progress(ProgressEvent::PointStarted { concurrency, num_prompts });
            let job = self.job(limit(point), prompts, script, schedule);
            let run = send(point, &job, false, progress)?;
            Ok(self.conclude(point, &job, &run)?)
        })
    }

    fn conclude(&self, point: Point, job: &Job, run: &PointRun) -> Result<PointSummary, WriteError> {
        let config = self.config;
        let analysis = analyse(
            &run.records,
            &job.prompts,
            config.slos,
            matches!(job.schedule, Schedule::At(_)),
            run.duration.as_secs_f64(),
        );
        let health = ClientHealth::of(&run.workers);
        let verdict = verdict::judge(config, &analysis, &health);
        let tokenizer_id = match (&config.tokenizer_id, &config.tokenizer) {
            (Some(id), _) => id.clone(),
            (None, Some(path)) => path.to_string_lossy().into_owned(),
            (None, None) => config.model.clone(),
        };
        let result = PointResult {
            config,
            point,
            tokenizer_id: &tokenizer_id,
            prompt_source: self.workload.source(),
            has_chat_template: self.workload.has_chat_template(),
            prompts: &job.prompts,
            records: &run.records,
            analysis: &analysis,
            health: &health,
            verdict: &verdict,
        };
        let path = result.write(&jiff::ZonedDateTime::now().strftime("%Y%m%d-%H%M%S").to_string())?;
        Ok(result.summary(&path))
    }

    /// Draws prompts and times from the start of the seed's sequence, as every process of sa-bench does.
    fn draw(&self, count: u32, arrival: Arrival) -> (Script, Schedule) {
        let mut random = NumpyRandom::new(self.config.seed);
        let script = self.workload.draw(count, &mut random);
        let schedule = Schedule::draw(arrival, &script.recorded, &mut random);
        (script, schedule)
    }

    /// Sends the first prompt alone, so that a server that cannot answer is named before any load is sent.
    fn probe(&self, first: Option<&Draft>) -> Result<(), PointError> {
        let prompts = first.map(|draft| self.workload.finish(draft)).transpose()?.into_iter().collect();
        let script = Script { sessions: vec![Session { first: 0, turns: 1 }], ..Script::default() };
        let job = self.job(1, prompts, script, Schedule::AllAtOnce);
        let run = engine::run(&job, &mut |_, _| {})?;
        if run.was_cancelled && job.refused.get().is_none() {
            return Err(PointError::Cancelled(Totals::default()));
        }
        match run.records.first().and_then(|record| record.failure.as_ref()) {
            Some(failure) => Err(PointError::Probe(format!("{}: {}", failure.kind.name(), failure.text))),
            None => Ok(()),
        }
    }

    fn job(&self, limit: usize, prompts: Vec<Prompt>, script: Script, schedule: Schedule) -> Arc<Job> {
        let limit = limit.min(script.sessions.len()).max(1);
        let threads = self.config.threads.unwrap_or_else(|| Job::threads(limit, self.cores)).max(1);
        Arc::new(Job {
            address: self.address,
            template: self.template.clone(),
            prompts,
            pauses: script.pauses,
            sessions: script.sessions,
            schedule,
            limit,
            reuse: self.config.reuse_http_connections,
            request_timeout: Duration::from_secs_f64(self.config.request_timeout_s),
            counters: std::iter::repeat_with(Default::default).take(threads).collect(),
            next: AtomicUsize::new(0),
            started: OnceLock::new(),
            cancel: self.cancel.child_token(),
            refused: OnceLock::new(),
        })
    }
}

/// Sends the requests of `job` and reports how far they have come.
fn send(
    point: Point,
    job: &Arc<Job>,
    is_warmup: bool,
    progress: &mut dyn FnMut(ProgressEvent),
) -> Result<PointRun, PointError> {
    let num_prompts = u32::try_from(job.prompts.len()).unwrap_or(u32::MAX);
    let mut before = (Instant::now(), 0_u64);
    let run = engine::run(job, &mut |totals, elapsed| {
        let now = Instant::now();
        let interval_s = (now - before.0).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "chunks of a fifth of a second")]
        let chunks = (totals.chunks - before.1) as f64;
        before = (now, totals.chunks);
        progress(ProgressEvent::Progress(Progress {
            concurrency: point.concurrency,
            is_warmup,
            completed: totals.completed,
            failed: totals.failed,
            num_prompts,
            in_flight: totals.in_flight,
            output_tps: if interval_s > 0.0 { chunks / interval_s } else { 0.0 },
            elapsed_s: elapsed.as_secs_f64(),
        }));
    })?;
    if let Some(refused) = job.refused.get() {
        return Err(PointError::Refused(refused.clone()));
    }
    if run.was_cancelled {
        return Err(PointError::Cancelled(job.totals()));
    }
    Ok(run)
}

/// Requests in flight at most; without a limit, all of them.
fn limit(point: Point) -> usize {
    let limit = point.concurrency.unwrap_or(point.num_prompts);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

fn resolve(target: &Target) -> Result<SocketAddr, BenchError> {
    let failed = |reason: String| BenchError::Resolve { host: target.host().to_owned(), reason };
    let mut addresses =
        (target.host(), target.port()).to_socket_addrs().map_err(|error| failed(error.to_string()))?;
    addresses.next().ok_or_else(|| failed("the name has no address".to_owned()))
}

fn check(config: &BenchConfig) -> Result<(), BenchError> {
    let wrong = |what, value: &dyn std::fmt::Display, wanted| {
        Err(BenchError::Value { what, value: value.to_string(), wanted })
    };
    if config.points.is_empty() {
        return wrong("the number of points", &0, "at least 1");
    }
    for point in &config.points {
        if point.concurrency == Some(0) {
            return wrong("the concurrency", &0, "at least 1");
        }
        if point.num_prompts == 0 {
            return wrong("the number of prompts", &0, "at least 1");
        }
    }
    if let Dataset::Random { isl, osl, range_ratio: ratio }
    | Dataset::SharedPrefix { isl, osl, prefix_ratio: ratio, .. } = config.dataset
    {
        if isl == 0 || osl == 0 {
            return wrong("an input or output length", &0, "at least 1");
        }
        if !(0.0..=1.0).contains(&ratio) {
            return wrong("the range or prefix ratio", &ratio, "between 0 and 1");
        }
    }
    let positive: &[(&'static str, f64)] = match config.arrival {
        Arrival::AllAtOnce => &[],
        Arrival::Gamma { rate_rps, burstiness } => {
            &[("the request rate", rate_rps), ("the burstiness", burstiness)]
        }
        Arrival::Constant { rate_rps } => &[("the request rate", rate_rps)],
        Arrival::Ramp { from_rps, to_rps, over_s } => &[
            ("the request rate at the start", from_rps),
            ("the request rate at the end", to_rps),
            ("the length of the ramp", over_s),
        ],
        Arrival::Trace { speedup } => &[("the speed-up of the trace", speedup)],
    };
    for &(what, value) in positive {
        if !(value.is_finite() && value > 0.0) {
            return wrong(what, &value, "above 0");
        }
    }
    let timeout_s = config.request_timeout_s;
    if !(timeout_s > 0.0 && Duration::try_from_secs_f64(timeout_s).is_ok()) {
        return wrong("the request timeout", &timeout_s, "a number of seconds above 0");
    }
    Ok(())
}
