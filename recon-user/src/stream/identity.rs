//! Which query a saved state belongs to, and the saved form of a query.
//!
//! In: rules. Out: a hash that is the same as long as the state of a query means the same.
//! The decisions held here:
//! - The state depends on what is counted: table, filter, computed columns, groups, aggregates,
//!   window, and the rules that it follows. Threshold, severity, allow list, private remotes,
//!   cooldown and the conditions on a group are applied to the state, so that these can change and
//!   it stays.
//! - The name belongs to it: it is part of the id of an incident.
//! - A query is saved as its rule, and planned again when it is read.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::query::Query;
use crate::kql::Plan;
use crate::rule::Configured;
use crate::stable_hash::StableHash;

/// The hash of what a rule counts. `None` if it can't be saved: nothing is equal to it then.
pub(super) fn state_identity(rule: &Configured, measure: &str) -> Option<StableHash> {
    let Plan {
        id,
        name,
        window,
        after,
        unless,
        table,
        is_summary,
        extends,
        filter,
        groups,
        aggregates,
        threshold,
        ..
    } = &rule.plan;
    let measured = threshold.map(|threshold| threshold.aggregate);
    let names = (id, name, measure);
    let rows = (table, is_summary, extends, filter);
    let counted = (groups, aggregates, measured, window, after, unless);
    let bytes = postcard::to_allocvec(&(names, rows, counted)).ok()?;
    Some(StableHash::EMPTY.with(&bytes))
}

impl Query {
    /// Whether the state of another query means the same to it.
    pub(crate) fn counts_like(&self, other: &Self) -> bool {
        self.identity.is_some() && self.identity == other.identity
    }
}

impl Serialize for Query {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.rule.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Query {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Configured::deserialize(deserializer).map(Self::new)
    }
}
