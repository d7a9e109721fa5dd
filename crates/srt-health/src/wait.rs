//! [`wait`]: asks until the answer is good.

use std::time::Duration;

use srt_launch::{Probe, Readiness, Wait};
use tokio::{net::TcpStream, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::progress::{Answer, Count, Progress, frontend_progress, paths};

/// One attempt may take this long. A frontend that loads a model may be slow, but not slower than this.
const HTTP_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// An attempt that takes longer than this is worth a word when time is over.
const HANGS_AFTER: Duration = Duration::from_secs(1);

/// The first pause. Each pause is twice the one before, up to the interval of the wait, so that what is up at once
/// is seen at once, and what takes minutes is not asked all the time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Why a wait ended without what was waited for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// Time is over.
    #[error("{what} was not ready after {timeout_s} s: {last}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long, in seconds.
        timeout_s: u32,
        /// What was there at last.
        last: Progress,
    },
    /// The caller ended the wait.
    #[error("the wait for {what} was ended")]
    Cancelled {
        /// What was waited for.
        what: String,
    },
}

/// Waits until the condition holds. `on_progress` hears of every change. Cancelling `cancel` ends the wait at once,
/// which is how the owner of the processes says that a worker is dead and nothing is to be waited for.
pub async fn wait(
    wait: &Wait,
    on_progress: &mut (dyn FnMut(&Progress) + Send),
    cancel: &CancellationToken,
) -> Result<(), WaitError> {
    let timeout = Duration::from_secs(wait.timeout_s.into());
    let deadline = Instant::now() + timeout;
    let interval = Duration::from_secs(wait.interval_s.into()).max(FIRST_PAUSE);
    let mut pause = FIRST_PAUSE;
    let mut last = nothing_yet(&wait.probe);
    loop {
        let asked_at = Instant::now();
        let attempt = async {
            let progress = ask(&wait.probe).await;
            let ready = progress.is_ready();
            (progress, ready)
        };
        // An attempt that is under way at the deadline is cut off: the timeout is a bound, not a hint.
        let (progress, ready) = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(WaitError::Cancelled { what: wait.what.clone() }),
            outcome = attempt => outcome,
            () = tokio::time::sleep_until(deadline) => {
                // An attempt that had just begun says nothing; one that hangs says it all.
                if asked_at.elapsed() >= HANGS_AFTER {
                    last.detail = format!("no answer for {} s", asked_at.elapsed().as_secs());
                }
                return Err(WaitError::TimedOut { what: wait.what.clone(), timeout_s: wait.timeout_s, last });
            }
        };
        if progress != last {
            on_progress(&progress);
        }
        if ready {
            return Ok(());
        }
        last = progress;
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(WaitError::Cancelled { what: wait.what.clone() }),
            () = tokio::time::sleep_until(deadline.min(Instant::now() + pause)) => {}
        }
        if Instant::now() >= deadline {
            return Err(WaitError::TimedOut { what: wait.what.clone(), timeout_s: wait.timeout_s, last });
        }
        pause = (pause * 2).min(interval);
    }
}

/// What is known before the first answer.
fn nothing_yet(probe: &Probe) -> Progress {
    let (prefill, decode) = match probe {
        Probe::Frontend(readiness) => (readiness.prefill, readiness.decode),
        Probe::Tcp { .. } | Probe::Http { .. } => (0, 0),
    };
    let want = |want| Count { have: 0, want };
    let detail = "no answer yet".to_owned();
    Progress { prefill: want(prefill), decode: want(decode), detail, ..Progress::default() }
}

async fn ask(probe: &Probe) -> Progress {
    match probe {
        Probe::Tcp { host, port } => {
            let connect = TcpStream::connect((host.as_str(), *port));
            simple(match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
                Ok(Ok(_stream)) => Ok(()),
                Ok(Err(error)) => Err(format!("failed to connect to {}: {error}", authority(host, *port))),
                Err(_elapsed) => Err(format!("no connection to {} within 1 s", authority(host, *port))),
            })
        }
        Probe::Http { url } => simple(match get(url).await {
            Answer::Http { status: 200, .. } => Ok(()),
            Answer::Http { status, .. } => Err(format!("{url} answers with status {status}")),
            Answer::None(why) => Err(why),
        }),
        Probe::Frontend(readiness) => ask_frontend(readiness).await,
    }
}

async fn ask_frontend(readiness: &Readiness) -> Progress {
    let base = format!("http://{}", authority(&readiness.host, readiness.port));
    let mut answers = Vec::new();
    for path in paths(readiness.protocol) {
        answers.push(get(&format!("{base}{path}")).await);
    }
    frontend_progress(readiness, &answers[0], answers.get(1))
}

async fn get(url: &str) -> Answer {
    match srt_http::get(url, HTTP_TIMEOUT).await {
        Ok(response) => Answer::Http { status: response.status, body: response.body.to_vec() },
        Err(error) => Answer::None(error.to_string()),
    }
}

/// A condition without counts.
fn simple(result: Result<(), String>) -> Progress {
    Progress { model_listed: result.is_ok(), detail: result.err().unwrap_or_default(), ..Progress::default() }
}

/// An IPv6 address needs brackets before a port.
fn authority(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}
