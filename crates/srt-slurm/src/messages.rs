//! What srun says about the end of a step. Its exit code alone is not enough: it is 0 when the step's node failed.

use srt_run::launcher::{StepExit, signal_name};

/// How a step ended, from how its srun ended and what that said on its own stderr, which no task can write to.
pub(crate) fn step_exit(srun: StepExit, said: &str) -> StepExit {
    let lines = || said.lines().map(str::trim);
    if let Some(line) = lines().find(|line| line.contains("Node failure on ")) {
        return StepExit::Lost(format!("was lost with its node ({})", shown(line)));
    }
    if let Some(line) = lines().find(|line| is_launch_failure(line)) {
        return StepExit::Lost(format!("could not be launched ({})", shown(line)));
    }
    let StepExit::Code(code) = srun else { return srun };
    if code == 0 {
        return StepExit::Code(0);
    }
    // The first task that failed is the cause; srun's own code is that of the worst, which may be one that srun
    // itself ended because of the first.
    if let Some(end) = lines().find_map(task_end) {
        return end;
    }
    match code - 128 {
        signal if signal_name(signal).is_some() => StepExit::Signal(signal),
        _ => StepExit::Code(code),
    }
}

fn is_launch_failure(line: &str) -> bool {
    let texts = [
        "Unable to create step for job",
        "Task launch for StepId=",
        "Task launch for ",
        "Application launch failed",
        "Could not open stdout file",
        "Unable to confirm allocation for job",
        "Unable to contact slurm controller",
    ];
    texts.iter().any(|text| line.contains(text))
        || (line.contains(": task ") && line.contains(" launch failed"))
}

/// `srun: error: node1: task 0: Exited with exit code 7`, or, of a signal, its name in words.
fn task_end(line: &str) -> Option<StepExit> {
    let (_, rest) = line.strip_prefix("srun: error: ")?.split_once(": task")?;
    let (_, end) = rest.split_once(": ")?;
    if let Some(code) = end.strip_prefix("Exited with exit code ") {
        return code.parse().ok().map(StepExit::Code);
    }
    // As `strsignal` of the C library spells them.
    let signal = match end.trim_end_matches(" (core dumped)") {
        "Hangup" => 1,
        "Interrupt" => 2,
        "Quit" => 3,
        "Illegal instruction" => 4,
        "Trace/breakpoint trap" => 5,
        "Aborted" => 6,
        "Bus error" => 7,
        "Floating point exception" => 8,
        "Killed" => 9,
        "Segmentation fault" => 11,
        "Broken pipe" => 13,
        "Terminated" => 15,
        "Out Of Memory" => {
            return Some(StepExit::Lost("was ended because the job ran out of memory".to_owned()));
        }
        _ => return None,
    };
    Some(StepExit::Signal(signal))
}

fn shown(line: &str) -> &str {
    line.strip_prefix("srun: error: ").or_else(|| line.strip_prefix("srun: ")).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(code: i32, said: &str, expected: &Expect) {
        expected.assert_eq(&step_exit(StepExit::Code(code), said).to_string());
    }

    #[test]
    fn tasks_end_by_themselves_or_by_signals() {
        check(0, "", &expect!["exited with code 0"]);
        check(7, "srun: error: node1: task 0: Exited with exit code 7\n", &expect!["exited with code 7"]);
        check(
            137,
            "srun: error: node1: task 0: Killed\nsrun: Force Terminated StepId=6.0\n",
            &expect!["was killed by SIGKILL"],
        );
        check(
            139,
            "srun: error: node1: task 0: Segmentation fault (core dumped)\n",
            &expect!["was killed by SIGSEGV"],
        );
        check(143, "", &expect!["was killed by SIGTERM"]);
        check(200, "", &expect!["exited with code 200"]);
    }

    #[test]
    fn the_first_task_that_failed_is_the_cause() {
        check(
            143,
            "srun: error: node2: tasks 1,3: Exited with exit code 7\n\
             srun: launch/slurm: _step_signal: Terminating StepId=83.0\n\
             srun: error: node1: task 0: Terminated\n",
            &expect!["exited with code 7"],
        );
    }

    #[test]
    fn a_failed_node_is_no_success_although_srun_exits_with_0() {
        check(
            0,
            "srun: error: Node failure on node2\n",
            &expect!["was lost with its node (Node failure on node2)"],
        );
    }

    #[test]
    fn a_step_that_was_not_launched_has_no_exit_code() {
        check(
            1,
            "srun: error: Unable to create step for job 34: Requested nodes are busy\n",
            &expect!["could not be launched (Unable to create step for job 34: Requested nodes are busy)"],
        );
        check(
            0,
            "srun: error: task 0 launch failed: Slurmd could not connect IO\n",
            &expect!["could not be launched (task 0 launch failed: Slurmd could not connect IO)"],
        );
        check(
            233,
            "srun: error: Task launch for StepId=1.1 failed on node node2: Communication connection failure\n\
             srun: error: Application launch failed: Communication connection failure\n",
            &expect![
                "could not be launched (Task launch for StepId=1.1 failed on node node2: Communication connection failure)"
            ],
        );
    }
}
