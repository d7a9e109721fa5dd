//! Signals as events: the first SIGINT, SIGTERM, or SIGHUP asks for an orderly end, the second for an immediate one.

use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    thread,
};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Numbers as every Linux has them.
pub(crate) const SIGHUP: u8 = 1;
pub(crate) const SIGINT: u8 = 2;
pub(crate) const SIGTERM: u8 = 15;

/// The signals that ask for an end, and their names.
const NAMES: [(u8, &str); 3] = [(SIGHUP, "SIGHUP"), (SIGINT, "SIGINT"), (SIGTERM, "SIGTERM")];

/// What a signal is called.
pub(crate) fn name_of(number: u8) -> &'static str {
    NAMES.iter().find(|(it, _)| *it == number).map_or("a signal", |(_, name)| name)
}

/// The signal that is called so.
pub(crate) fn number_of(name: &str) -> Option<u8> {
    NAMES.iter().find(|(_, it)| *it == name).map(|(number, _)| *number)
}

/// SIGINT, SIGTERM, and SIGHUP, in the order in which they arrive.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    /// Takes over the signals. Must be called within a runtime.
    pub(crate) fn listen() -> io::Result<Self> {
        // `nohup` means that the run goes on without its terminal.
        let hangup = if is_ignored(SIGHUP) { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> u8 {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => SIGINT,
            _ = self.terminate.recv() => SIGTERM,
            _ = hangup => SIGHUP,
        }
    }
}

/// Whether whoever started this process has it ignore a signal.
fn is_ignored(number: u8) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|it| u64::from_str_radix(it.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (number - 1) & 1 == 1)
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
