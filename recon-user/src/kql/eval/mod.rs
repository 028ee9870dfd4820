//! The value of an expression.
//!
//! In: an expression of a plan, and the columns of a row or a group. Out: a [`Value`], or whether a condition holds.
//! The decisions held here:
//! - What is not known makes what is computed from it not known, and a condition that is not known does not hold.

mod value;

use std::net::IpAddr;

use jiff::Timestamp;

use super::plan::{Expr, Slot};
use super::schema::Field;

pub use value::Value;

/// Where the values of columns are to be had.
pub trait Columns {
    /// The value of a column; null where there is none.
    fn value(&self, slot: Slot) -> Value<'_>;

    /// The address that a column is the text of, where it is known to be one: so that it can be tested without being written.
    fn address(&self, _slot: Slot) -> Option<IpAddr> {
        None
    }
}

/// The value of an expression at the time `now`.
#[must_use]
pub fn eval<'a>(expr: &'a Expr, columns: &'a dyn Columns, _now: Timestamp) -> Value<'a> {
    match expr {
        Expr::Literal(literal) => Value::of(literal),
        Expr::Column(column) => columns.value(column.slot),
        _ => Value::Null,
    }
}

/// Whether a condition holds.
#[must_use]
pub fn holds(expr: &Expr, columns: &dyn Columns, now: Timestamp) -> bool {
    eval(expr, columns, now) == Value::Bool(true)
}

/// Whether a condition holds where only some columns are known: None where that depends on the others.
#[must_use]
pub fn partial(_expr: &Expr, _known: &dyn Fn(Field) -> Option<Value<'static>>) -> Option<bool> {
    None
}
