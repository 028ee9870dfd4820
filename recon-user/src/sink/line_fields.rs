//! What a journal and a syslog daemon show of a line.
//!
//! In: a line of JSON: an alert or a row. Out: some of its fields.
//! The decision held here: they are read from the line, on the thread of the sink. So the agent
//! writes one line for all sinks, and knows nothing of their protocols.

use serde::Deserialize;

/// Who writes, as the journal and syslog have it.
pub(super) const IDENTIFIER: &str = "recon";

/// Of alerts by their least `event.severity`, the worst first: what syslog(3) calls `LOG_ERR`,
/// `LOG_WARNING` and `LOG_NOTICE`.
const PRIORITIES: [(u8, u8); 3] = [(73, 3), (47, 4), (21, 5)];
/// `LOG_INFO`.
const INFORMATIONAL: u8 = 6;

/// The fields of a line. Those that it lacks are unknown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LineFields {
    #[serde(rename = "@timestamp")]
    pub(super) timestamp: Option<String>,
    pub(super) message: Option<String>,
    pub(super) event: EventFields,
    pub(super) rule: RuleFields,
    pub(super) source: SourceFields,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EventFields {
    pub(super) id: Option<String>,
    pub(super) action: Option<String>,
    pub(super) dataset: Option<String>,
    pub(super) severity: Option<u8>,
    pub(super) sequence: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RuleFields {
    pub(super) id: Option<String>,
    pub(super) category: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SourceFields {
    pub(super) ip: Option<String>,
}

impl LineFields {
    /// Those of a line. A line of another kind has none.
    pub(super) fn of(line: &[u8]) -> Self {
        serde_json::from_slice(line).unwrap_or_default()
    }

    /// The priority of syslog(3).
    pub(super) fn priority(&self) -> u8 {
        let severity = self.event.severity.unwrap_or(0);
        let mut priorities = PRIORITIES.iter();
        let found = priorities.find(|&&(least, _)| severity >= least);
        found.map_or(INFORMATIONAL, |&(_, priority)| priority)
    }
}
