//! Which rules are tried on a row.
//!
//! In: the rules that know a signal. Out: those of them that can count a row of a port, and what they want to know of its process.
//! The decision held here: a rule that demands ports is tried on those alone, and a process is looked up only where a rule asks for it.

use std::collections::BTreeMap;

use crate::rule::{Processes, Rule};

/// The rules that can count rows of a signal, by their positions.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// Of any port.
    any: Vec<usize>,
    /// Of those ports that a rule demands, ascending: that one's too.
    by_port: Vec<(u16, Vec<usize>)>,
    asked: Asked,
}

/// What rules want to know of the process behind a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Who it is.
    pub process: bool,
    /// Whether it is a known scanning tool.
    pub tool: bool,
}

impl Candidates {
    pub(super) fn new<'a>(rules: impl Iterator<Item = (usize, &'a Rule)>) -> Self {
        let rules: Vec<_> = rules.collect();
        let mut candidates = Self::default();
        let mut by_port: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        for (_, rule) in &rules {
            candidates.asked.process |= rule.asks_process();
            candidates.asked.tool |= rule.processes == Processes::Tools || rule.asks_tool();
            for &port in &rule.ports {
                by_port.entry(port).or_default();
            }
        }
        for (index, rule) in rules {
            if rule.ports.is_empty() {
                candidates.any.push(index);
                by_port.values_mut().for_each(|all| all.push(index));
                continue;
            }
            for port in &rule.ports {
                by_port.entry(*port).or_default().push(index);
            }
        }
        candidates.by_port = by_port.into_iter().collect();
        candidates
    }

    pub(super) fn of_port(&self, port: u16) -> &[usize] {
        // Few ports are demanded: a search costs less than a hash.
        let found = self.by_port.binary_search_by_key(&port, |&(port, _)| port);
        found.map_or(&self.any, |position| &self.by_port[position].1)
    }

    pub(super) const fn asked(&self) -> Asked {
        self.asked
    }
}
