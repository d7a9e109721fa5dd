//! [`Fault`]: what a mock engine does wrong, on request.

use std::{fmt, str::FromStr, time::Duration};

/// One misbehaviour of a mock engine, written as `NAME` or `NAME=VALUE`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// `crash-at-start[=CODE]`: exits with `CODE` (1 if absent) while loading.
    CrashAtStart {
        /// Exit code of the process.
        code: u8,
    },
    /// `crash-after-requests=N[,CODE]`: serves N requests; the next one makes it exit with `CODE` (1 if absent).
    CrashAfterRequests {
        /// Requests served before.
        requests: u64,
        /// Exit code of the process.
        code: u8,
    },
    /// `never-ready`: answers 503 for ever.
    NeverReady,
    /// `slow-start=SECONDS`: so much later ready than `startup_s`.
    SlowStart {
        /// Additional time before it is ready; not shortened by `speedup`.
        delay: Duration,
    },
    /// `hang-after-requests=N`: serves N requests; from the next one on no token leaves it, while `/health` stays 200.
    HangAfterRequests {
        /// Requests served before.
        requests: u64,
    },
    /// `ignore-sigterm`: lives on when asked to stop.
    IgnoreSigterm,
    /// `oom-at-start`: prints CUDA's out-of-memory error while loading, and exits with 1.
    OomAtStart,
    /// `oom-after-requests=N`: serves N requests; the next one makes it run out of memory and exit with 1.
    OomAfterRequests {
        /// Requests served before.
        requests: u64,
    },
    /// `kv-transfer-fails`: no KV cache reaches a decode worker; requests end with zero tokens.
    KvTransferFails,
    /// `zero-tokens`: every request succeeds and holds no token.
    ZeroTokens,
}

/// A text that names no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFault {
    /// No fault has this name.
    #[error("`{0}` is no fault; the faults are {list}", list = FAULT_FORMS.join(", "))]
    UnknownName(String),
    /// The part after `=` is missing or wrong.
    #[error("fault `{text}` does not have the form `{form}`")]
    WrongValue {
        /// What was given.
        text: String,
        /// How this fault is written.
        form: &'static str,
    },
}

/// How each fault is written.
pub const FAULT_FORMS: [&str; 10] = [
    "crash-at-start[=CODE]",
    "crash-after-requests=N[,CODE]",
    "never-ready",
    "slow-start=SECONDS",
    "hang-after-requests=N",
    "ignore-sigterm",
    "oom-at-start",
    "oom-after-requests=N",
    "kv-transfer-fails",
    "zero-tokens",
];

impl FromStr for Fault {
    type Err = InvalidFault;

    fn from_str(text: &str) -> Result<Self, InvalidFault> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let form = FAULT_FORMS
            .into_iter()
            .find(|form| form.split(['=', '[']).next() == Some(name))
            .ok_or_else(|| InvalidFault::UnknownName(text.to_owned()))?;
        let fault = match (name, value) {
            ("crash-at-start", None) => Some(Self::CrashAtStart { code: 1 }),
            ("crash-at-start", Some(code)) => code.parse().ok().map(|code| Self::CrashAtStart { code }),
            ("crash-after-requests", Some(value)) => {
                let (requests, code) = value.split_once(',').unwrap_or((value, "1"));
                requests
                    .parse()
                    .ok()
                    .zip(code.parse().ok())
                    .map(|(requests, code)| Self::CrashAfterRequests { requests, code })
            }
            ("never-ready", None) => Some(Self::NeverReady),
            ("slow-start", Some(seconds)) => seconds
                .parse()
                .ok()
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                .map(|delay| Self::SlowStart { delay }),
            ("hang-after-requests", Some(requests)) => {
                requests.parse().ok().map(|requests| Self::HangAfterRequests { requests })
            }
            ("ignore-sigterm", None) => Some(Self::IgnoreSigterm),
            ("oom-at-start", None) => Some(Self::OomAtStart),
            ("oom-after-requests", Some(requests)) => {
                requests.parse().ok().map(|requests| Self::OomAfterRequests { requests })
            }
            ("kv-transfer-fails", None) => Some(Self::KvTransferFails),
            ("zero-tokens", None) => Some(Self::ZeroTokens),
            _ => None,
        };
        fault.ok_or_else(|| InvalidFault::WrongValue { text: text.to_owned(), form })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CrashAtStart { code } => write!(f, "crash-at-start={code}"),
            Self::CrashAfterRequests { requests, code } => {
                write!(f, "crash-after-requests={requests},{code}")
            }
            Self::NeverReady => f.write_str("never-ready"),
            Self::SlowStart { delay } => write!(f, "slow-start={}", delay.as_secs_f64()),
            Self::HangAfterRequests { requests } => write!(f, "hang-after-requests={requests}"),
            Self::IgnoreSigterm => f.write_str("ignore-sigterm"),
            Self::OomAtStart => f.write_str("oom-at-start"),
            Self::OomAfterRequests { requests } => write!(f, "oom-after-requests={requests}"),
            Self::KvTransferFails => f.write_str("kv-transfer-fails"),
            Self::ZeroTokens => f.write_str("zero-tokens"),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &Expect) {
        let actual = match text.parse::<Fault>() {
            Ok(fault) => {
                assert_eq!(fault.to_string().parse(), Ok(fault), "the written form reads back");
                format!("{fault:?}")
            }
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&actual);
    }

    #[test]
    fn every_form_is_read() {
        check("crash-at-start", &expect!["CrashAtStart { code: 1 }"]);
        check("crash-at-start=0", &expect!["CrashAtStart { code: 0 }"]);
        check("crash-after-requests=3", &expect!["CrashAfterRequests { requests: 3, code: 1 }"]);
        check("crash-after-requests=3,137", &expect!["CrashAfterRequests { requests: 3, code: 137 }"]);
        check("never-ready", &expect!["NeverReady"]);
        check("slow-start=2.5", &expect!["SlowStart { delay: 2.5s }"]);
        check("hang-after-requests=0", &expect!["HangAfterRequests { requests: 0 }"]);
        check("ignore-sigterm", &expect!["IgnoreSigterm"]);
        check("oom-at-start", &expect!["OomAtStart"]);
        check("oom-after-requests=7", &expect!["OomAfterRequests { requests: 7 }"]);
        check("kv-transfer-fails", &expect!["KvTransferFails"]);
        check("zero-tokens", &expect!["ZeroTokens"]);
    }

    #[test]
    fn wrong_values_name_the_right_form() {
        check("slow-start", &expect!["fault `slow-start` does not have the form `slow-start=SECONDS`"]);
        check("slow-start=-1", &expect!["fault `slow-start=-1` does not have the form `slow-start=SECONDS`"]);
        check(
            "crash-at-start=300",
            &expect!["fault `crash-at-start=300` does not have the form `crash-at-start[=CODE]`"],
        );
        check("zero-tokens=1", &expect!["fault `zero-tokens=1` does not have the form `zero-tokens`"]);
        check(
            "crash",
            &expect![
                "`crash` is no fault; the faults are crash-at-start[=CODE], crash-after-requests=N[,CODE], never-ready, slow-start=SECONDS, hang-after-requests=N, ignore-sigterm, oom-at-start, oom-after-requests=N, kv-transfer-fails, zero-tokens"
            ],
        );
    }
}
