//! The state of a nursery as data.
//!
//! In: logs, with the sets of queries that their rows name. Out: [`NurseryState`]; and a nursery
//! that goes on with it, where queries have other positions or are gone.

use jiff::Timestamp;
use recon_common::Address;
use serde::{Deserialize, Serialize};

use super::super::{Moves, Secrets};
use super::log::{Log, Stage};
use super::sets::SetId;
use super::{Nursery, PackedRow};

/// The state of a nursery.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::stream) struct NurseryState {
    logs: Vec<Log>,
    /// The queries of each set, by its number.
    sets: Vec<Vec<usize>>,
    visited: u64,
    lost_at: Option<Timestamp>,
}

/// What a reference to a nursery is saved as: the same as [`NurseryState`].
#[derive(Serialize)]
pub(in crate::stream) struct SavedNursery<'a> {
    logs: Vec<&'a Log>,
    sets: Vec<&'a [usize]>,
    visited: u64,
    lost_at: Option<Timestamp>,
}

impl Nursery {
    /// The state, to be saved.
    pub(in crate::stream) fn saved(&self) -> SavedNursery<'_> {
        SavedNursery {
            logs: self.ring.logs().collect(),
            sets: self.sets.all().iter().map(|set| &**set).collect(),
            visited: self.visited,
            lost_at: self.lost_at,
        }
    }

    /// The state.
    pub(in crate::stream) fn into_state(self) -> NurseryState {
        NurseryState {
            sets: self.sets.all().iter().map(|set| set.to_vec()).collect(),
            logs: self.ring.into_logs(),
            visited: self.visited,
            lost_at: self.lost_at,
        }
    }

    /// Goes on with a state. `is_counted` says whether a query still counts a remote.
    pub(in crate::stream) fn adopt(
        &mut self,
        state: NurseryState,
        moves: &Moves,
        is_counted: &dyn Fn(usize, Address) -> bool,
        secrets: &Secrets,
    ) {
        let moved = |set: &Vec<usize>| {
            let mut set: Vec<_> = set.iter().filter_map(|&old| moves.of(old)).collect();
            set.sort_unstable();
            set
        };
        let sets: Vec<_> = state.sets.iter().map(moved).collect();
        self.visited = state.visited;
        self.lost_at = state.lost_at;
        for mut log in state.logs {
            for row in log.rows_mut() {
                row.set = self.moved_set(row, &sets, is_counted);
            }
            let is_empty = log.rows().all(|row| row.set == SetId::NONE);
            if is_empty && log.stage != Stage::Promoted {
                continue;
            }
            self.push(log, secrets);
        }
    }

    /// Forgets which processes have sent.
    pub(in crate::stream) fn forget_processes(&mut self) {
        let logs = self.ring.logs_mut();
        logs.flat_map(Log::rows_mut)
            .for_each(PackedRow::forget_process);
    }

    /// The set of a row whose queries have moved.
    fn moved_set(
        &mut self,
        row: &PackedRow,
        sets: &[Vec<usize>],
        is_counted: &dyn Fn(usize, Address) -> bool,
    ) -> SetId {
        let moved = sets.get(row.set.place()).into_iter().flatten().copied();
        let counting: Vec<_> = moved
            .filter(|&index| is_counted(index, row.remote()))
            .collect();
        self.sets.number(&counting).unwrap_or(SetId::NONE)
    }

    /// Adds a log at the back, and accounts for it.
    fn push(&mut self, mut log: Log, secrets: &Secrets) {
        let remote = log.first.remote();
        log.hash = self.hash(remote, secrets);
        self.small += usize::from(log.stage == Stage::Small);
        self.heap += log.heap();
        self.loads.add(remote, secrets);
        let hash = log.hash;
        let number = self.ring.push(log);
        if self.index.is_full() {
            self.renew_index();
        }
        self.index.insert(hash, number);
    }
}
