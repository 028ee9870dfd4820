//! Which queries a row is tried on.
//!
//! In: the queries that can count a signal. Out: those that can count it on a port, and what they
//! read of its process.
//! The decision held here: a query that demands ports is tried on those alone, and a process is
//! looked up only where a query reads it.

use std::collections::BTreeMap;

use super::query::Query;

/// The queries that can count rows of a signal, by index.
#[derive(Debug, Default)]
pub(super) struct Dispatch {
    /// On any other port.
    any: Vec<usize>,
    /// On ports that a query demands, ascending, with the queries of `any`.
    by_port: Vec<(u16, Vec<usize>)>,
    needs: ProcessNeeds,
}

/// What queries read of the process behind a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessNeeds {
    /// Who it is.
    pub process: bool,
    /// Whether it is a known scanning tool.
    pub tool: bool,
}

impl ProcessNeeds {
    /// What either needs.
    pub(crate) const fn or(self, other: Self) -> Self {
        Self {
            process: self.process || other.process,
            tool: self.tool || other.tool,
        }
    }
}

impl Dispatch {
    pub(super) fn new<'a>(queries: impl Iterator<Item = (usize, &'a Query)>) -> Self {
        let queries: Vec<_> = queries.collect();
        let mut dispatch = Self::default();
        let mut by_port: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        for (_, query) in &queries {
            dispatch.needs.process |= query.needs_process();
            dispatch.needs.tool |= query.needs_tool();
            for &port in &query.filter.ports {
                by_port.entry(port).or_default();
            }
        }
        for (index, query) in queries {
            if query.filter.ports.is_empty() {
                dispatch.any.push(index);
                by_port.values_mut().for_each(|all| all.push(index));
                continue;
            }
            for port in &query.filter.ports {
                by_port.entry(*port).or_default().push(index);
            }
        }
        dispatch.by_port = by_port.into_iter().collect();
        dispatch
    }

    #[inline]
    pub(super) fn of_port(&self, port: Option<u16>) -> &[usize] {
        // Few ports are demanded: a search costs less than a hash.
        let found = port.and_then(|port| {
            let found = self.by_port.binary_search_by_key(&port, |&(port, _)| port);
            found.ok()
        });
        found.map_or(&self.any, |position| &self.by_port[position].1)
    }

    pub(super) const fn process_needs(&self) -> ProcessNeeds {
        self.needs
    }
}
