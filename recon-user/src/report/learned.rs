//! Open ports that somebody has found, and who used them.
//!
//! In: incidents, attempts of scanners. Out: [`LearnedPort`]s.
//! The decision held here: a client learns nothing by using a service, so its ports are not listed.

use std::collections::{BTreeMap, HashMap};

use super::build::PageSources;
use super::endpoints::UNNAMED;
use super::gather::GatheredIncident;
use super::model::{LearnedPort, SourceEntry};
use crate::pipeline::{LoggedOutcome, RunAttempts};
use crate::row::Verdict;

/// Open ports that are listed.
pub(super) const MOST_LEARNED: usize = 1000;
/// Sources of an open port that are listed.
pub(super) const MOST_FINDERS: usize = 50;

/// Open ports and who found them.
#[derive(Default)]
pub(super) struct Learned {
    ports: BTreeMap<(String, u16), LearnedPort>,
    /// Times that a source found or used a port for which there is no room.
    pub(super) without_room: u64,
}

impl Learned {
    fn port(&mut self, host: &str, port: u16, first: i64) -> Option<&mut LearnedPort> {
        let key = (host.to_owned(), port);
        if self.ports.len() >= MOST_LEARNED && !self.ports.contains_key(&key) {
            self.without_room += 1;
            return None;
        }
        let learned = self.ports.entry(key).or_insert_with(|| LearnedPort {
            host: host.to_owned(),
            port,
            first,
            found_by: Vec::new(),
            has_more_finders: false,
            has_more_users: false,
            used_by: Vec::new(),
        });
        learned.first = learned.first.min(first);
        Some(learned)
    }

    /// Adds what an incident's source learned. A client learns nothing by using a service.
    pub(super) fn add_incident(
        &mut self,
        of: &GatheredIncident,
        source: usize,
        sources: &[SourceEntry],
    ) {
        let is_client = sources[source].verdict.as_deref() == Some(Verdict::Client.name());
        if of.entry.is_outbound || is_client {
            return;
        }
        for &port in &of.entry.open {
            if let Some(learned) = self.port(&of.open_on, port, of.entry.first) {
                learned.add_finder(source);
            }
        }
        if !of.is_use {
            return;
        }
        let process = of.processes.first().map(|process| {
            let name = process.name.as_deref().unwrap_or(UNNAMED);
            format!("{name} (pid {})", process.pid)
        });
        for &port in of.entry.ports.iter().chain(&of.entry.port) {
            if let Some(learned) = self.port(&of.open_on, port, of.entry.first) {
                learned.add_user(source, of.entry.last, process.clone());
            }
        }
    }

    /// Adds what attempts of scanners found.
    pub(super) fn add_attempts(&mut self, run: &RunAttempts, sources: &mut PageSources) {
        let scanners = run.sources.listed.iter();
        let scanners = scanners.filter(|known| known.verdict == Verdict::Scanner);
        let scanners: HashMap<_, _> = scanners
            .map(|known| (known.ip, sources.place_of_remote(&known.ip.to_string())))
            .collect();
        for (target, attempt) in &run.by_target {
            let Some(&source) = scanners.get(&target.remote.to_ip()) else {
                continue;
            };
            if attempt.outcome < LoggedOutcome::HalfOpen {
                continue;
            }
            let host = target.local.to_ip().to_string();
            let first = attempt.first.as_millisecond();
            if let Some(learned) = self.port(&host, target.port, first) {
                learned.add_finder(source);
                if let Some(used) = attempt.used {
                    learned.add_user(source, used.as_millisecond(), None);
                }
            }
        }
    }

    /// How many ports have more sources than are listed.
    pub(super) fn cut_ports(&self) -> u64 {
        let is_cut = |port: &&LearnedPort| port.has_more_finders || port.has_more_users;
        self.ports.values().filter(is_cut).count() as u64
    }

    pub(super) fn finish(self) -> Vec<LearnedPort> {
        self.ports.into_values().collect()
    }
}

impl LearnedPort {
    fn add_finder(&mut self, source: usize) {
        if self.found_by.contains(&source) {
            return;
        }
        match self.found_by.len() < MOST_FINDERS {
            true => self.found_by.push(source),
            false => self.has_more_finders = true,
        }
    }

    fn add_user(&mut self, source: usize, at: i64, process: Option<String>) {
        let known = self.used_by.iter().any(|(known, _, _)| *known == source);
        if known {
            return;
        }
        match self.used_by.len() < MOST_FINDERS {
            true => self.used_by.push((source, at, process)),
            false => self.has_more_users = true,
        }
    }
}
