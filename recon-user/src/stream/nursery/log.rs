//! The rows of one source, and upper bounds on their measures.
//!
//! In: rows. Out: whether they could carry a group near its threshold, or over it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::PlacedQuery;
use super::super::operator::AggregateOperator;
use super::super::window::allocated;
use super::index::LogHash;
use super::row::PackedRow;
use super::sets::QuerySets;

/// The rows of one source.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Log {
    pub(super) first: PackedRow,
    pub(super) more: Vec<PackedRow>,
    /// The events of its rows.
    pub(super) events: u64,
    #[serde(skip, default = "unhashed")]
    pub(super) hash: LogHash,
    /// The low bits of the number of the poll that changed it last.
    pub(super) changed_in: u32,
    pub(super) stage: Stage,
    /// Whether its source was seen again since it began, or since it was last spared.
    pub(super) is_seen_again: bool,
    /// The time of the poll that changed it last, in nanoseconds since 1970.
    pub(super) changed_at: i64,
    /// When a log was last evicted, before this one began.
    pub(super) lost_before: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    /// Its rows are far from any threshold.
    Small,
    /// Its rows could carry a group over half of its threshold.
    Near,
    /// Its rows are counted in groups.
    Promoted,
}

impl Log {
    /// Its rows, to be changed.
    pub(super) fn rows_mut(&mut self) -> impl Iterator<Item = &mut PackedRow> {
        std::iter::once(&mut self.first).chain(&mut self.more)
    }

    /// The bytes that one more row may take.
    pub(super) fn growth(&self) -> usize {
        let has_room = self.more.len() < self.more.capacity();
        if has_room || self.stage == Stage::Promoted {
            return 0;
        }
        // Old and new rows exist at once while they move.
        allocated((self.more.len() + self.more_rows()) * size_of::<PackedRow>())
    }

    /// By how many rows a full log grows: by half. Most sources of a flood have two rows, the
    /// packet's and the attempt's.
    pub(super) fn more_rows(&self) -> usize {
        (self.more.len() / 2).max(1)
    }

    /// The bytes of heap that it takes.
    pub(super) fn heap(&self) -> usize {
        allocated(self.more.capacity() * size_of::<PackedRow>())
    }

    /// Upper bounds on the measures of its rows in each query's window. `is_in_window` decides by a
    /// query's index and a time. `bounds` has a zero for each query, before and after.
    pub(super) fn bounds(
        &self,
        sets: &QuerySets,
        queries: &[PlacedQuery],
        bounds: &mut [u64],
        is_in_window: impl Fn((usize, i64)) -> bool,
    ) -> Bounds {
        let (mut is_near, mut is_due) = (false, false);
        for row in self.rows() {
            for &index in sets.queries(row.set) {
                let query = &queries[index].query;
                if query.measured.signals.contains(row.signal) && is_in_window((index, row.at())) {
                    let more = match query.measured.operator {
                        AggregateOperator::Count if query.measured.is_weighted => row.count.into(),
                        _ => 1,
                    };
                    bounds[index] = bounds[index].saturating_add(more);
                }
                is_near |= bounds[index] > query.threshold() / 2;
                is_due |= bounds[index] > query.threshold();
            }
        }
        for row in self.rows() {
            let of = sets.queries(row.set).iter();
            of.for_each(|&index| bounds[index] = 0);
        }
        Bounds { is_near, is_due }
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &PackedRow> {
        let first = (self.stage != Stage::Promoted).then_some(&self.first);
        first.into_iter().chain(&self.more)
    }
}

/// Upper bounds on the measures of a log's rows, for the query that is nearest to its threshold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// More than half of the threshold.
    pub(super) is_near: bool,
    /// More than the threshold.
    pub(super) is_due: bool,
}

/// What a log has until its nursery hashes its source.
fn unhashed() -> LogHash {
    LogHash::MIN
}
