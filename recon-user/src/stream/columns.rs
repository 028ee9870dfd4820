//! The values of columns: those of a row and its computed columns, or those of a group's key and
//! aggregates.
//!
//! In: a row, or a group. Out: [`Columns`], on which expressions are evaluated.

use std::cell::OnceCell;
use std::net::IpAddr;

use jiff::Timestamp;

use super::fields::field;
use super::key::GroupKey;
use super::query::Query;
use super::window;
use crate::kql::eval::{Columns, Value, eval};
use crate::kql::{Field, Named, Plan, Slot};
use crate::row::Row;

/// Columns that are computed on first read, and only once. Without this, a chain of columns that
/// refer to one another would take exponential time.
#[derive(Default)]
struct Computed(OnceCell<Box<[OnceCell<Value<'static>>]>>);

impl Computed {
    /// The value of the column at `position`. A column depends only on earlier columns.
    fn value(
        &self,
        of: &[Named],
        position: usize,
        columns: &dyn Columns,
        now: Timestamp,
    ) -> Value<'_> {
        let values = self
            .0
            .get_or_init(|| of.iter().map(|_| OnceCell::new()).collect());
        // In order, so that evaluation never recurses through a long chain of columns.
        for (column, value) in of.iter().zip(values).take(position + 1) {
            value.get_or_init(|| eval(&column.expr, columns, now).into_owned());
        }
        match values.get(position).and_then(OnceCell::get) {
            Some(Value::String(text)) => Value::text(text),
            Some(value) => value.clone(),
            None => Value::Null,
        }
    }
}

/// A row and the columns that a plan computes from it.
pub(crate) struct RowColumns<'a> {
    pub(super) row: &'a Row<'a>,
    plan: &'a Plan,
    extends: Computed,
}

impl<'a> RowColumns<'a> {
    pub(crate) fn new(row: &'a Row<'a>, plan: &'a Plan) -> Self {
        Self {
            row,
            plan,
            extends: Computed::default(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.row.time
    }

    pub(super) fn count(&self) -> u64 {
        self.row.count
    }
}

impl Columns for RowColumns<'_> {
    fn value(&self, slot: Slot) -> Value<'_> {
        match slot {
            Slot::Extend(position) => {
                let extends = &self.plan.extends;
                self.extends.value(extends, position, self, self.now())
            }
            _ => Columns::value(self.row, slot),
        }
    }

    fn address(&self, slot: Slot) -> Option<IpAddr> {
        self.row.address(slot)
    }
}

/// A group and the results of its aggregates.
pub(crate) struct GroupColumns<'a> {
    query: &'a Query,
    key: &'a GroupKey,
    now: Timestamp,
    /// The results of the plan's aggregates, one list for each aggregate.
    aggregates: Vec<Vec<Value<'static>>>,
    computed: Computed,
}

impl<'a> GroupColumns<'a> {
    pub(crate) fn new(
        query: &'a Query,
        key: &'a GroupKey,
        aggregates: Vec<Vec<Value<'static>>>,
        now: Timestamp,
    ) -> Self {
        Self {
            query,
            key,
            now,
            aggregates,
            computed: Computed::default(),
        }
    }

    fn group(&self, position: usize) -> Value<'_> {
        let of = self
            .query
            .key
            .computed
            .iter()
            .position(|&computed| computed == position);
        if let Some(of) = of {
            return self.key.computed.get(of).cloned().unwrap_or(Value::Null);
        }
        let text = |address: Option<recon_common::Address>| {
            let text = address.map_or_else(String::new, |address| address.to_ip().to_string());
            Value::String(text.into())
        };
        match field(&self.query.plan().groups[position].expr) {
            Some(Field::RemoteIp) => text(self.key.remote),
            Some(Field::RemoteNetwork | Field::RemoteSite | Field::RemoteBlock) => {
                let first = self.key.remote.zip(self.query.key.network());
                let network = first.map(|(first, size)| size.text(first));
                Value::String(network.unwrap_or_default().into())
            }
            Some(Field::LocalIp) => text(self.key.local),
            Some(Field::LocalPort | Field::RemotePort) => Value::number(self.key.port),
            Some(Field::ProcessId) => Value::number(self.key.pid),
            _ => Value::Null,
        }
    }
}

impl Columns for GroupColumns<'_> {
    fn value(&self, slot: Slot) -> Value<'_> {
        match slot {
            Slot::Group(position) => self.group(position),
            Slot::Window => Value::DateTime(window::window_start(self.now, self.query.window())),
            Slot::Aggregate(position, output) => self
                .aggregates
                .get(position)
                .and_then(|outputs| outputs.get(output))
                .cloned()
                .unwrap_or(Value::Null),
            Slot::Computed(position) => {
                let computed = &self.query.plan().computed;
                self.computed.value(computed, position, self, self.now)
            }
            // A group has no single row.
            Slot::Field(_) | Slot::Extend(_) => Value::Null,
        }
    }

    fn address(&self, slot: Slot) -> Option<IpAddr> {
        let Slot::Group(position) = slot else {
            return None;
        };
        let address = match field(&self.query.plan().groups.get(position)?.expr)? {
            Field::RemoteIp => self.key.remote,
            Field::LocalIp => self.key.local,
            _ => None,
        };
        address.map(|address| address.to_ip())
    }
}
