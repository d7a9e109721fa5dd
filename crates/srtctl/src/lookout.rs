//! [`Lookout`]: asks again and again where a job is, and notices that it is over.

use std::time::Duration;

use srt_run::record::{RunState, Status};
use tokio::time::Instant;

use crate::{
    exit::CommandError,
    job_view::{Controller, JobView, State},
    run_directory::Job,
};

/// How often Slurm is asked. A controller serves thousands of users.
const QUESTION_INTERVAL: Duration = Duration::from_secs(5);

/// How long the end of a record may take to arrive from another machine, after Slurm has told that the job is over.
const RECORD_GRACE: Duration = Duration::from_secs(10);

/// Follows one job.
#[derive(Debug)]
pub(crate) struct Lookout<'a> {
    controller: &'a Controller,
    job: Job,
    next_question: Instant,
    lost_since: Option<Instant>,
}

/// What can be seen of a job.
#[derive(Debug)]
pub(crate) struct Sight {
    /// Its record, as it is now.
    pub(crate) record: Option<Status>,
    /// Where it is, if it was time to ask.
    pub(crate) view: Option<JobView>,
    /// Nothing more will happen.
    pub(crate) is_over: bool,
}

impl<'a> Lookout<'a> {
    pub(crate) fn new(controller: &'a Controller, job: Job) -> Self {
        Self { controller, job, next_question: Instant::now(), lost_since: None }
    }

    /// Where the job is to begin with; an error when nobody knows it.
    pub(crate) async fn first(&mut self) -> anyhow::Result<JobView> {
        let view = self.controller.look_at(self.job.clone()).await;
        if view.is_nothing() {
            let job_id = &view.job.job_id;
            let text = format!(
                "nothing is known of job {job_id}: there is no run directory of it here, and Slurm does not know \
                 it; `-o DIR` names another folder of runs"
            );
            return Err(CommandError::BadInput(text).into());
        }
        Ok(view)
    }

    /// Looks again.
    pub(crate) async fn look(&mut self) -> anyhow::Result<Sight> {
        let record = self.job.status()?;
        let has_ended = record.as_ref().is_some_and(|it| it.state == RunState::Ended);
        let now = Instant::now();
        if !has_ended && !self.job.is_local() && now < self.next_question {
            return Ok(Sight { record, view: None, is_over: false });
        }
        let view = self.controller.look_at(self.job.clone()).await;
        self.next_question = Instant::now() + QUESTION_INTERVAL;
        let is_over = self.is_over(&view, now);
        Ok(Sight { record, view: Some(view), is_over })
    }

    fn is_over(&mut self, view: &JobView, now: Instant) -> bool {
        if !matches!(view.state, State::Lost { .. }) {
            self.lost_since = None;
            return view.state.is_over();
        }
        let since = *self.lost_since.get_or_insert(now);
        // Without a record there is nothing to arrive; a local one is as complete as it will be.
        let nothing_comes = self.job.run_dir.is_none() || self.job.is_local();
        nothing_comes || now.duration_since(since) >= RECORD_GRACE
    }
}
