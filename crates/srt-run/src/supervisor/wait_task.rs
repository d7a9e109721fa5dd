//! The task of one wait: asks, and reports.

use srt_health::{Progress, WaitError};
use srt_launch::Wait;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Message;

/// What a wait tells the owner of the run.
#[derive(Debug)]
pub(super) enum WaitReport {
    Progress { what: String, progress: Progress },
    Ready { what: String },
    NotReady { what: String, text: String },
}

/// Drives one wait to its end.
pub(super) async fn drive(wait: Wait, cancel: CancellationToken, messages: mpsc::Sender<Message>) {
    let what = wait.what.clone();
    let mut on_progress = |progress: &Progress| {
        let report = WaitReport::Progress { what: what.clone(), progress: progress.clone() };
        // Progress is for people; the next one will come when this one finds no room.
        let _no_room = messages.try_send(Message::Wait(report));
    };
    let report = match srt_health::wait(&wait, &mut on_progress, &cancel).await {
        Ok(()) => WaitReport::Ready { what: wait.what },
        Err(WaitError::Cancelled { .. }) => return,
        Err(error @ WaitError::TimedOut { .. }) => {
            WaitReport::NotReady { what: wait.what, text: error.to_string() }
        }
    };
    let _owner_gone = messages.send(Message::Wait(report)).await;
}
