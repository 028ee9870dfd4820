//! One group of a query: its key, its accumulators, and what its rows showed.
//!
//! In: rows that the query accepts. Out: the measure, the values of columns, samples.
//! The decision held here: a group holds its first row instead of the parts of it that the query
//! groups by, and that row is its evidence until another differs. So a group of one event takes no
//! heap.

use jiff::Timestamp;
use recon_common::Address;
use serde::{Deserialize, Serialize};

use super::accumulator::{Accumulator, heap_of, long};
use super::columns::{GroupColumns, RowColumns};
use super::evidence::{GroupEvidence, Samples};
use super::key::{GroupKey, GroupLookup};
use super::operator::AggregatePlan;
use super::query::Query;
use super::window::{Pane, allocated};
use crate::kql::eval::{Value, holds};
use crate::row::{RowKey, SignalSet};

/// What is known of one group.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    /// The first row since the window was last empty.
    first: RowKey,
    measured: Accumulator,
    /// Parts that only some queries need.
    more: Option<Box<More>>,
    pub(crate) evidence: GroupEvidence,
    /// Opaque number that the caller attaches to a group.
    pub(crate) tag: Option<Tag>,
    /// The poll that changed it last.
    pub(super) changed_in: u64,
    /// The time of that poll.
    #[serde(with = "crate::saved::time")]
    pub(crate) changed_at: Timestamp,
    /// The measure before that poll.
    pub(super) total_before: u64,
    /// The bytes of heap that are accounted for.
    #[serde(skip)]
    pub(super) accounted: usize,
}

/// Parts that only some queries need.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct More {
    /// The parts of the key that are computed.
    computed: Box<[Value<'static>]>,
    /// The accumulators of the aggregates that are not the measure.
    others: Box<[Accumulator]>,
}

impl More {
    /// The bytes of heap that it takes.
    fn heap(&self) -> usize {
        let Self { computed, others } = self;
        let values: usize = computed.iter().map(heap_of).sum();
        let held: usize = others.iter().map(Accumulator::heap).sum();
        let panes = allocated(size_of_val(&**computed)) + allocated(size_of_val(&**others));
        allocated(size_of::<Self>()) + panes + values + held
    }
}

/// Opaque number that the caller attaches to a group; the stream only stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Tag(pub(crate) u32);

/// The accumulators that every group of a query starts with.
#[derive(Debug)]
pub(super) struct Blank {
    measured: Accumulator,
    others: Box<[Accumulator]>,
}

impl Blank {
    pub(super) fn new(query: &Query) -> Self {
        let empty = |plan: &AggregatePlan| Accumulator::new(plan.operator, query.shares_groups());
        Self {
            measured: empty(&query.measured),
            others: query.others.iter().map(empty).collect(),
        }
    }

    /// The bytes that a group takes for them, at most.
    pub(super) fn heap(&self) -> usize {
        let others = self.others.iter().map(Accumulator::heap);
        let own = allocated(size_of::<More>()) + allocated(size_of_val(&*self.others));
        self.measured.heap() + own + others.sum::<usize>()
    }
}

impl Group {
    /// A group that has counted nothing yet.
    pub(super) fn new(lookup: &GroupLookup<'_>, blank: &Blank, poll: u64, from: Timestamp) -> Self {
        let computed = lookup.computed.iter().cloned().map(Value::into_owned);
        let has_more = !lookup.computed.is_empty() || !blank.others.is_empty();
        let more = has_more.then(|| {
            Box::new(More {
                computed: computed.collect(),
                others: blank.others.clone(),
            })
        });
        Self {
            first: lookup.row,
            measured: blank.measured.clone(),
            more,
            evidence: GroupEvidence::since(from),
            tag: None,
            changed_in: poll,
            changed_at: from,
            total_before: 0,
            accounted: 0,
        }
    }

    fn computed(&self) -> &[Value<'static>] {
        self.more.as_ref().map_or(&[], |more| &more.computed)
    }

    fn others(&self) -> &[Accumulator] {
        self.more.as_ref().map_or(&[], |more| &more.others)
    }

    fn others_mut(&mut self) -> &mut [Accumulator] {
        self.more.as_mut().map_or(&mut [], |more| &mut more.others)
    }

    /// Whether it is the group that is looked up.
    #[inline]
    pub(super) fn is(&self, lookup: &GroupLookup<'_>) -> bool {
        lookup.matches(&self.first, self.computed())
    }

    /// What it is looked up by.
    pub(super) fn lookup<'a>(&self, query: &'a Query) -> GroupLookup<'a> {
        GroupLookup {
            plan: &query.key,
            row: self.first,
            computed: self.computed().to_vec(),
        }
    }

    /// Whether no row was added yet.
    pub(super) fn is_new(&self) -> bool {
        self.evidence.signals == SignalSet::default()
    }

    /// A row that has its key.
    pub(super) fn first_row(&self) -> &RowKey {
        &self.first
    }

    /// Forgets which processes have sent.
    pub(super) fn forget_processes(&mut self) {
        self.first = RowKey {
            pid: None,
            image: 0,
            ..self.first
        };
        self.evidence.forget_processes();
    }

    /// Its key.
    pub(crate) fn key(&self, query: &Query) -> GroupKey {
        query.key.group_key(&self.first, self.computed())
    }

    /// Samples of its rows.
    pub(crate) fn samples(&self, query: &Query) -> Samples {
        self.evidence.samples(&query.key, &self.first)
    }

    /// Begins the first change of a poll: drops what has left the window, and its evidence once the
    /// window is empty.
    pub(super) fn begin_poll(&mut self, query: &Query, now: Pane, row: &RowKey, from: Timestamp) {
        self.expire(now);
        self.total_before = self.total(query);
        if self.total_before == 0 {
            self.evidence = GroupEvidence::since(from);
            self.first = *row;
        }
    }

    /// Adds a row.
    #[inline]
    pub(super) fn add(&mut self, query: &Query, now: Pane, row: &RowColumns<'_>, may_grow: bool) {
        let plan = query.plan();
        let mut is_held = self.measured.add(now, &query.measured, plan, row, may_grow);
        for (other, of) in self.others_mut().iter_mut().zip(&query.others) {
            is_held &= other.add(now, of, plan, row, may_grow);
        }
        self.evidence.is_lossy |= !is_held;
        // A sum over panes takes time, and is asked for once a poll.
        let total = self.measured.known_total().max(self.total_before);
        self.evidence.is_near |= total > query.threshold() / 2;
        self.evidence
            .add(&query.key, &self.first, &row.row.key, may_grow);
    }

    /// The bytes of heap that it takes, with `reserve` for a group that is near its threshold.
    #[inline]
    pub(super) fn heap(&self, reserve: usize) -> usize {
        let more = self.more.as_ref().map_or(0, |more| more.heap());
        let reserve = if self.evidence.is_near || self.tag.is_some() {
            reserve
        } else {
            0
        };
        more + self.measured.heap() + reserve + self.evidence.heap()
    }

    /// The bytes that a large set of it may grow by at once.
    #[inline]
    pub(super) fn growth(&self) -> usize {
        let others = self.others().iter().map(Accumulator::growth);
        self.measured.growth() + others.sum::<usize>()
    }

    /// Takes out what only that source has added; all that the window holds if the measure does not
    /// know its sources. Its tag stays.
    pub(super) fn withdraw(&mut self, source: Address, query: &Query, blank: &Blank) {
        if !query.measured.operator.knows_sources() {
            self.measured = blank.measured.clone();
            self.others_mut().clone_from_slice(&blank.others);
            return;
        }
        self.measured.withdraw(source, query.measured.operator);
        for (other, plan) in self.others_mut().iter_mut().zip(&query.others) {
            // What does not know its sources stays: it may count too much for a window.
            other.withdraw(source, plan.operator);
        }
    }

    /// Drops what has left the window.
    pub(super) fn expire(&mut self, now: Pane) {
        self.measured.expire(now);
        self.others_mut()
            .iter_mut()
            .for_each(|other| other.expire(now));
    }

    /// The measure.
    pub(crate) fn total(&self, query: &Query) -> u64 {
        self.measured.total(query.measured.of(query.plan()))
    }

    /// The results of each of the plan's aggregates.
    fn values(&self, query: &Query) -> Vec<Vec<Value<'static>>> {
        let plan = query.plan();
        let mut others = self.others().iter();
        let aggregates = plan.aggregates.iter().enumerate();
        aggregates
            .map(|(position, aggregate)| {
                if query.measured.position == Some(position) {
                    return self.measured.values(aggregate);
                }
                match others.next() {
                    Some(other) => other.values(aggregate),
                    None => vec![long(0)],
                }
            })
            .collect()
    }

    /// Its columns.
    pub(crate) fn columns<'a>(
        &self,
        query: &'a Query,
        key: &'a GroupKey,
        now: Timestamp,
    ) -> GroupColumns<'a> {
        GroupColumns::new(query, key, self.values(query), now)
    }

    /// Whether the conditions on a group hold, the threshold apart.
    pub(crate) fn meets_conditions(&self, query: &Query, key: &GroupKey, now: Timestamp) -> bool {
        let having = &query.plan().having;
        if having.is_empty() {
            return true;
        }
        let columns = self.columns(query, key, now);
        having
            .iter()
            .all(|condition| holds(condition, &columns, now))
    }
}
