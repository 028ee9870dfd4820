//! What goes over the control socket: one request and one answer, a JSON line each.
//!
//! In: bytes. Out: a [`Request`], or an [`Answer`].
//! The decisions held here: an unknown request or key is an error, so that a newer client learns
//! that an older agent does not know it. The answer says `ok` first: a script needs no more.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::live::{Explanation, Live, LiveRequest};

/// The longest request, in bytes.
pub(super) const MAX_REQUEST: usize = 4096;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Request {
    /// Whether somebody is there.
    Ping {},
    /// To read settings, rules and lists again.
    Reload {},
    /// What the agent knows of itself.
    Status {},
    /// The same, and what it sees.
    Live(LiveRequest),
    /// What the incident with that `event.id` rests on.
    Explain {
        /// Its 32 digits.
        id: String,
    },
}

impl Request {
    /// Reads the line of a request.
    ///
    /// # Errors
    /// Why it is none, and what would be one.
    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map_err(|error| {
            format!(
                "this is not a request: {error}; send a line such as {{\"command\":\"status\"}}, with the command ping, reload, status, live or explain"
            )
        })
    }
}

/// What a client gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Whether it was done.
    pub(crate) ok: bool,
    /// What came of it.
    #[serde(flatten)]
    pub(crate) body: Body,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Body {
    /// Why it was not done, as lines to be shown as they are.
    Error(String),
    /// The version of the agent that is there.
    Version(String),
    /// What the new configuration changed, and warnings about it: a line each.
    Changes(Vec<String>),
    /// What the agent knows of itself.
    Status(Box<Status>),
    /// The same, and what it sees.
    Live(Box<Live>),
    /// What an incident rests on.
    Explanation(Box<Explanation>),
}

impl Answer {
    /// What was done.
    pub(crate) fn done(body: Body) -> Self {
        Self { ok: true, body }
    }

    /// Why nothing was done.
    pub(crate) fn refused(why: impl Into<String>) -> Self {
        Self {
            ok: false,
            body: Body::Error(why.into()),
        }
    }

    /// The answer as a line.
    pub(super) fn line(&self) -> Vec<u8> {
        // There is no map with keys that are not texts, which is all that could fail.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// How long the agent gives itself to read its files for a reload.
pub(crate) const READING_TIME: Duration = Duration::from_secs(60);

/// What the agent knows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Its version and commit.
    pub(crate) version: String,
    /// Its process id.
    pub(crate) pid: u32,
    /// When it began to watch.
    pub(crate) since: String,
    /// The interfaces that it watches now.
    pub(crate) interfaces: Vec<String>,
    /// The hooks that it attached at its start, a line for each interface and the cgroup.
    pub(crate) hooks: Vec<String>,
    /// Polls made, failed, and due while another one ran.
    pub(crate) polls: u64,
    /// Polls that failed and left their counts for the next one.
    pub(crate) failed_polls: u64,
    /// Polls that were due while another one ran.
    pub(crate) missed_polls: u64,
    /// Events counted.
    pub(crate) signals: u64,
    /// Events counted only by this host's address and port.
    pub(crate) sketched: u64,
    /// Events that were not counted.
    pub(crate) lost: u64,
    /// Sources and groups of rules evicted for lack of memory.
    pub(crate) evicted: u64,
    /// Sources and groups of rules that were not created for lack of memory.
    pub(crate) refused: u64,
    /// Rules in force.
    pub(crate) rules: u64,
    /// Incidents that are open.
    pub(crate) incidents_open: u64,
    /// Lines of alerts handed on to stdout.
    pub(crate) alerts: u64,
    /// Log lines dropped because the reader of stderr was too slow.
    pub(crate) log_dropped: u64,
    /// Lines of alerts that are not written: dropped, or waiting for a slow reader.
    pub(crate) alerts_unwritten: u64,
    /// The same of `--events`.
    pub(crate) events_unwritten: u64,
    /// The sinks of the settings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) sinks: Vec<SinkStatus>,
    /// How often the state could not be saved.
    pub(crate) state_failures: u64,
    /// The parts of recon that are blind or tampered with, as alerts about recon itself name them.
    pub(crate) blind: Vec<String>,
    /// What the kernel says of the process: capabilities, `no_new_privs`, seccomp.
    pub(crate) sandbox: String,
    /// What came of the last reload, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_reload: Option<LastReload>,
}

/// A sink of the settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SinkStatus {
    /// As the settings call it.
    pub(crate) name: String,
    /// Where it writes to.
    pub(crate) destination: String,
    /// Lines that were written.
    pub(crate) written: u64,
    /// Lines that were lost.
    pub(crate) dropped: u64,
    /// Lines that were written again after a connection broke.
    pub(crate) repeated: u64,
    /// Lines that wait.
    pub(crate) waiting: u64,
    /// Why the last lines could not be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
}

/// What came of a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastReload {
    /// When.
    pub(crate) at: String,
    /// Whether the new configuration is in force.
    pub(crate) ok: bool,
    /// What changed, or why it was refused.
    pub(crate) result: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::contact::SourceOrder;

    #[test]
    fn requests_are_read() {
        for (line, expected) in [
            (r#"{"command":"ping"}"#, Some(Request::Ping {})),
            (r#" {"command": "reload"} "#, Some(Request::Reload {})),
            (r#"{"command":"status"}"#, Some(Request::Status {})),
            (
                r#"{"command":"live"}"#,
                Some(Request::Live(LiveRequest::default())),
            ),
            (
                r#"{"command":"live","sort":"verdict","limit":3,"filter":"198.51","follow":"2001:db8::1"}"#,
                Some(Request::Live(LiveRequest {
                    sort: SourceOrder::Verdict,
                    limit: Some(3),
                    filter: Some("198.51".to_owned()),
                    follow: Some("2001:db8::1".parse().expect("an address")),
                })),
            ),
            (
                r#"{"command":"explain","id":"ab"}"#,
                Some(Request::Explain {
                    id: "ab".to_owned(),
                }),
            ),
            (r#"{"command":"live","sort":"best"}"#, None),
            (r#"{"command":"live","limit":-1}"#, None),
            (r#"{"command":"live","follow":"somebody"}"#, None),
            (r#"{"command":"live","more":1}"#, None),
            (r#"{"command":"explain"}"#, None),
            (r#"{"command":"Status"}"#, None),
            (r#"{"command":"stop"}"#, None),
            (r#"{"command":"ping","more":1}"#, None),
            (r#"{"command":["ping"]}"#, None),
            (r#"{"command":"ping"}{"command":"ping"}"#, None),
            (r#"{}"#, None),
            ("null", None),
            ("ping", None),
            ("", None),
            ("\u{0}", None),
        ] {
            let read = Request::parse(line.as_bytes());
            assert_eq!(read.clone().ok(), expected, "{line}: {read:?}");
            if let Err(message) = read {
                assert!(message.contains("send a line such as"), "{message}");
            }
        }
    }

    #[test]
    fn answers_are_lines_that_begin_with_ok() {
        let reload = LastReload {
            at: "2026-01-01T00:00:00Z".to_owned(),
            ok: false,
            result: "recon.toml:1:1: error".to_owned(),
        };
        let status = Status {
            polls: 3,
            last_reload: Some(reload),
            ..Status::default()
        };
        for answer in [
            Answer::done(Body::Version("0.1.0".to_owned())),
            Answer::done(Body::Changes(vec!["a\nb".to_owned()])),
            Answer::done(Body::Status(Box::new(status))),
            Answer::refused("no"),
        ] {
            let line = answer.line();
            let start = format!("{{\"ok\":{},", answer.ok);
            assert!(line.starts_with(start.as_bytes()), "{answer:?}");
            assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
            let again: Answer = serde_json::from_slice(&line).expect("an answer");
            assert_eq!(again, answer);
        }
    }

    proptest! {
        /// Whatever comes is a request or an error of bounded length that fits into one line.
        #[test]
        fn garbage_is_an_error(line in proptest::collection::vec(any::<u8>(), 0..MAX_REQUEST)) {
            if let Err(message) = Request::parse(&line) {
                let line = Answer::refused(message).line();
                prop_assert!(line.len() < 2 * MAX_REQUEST);
                prop_assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
            }
        }

        #[test]
        fn near_requests_are_errors(
            command in "[a-z]{0,9}", key in "[a-z\"\\\\{}:,]{0,9}", value in any::<i64>(),
        ) {
            let text = format!("{{\"command\":\"{command}\",\"{key}\":{value}}}");
            prop_assert!(Request::parse(text.as_bytes()).is_err(), "{}", text);
        }
    }
}
