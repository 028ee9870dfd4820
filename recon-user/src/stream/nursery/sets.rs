//! Sets of queries, by a number each.
//!
//! In: the queries that accept a row. Out: [`SetId`].
//! The decision held here: few sets occur, so that two bytes name one.

use std::collections::HashMap;
use std::sync::Arc;

use recon_common::Signal;
use serde::{Deserialize, Serialize};

use crate::stream::Secrets;

/// A set of queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SetId(u16);

impl SetId {
    /// The empty set.
    pub(crate) const NONE: Self = Self(0);

    /// Its place among all sets.
    pub(crate) fn place(self) -> usize {
        usize::from(self.0)
    }
}

/// All sets that have occurred.
#[derive(Debug)]
pub(crate) struct QuerySets {
    sets: Vec<Arc<[usize]>>,
    ids: HashMap<Arc<[usize]>, SetId, Secrets>,
    /// The set that occurred last for each signal, since it often occurs again.
    last: [SetId; Signal::ALL.len()],
}

impl Default for QuerySets {
    fn default() -> Self {
        Self {
            sets: vec![Arc::default()],
            ids: HashMap::from_iter([(Arc::default(), SetId::NONE)]),
            last: [SetId::NONE; Signal::ALL.len()],
        }
    }
}

impl QuerySets {
    /// The number of the set, in ascending order, that has accepted a row of that signal. `None`
    /// once there are too many sets.
    #[inline]
    pub(crate) fn id_of(&mut self, signal: Signal, queries: &[usize]) -> Option<SetId> {
        let last = self.last[signal as usize];
        if *queries == *self.queries(last) {
            return Some(last);
        }
        let id = self.number(queries)?;
        self.last[signal as usize] = id;
        Some(id)
    }

    /// The number of the set, in ascending order. `None` once there are too many sets.
    pub(crate) fn number(&mut self, queries: &[usize]) -> Option<SetId> {
        if let Some(&id) = self.ids.get(queries) {
            return Some(id);
        }
        let id = SetId(u16::try_from(self.sets.len()).ok()?);
        let queries: Arc<[usize]> = queries.into();
        self.sets.push(Arc::clone(&queries));
        self.ids.insert(queries, id);
        Some(id)
    }

    /// All sets, by their numbers.
    pub(crate) fn all(&self) -> &[Arc<[usize]>] {
        &self.sets
    }

    /// The queries of a set, shared.
    pub(crate) fn shared(&self, id: SetId) -> Arc<[usize]> {
        Arc::clone(&self.sets[usize::from(id.0)])
    }

    /// The queries of a set.
    #[inline]
    pub(crate) fn queries(&self, id: SetId) -> &[usize] {
        &self.sets[usize::from(id.0)]
    }
}
