//! What the page shows, as data.
//!
//! In: nothing. Out: structures that serialize as the page's scripts read them. Times are
//! milliseconds since 1970. Unknown values are absent.

use serde::Serialize;

/// All of a page.
#[derive(Debug, Default, Serialize)]
pub(crate) struct PageModel {
    pub(super) version: &'static str,
    /// What was read.
    pub(super) inputs: Vec<InputRead>,
    /// The hosts that the lines name.
    pub(super) hosts: Vec<String>,
    /// The main body of the times: what lies outside of it is listed beside the axis.
    pub(super) span: Option<[i64; 2]>,
    pub(super) incidents: Vec<IncidentEntry>,
    /// How many there is no room for.
    pub(super) hidden_incidents: u64,
    pub(super) sources: Vec<SourceEntry>,
    pub(super) learned: Vec<LearnedPort>,
    pub(super) processes: Vec<ProcessEntry>,
    pub(super) chart: PortChart,
    pub(super) losses: Vec<LossEntry>,
    /// What this input can't say, in sentences by section.
    pub(super) unknown: UnknownParts,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct InputRead {
    pub(super) name: String,
    pub(super) kind: &'static str,
    /// What was read of it, such as `12 lines`.
    pub(super) read: String,
}

/// An incident.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct IncidentEntry {
    pub(super) id: String,
    pub(super) rule: String,
    pub(super) category: String,
    pub(super) name: String,
    /// 0 informational to 3 high.
    pub(super) severity: u8,
    pub(super) is_outbound: bool,
    /// The position of its source.
    pub(super) source: usize,
    pub(super) target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) port: Option<u16>,
    pub(super) count: u64,
    pub(super) threshold: u64,
    pub(super) window: String,
    pub(super) first: i64,
    pub(super) last: i64,
    /// The lines: time, phase, count.
    pub(super) phases: Vec<(i64, String, u64)>,
    pub(super) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcomes: Option<OutcomeCounts>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) open: Vec<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) ports: Vec<u16>,
    pub(super) lower_bound: bool,
    pub(super) suppressed: u64,
    /// Positions of its processes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) processes: Vec<usize>,
}

/// Numbers of targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct OutcomeCounts {
    pub(super) accepted: u64,
    pub(super) half_open: u64,
    pub(super) refused: u64,
    pub(super) silent: u64,
}

impl OutcomeCounts {
    pub(super) const fn all(self) -> u64 {
        self.accepted + self.half_open + self.refused + self.silent
    }
}

/// Who did it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct SourceEntry {
    pub(super) name: String,
    /// `remote`, `network`, `process` or `several`.
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) domain_by: Option<String>,
    /// Autonomous system and country.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) network: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) country: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verdict: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) is_proven: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tools: Vec<String>,
    pub(super) incidents: usize,
    /// The greatest of its incidents, -1 without one.
    pub(super) severity: i8,
    pub(super) first: i64,
    pub(super) last: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcomes: Option<OutcomeCounts>,
    /// Whether these count each target, and not only what incidents say.
    pub(super) is_counted: bool,
}

/// An open port that somebody has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct LearnedPort {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) first: i64,
    /// Positions of sources that found it, the first first.
    pub(super) found_by: Vec<usize>,
    /// Whether more sources found it.
    pub(super) has_more_finders: bool,
    /// Whether more sources used it.
    pub(super) has_more_users: bool,
    /// Who used it: source, time, process.
    pub(super) used_by: Vec<(usize, i64, Option<String>)>,
}

/// A process of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct ProcessEntry {
    /// What tells it from a later process with the same pid.
    #[serde(skip)]
    pub(super) entity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<String>,
    pub(super) pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) executable: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) command_line: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) container: Option<String>,
    /// Where it sent to, of its outbound incidents.
    pub(super) remotes: Vec<String>,
    pub(super) ports: Vec<u16>,
    /// Whether it sent; else it accepted.
    pub(super) is_sender: bool,
}

/// Sources and what they tried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct PortChart {
    /// Whether each attempt is known, and not only a sample of ports.
    pub(super) is_exact: bool,
    /// The sources with points: the source's position, its targets, how many of them are here.
    pub(super) sources: Vec<(usize, u64, u64)>,
    /// How many of them, the first, have each target, and not only a sample of ports.
    pub(super) exact_sources: usize,
    /// Local addresses.
    pub(super) hosts: Vec<String>,
    /// The time that `at` counts from.
    pub(super) from: i64,
    // One entry in each for a point; samples have no host, protocol, count and time.
    /// The position in `sources`.
    pub(super) source: Vec<usize>,
    pub(super) host: Vec<usize>,
    pub(super) port: Vec<u16>,
    pub(super) udp: Vec<u8>,
    /// 0 silent, 1 refused, 2 half-open, 3 accepted, 4 tried, 5 open: accepted or half-open.
    pub(super) outcome: Vec<u8>,
    pub(super) count: Vec<u64>,
    pub(super) at: Vec<i64>,
}

/// Something that recon or this report does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct LossEntry {
    pub(super) what: String,
    pub(super) count: u64,
    /// What it means.
    pub(super) means: String,
    /// Places, such as lines of files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) places: Vec<String>,
}

/// Sentences on what the input does not show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct UnknownParts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) chart: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attempts: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) processes: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sources: Option<&'static str>,
}
