//! Incidents from alert lines, in bounded memory.
//!
//! In: lines of ECS. Out: [`Gathered`]: each incident once, as its lines describe it together, and
//! what the lines say was lost.
//! The decisions held here:
//! - Lines with the same `event.id` are one incident. A line that was written twice, after a
//!   restart, counts once.
//! - Only so many incidents are kept: the most severe, of equal ones the first. Lines about others
//!   are counted.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::alert_line::{AlertLine, OutcomesOf};
use super::ends::{MOST_LISTED, clip, clip_line, processes_of, source_of, target_of};
use super::model::{IncidentEntry, OutcomeCounts, ProcessEntry, SourceEntry};
use crate::kql::Severity;

/// Incidents on a page.
pub(super) const MOST_INCIDENTS: usize = 5000;
/// Lines of an incident that are shown.
const MOST_PHASES: usize = 32;
/// Hosts that are named, and whose lines are counted.
const MOST_HOSTS: usize = 256;
/// Reports on blindness and tampering that are shown.
const MOST_BLIND: usize = 200;
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
    ranks: BTreeMap<(u8, Reverse<u64>), String>,
    begun: u64,
    /// Incidents below are not shown.
    least: u8,
    pub(super) hosts: BTreeSet<String>,
    sequences: HashMap<String, u64>,
    pub(super) lines: u64,
    pub(super) missing_lines: u64,
    /// Findings that got no line.
    pub(super) suppressed_findings: u64,
    pub(super) digest_findings: u64,
    pub(super) digest_is_bounded: bool,
    /// Lines about incidents for which the page has no room.
    pub(super) lines_without_room: u64,
    /// What recon did not see: by the id of the report, its message, how much was lost.
    pub(super) blind: BTreeMap<String, (String, u64)>,
    pub(super) span: Option<(Timestamp, Timestamp)>,
}

/// An incident, and what belongs to it.
#[derive(Debug)]
pub(super) struct GatheredIncident {
    order: u64,
    pub(super) entry: IncidentEntry,
    pub(super) source_key: String,
    pub(super) source: SourceEntry,
    pub(super) processes: Vec<ProcessEntry>,
    /// Where open ports are.
    pub(super) open_on: String,
    pub(super) is_use: bool,
}

impl Gathered {
    /// Nothing yet. Incidents of less severity are left out.
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
            if self.blind.len() < MOST_BLIND || self.blind.contains_key(&line.event.id) {
                let text = (clip_line(&line.message), blind.lost);
                self.blind.insert(clip(&line.event.id), text);
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
        if !host.is_empty() && self.hosts.len() < MOST_HOSTS {
            self.hosts.insert(host.clone());
        }
        let Some(sequence) = line.event.sequence else {
            return;
        };
        if self.sequences.len() < MOST_HOSTS || self.sequences.contains_key(&host) {
            let before = self.sequences.insert(host, sequence);
            // A smaller number begins another run.
            let missing = before.filter(|before| *before < sequence);
            self.missing_lines += missing.map_or(0, |before| sequence - before - 1);
        }
    }

    fn add_incident(&mut self, line: &AlertLine, severity: u8) {
        let id = clip(&line.event.id);
        if let Some(known) = self.incidents.get_mut(&id) {
            if known.entry.severity < severity {
                self.ranks
                    .remove(&(known.entry.severity, Reverse(known.order)));
                self.ranks.insert((severity, Reverse(known.order)), id);
            }
            known.update(line, severity);
            return;
        }
        if self.incidents.len() >= MOST_INCIDENTS {
            self.lines_without_room += 1;
            let Some(least) = self.ranks.first_entry() else {
                return;
            };
            if least.key().0 >= severity {
                return;
            }
            let gone = least.remove();
            self.incidents.remove(&gone);
        }
        let order = self.begun;
        self.begun += 1;
        self.ranks.insert((severity, Reverse(order)), id.clone());
        let incident = GatheredIncident::begin(line, id.clone(), severity, order);
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

    /// Takes what a further line says.
    fn update(&mut self, line: &AlertLine, severity: u8) {
        let entry = &mut self.entry;
        let own = &line.recon;
        let (at, count) = (line.at.as_millisecond(), own.count.unwrap_or_default());
        let phase = (at, clip(&own.phase), count);
        if entry.phases.len() < MOST_PHASES && !entry.phases.contains(&phase) {
            entry.phases.push(phase);
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
            entry.open = merged(&entry.open, &outcomes.open_ports);
        }
        entry.ports = merged(&entry.ports, &own.ports);
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

/// Both lists as one, ascending.
fn merged(one: &[u16], other: &[u16]) -> Vec<u16> {
    let both: BTreeSet<u16> = one.iter().chain(other).copied().collect();
    both.into_iter().take(MOST_LISTED).collect()
}

fn counts_of(of: &OutcomesOf) -> OutcomeCounts {
    OutcomeCounts {
        open: of.accepted,
        half_open: of.half_open,
        refused: of.refused,
        silent: of.silent,
    }
}
