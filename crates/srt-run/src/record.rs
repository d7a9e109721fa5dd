//! The record a run leaves while it runs: `events.jsonl` and `status.json`.
//!
//! There is one writer, the supervisor. Every event is one line, written at once; the status is a fold over the
//! events, so that the two cannot disagree. The same events go to a channel for whoever shows them.

mod event;
mod status;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
};

use camino::{Utf8Path, Utf8PathBuf};
use jiff::tz::TimeZone;
use tokio::sync::mpsc;

pub use self::{
    event::{Event, EventKind, Exit, FORMAT_VERSION, Failure, PlannedStep, RegistrationCount},
    status::{RunState, Status, StepState, StepStatus, Waiting},
};
use crate::clock::Clock;

/// File name of the events, in the run folder.
pub const EVENTS_FILE: &str = "events.jsonl";
/// File name of the status, in the run folder.
pub const STATUS_FILE: &str = "status.json";

/// Writes the record.
pub(crate) struct Recorder<'a> {
    clock: &'a dyn Clock,
    watcher: mpsc::Sender<Event>,
    events: File,
    status_path: Utf8PathBuf,
    status: Status,
    status_is_stale: bool,
    next_seq: u64,
    /// The first write that failed. The run goes on: a full disk must not end a measurement that may still succeed.
    broken: Option<String>,
}

impl<'a> Recorder<'a> {
    /// Starts a record in `run_dir`.
    pub(crate) fn create(
        run_dir: &Utf8Path,
        clock: &'a dyn Clock,
        watcher: mpsc::Sender<Event>,
    ) -> Result<Self, WriteError> {
        let path = run_dir.join(EVENTS_FILE);
        let events = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .map_err(|source| WriteError { path: path.clone(), source })?;
        let status = Status::new(std::process::id(), clock.now());
        let status_path = run_dir.join(STATUS_FILE);
        let mut recorder = Self {
            clock,
            watcher,
            events,
            status_path,
            status,
            status_is_stale: true,
            next_seq: 0,
            broken: None,
        };
        recorder.flush_status();
        Ok(recorder)
    }

    /// Records that something happened, in the file and in the status.
    pub(crate) fn event(&mut self, kind: EventKind) {
        let event = self.next_event(kind);
        let mut line = serde_json::to_string(&event).expect("events have only string keys");
        line.push('\n');
        // In one write, so that a reader never sees half a line of ours.
        let written = self.events.write_all(line.as_bytes());
        self.note(written, EVENTS_FILE);
        self.tell(event);
    }

    /// Shows something that changes too often to be an event in the file.
    pub(crate) fn glimpse(&mut self, kind: EventKind) {
        let event = self.next_event(kind);
        self.tell(event);
    }

    /// Writes the status if it has changed since it was last written.
    pub(crate) fn flush_status(&mut self) {
        if self.status_is_stale {
            self.status_is_stale = false;
            let text = serde_json::to_string_pretty(&self.status).expect("the status has only string keys");
            let written = write_atomically(&self.status_path, &text).map_err(|error| error.source);
            self.note(written, STATUS_FILE);
        }
    }

    /// Now, as the rollups of the Python tool state it: in the time of the place, without a zone.
    pub(crate) fn local_time(&self) -> String {
        self.clock.now().to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// The first failure to write the record.
    pub(crate) fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    fn next_event(&mut self, kind: EventKind) -> Event {
        let event = Event { v: FORMAT_VERSION, seq: self.next_seq, time: self.clock.now(), kind };
        self.next_seq += 1;
        event
    }

    fn tell(&mut self, event: Event) {
        self.status.apply(&event);
        self.status_is_stale = true;
        // A terminal that does not keep up (or is gone) loses events; the run never waits for it.
        let _slow_watcher = self.watcher.try_send(event);
    }

    fn note(&mut self, written: io::Result<()>, file: &str) {
        if let (Err(error), None) = (written, &self.broken) {
            let text = format!("failed to write `{file}`: {error}");
            tracing::warn!("{text}");
            self.broken = Some(text);
        }
    }
}

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("failed to write `{path}`: {source}")]
pub struct WriteError {
    /// The file.
    pub path: Utf8PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Writes a file beside its place and renames it, so that no reader ever sees half of it and a full disk never
/// destroys the one that was there.
pub(crate) fn write_atomically(path: &Utf8Path, text: &str) -> Result<(), WriteError> {
    let beside = path.with_extension("tmp");
    let result = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
    result.map_err(|source| {
        // What could not be completed must not lie about; if even that fails, the first error says it all.
        let _also_failed = fs::remove_file(&beside);
        WriteError { path: path.to_owned(), source }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn a_full_disk_is_noted_and_does_not_end_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = Utf8Path::from_path(folder.path()).unwrap();
        std::os::unix::fs::symlink("/dev/full", run_dir.join(EVENTS_FILE)).unwrap();
        let (watcher, mut events) = mpsc::channel(4);
        let mut recorder = Recorder::create(run_dir, &SystemClock, watcher).unwrap();
        recorder.event(EventKind::Warning { text: "one".to_owned() });
        recorder.event(EventKind::Warning { text: "two".to_owned() });
        let broken = recorder.broken().unwrap();
        assert_eq!(broken, "failed to write `events.jsonl`: No space left on device (os error 28)");
        // Whoever watches sees the events all the same.
        assert_eq!((events.try_recv().unwrap().seq, events.try_recv().unwrap().seq), (0, 1));
    }

    #[test]
    fn a_status_that_cannot_be_replaced_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().join("status.json");
        write_atomically(&path, "old").unwrap();
        std::os::unix::fs::symlink("/dev/full", path.with_extension("tmp")).unwrap();
        write_atomically(&path, "new").unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }

    #[test]
    fn a_watcher_that_does_not_listen_does_not_hold_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = Utf8Path::from_path(folder.path()).unwrap();
        let (watcher, _events) = mpsc::channel(1);
        let mut recorder = Recorder::create(run_dir, &SystemClock, watcher).unwrap();
        for number in 0..3 {
            recorder.event(EventKind::Warning { text: number.to_string() });
        }
        let lines = fs::read_to_string(run_dir.join(EVENTS_FILE)).unwrap();
        assert_eq!(lines.lines().count(), 3);
    }
}
