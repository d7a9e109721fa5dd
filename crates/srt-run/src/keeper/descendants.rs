//! The processes below this one, and those that carry a marker, as `/proc` shows them.

use std::{collections::HashMap, fs};

use rustix::process::{Pid, Signal};

/// Sends `signal` to every process below this one. As this process is a subreaper, those are all processes that ever
/// came from it and still live.
pub(super) fn signal_all(signal: Signal) {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    for pid in below(own, &all_processes()) {
        send(pid, signal);
    }
}

/// Kills every process whose environment sets the variable `name` to `value`; how many there were.
pub(super) fn kill_marked(name: &str, value: &str) -> usize {
    let mark = format!("{name}={value}");
    let marked: Vec<i32> = all_processes()
        .into_iter()
        .map(|process| process.pid)
        .filter(|pid| {
            // The environment of a process of another user cannot be read, and is none of ours.
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|text| text.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()))
        })
        .collect();
    for pid in &marked {
        send(*pid, Signal::KILL);
    }
    marked.len()
}

fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It may have ended since it was seen.
        let _ended = rustix::process::kill_process(pid, signal);
    }
}

struct Process {
    pid: i32,
    parent: i32,
}

fn all_processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: i32| parse_stat(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
        .collect()
}

/// `PID (NAME) STATE PARENT …`, where the name may hold spaces and parentheses. A zombie is nobody.
fn parse_stat(pid: i32, text: &str) -> Option<Process> {
    let (_, after_name) = text.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (state != "Z").then_some(Process { pid, parent })
}

/// Every process whose chain of parents leads to `root`.
fn below(root: i32, processes: &[Process]) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for process in processes {
        children.entry(process.parent).or_default().push(process.pid);
    }
    let mut found = children.remove(&root).unwrap_or_default();
    let mut next = 0;
    while next < found.len() {
        let more = children.remove(&found[next]).unwrap_or_default();
        found.extend(more);
        next += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stat: &[&str], root: i32, expected: &[i32]) {
        let processes: Vec<Process> = stat
            .iter()
            .filter_map(|line| parse_stat(line.split(' ').next().unwrap().parse().unwrap(), line))
            .collect();
        assert_eq!(below(root, &processes), expected);
    }

    #[test]
    fn descendants_are_found_over_several_generations() {
        check(&["2 (a) S 1 2 2", "3 (b) S 2 2 2", "4 (c) R 3 4 4", "5 (d) S 1 5 5"], 2, &[3, 4]);
        check(&["2 (a) S 1 2 2"], 2, &[]);
    }

    #[test]
    fn a_process_name_may_hold_anything() {
        check(&["3 (x) S 9 (y) S 2 2 2"], 2, &[3]);
    }

    #[test]
    fn zombies_do_not_count() {
        check(&["3 (b) Z 2 2 2"], 2, &[]);
    }
}
