//! Signals as events: the first SIGINT or SIGTERM asks for an orderly end, the second for an immediate one.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    thread,
};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Numbers as every Linux has them.
pub(crate) const SIGINT: u8 = 2;
pub(crate) const SIGTERM: u8 = 15;

/// SIGINT and SIGTERM, in the order in which they arrive.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes over both signals. Must be called within a runtime.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => SIGINT,
            _ = self.terminate.recv() => SIGTERM,
        }
    }
}

/// The first signal that arrived.
#[derive(Clone, Default)]
pub(crate) struct FirstSignal(Arc<AtomicU8>);

impl FirstSignal {
    /// Its number, if one has arrived.
    pub(crate) fn received(&self) -> Option<u8> {
        Some(self.0.load(Ordering::Relaxed)).filter(|&number| number != 0)
    }
}

/// Cancels at the first signal and ends the program at the second, for commands that block their thread.
pub(crate) fn cancel_on_signal(cancel: &CancellationToken) -> io::Result<FirstSignal> {
    let first = FirstSignal::default();
    let (cancel, seen) = (cancel.clone(), first.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let mut signals = {
        let _entered = runtime.enter();
        Signals::listen()?
    };
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            seen.0.store(signals.next().await, Ordering::Relaxed);
            cancel.cancel();
            let second = signals.next().await;
            #[expect(clippy::exit, reason = "the second signal asks for exactly this")]
            std::process::exit(128 + i32::from(second));
        });
    })?;
    Ok(first)
}
