//! `srtctl list`: the runs there are.

use crate::{
    environment::Environment,
    exit::Outcome,
    job_view::{Controller, JobView},
    run_directory::PlaceArguments,
    site, terminal,
};

/// Arguments of `srtctl list`
#[derive(Debug, clap::Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    place: PlaceArguments,
    /// Print one JSON line per run
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &ListArguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let jobs = arguments.place.all(environment)?;
    let controller = Controller::new(environment);
    let mut views = site::runtime()?.block_on(controller.look(jobs));
    // Jobs that have not begun come last.
    views.sort_by_cached_key(|view| {
        let started = view.record.as_ref().map(|it| it.started_at);
        (started.is_none(), started, view.job.job_id.to_string())
    });
    if arguments.json {
        for view in &views {
            terminal::print_line(&view.as_json().to_string());
        }
    } else if views.is_empty() {
        terminal::note(&format!("there are no runs in {}", arguments.place.base(environment)?));
    } else {
        for line in table(&views) {
            terminal::print_line(&line);
        }
    }
    Ok(Outcome::Success)
}

/// One line per job, its columns aligned.
fn table(views: &[JobView]) -> Vec<String> {
    let title = ["JOB", "STARTED", "NAME", "STATE"].map(str::to_owned);
    let rows = views.iter().map(|view| {
        let started = view.record.as_ref().map(|it| terminal::local_time(it.started_at));
        [
            view.job.job_id.to_string(),
            started.unwrap_or_else(|| "-".to_owned()),
            view.name().to_owned(),
            view.state.text(),
        ]
    });
    let rows: Vec<[String; 4]> = std::iter::once(title).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let (job, started, name) = (width(0), width(1), width(2));
    rows.iter().map(|[a, b, c, d]| format!("{a:job$}  {b:started$}  {c:name$}  {d}")).collect()
}
