//! The page's model from what was gathered.
//!
//! In: incidents, and what a run knows beyond its lines. Out: [`PageModel`].
//! The decision held here: a pure function, so that tests need no browser.

use std::collections::{HashMap, HashSet};

use super::axis::main_body;
use super::chart;
use super::endpoints::UNNAMED;
use super::gather::{Gathered, GatheredIncident};
use super::learned::Learned;
use super::losses;
use super::model::{
    IncidentEntry, InputRead, OutcomeCounts, PageModel, ProcessEntry, SourceEntry, UnknownParts,
};
use crate::contact::KnownSource;
use crate::pipeline::{LoggedOutcome, RunAttempts};

/// Remotes and ports of a process that are listed.
pub(super) const MOST_ENDPOINTS: usize = 64;

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Material {
    pub(super) inputs: Vec<InputRead>,
    pub(super) gathered: Gathered,
    /// Of rows and captures.
    pub(super) attempts: Option<RunAttempts>,
    /// Whether a capture was read, which names no processes.
    pub(super) is_capture: bool,
    /// Lines that could not be read.
    pub(super) unreadable: Unreadable,
    /// Files that could be read only in part.
    pub(super) in_part: Unreadable,
    /// What a reader counts as not judged, by its name.
    pub(super) unjudged: Vec<(String, u64)>,
}

/// Lines or files that could not be read.
#[derive(Debug, Default)]
pub(super) struct Unreadable {
    pub(super) count: u64,
    /// The first of them.
    pub(super) places: Vec<String>,
}

/// The sources of a page, by what they are known by.
#[derive(Default)]
pub(super) struct PageSources {
    pub(super) entries: Vec<SourceEntry>,
    places: HashMap<String, usize>,
}

impl PageSources {
    /// The position of a remote, which is added if it is not there.
    pub(super) fn place_of_remote(&mut self, ip: &str) -> usize {
        let name = ip.to_owned();
        self.place(format!("remote {ip}"), || SourceEntry {
            name,
            kind: "remote",
            severity: -1,
            first: i64::MAX,
            last: i64::MIN,
            ..SourceEntry::default()
        })
    }

    fn place(&mut self, key: String, add: impl FnOnce() -> SourceEntry) -> usize {
        let Self { entries, places } = self;
        *places.entry(key).or_insert_with(|| {
            entries.push(add());
            entries.len() - 1
        })
    }

    fn add_incident(&mut self, incident: &GatheredIncident) -> usize {
        let GatheredIncident { entry, source, .. } = incident;
        let place = self.place(incident.source_key.clone(), || SourceEntry {
            severity: -1,
            first: entry.first,
            last: entry.last,
            ..source.clone()
        });
        let known = &mut self.entries[place];
        known.incidents += 1;
        known.severity = known.severity.max(entry.severity.cast_signed());
        known.first = known.first.min(entry.first);
        known.last = known.last.max(entry.last);
        // The last line knows the most.
        if known.name.starts_with(UNNAMED) {
            known.name.clone_from(&source.name);
        }
        known.label = source.label.clone().or(known.label.take());
        known.domain = source.domain.clone().or(known.domain.take());
        known.domain_by = source.domain_by.clone().or(known.domain_by.take());
        known.network = source.network.clone().or(known.network.take());
        known.country = source.country.clone().or(known.country.take());
        known.verdict = source.verdict.clone().or(known.verdict.take());
        known.is_proven = source.is_proven.max(known.is_proven);
        for tool in &source.tools {
            if !known.tools.contains(tool) {
                known.tools.push(tool.clone());
            }
        }
        if let Some(of) = entry.outcomes {
            let most = known.outcomes.filter(|most| most.all() >= of.all());
            known.outcomes = most.or(Some(of));
        }
        place
    }
}

/// The model of a page.
pub(super) fn build(material: Material) -> PageModel {
    let Material {
        inputs,
        mut gathered,
        attempts,
        is_capture,
        unreadable,
        in_part,
        unjudged,
    } = material;
    let incidents = gathered.take_incidents();
    let mut sources = PageSources::default();
    let of_incident: Vec<usize> = incidents
        .iter()
        .map(|incident| sources.add_incident(incident))
        .collect();
    if let Some(run) = &attempts {
        add_known(&mut sources, run);
    }
    let mut processes = Processes::default();
    let of_processes: Vec<Vec<usize>> = incidents
        .iter()
        .map(|incident| processes.add(incident))
        .collect();
    let learned = learn(&incidents, &of_incident, attempts.as_ref(), &mut sources);
    let mut losses = losses::of_input(&gathered, unreadable, in_part, unjudged);
    losses.extend(losses::of_incidents(&incidents));
    losses.extend(losses::of_page(&gathered, &learned, processes.cut.len()));
    let (chart, not_drawn) = match &attempts {
        Some(run) => chart::of_attempts(run, &incidents, &of_incident, &mut sources),
        None => chart::of_samples(&incidents, &of_incident),
    };
    losses.extend(not_drawn);
    losses.retain(|loss| loss.count > 0);
    losses.extend(losses::of_blindness(&gathered));
    PageModel {
        version: env!("CARGO_PKG_VERSION"),
        inputs,
        span: main_body(times_of(&incidents, &sources.entries)),
        incidents: entries_of(incidents, of_incident, of_processes),
        hidden_incidents: gathered.hidden.count(),
        sources: sources.entries,
        learned: learned.finish(),
        processes: processes.entries,
        chart,
        losses,
        unknown: unknown_parts(attempts.is_some(), is_capture),
        hosts: gathered.hosts.into_iter().collect(),
    }
}

/// What sources found open.
fn learn(
    incidents: &[GatheredIncident],
    of_incident: &[usize],
    attempts: Option<&RunAttempts>,
    sources: &mut PageSources,
) -> Learned {
    let mut learned = Learned::default();
    for (incident, &source) in incidents.iter().zip(of_incident) {
        learned.add_incident(incident, source, &sources.entries);
    }
    if let Some(run) = attempts {
        learned.add_attempts(run, sources);
    }
    learned
}

/// The incidents with the positions of their sources and processes.
fn entries_of(
    incidents: Vec<GatheredIncident>,
    of_incident: Vec<usize>,
    of_processes: Vec<Vec<usize>>,
) -> Vec<IncidentEntry> {
    let positions = of_incident.into_iter().zip(of_processes);
    let entries = incidents.into_iter().zip(positions);
    entries
        .map(|(incident, (source, processes))| IncidentEntry {
            source,
            processes,
            ..incident.entry
        })
        .collect()
}

/// The first and the last times of all that is shown.
fn times_of(incidents: &[GatheredIncident], sources: &[SourceEntry]) -> Vec<i64> {
    let of_incidents = incidents.iter().map(|of| (of.entry.first, of.entry.last));
    let of_sources = sources.iter().map(|source| (source.first, source.last));
    // Of a source that only a list names, no time is known.
    let known = of_incidents.chain(of_sources.filter(|(first, last)| first <= last));
    known.flat_map(|(first, last)| [first, last]).collect()
}

fn unknown_parts(has_attempts: bool, is_capture: bool) -> UnknownParts {
    UnknownParts {
        chart: (!has_attempts).then_some(
            "Alert lines name up to 16 ports of an incident and up to 16 open ones, so this is a sample. Rows (recon run --events) and captures have each port.",
        ),
        attempts: (!has_attempts).then_some(
            "Alert lines do not say when each port was tried. Rows (recon run --events) and captures do.",
        ),
        processes: is_capture.then_some(
            "A capture names no processes. Alerts and rows of recon run do.",
        ),
        sources: (!has_attempts).then_some(
            "Alert lines name sources with incidents, and count the targets of each incident. Rows and captures have all sources, and each target once.",
        ),
    }
}

/// Adds what a run knows of remotes at its end.
fn add_known(sources: &mut PageSources, run: &RunAttempts) {
    let mut counts: HashMap<usize, OutcomeCounts> = HashMap::new();
    let mut places = HashMap::new();
    let listed = &run.sources.listed;
    for KnownSource { ip, .. } in listed {
        let place = sources.place_of_remote(&ip.to_string());
        places.insert(*ip, place);
    }
    for (target, attempt) in &run.by_target {
        let Some(&place) = places.get(&target.remote.to_ip()) else {
            continue;
        };
        let entry = &mut sources.entries[place];
        entry.first = entry.first.min(attempt.first.as_millisecond());
        entry.last = entry.last.max(attempt.last.as_millisecond());
        let counts = counts.entry(place).or_default();
        *match attempt.outcome {
            LoggedOutcome::Silent => &mut counts.silent,
            LoggedOutcome::Refused => &mut counts.refused,
            LoggedOutcome::HalfOpen => &mut counts.half_open,
            LoggedOutcome::Accepted => &mut counts.accepted,
        } += 1;
    }
    for (place, counts) in counts {
        let entry = &mut sources.entries[place];
        entry.outcomes = Some(counts);
        entry.is_counted = true;
    }
    for known in listed {
        let place = sources.place_of_remote(&known.ip.to_string());
        let entry = &mut sources.entries[place];
        if entry.first > entry.last {
            entry.first = known.first.as_millisecond();
            entry.last = known.last.as_millisecond();
        }
        entry.verdict = Some(known.verdict.name().to_owned());
        entry.is_proven = Some(known.is_proven);
        for tool in known.tools.iter().map(|tool| tool.name().to_owned()) {
            if !entry.tools.contains(&tool) {
                entry.tools.push(tool);
            }
        }
    }
}

/// The processes of a page.
#[derive(Default)]
struct Processes {
    entries: Vec<ProcessEntry>,
    places: HashMap<ProcessKey, usize>,
    /// Positions of those with more remotes or ports than are listed.
    cut: HashSet<usize>,
}

/// A process: its host, its pid, what tells it from later ones, whether it sent.
type ProcessKey = (Option<String>, u32, Option<String>, bool);

impl Processes {
    /// Adds those of an incident. Returns their positions.
    fn add(&mut self, incident: &GatheredIncident) -> Vec<usize> {
        let Self {
            entries,
            places,
            cut,
        } = self;
        let of = incident.processes.iter();
        of.map(|process| {
            let key = (
                process.host.clone(),
                process.pid,
                process.entity.clone().or(process.executable.clone()),
                process.is_sender,
            );
            let place = *places.entry(key).or_insert_with(|| {
                entries.push(ProcessEntry {
                    remotes: Vec::new(),
                    ports: Vec::new(),
                    ..process.clone()
                });
                entries.len() - 1
            });
            let known = &mut entries[place];
            known.name = known.name.take().or(process.name.clone());
            known.command_line = known.command_line.take().or(process.command_line.clone());
            known.unit = known.unit.take().or(process.unit.clone());
            let has_remotes = add_all(&mut known.remotes, &process.remotes);
            let has_ports = add_all(&mut known.ports, &process.ports);
            if !has_remotes || !has_ports {
                cut.insert(place);
            }
            place
        })
        .collect()
    }
}

/// Adds what is not there yet, up to a limit. Returns whether all is there.
fn add_all<T: PartialEq + Clone>(to: &mut Vec<T>, from: &[T]) -> bool {
    let mut is_all = true;
    for item in from {
        if to.contains(item) {
            continue;
        }
        match to.len() < MOST_ENDPOINTS {
            true => to.push(item.clone()),
            false => is_all = false,
        }
    }
    is_all
}
