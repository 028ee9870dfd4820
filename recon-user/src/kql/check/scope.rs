//! The columns at a step of a query.
//!
//! The decision held here: a column with an error is kept, without a place, so that its use causes
//! no second error.

use std::collections::HashSet;
use std::sync::Arc;

use crate::kql::{Column, Field, Slot};

/// Columns at one step, more than any rule needs. A query with more is refused, so that its size
/// bounds the cost of checking.
pub(super) const MAX_COLUMNS: usize = 128;

/// The columns in order, each with its name in the query.
#[derive(Debug, Default)]
pub(super) struct ColumnScope {
    columns: Vec<(Arc<str>, Option<Column>)>,
    /// Columns of the table that a query without `project` does not show.
    hidden: Vec<Arc<str>>,
}

impl ColumnScope {
    /// The columns of the table.
    pub(super) fn of_table() -> Self {
        let columns = Field::ALL.map(|(field, name, kind)| {
            let name: Arc<str> = name.into();
            let column = Column {
                slot: Slot::Field(field),
                name: Arc::clone(&name),
                kind,
            };
            (name, Some(column))
        });
        let hidden = Field::ALL.into_iter();
        let hidden = hidden.filter(|(field, ..)| field.is_extra());
        Self {
            columns: columns.into(),
            hidden: hidden.map(|(_, name, _)| name.into()).collect(),
        }
    }

    /// The column of that name: None if there is none, `Some(&None)` if it has an error.
    pub(super) fn get(&self, name: &str) -> Option<&Option<Column>> {
        let (_, column) = self.columns.iter().find(|(other, _)| &**other == name)?;
        Some(column)
    }

    /// Adds a column, or replaces the one of that name.
    pub(super) fn set(&mut self, name: Arc<str>, column: Option<Column>) {
        self.hidden.retain(|hidden| *hidden != name);
        match self.columns.iter_mut().find(|(other, _)| *other == name) {
            Some((_, place)) => *place = column,
            None => self.columns.push((name, column)),
        }
    }

    /// Sets all columns of a step.
    pub(super) fn extend(&mut self, step: Self) {
        for (name, column) in step.columns {
            self.set(name, column);
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.columns.retain(|(other, _)| &**other != name);
    }

    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| &**name)
    }

    /// The columns without an error that the query shows, each with its name.
    pub(super) fn shown(&self) -> impl Iterator<Item = (&Arc<str>, &Column)> {
        self.columns
            .iter()
            .filter(|(name, _)| !self.hidden.contains(name))
            .filter_map(|(name, column)| Some((name, column.as_ref()?)))
    }
}

/// Names in use within a plan.
#[derive(Debug, Default)]
pub(super) struct TakenNames(HashSet<Arc<str>>);

impl TakenNames {
    /// The names of a row's fields.
    pub(super) fn of_table() -> Self {
        Self(
            Field::ALL
                .iter()
                .map(|(_, name, _)| (*name).into())
                .collect(),
        )
    }

    /// `name`, followed by the first number that makes it unique.
    pub(super) fn unique(&mut self, name: &str) -> Arc<str> {
        let numbered = (1_usize..).map(|number| format!("{name}{number}"));
        let mut candidates = std::iter::once(name.to_owned()).chain(numbered);
        let is_free = |candidate: &String| !self.0.contains(candidate.as_str());
        let free: Arc<str> = candidates.find(is_free).unwrap_or_default().into();
        self.0.insert(Arc::clone(&free));
        free
    }
}
