//! The task of one step: starts it, passes on orders, and reports what becomes of it.

use std::sync::Arc;

use camino::Utf8PathBuf;
use srt_launch::Step;
use tokio::sync::mpsc;

use super::Message;
use crate::launcher::{Launcher, RunningStep, StartError, StepExit};

/// What the owner of the run tells a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Terminate,
    Kill,
}

/// What a step tells the owner of the run, in this order.
#[derive(Debug)]
pub(super) enum StepReport {
    Started { handle: String },
    NotStarted { error: StartError },
    Ended { exit: StepExit },
    Gone,
}

/// Drives one step to its end.
pub(super) async fn drive(
    index: usize,
    step: Step,
    log: Utf8PathBuf,
    launcher: Arc<dyn Launcher>,
    mut orders: mpsc::Receiver<Order>,
    messages: mpsc::Sender<Message>,
) {
    // The owner takes messages until all its steps are gone, so a message that finds no taker has no reader left.
    let tell = async |report| {
        let _owner_gone = messages.send(Message::Step { index, report }).await;
    };
    let mut running = match launcher.start(&step, &log).await {
        Ok(running) => running,
        Err(error) => return tell(StepReport::NotStarted { error }).await,
    };
    tell(StepReport::Started { handle: running.handle() }).await;
    let exit = loop {
        tokio::select! {
            exit = running.wait() => break exit,
            Some(order) = orders.recv() => obey(running.as_mut(), order).await,
        }
    };
    tell(StepReport::Ended { exit }).await;
    loop {
        tokio::select! {
            () = running.gone() => break,
            Some(order) = orders.recv() => obey(running.as_mut(), order).await,
        }
    }
    tell(StepReport::Gone).await;
}

async fn obey(running: &mut dyn RunningStep, order: Order) {
    match order {
        Order::Terminate => running.terminate().await,
        Order::Kill => running.kill().await,
    }
}
