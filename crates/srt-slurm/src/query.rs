//! What Slurm knows of jobs: one question for many of them, the controller first, the accounting database second.

use std::collections::BTreeMap;

use srt_context::JobId;

use crate::{
    client::{Slurm, SlurmError, failed, words},
    state::JobState,
};

/// What Slurm knows of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobReport {
    /// Its state.
    pub state: JobState,
    /// Why it waits, or ended; `None` when Slurm gives no reason.
    pub reason: Option<String>,
    /// How its script ended. Meaningful when the state says that the job is over.
    pub exit: JobExit,
    /// Its nodes, as a host list; `None` before it has any.
    pub nodes: Option<String>,
    /// When it started or is expected to, in the controller's local time, as Slurm shows it.
    pub start: Option<String>,
    /// When it ended or has to, likewise.
    pub end: Option<String>,
    /// Its name.
    pub name: String,
}

/// How a job's script ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JobExit {
    /// Exit code.
    pub code: u32,
    /// The signal that killed it; 0 is none.
    pub signal: u32,
}

/// An answer about many jobs. A job that is in none of its parts is known to nobody, which never means success.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Jobs {
    /// What is known.
    pub found: BTreeMap<JobId, JobReport>,
    /// Whether the accounting database could be asked about those that the controller has forgotten.
    pub has_accounting: bool,
}

/// Fields of squeue, in order; the name stands last because it may hold the separator.
const QUEUE_FIELDS: [&str; 8] =
    ["JobID", "State", "exit_code", "Reason", "NodeList", "StartTime", "EndTime", "Name"];

/// Fields of sacct, in the order of [`QUEUE_FIELDS`].
const ACCOUNT_FIELDS: &str = "JobID,State,ExitCode,Reason,NodeList,Start,End,JobName";

impl Slurm {
    /// What is known of these jobs, with at most two commands for all of them.
    ///
    /// # Errors
    /// When the controller does not answer.
    pub async fn jobs(&self, ids: &[JobId]) -> Result<Jobs, SlurmError> {
        if ids.is_empty() {
            return Ok(Jobs::default());
        }
        let list = ids.iter().map(JobId::as_str).collect::<Vec<_>>().join(",");
        let mut found = self.queue(&list).await?;
        found.retain(|id, _| ids.contains(id));
        let forgotten: Vec<&str> =
            ids.iter().filter(|id| !found.contains_key(id)).map(JobId::as_str).collect();
        if forgotten.is_empty() {
            return Ok(Jobs { found, has_accounting: true });
        }
        match self.accounts(&forgotten.join(",")).await? {
            Some(accounts) => {
                found.extend(accounts.into_iter().filter(|(id, _)| ids.contains(id)));
                Ok(Jobs { found, has_accounting: true })
            }
            None => Ok(Jobs { found, has_accounting: false }),
        }
    }

    async fn queue(&self, ids: &str) -> Result<BTreeMap<JobId, JobReport>, SlurmError> {
        let fields = QUEUE_FIELDS.map(|field| format!("{field}:|")).join(",");
        let argv = words(&[
            "squeue",
            "--noheader",
            "--states=all",
            &format!("--jobs={ids}"),
            &format!("--Format={fields}"),
        ]);
        let answer = self.ask(&argv).await?;
        if answer.exit.is_success() {
            return Ok(parse_lines(&answer.stdout, parse_wait_status));
        }
        // squeue calls a single job that it has forgotten an error, and of many it leaves such out.
        if answer.stderr.contains("Invalid job id specified") {
            return Ok(BTreeMap::new());
        }
        Err(failed(&argv, answer))
    }

    /// `None` where no accounting database is.
    async fn accounts(&self, ids: &str) -> Result<Option<BTreeMap<JobId, JobReport>>, SlurmError> {
        let argv = words(&[
            "sacct",
            "--noheader",
            "--parsable2",
            "--allocations",
            &format!("--jobs={ids}"),
            &format!("--format={ACCOUNT_FIELDS}"),
        ]);
        let answer = self.ask(&argv).await?;
        if answer.exit.is_success() {
            return Ok(Some(parse_lines(&answer.stdout, parse_exit_pair)));
        }
        if answer.stderr.contains("accounting storage is disabled") {
            return Ok(None);
        }
        Err(failed(&argv, answer))
    }
}

/// Lines of fields separated by `|`. A line of any other form is not about a job and is passed over.
fn parse_lines(text: &str, exit: impl Fn(&str) -> Option<JobExit>) -> BTreeMap<JobId, JobReport> {
    text.lines().filter_map(|line| parse_line(line, &exit)).collect()
}

fn parse_line(line: &str, exit: impl Fn(&str) -> Option<JobExit>) -> Option<(JobId, JobReport)> {
    let mut fields = line.splitn(QUEUE_FIELDS.len(), '|');
    let mut next = || fields.next().map(str::trim);
    let id = JobId::new(next()?)?;
    let Ok(state) = next()?.parse();
    let exit = exit(next()?).unwrap_or_default();
    let report = JobReport {
        state,
        exit,
        reason: said(next()?),
        nodes: said(next()?),
        start: said(next()?),
        end: said(next()?),
        // squeue ends every field with the separator, sacct only separates.
        name: next()?.trim_end_matches('|').to_owned(),
    };
    Some((id, report))
}

/// Slurm has many ways to say nothing.
fn said(text: &str) -> Option<String> {
    let nothing = ["", "None", "N/A", "(null)", "Unknown", "None assigned", "n/a"];
    (!nothing.contains(&text)).then(|| text.to_owned())
}

/// squeue shows what `wait` returned: the code in the second byte, the signal in the low seven bits.
fn parse_wait_status(text: &str) -> Option<JobExit> {
    if text.contains(':') {
        return parse_exit_pair(text);
    }
    let status: u32 = text.parse().ok()?;
    Some(JobExit { code: (status >> 8) & 0xff, signal: status & 0x7f })
}

/// `CODE:SIGNAL`.
fn parse_exit_pair(text: &str) -> Option<JobExit> {
    let (code, signal) = text.split_once(':')?;
    Some(JobExit { code: code.parse().ok()?, signal: signal.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(jobs: &BTreeMap<JobId, JobReport>, expected: &Expect) {
        let mut text = String::new();
        for (id, report) in jobs {
            let JobReport { state, reason, exit, nodes, start, end, name } = report;
            let JobExit { code, signal } = exit;
            let shown = |field: &Option<String>| field.clone().unwrap_or_else(|| "-".to_owned());
            let _infallible = writeln!(
                text,
                "{id} {state} code={code} signal={signal} reason={} nodes={} start={} end={} name={name}",
                shown(reason),
                shown(nodes),
                shown(start),
                shown(end),
            );
        }
        expected.assert_eq(&text);
    }

    /// Captured from squeue 22.05.
    const QUEUE: &str = "\
1|COMPLETING|0|None|node[1-2]|2026-11-23T15:57:57|2026-11-23T15:58:24|wrap|
2|FAILED|1792|NonZeroExitCode|node3|2026-11-23T15:58:24|2026-11-23T15:58:24|a|b|
3|FAILED|9|JobLaunchFailure|node4|2026-11-23T15:58:24|2026-11-23T15:58:24|wrap|
4|PENDING|0|PartitionNodeLimit||N/A|N/A|x y|
5|SOMETHING_NEW|0|None||N/A|N/A||
";

    #[test]
    fn the_queue_is_read() {
        check(
            &parse_lines(QUEUE, parse_wait_status),
            &expect![[r"
            1 COMPLETING code=0 signal=0 reason=- nodes=node[1-2] start=2026-11-23T15:57:57 end=2026-11-23T15:58:24 name=wrap
            2 FAILED code=7 signal=0 reason=NonZeroExitCode nodes=node3 start=2026-11-23T15:58:24 end=2026-11-23T15:58:24 name=a|b
            3 FAILED code=0 signal=9 reason=JobLaunchFailure nodes=node4 start=2026-11-23T15:58:24 end=2026-11-23T15:58:24 name=wrap
            4 PENDING code=0 signal=0 reason=PartitionNodeLimit nodes=- start=- end=- name=x y
            5 SOMETHING_NEW code=0 signal=0 reason=- nodes=- start=- end=- name=
        "]],
        );
    }

    /// The form of sacct 22.05 with `--parsable2`.
    const ACCOUNTS: &str = "\
7|FAILED|7:0|None|node1|2026-11-23T15:57:57|2026-11-23T15:58:24|wrap
8|CANCELLED by 1000|0:15|None|None assigned|Unknown|2026-11-23T15:58:24|a|b
";

    #[test]
    fn accounts_are_read() {
        check(
            &parse_lines(ACCOUNTS, parse_exit_pair),
            &expect![[r"
            7 FAILED code=7 signal=0 reason=- nodes=node1 start=2026-11-23T15:57:57 end=2026-11-23T15:58:24 name=wrap
            8 CANCELLED code=0 signal=15 reason=- nodes=- start=- end=2026-11-23T15:58:24 name=a|b
        "]],
        );
    }

    #[test]
    fn other_lines_are_no_jobs() {
        let text = "slurm_load_jobs error: Unable to contact slurm controller\n\n|||||||\n1|RUNNING\n";
        check(&parse_lines(text, parse_wait_status), &expect![""]);
    }
}
