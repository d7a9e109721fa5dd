//! `srtctl wait`: follows a job to its end.

use srt_run::record::{Event, EventKind, FORMAT_VERSION, RunState, Status};

use crate::{
    environment::Environment,
    execute::report_end,
    exit::Outcome,
    growing_file::{GrowingFile, READ_INTERVAL},
    job_view::{Controller, JobView, State},
    lookout::Lookout,
    run_directory::{Ending, Job, PlaceArguments, Story, events_in},
    site, terminal,
    watch::Watch,
};

/// Arguments of `srtctl wait`
#[derive(Debug, clap::Args)]
pub(crate) struct WaitArguments {
    /// Job id or run directory
    job: String,
    #[command(flatten)]
    place: PlaceArguments,
}

pub(crate) fn run(arguments: &WaitArguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let job = arguments.place.find(&arguments.job, environment)?;
    let controller = Controller::new(environment);
    site::runtime()?.block_on(wait(&controller, job))
}

async fn wait(controller: &Controller, job: Job) -> anyhow::Result<Outcome> {
    let mut lookout = Lookout::new(controller, job.clone());
    let first = lookout.first().await?;
    let mut progress = Shown::new(&first);
    let outcome = loop {
        progress.read_events()?;
        // The events are as complete as they get: whoever wrote the last of them has said what it came to.
        if let Some(ending) = progress.story.ending() {
            progress.watch.finish();
            break report(&job, &ending);
        }
        let sight = lookout.look().await?;
        progress.show_record(sight.record.as_ref());
        if let Some(view) = sight.view {
            if sight.is_over {
                progress.read_events()?;
                progress.watch.finish();
                break report_last(&view);
            }
            progress.show_state(&view.state);
        }
        tokio::time::sleep(READ_INTERVAL).await;
    };
    Ok(outcome)
}

/// What has been shown of a job.
struct Shown {
    watch: Watch,
    events: Option<GrowingFile>,
    story: Story,
    last_state: String,
    last_progress: Option<serde_json::Value>,
}

impl Shown {
    fn new(first: &JobView) -> Self {
        let job = &first.job;
        let name = format!("job {} {}", job.job_id, first.name());
        let place = job.run_dir.clone().unwrap_or_else(|| "a folder that is not known here".into());
        Self {
            watch: Watch::new(name.trim(), &place),
            events: job.events_file().map(GrowingFile::new),
            story: Story::default(),
            last_state: String::new(),
            last_progress: None,
        }
    }

    fn read_events(&mut self) -> anyhow::Result<()> {
        let Some(file) = &mut self.events else { return Ok(()) };
        loop {
            let lines = file.read()?;
            if lines.is_empty() {
                return Ok(());
            }
            for event in events_in(&lines) {
                self.watch.show(&event);
                self.story.hear(&event);
            }
        }
    }

    /// Shows what changes too often to be among the events.
    fn show_record(&mut self, record: Option<&Status>) {
        let Some(record) = record.filter(|it| it.state == RunState::Running) else { return };
        if record.benchmark.is_none() || record.benchmark == self.last_progress {
            return;
        }
        self.last_progress.clone_from(&record.benchmark);
        let progress = record.benchmark.clone().expect("there is one, as was just asked");
        // Everything else stands among the events.
        if progress.get("event").and_then(serde_json::Value::as_str) == Some("progress") {
            let kind = EventKind::Benchmark { progress };
            self.watch.show(&Event { v: FORMAT_VERSION, seq: 0, time: record.updated_at, kind });
        }
    }

    /// Shows what nobody writes into the record.
    fn show_state(&mut self, state: &State) {
        let text = match state {
            State::Pending { .. } | State::Starting | State::Unknown { .. } | State::Lost { .. } => {
                state.text()
            }
            State::Running { .. } | State::Ending { .. } | State::Ended(_) => return,
        };
        if text != self.last_state {
            self.watch.print(&text);
            self.last_state = text;
        }
    }
}

fn report(job: &Job, ending: &Ending) -> Outcome {
    let run_dir = job.run_dir.clone().unwrap_or_default();
    let rollup = ending.rollup.as_ref().map(|it| run_dir.join(it));
    report_end(run_dir.as_str(), rollup.as_deref(), &ending.verdict, ending.failure.as_deref());
    ending.outcome
}

/// Reports a job whose events do not say how it ended.
fn report_last(view: &JobView) -> Outcome {
    match &view.state {
        State::Ended(ending) => report(&view.job, ending),
        State::Lost { text, outcome } => {
            let job_id = &view.job.job_id;
            terminal::print_line(&format!("job {job_id} is lost: {text}"));
            if view.job.run_dir.is_some() {
                terminal::note(&format!("`srtctl logs {job_id}` shows what it wrote"));
            }
            *outcome
        }
        // Nothing else is over.
        _ => Outcome::Internal,
    }
}
