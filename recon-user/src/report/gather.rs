//! Incidents from alert lines, in bounded memory.
//!
//! In: lines of ECS. Out: [`Gathered`]: each incident once, as its lines describe it together, and
//! what the lines say was lost.
//! The decisions held here:
//! - Lines with the same `event.id` are one incident. A line that was written twice, after a
//!   restart, counts once.
//! - Only so many incidents are kept: the most severe, of equal ones the newest. The others, and
//!   the lines about them, are counted.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::BuildHasher as _;

use jiff::Timestamp;

use super::alert_line::{AlertLine, OutcomesOf};
use super::endpoints::{
    MOST_LISTED, MOST_PROCESSES, clip, clip_line, processes_of, source_of, target_of,
};
use super::model::{IncidentEntry, OutcomeCounts, ProcessEntry, SourceEntry};
use crate::kql::Severity;
use crate::seed::Secrets;

/// Incidents on a page.
pub(super) const MOST_INCIDENTS: usize = 5000;
/// Incidents beyond them that are told apart, by 8 bytes of each.
const MOST_HIDDEN: usize = 1 << 20;
/// Lines of an incident that are shown.
pub(super) const MOST_PHASES: usize = 32;
/// Hosts that are named, and whose lines are counted.
pub(super) const MOST_HOSTS: usize = 256;
/// Reports on blindness and tampering that are shown.
pub(super) const MOST_BLIND: usize = 200;
/// `recon.signals` of connections that were used.
const USED: [&str; 2] = ["used", "login"];

/// The severities from the least on, by name.
const SEVERITIES: [Severity; 4] = [
    Severity::Informational,
    Severity::Low,
    Severity::Medium,
    Severity::High,
];

/// What lines say.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    incidents: HashMap<String, GatheredIncident>,
    /// Which incident goes first when there are too many.
    ranks: BTreeMap<Rank, String>,
    pub(super) hidden: HiddenIncidents,
    begun: u64,
    /// Incidents below are not shown.
    least: u8,
    pub(super) hosts: BTreeSet<String>,
    sequences: HashMap<String, u64>,
    pub(super) lines: u64,
    pub(super) missing_lines: u64,
    /// Lines of runs before the first that was read.
    pub(super) lines_before: u64,
    /// Findings that got no line.
    pub(super) suppressed_findings: u64,
    pub(super) digest_findings: u64,
    pub(super) digest_is_bounded: bool,
    pub(super) without_room: WithoutRoom,
    /// What recon did not see: by the id of the report, its message, how much was lost.
    pub(super) blind: BTreeMap<String, (String, u64)>,
    pub(super) span: Option<(Timestamp, Timestamp)>,
}

/// The severity of an incident, when it was last seen, and its place among those that were read.
type Rank = (u8, i64, u64);

/// Lines for which the page has no room, by what they are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WithoutRoom {
    pub(super) incidents: u64,
    pub(super) blindness: u64,
    /// Lines of hosts that are not named.
    pub(super) hosts: u64,
}

/// The incidents that there is no room for.
#[derive(Debug, Default)]
pub(super) struct HiddenIncidents {
    /// Hashes of their ids.
    ids: HashSet<u64>,
    secrets: Secrets,
}

impl HiddenIncidents {
    fn add(&mut self, id: &str) {
        if self.ids.len() < MOST_HIDDEN {
            self.ids.insert(self.secrets.hash_one(id));
        }
    }

    /// Notes that an incident is shown after all, since a line about it has come.
    fn remove(&mut self, id: &str) {
        self.ids.remove(&self.secrets.hash_one(id));
    }

    /// How many there are, up to [`MOST_HIDDEN`].
    pub(super) fn count(&self) -> u64 {
        self.ids.len() as u64
    }
}

/// What the page does not show of an incident.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct IncidentCuts {
    pub(super) lines: u64,
    pub(super) processes: usize,
    /// Whether it has more ports.
    pub(super) has_ports: bool,
}

/// An incident, and what belongs to it.
#[derive(Debug)]
pub(super) struct GatheredIncident {
    order: u64,
    /// Lines about it.
    lines: u64,
    pub(super) cuts: IncidentCuts,
    pub(super) entry: IncidentEntry,
    pub(super) source_key: String,
    pub(super) source: SourceEntry,
    pub(super) processes: Vec<ProcessEntry>,
    /// Where open ports are.
    pub(super) open_on: String,
    pub(super) is_use: bool,
}

impl Gathered {
    /// Nothing yet. Incidents of less severity are not shown.
    pub(super) fn new(least: Severity) -> Self {
        Self {
            least: rank_of(least.name()).unwrap_or_default(),
            ..Self::default()
        }
    }

    /// Adds a line.
    ///
    /// # Errors
    /// Why it is none.
    pub(super) fn add_line(&mut self, text: &str) -> Result<(), String> {
        let line: AlertLine =
            serde_json::from_str(text).map_err(|error| format!("is no alert: {error}"))?;
        let severity = rank_of(&line.recon.severity)
            .ok_or_else(|| format!("has the unknown severity {:?}", clip(&line.recon.severity)))?;
        self.lines += 1;
        self.note_origin(&line);
        if let Some(blind) = &line.recon.blind {
            let id = clip(&line.event.id);
            match self.blind.len() < MOST_BLIND || self.blind.contains_key(&id) {
                true => drop(
                    self.blind
                        .insert(id, (clip_line(&line.message), blind.lost)),
                ),
                false => self.without_room.blindness += 1,
            }
            return Ok(());
        }
        if let Some(digest) = &line.recon.digest {
            self.digest_findings += digest.findings;
            self.digest_is_bounded |= digest.lower_bound;
            return Ok(());
        }
        if let Some(suppressed) = line.recon.left_out {
            self.suppressed_findings += suppressed;
        }
        if severity >= self.least {
            self.add_incident(&line, severity);
        }
        Ok(())
    }

    /// Notes which host wrote the line, when, and whether lines before it are missing.
    fn note_origin(&mut self, line: &AlertLine) {
        let start = line.event.start.unwrap_or(line.at);
        let (first, last) = self.span.unwrap_or((start, line.at));
        self.span = Some((first.min(start), last.max(line.at)));
        let host = line.host.name.as_deref().map(clip).unwrap_or_default();
        if !host.is_empty() && !self.hosts.contains(&host) {
            match self.hosts.len() < MOST_HOSTS {
                true => drop(self.hosts.insert(host.clone())),
                false => self.without_room.hosts += 1,
            }
        }
        let Some(sequence) = line.event.sequence else {
            return;
        };
        if self.sequences.len() < MOST_HOSTS || self.sequences.contains_key(&host) {
            let before = self.sequences.insert(host, sequence);
            match before {
                Some(before) if before < sequence => self.missing_lines += sequence - before - 1,
                Some(before) if before == sequence => {}
                // A smaller number begins another run, whose first line is 1.
                _ => self.lines_before += sequence.saturating_sub(1),
            }
        }
    }

    fn add_incident(&mut self, line: &AlertLine, severity: u8) {
        let id = clip(&line.event.id);
        if let Some(known) = self.incidents.get_mut(&id) {
            let before = known.rank();
            known.update(line, severity);
            if known.rank() != before {
                self.ranks.remove(&before);
                self.ranks.insert(known.rank(), id);
            }
            return;
        }
        let incident = GatheredIncident::begin(line, id.clone(), severity, self.begun);
        let rank = incident.rank();
        if self.incidents.len() >= MOST_INCIDENTS {
            let least = self.ranks.first_entry();
            let Some(least) = least.filter(|least| *least.key() < rank) else {
                self.without_room.incidents += 1;
                self.hidden.add(&id);
                return;
            };
            let least = least.remove();
            let evicted = self.incidents.remove(&least);
            self.without_room.incidents += evicted.map_or(0, |evicted| evicted.lines);
            self.hidden.add(&least);
        }
        self.begun += 1;
        self.hidden.remove(&id);
        self.ranks.insert(rank, id.clone());
        self.incidents.insert(id, incident);
    }

    /// The incidents in the order in which their lines begin.
    pub(super) fn take_incidents(&mut self) -> Vec<GatheredIncident> {
        let mut incidents: Vec<_> = std::mem::take(&mut self.incidents).into_values().collect();
        incidents.sort_unstable_by_key(|incident| (incident.entry.first, incident.order));
        incidents
    }
}

impl GatheredIncident {
    fn begin(line: &AlertLine, id: String, severity: u8, order: u64) -> Self {
        let is_outbound = line.network.direction.as_deref() == Some("egress");
        let (source_key, source) = source_of(line, is_outbound);
        let mut incident = Self {
            order,
            lines: 0,
            cuts: IncidentCuts::default(),
            entry: IncidentEntry {
                id,
                rule: clip(&line.rule.id),
                category: clip(&line.rule.category),
                name: clip(&line.rule.name),
                is_outbound,
                first: line.event.start.unwrap_or(line.at).as_millisecond(),
                window: clip(line.recon.window.as_deref().unwrap_or_default()),
                threshold: line.recon.threshold.unwrap_or_default(),
                ..IncidentEntry::default()
            },
            source_key,
            source,
            processes: Vec::new(),
            open_on: String::new(),
            is_use: false,
        };
        incident.update(line, severity);
        incident
    }

    /// The least goes first when there are too many.
    const fn rank(&self) -> Rank {
        (self.entry.severity, self.entry.last, self.order)
    }

    /// Takes what a further line says.
    fn update(&mut self, line: &AlertLine, severity: u8) {
        self.lines += 1;
        let (entry, cuts) = (&mut self.entry, &mut self.cuts);
        let own = &line.recon;
        let (at, count) = (line.at.as_millisecond(), own.count.unwrap_or_default());
        let phase = (at, clip(&own.phase), count);
        if !entry.phases.contains(&phase) {
            match entry.phases.len() < MOST_PHASES {
                true => entry.phases.push(phase),
                false => cuts.lines += 1,
            }
        }
        entry.severity = entry.severity.max(severity);
        let start = line.event.start.unwrap_or(line.at).as_millisecond();
        let end = line.event.end.unwrap_or(line.at).as_millisecond();
        entry.first = entry.first.min(start);
        entry.last = entry.last.max(end).max(entry.first);
        entry.count = entry.count.max(count);
        entry.message = clip_line(&line.message);
        entry.target = target_of(line);
        entry.port = line.destination.port;
        entry.lower_bound |= own.lower_bound;
        entry.suppressed += own.suppressed;
        if let Some(outcomes) = &own.outcomes {
            entry.outcomes = Some(counts_of(outcomes));
            cuts.has_ports |= merge(&mut entry.open, &outcomes.open_ports);
        }
        cuts.has_ports |= merge(&mut entry.ports, &own.ports);
        let hidden = own.processes.len().saturating_sub(MOST_PROCESSES);
        cuts.processes = cuts.processes.max(hidden);
        self.open_on = line
            .destination
            .ip
            .map_or_else(|| "several addresses".to_owned(), |ip| ip.to_string());
        self.is_use |= own.signals.iter().any(|of| USED.contains(&of.as_str()));
        let processes = processes_of(line, self.entry.is_outbound);
        // A later line may know less of a process that is gone.
        let is_named = processes.iter().any(|process| process.name.is_some());
        if self.processes.is_empty() || is_named {
            self.processes = processes;
        }
        let (_, source) = source_of(line, self.entry.is_outbound);
        if source.kind == self.source.kind {
            self.source = source;
        }
    }
}

/// The position of a severity by its name.
fn rank_of(severity: &str) -> Option<u8> {
    let found = SEVERITIES.iter().position(|of| of.name() == severity)?;
    u8::try_from(found).ok()
}

/// Adds the ports of a line, ascending. Returns whether there are too many.
fn merge(ports: &mut Vec<u16>, of_line: &[u16]) -> bool {
    let both: BTreeSet<u16> = ports.iter().chain(of_line).copied().collect();
    *ports = both.iter().copied().take(MOST_LISTED).collect();
    both.len() > MOST_LISTED
}

fn counts_of(of: &OutcomesOf) -> OutcomeCounts {
    OutcomeCounts {
        accepted: of.accepted,
        half_open: of.half_open,
        refused: of.refused,
        silent: of.silent,
    }
}
