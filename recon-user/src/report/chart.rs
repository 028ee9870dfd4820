//! The chart of ports: who tried which port when, and what became of it.
//!
//! In: the attempts of a run, and the ports that alert lines name. Out: [`PortChart`], and what it
//! has no room for.
//! The decisions held here:
//! - A page has so many points. Sources with the most severe incidents go first, then those with
//!   the most targets.
//! - Of a source with too many, open ports stay, and of the others each n-th by the order of their
//!   times: a line stays a line, and a block a block.

use std::collections::{BTreeMap, HashMap, HashSet};

use recon_common::Address;

use super::build::PageSources;
use super::gather::GatheredIncident;
use super::losses::loss;
use super::model::{LossEntry, OutcomeCounts, PortChart};
use crate::pipeline::{LoggedAttempt, LoggedOutcome, LoggedTarget, RunAttempts};

/// Points of a page.
const MOST_POINTS: usize = 40_000;
/// Points of one source.
const MOST_OF_SOURCE: usize = 8192;
/// Sources with points.
const MOST_SOURCES: usize = 200;
/// The outcome of a port of which is only known that it was tried.
const TRIED: u8 = 4;
/// That of a port that is half-open or accepted: an alert does not say which.
const OPEN: u8 = 5;

type Attempt = (LoggedTarget, LoggedAttempt);

/// The chart of all attempts. Of a source without one, such as one that scans by SCTP, it has what
/// lines say.
pub(super) fn of_attempts(
    run: &RunAttempts,
    incidents: &[GatheredIncident],
    of_incident: &[usize],
    sources: &mut PageSources,
) -> (PortChart, Vec<LossEntry>) {
    let mut by_source: HashMap<Address, Vec<&Attempt>> = HashMap::new();
    for attempt in &run.by_target {
        by_source.entry(attempt.0.remote).or_default().push(attempt);
    }
    let mut ranked: Vec<(usize, Vec<&Attempt>)> = by_source
        .into_iter()
        .map(|(remote, attempts)| {
            let place = sources.place_of_remote(&remote.to_ip().to_string());
            let entry = &mut sources.entries[place];
            for (_, attempt) in &attempts {
                entry.first = entry.first.min(attempt.first.as_millisecond());
                entry.last = entry.last.max(attempt.last.as_millisecond());
            }
            (place, attempts)
        })
        .collect();
    ranked.sort_by_key(|(place, attempts)| {
        let severity = sources.entries[*place].severity;
        let first = attempts.first().map(|(target, _)| *target);
        (-severity, std::cmp::Reverse(attempts.len()), first)
    });
    let exact: HashSet<usize> = ranked.iter().map(|(place, _)| *place).collect();
    let mut points = Points::begin(run.by_target.first());
    let mut lost = NotDrawn {
        evicted: run.evicted,
        ..NotDrawn::default()
    };
    for (number, (place, attempts)) in ranked.into_iter().enumerate() {
        let room = MOST_POINTS - points.chart.port.len();
        let total = attempts.len();
        if number >= MOST_SOURCES {
            lost.of_sources += total as u64;
            continue;
        }
        let kept = thin_out(attempts, room.min(MOST_OF_SOURCE));
        lost.thinned_out += (total - kept.len()) as u64;
        if !kept.is_empty() {
            points.add_source(place, total, &kept);
        }
    }
    let mut chart = points.chart;
    chart.exact_sources = chart.sources.len();
    let mut samples = samples(incidents, of_incident);
    samples.retain(|(place, _)| !exact.contains(place));
    add_samples(&mut chart, samples, &mut lost);
    (chart, lost.losses("targets"))
}

/// Targets or ports that are not drawn, by the cause.
#[derive(Default)]
struct NotDrawn {
    evicted: u64,
    of_sources: u64,
    thinned_out: u64,
}

impl NotDrawn {
    fn losses(&self, of: &str) -> Vec<LossEntry> {
        let losses = [
            (
                format!("{of} evicted"),
                self.evicted,
                "There was no room for them while the input was read: those of the sources with the fewest targets go first.".to_owned(),
            ),
            (
                format!("{of} of sources not drawn"),
                self.of_sources,
                format!("The {MOST_SOURCES} sources with the most severe incidents, then with the most targets, are drawn."),
            ),
            (
                format!("{of} not drawn"),
                self.thinned_out,
                format!("The chart has {MOST_POINTS} points at most, {MOST_OF_SOURCE} of one source."),
            ),
        ];
        let losses = losses.iter();
        losses
            .map(|(what, count, means)| loss(what, *count, means))
            .collect()
    }
}

/// At most so many of a source's attempts.
fn thin_out(attempts: Vec<&Attempt>, most: usize) -> Vec<&Attempt> {
    if attempts.len() <= most {
        return attempts;
    }
    let is_open = |(_, attempt): &Attempt| attempt.outcome >= LoggedOutcome::HalfOpen;
    let open = attempts.iter().filter(|it| is_open(it)).count().min(most);
    let (closed, room) = (attempts.len() - open, most - open);
    let step = closed.div_ceil(room.max(1));
    let mut opened = 0;
    let mut passed = 0;
    let mut attempts = attempts;
    attempts.retain(|attempt| {
        if is_open(attempt) {
            opened += 1;
            return opened <= open;
        }
        passed += 1;
        room > 0 && (passed - 1) % step == 0
    });
    attempts
}

/// A chart in the making.
struct Points {
    chart: PortChart,
    hosts: HashMap<Address, usize>,
}

impl Points {
    fn begin(first: Option<&Attempt>) -> Self {
        let from = first.map_or(0, |(_, attempt)| attempt.first.as_millisecond());
        Self {
            chart: PortChart {
                is_exact: true,
                from,
                ..PortChart::default()
            },
            hosts: HashMap::new(),
        }
    }

    fn add_source(&mut self, place: usize, total: usize, attempts: &[&Attempt]) {
        let Self { chart, hosts } = self;
        let source = chart.sources.len();
        chart
            .sources
            .push((place, total as u64, attempts.len() as u64));
        for (target, attempt) in attempts {
            let host = *hosts.entry(target.local).or_insert_with(|| {
                chart.hosts.push(target.local.to_ip().to_string());
                chart.hosts.len() - 1
            });
            chart.source.push(source);
            chart.host.push(host);
            chart.port.push(target.port);
            chart.udp.push(target.is_udp.into());
            chart.outcome.push(attempt.outcome as u8);
            chart.count.push(attempt.count);
            let at = attempt.first.as_millisecond() - chart.from;
            chart.at.push(at);
        }
    }
}

/// The chart of the ports that lines name.
pub(super) fn of_samples(
    incidents: &[GatheredIncident],
    of_incident: &[usize],
) -> (PortChart, Vec<LossEntry>) {
    let mut chart = PortChart::default();
    let mut lost = NotDrawn::default();
    add_samples(&mut chart, samples(incidents, of_incident), &mut lost);
    (chart, lost.losses("ports"))
}

/// A source's position, and the outcomes of its ports that lines name.
type Sample = (usize, BTreeMap<u16, u8>);

/// The ports that lines name, of the source that goes first at first.
fn samples(incidents: &[GatheredIncident], of_incident: &[usize]) -> Vec<Sample> {
    let mut ports: BTreeMap<usize, BTreeMap<u16, u8>> = BTreeMap::new();
    let mut severity: HashMap<usize, u8> = HashMap::new();
    let inbound = incidents.iter().zip(of_incident);
    let inbound = inbound.filter(|(incident, _)| !incident.entry.is_outbound);
    for (GatheredIncident { entry, .. }, &source) in inbound {
        let of_source = ports.entry(source).or_default();
        let most = severity.entry(source).or_default();
        *most = entry.severity.max(*most);
        let outcome = entry.outcomes.map_or(TRIED, only_outcome);
        for &port in entry.ports.iter().chain(&entry.port) {
            of_source.entry(port).or_insert(outcome);
        }
        for &port in &entry.open {
            of_source.insert(port, entry.outcomes.map_or(OPEN, outcome_of_open));
        }
    }
    let mut ranked: Vec<_> = ports.into_iter().filter(|(_, of)| !of.is_empty()).collect();
    ranked.sort_by_key(|(source, of)| {
        let severity = severity.get(source).copied();
        (std::cmp::Reverse((severity, of.len())), *source)
    });
    ranked
}

/// Adds sources of which no more is known than a sample.
fn add_samples(chart: &mut PortChart, samples: Vec<Sample>, lost: &mut NotDrawn) {
    for (place, of_source) in samples {
        let count = of_source.len() as u64;
        if chart.sources.len() >= MOST_SOURCES {
            lost.of_sources += count;
            continue;
        }
        if chart.port.len() + of_source.len() > MOST_POINTS {
            lost.thinned_out += count;
            continue;
        }
        let source = chart.sources.len();
        chart.sources.push((place, count, count));
        for (port, outcome) in of_source {
            chart.source.push(source);
            chart.port.push(port);
            chart.outcome.push(outcome);
        }
    }
}

/// What an incident's open ports are, if they are all the same.
const fn outcome_of_open(of: OutcomeCounts) -> u8 {
    match (of.accepted, of.half_open) {
        (0, 1..) => LoggedOutcome::HalfOpen as u8,
        (1.., 0) => LoggedOutcome::Accepted as u8,
        _ => OPEN,
    }
}

/// What became of all attempts, if it was the same.
fn only_outcome(of: OutcomeCounts) -> u8 {
    let all = of.all();
    let same = [
        (of.silent, LoggedOutcome::Silent),
        (of.refused, LoggedOutcome::Refused),
        (of.half_open, LoggedOutcome::HalfOpen),
        (of.accepted, LoggedOutcome::Accepted),
    ];
    let same = same
        .into_iter()
        .find(|(count, _)| *count > 0 && *count == all);
    same.map_or(TRIED, |(_, outcome)| outcome as u8)
}
