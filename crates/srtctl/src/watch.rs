//! What a person sees while a job runs: lines of what happened, and on a terminal, bars of what is happening.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use camino::Utf8Path;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::{SignedDuration, Timestamp};
use srt_loadgen::progress::{PointSummary, Progress, ProgressEvent};
use srt_plan::Plan;
use srt_run::record::{Event, EventKind, Failure, RegistrationCount};

use crate::terminal;

/// How often a plain log says how far a point has come.
const PLAIN_PROGRESS_INTERVAL: SignedDuration = SignedDuration::from_secs(5);

/// Shows the events of one run on stderr.
pub(crate) struct Watch {
    bar: Option<ProgressBar>,
    started: Option<Timestamp>,
    last_plain_progress: Option<Timestamp>,
    last_waiting: String,
    /// Names of workers by base URL.
    workers: HashMap<String, String>,
    shown_ready: HashSet<String>,
}

impl Watch {
    /// Says what runs and where its record lies.
    pub(crate) fn new(name: &str, run_dir: &Utf8Path) -> Self {
        terminal::note(&format!("{name} in {run_dir}"));
        let bar = terminal::stderr_is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self {
            bar,
            started: None,
            last_plain_progress: None,
            last_waiting: String::new(),
            workers: HashMap::new(),
            shown_ready: HashSet::new(),
        }
    }

    /// Calls the workers of this plan by their names.
    pub(crate) fn knowing(mut self, plan: &Plan) -> Self {
        let leaders = plan.processes.iter().filter(|process| process.is_leader());
        self.workers = leaders
            .filter_map(|process| {
                let url = format!("http://{}", plan.context.socket(&process.node, process.ports.http?));
                Some((url, format!("{} {}", process.role, process.index)))
            })
            .collect();
        self
    }

    /// Shows one event.
    pub(crate) fn show(&mut self, event: &Event) {
        let started = *self.started.get_or_insert(event.time);
        let at_s = event.time.duration_since(started).as_secs_f64();
        if let Some(line) = line_of(&event.kind) {
            self.print(&format!("{at_s:7.1} s  {line}"));
        }
        match &event.kind {
            EventKind::StageStarted { stage } => self.busy(stage),
            EventKind::WaitProgress { what, prefill, decode, ready, detail } => {
                self.show_ready(ready, at_s);
                let text = format!("waiting for {what}: {}", waiting_text(*prefill, *decode, detail));
                self.busy(&text);
                if self.bar.is_none() && text != self.last_waiting {
                    self.print(&format!("{at_s:7.1} s  {text}"));
                    self.last_waiting = text;
                }
            }
            EventKind::Benchmark { progress } => {
                // A line that a newer client wrote is not for us.
                if let Ok(progress) = serde_json::from_value(progress.clone()) {
                    self.show_progress(&progress, event.time, at_s);
                }
            }
            _ => {}
        }
    }

    /// Says of each worker once that it is ready.
    fn show_ready(&mut self, ready: &[String], at_s: f64) {
        for url in ready {
            if self.shown_ready.insert(url.clone()) {
                let name = self.workers.get(url).unwrap_or(url);
                self.print(&format!("{at_s:7.1} s    {name} is ready"));
            }
        }
    }

    /// Clears what moves.
    pub(crate) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn show_progress(&mut self, event: &ProgressEvent, now: Timestamp, at_s: f64) {
        match event {
            ProgressEvent::Progress(progress) => {
                let text = progress_text(progress);
                if let Some(bar) = &self.bar {
                    bar.set_style(bar_style());
                    bar.set_length(progress.num_prompts.into());
                    bar.set_position((progress.completed + progress.failed).into());
                    bar.set_message(text);
                } else if self.is_due(now) {
                    self.print(&format!("{at_s:7.1} s  {text}"));
                }
            }
            ProgressEvent::PointFinished(summary) => {
                self.print(&format!("{at_s:7.1} s  {}", summary_text(summary)));
            }
            ProgressEvent::Warmup { .. }
            | ProgressEvent::PointStarted { .. }
            | ProgressEvent::Finished { .. } => {}
        }
    }

    fn is_due(&mut self, now: Timestamp) -> bool {
        let due =
            self.last_plain_progress.is_none_or(|last| now.duration_since(last) >= PLAIN_PROGRESS_INTERVAL);
        if due {
            self.last_plain_progress = Some(now);
        }
        due
    }

    fn busy(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_style(ProgressStyle::default_spinner());
            bar.set_message(text.to_owned());
        }
    }

    /// Leaves a line behind.
    pub(crate) fn print(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| terminal::note(line)),
            None => terminal::note(line),
        }
    }
}

fn bar_style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:30.cyan/dim} {pos}/{len}  {msg}").expect("the template is a constant")
}

/// The line that an event leaves behind, if it leaves one.
fn line_of(event: &EventKind) -> Option<String> {
    match event {
        EventKind::StageStarted { stage } => Some(stage.clone()),
        EventKind::StepStarted { step, handle } => Some(format!("  {step} started ({handle})")),
        EventKind::StepEnded { step, exit, expected: false } => Some(format!("  {step} ended: {exit:?}")),
        EventKind::WaitEnded { what, waited_s } => Some(format!("  {what}: ready after {waited_s:.1} s")),
        EventKind::EndRequested { by, times: 1 } => {
            Some(format!("{by}: ending the run; once more ends it at once"))
        }
        EventKind::EndRequested { by, .. } => Some(format!("{by}: ending the run at once")),
        EventKind::Failed { failure } => Some(failure_text(failure)),
        EventKind::Warning { text } => Some(format!("warning: {text}")),
        _ => None,
    }
}

/// What is there of what is waited for: `1/1 prefill, 1/2 decode`.
pub(crate) fn waiting_text(prefill: RegistrationCount, decode: RegistrationCount, detail: &str) -> String {
    let counted = [("prefill", prefill), ("decode", decode)];
    let counted = counted.iter().filter(|(_, count)| count.want > 0);
    let counted = counted.map(|(role, count)| format!("{}/{} {role}", count.have, count.want));
    let detail = Some(detail.to_owned()).filter(|it| !it.is_empty());
    counted.chain(detail).collect::<Vec<_>>().join(", ")
}

fn failure_text(failure: &Failure) -> String {
    let mut lines = vec![format!("failed: {}", failure.text)];
    if let Some(log) = &failure.log {
        lines.push(format!("           last lines of {log}:"));
        lines.extend(failure.log_tail.iter().map(|line| format!("           | {line}")));
    }
    lines.join("\n")
}

fn concurrency_text(concurrency: Option<u32>) -> String {
    concurrency.map_or_else(|| "no limit".to_owned(), |it| format!("concurrency {it}"))
}

/// How far a point has come.
pub(crate) fn progress_text(progress: &Progress) -> String {
    let Progress { completed, failed, num_prompts, in_flight, output_tps, .. } = progress;
    let what = if progress.is_warmup { "warm-up" } else { "measuring" };
    let failures = if *failed > 0 { format!(", {failed} failed") } else { String::new() };
    format!(
        "{}, {what}: {completed}/{num_prompts} requests{failures}, {in_flight} in flight, {output_tps:.0} tokens/s",
        concurrency_text(progress.concurrency)
    )
}

fn summary_text(summary: &PointSummary) -> String {
    format!(
        "  {}: {:.1} tokens/s, TTFT {:.1} ms, TPOT {:.2} ms, {} requests in {:.1} s",
        concurrency_text(summary.concurrency),
        summary.output_tps,
        summary.mean_ttft_ms,
        summary.mean_tpot_ms,
        summary.completed,
        summary.duration_s,
    )
}
