//! What `recon status`, `recon top` and `recon explain` get of a running agent.
//!
//! In: nothing. Out: [`Live`] and [`Explanation`], and what may be asked for.
//! The decisions held here: lists are bounded, so that an answer is, whatever an attacker sends;
//! beside each list is how many there are. Times are those of the wall clock. Texts may hold what a
//! remote or a process has chosen: whoever shows them escapes them.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::protocol::Status;
use crate::contact::{Outcomes, SourceOrder};
use crate::enrich::AddressFacts;

/// The most sources of an answer.
pub(crate) const MAX_SOURCES: u16 = 200;
/// The most incidents of an answer.
pub(crate) const MAX_INCIDENTS: usize = 64;

/// Which sources are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LiveRequest {
    /// By what they are sorted.
    pub(crate) sort: SourceOrder,
    /// At most so many, up to [`MAX_SOURCES`], which is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<u16>,
    /// An address, its first numbers, a network or a verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) filter: Option<String>,
    /// One source, of which all is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) follow: Option<IpAddr>,
}

/// What the agent sees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Live {
    /// What it knows of itself.
    #[serde(flatten)]
    pub(crate) status: Status,
    /// When it was asked.
    pub(crate) at: Timestamp,
    /// How long it took to put this together, in microseconds.
    pub(crate) took_us: u64,
    /// The remotes that it has evidence about, by their verdicts.
    pub(crate) known_sources: VerdictCounts,
    /// Whether there were more in this hour than it keeps.
    pub(crate) sources_lower_bound: bool,
    /// Those of them that the filter accepts.
    pub(crate) matching_sources: u64,
    /// The first of these.
    pub(crate) sources: Vec<LiveSource>,
    /// The source that is followed, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) followed: Option<LiveSource>,
    /// The most severe of the incidents that are open.
    pub(crate) incidents: Vec<LiveIncident>,
    /// The processes of this host behind these incidents.
    pub(crate) processes: Vec<LiveProcess>,
}

/// Numbers of sources by their verdicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VerdictCounts {
    pub(crate) client: u64,
    pub(crate) undecided: u64,
    pub(crate) scanner: u64,
}

impl VerdictCounts {
    /// All of them.
    pub(crate) const fn all(&self) -> u64 {
        self.client + self.undecided + self.scanner
    }
}

/// One remote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LiveSource {
    pub(crate) ip: IpAddr,
    /// The operator's name of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<String>,
    /// What is known of it besides.
    #[serde(flatten)]
    pub(crate) facts: AddressFacts,
    /// What its attempts show.
    pub(crate) verdict: String,
    /// What the attempts of its network show.
    pub(crate) network_verdict: String,
    /// Whether it has completed a handshake.
    pub(crate) proven: bool,
    /// Ports that it tried, each on its local address.
    pub(crate) targets: u64,
    /// What became of them.
    pub(crate) outcomes: Outcomes,
    /// Attempts that succeeded.
    pub(crate) successes: u64,
    /// What its targets weigh as failures.
    pub(crate) failures: u64,
    /// What its successes weigh against these.
    pub(crate) weight: u64,
    /// How much more than the weight makes a scanner.
    pub(crate) steps: u64,
    /// The lowest ports.
    pub(crate) ports: Vec<u16>,
    /// The lowest and the highest port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) port_range: Option<[u16; 2]>,
    /// The tools that its probes look like.
    pub(crate) tools: Vec<String>,
    /// When its first attempt was settled, and its last.
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
}

#[cfg(test)]
impl LiveSource {
    /// A source of which nothing is known.
    pub(crate) fn example() -> Self {
        Self {
            ip: IpAddr::from([198, 51, 100, 7]),
            label: None,
            facts: AddressFacts::default(),
            verdict: "undecided".to_owned(),
            network_verdict: "undecided".to_owned(),
            proven: false,
            targets: 0,
            outcomes: Outcomes::default(),
            successes: 0,
            failures: 0,
            weight: 0,
            steps: 4,
            ports: Vec::new(),
            port_range: None,
            tools: Vec::new(),
            first: Timestamp::UNIX_EPOCH,
            last: Timestamp::UNIX_EPOCH,
        }
    }
}

/// One open incident.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LiveIncident {
    /// `event.id` of its lines.
    pub(crate) event_id: String,
    pub(crate) rule_id: String,
    /// `rule.name`
    pub(crate) rule: String,
    pub(crate) severity: String,
    /// The phase of its last line. Absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) phase: Option<String>,
    /// Who did it: an address, a network, a process, or how many.
    pub(crate) source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) local: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u16>,
    /// What is counted, now and at most, and above which number it fires.
    pub(crate) measure: String,
    pub(crate) count: u64,
    pub(crate) greatest: u64,
    pub(crate) threshold: u64,
    /// When it began, and when it was last over its threshold.
    pub(crate) since: Timestamp,
    pub(crate) over_at: Timestamp,
}

/// A process of this host that reaches out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LiveProcess {
    pub(crate) pid: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) executable: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    /// The rules with open incidents of it.
    pub(crate) rules: Vec<String>,
    /// The greatest count of these.
    pub(crate) count: u64,
}

/// What an incident rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Explanation {
    pub(crate) event_id: String,
    /// `open`, `withheld`, `ended` or `gone`.
    pub(crate) state: String,
    /// When it was asked for.
    pub(crate) at: Timestamp,
    pub(crate) rule: ExplainedRule,
    /// By what the rule groups, and the values of this group.
    pub(crate) group: Vec<(String, String)>,
    pub(crate) counted: ExplainedCount,
    /// The remote that it is about, if that is one and known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<LiveSource>,
    /// The processes of this host in its last line.
    pub(crate) processes: Vec<String>,
    pub(crate) severity: ExplainedSeverity,
    /// The lines that this process has written, the last ones.
    pub(crate) lines: Vec<ExplainedLine>,
    /// All that it has written.
    pub(crate) lines_written: u64,
    /// What was not written, and why; what comes next.
    pub(crate) notes: Vec<String>,
}

/// The rule of an incident.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExplainedRule {
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) technique: Option<String>,
    /// Where its query is.
    pub(crate) place: String,
    pub(crate) measure: String,
    pub(crate) unit: String,
    pub(crate) threshold: u64,
    pub(crate) window: String,
    pub(crate) groups_by: Vec<String>,
    /// The rules of which one must have reported the remote before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) after: Vec<String>,
    /// The rules whose remotes do not count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unless: Vec<String>,
}

/// What the group has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExplainedCount {
    /// Whether the numbers are of now, or of the last line.
    pub(crate) is_now: bool,
    pub(crate) count: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) greatest: Option<u64>,
    /// Nothing in the window is older, and nothing is younger.
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    /// What was counted.
    pub(crate) signals: Vec<String>,
    /// Samples.
    pub(crate) ports: Vec<u16>,
    pub(crate) remotes: Vec<IpAddr>,
    pub(crate) locals: Vec<IpAddr>,
    /// What the query projects.
    pub(crate) columns: Vec<(String, String)>,
    /// Whether something was lost meanwhile.
    pub(crate) lower_bound: bool,
}

/// How severe it is, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExplainedSeverity {
    pub(crate) of_rule: String,
    pub(crate) now: String,
    /// What lowered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
}

/// A line that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExplainedLine {
    pub(crate) phase: String,
    pub(crate) at: Timestamp,
    pub(crate) count: u64,
    pub(crate) severity: String,
    /// Polls over the threshold before it that had no line.
    pub(crate) suppressed: u64,
    /// The file with the headers of its packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) evidence: Option<String>,
}
