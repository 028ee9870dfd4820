//! The points of the picture: who tried which port when, and what became of it.
//!
//! In: the attempts of a run, or the ports that alert lines name. Out: [`Picture`], and what it has
//! no room for.
//! The decisions held here:
//! - A page has so many points. Sources with the most severe incidents go first, then those with
//!   the most targets.
//! - Of a source with too many, open ports stay, and of the others each n-th by the order of their
//!   times: a line stays a line, and a block a block.

use std::collections::{BTreeMap, HashMap};

use recon_common::Address;

use super::build::Sources;
use super::gather::GatheredIncident;
use super::losses::loss;
use super::model::{LossEntry, OutcomeCounts, Picture};
use crate::pipeline::{LoggedAttempt, LoggedOutcome, LoggedTarget, RunEvidence};

/// Points of a page.
const MOST_POINTS: usize = 40_000;
/// Points of one source.
const MOST_OF_SOURCE: usize = 8192;
/// Sources with points.
const MOST_SOURCES: usize = 200;
/// The outcome of a port of which is only known that it was tried.
const TRIED: u8 = 4;

type Attempt = (LoggedTarget, LoggedAttempt);

/// The picture of all attempts.
pub(super) fn of_attempts(
    evidence: &RunEvidence,
    sources: &mut Sources,
) -> (Picture, Vec<LossEntry>) {
    let mut by_source: HashMap<Address, Vec<&Attempt>> = HashMap::new();
    for attempt in &evidence.attempts {
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
    let mut points = Points::begin(evidence.attempts.first());
    let mut left_out = evidence.forgotten;
    for (number, (place, attempts)) in ranked.into_iter().enumerate() {
        let room = MOST_POINTS - points.picture.port.len();
        let total = attempts.len();
        let kept = match number < MOST_SOURCES {
            true => thin_out(attempts, room.min(MOST_OF_SOURCE)),
            false => Vec::new(),
        };
        left_out += (total - kept.len()) as u64;
        if !kept.is_empty() {
            points.add_source(place, total, &kept);
        }
    }
    let means = format!(
        "Targets that the pictures leave out: they have {MOST_POINTS} points at most, {MOST_OF_SOURCE} of one source."
    );
    let losses = match left_out {
        0 => Vec::new(),
        count => vec![loss("targets left out of pictures", count, &means)],
    };
    (points.picture, losses)
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

/// A picture in the making.
struct Points {
    picture: Picture,
    hosts: HashMap<Address, usize>,
}

impl Points {
    fn begin(first: Option<&Attempt>) -> Self {
        let from = first.map_or(0, |(_, attempt)| attempt.first.as_millisecond());
        Self {
            picture: Picture {
                is_exact: true,
                from,
                ..Picture::default()
            },
            hosts: HashMap::new(),
        }
    }

    fn add_source(&mut self, place: usize, total: usize, attempts: &[&Attempt]) {
        let Self { picture, hosts } = self;
        let source = picture.sources.len();
        picture
            .sources
            .push((place, total as u64, attempts.len() as u64));
        for (target, attempt) in attempts {
            let host = *hosts.entry(target.local).or_insert_with(|| {
                picture.hosts.push(target.local.to_ip().to_string());
                picture.hosts.len() - 1
            });
            picture.source.push(source);
            picture.host.push(host);
            picture.port.push(target.port);
            picture.udp.push(target.is_udp.into());
            picture.outcome.push(attempt.outcome as u8);
            picture.count.push(attempt.count);
            let at = attempt.first.as_millisecond() - picture.from;
            picture.at.push(at);
        }
    }
}

/// The picture of the ports that lines name.
pub(super) fn of_samples(
    incidents: &[GatheredIncident],
    of_incident: &[usize],
) -> (Picture, Vec<LossEntry>) {
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
            of_source.insert(port, LoggedOutcome::Open as u8);
        }
    }
    let mut ranked: Vec<_> = ports.into_iter().filter(|(_, of)| !of.is_empty()).collect();
    ranked.sort_by_key(|(source, of)| {
        let severity = severity.get(source).copied();
        (std::cmp::Reverse((severity, of.len())), *source)
    });
    let mut picture = Picture::default();
    let mut left_out = 0;
    for (number, (place, of_source)) in ranked.into_iter().enumerate() {
        if number >= MOST_SOURCES || picture.port.len() + of_source.len() > MOST_POINTS {
            left_out += of_source.len() as u64;
            continue;
        }
        let source = picture.sources.len();
        let count = of_source.len() as u64;
        picture.sources.push((place, count, count));
        for (port, outcome) in of_source {
            picture.source.push(source);
            picture.port.push(port);
            picture.outcome.push(outcome);
        }
    }
    let means = format!(
        "Ports that the picture leaves out: it has the {MOST_SOURCES} sources with the most severe incidents."
    );
    let losses = match left_out {
        0 => Vec::new(),
        count => vec![loss("ports left out of the picture", count, &means)],
    };
    (picture, losses)
}

/// What became of all attempts, if it was the same.
fn only_outcome(of: OutcomeCounts) -> u8 {
    let all = of.all();
    let same = [
        (of.silent, LoggedOutcome::Silent),
        (of.refused, LoggedOutcome::Refused),
        (of.half_open, LoggedOutcome::HalfOpen),
        (of.open, LoggedOutcome::Open),
    ];
    let same = same
        .into_iter()
        .find(|(count, _)| *count > 0 && *count == all);
    same.map_or(TRIED, |(_, outcome)| outcome as u8)
}
