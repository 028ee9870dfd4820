//! The columns of a row that an expression depends on.
//!
//! In: an expression of a plan, and the columns that the plan computes. Out: the columns of the
//! row, including those behind computed columns.

use crate::kql::{Column, Expr, Field, Function, Named, Slot};

/// The columns of a row that an expression depends on.
pub(crate) fn fields(expr: &Expr, extends: &[Named]) -> impl Iterator<Item = Field> {
    Fields::of(expr, extends).all.into_iter()
}

/// The column of the row that an expression reads, if the expression is nothing else.
pub(crate) fn field(expr: &Expr) -> Option<Field> {
    match expr {
        Expr::Column(Column {
            slot: Slot::Field(field),
            ..
        }) => Some(*field),
        _ => None,
    }
}

/// The columns that an expression depends on.
#[derive(Default)]
pub(super) struct Fields {
    all: Vec<Field>,
    /// The positions of the computed columns.
    extends: Vec<usize>,
    /// Whether the expression reads a port, and does not only test whether there is one.
    asks_for_ports: bool,
}

impl Fields {
    pub(super) fn of(expr: &Expr, extends: &[Named]) -> Self {
        let mut fields = Self::default();
        fields.add(expr);
        // A computed column refers only to earlier ones, so each is visited once.
        let mut next = 0;
        while let Some(&position) = fields.extends.get(next) {
            fields.add(&extends[position].expr);
            next += 1;
        }
        fields
    }

    fn add(&mut self, expr: &Expr) {
        match expr {
            Expr::Literal(_) => {}
            // The signal does not determine the time.
            Expr::Now(_) => self.all.push(Field::TimeGenerated),
            Expr::Column(column) => match column.slot {
                Slot::Field(field) => {
                    self.asks_for_ports |= matches!(field, Field::LocalPort | Field::RemotePort);
                    self.all.push(field);
                }
                Slot::Extend(position) => {
                    // The synthetic row of a signal has no computed columns.
                    self.all.push(Field::TimeGenerated);
                    if !self.extends.contains(&position) {
                        self.extends.push(position);
                    }
                }
                _ => self.all.push(Field::TimeGenerated),
            },
            Expr::Call(
                Function::IsNull | Function::IsNotNull | Function::IsEmpty | Function::IsNotEmpty,
                arguments,
            ) if arguments.iter().all(|argument| field(argument).is_some()) => {
                self.all.extend(arguments.iter().filter_map(field));
            }
            Expr::And(parts) | Expr::Or(parts) | Expr::Call(_, parts) => {
                parts.iter().for_each(|part| self.add(part));
            }
            Expr::Negate(part) => self.add(part),
            Expr::Prepared(prepared) => self.add(&prepared.written),
            Expr::Compare(_, parts) | Expr::Arithmetic(_, parts) | Expr::Text(_, parts) => {
                parts.iter().for_each(|part| self.add(part));
            }
            Expr::In { value, .. } => self.add(value),
            Expr::Between { parts, .. } => parts.iter().for_each(|part| self.add(part)),
        }
    }

    pub(super) fn are_of_the_signal(&self) -> bool {
        !self.asks_for_ports
            && self.all.iter().all(|field| {
                matches!(
                    field,
                    Field::ActionType
                        | Field::Protocol
                        | Field::Outcome
                        | Field::LocalPort
                        | Field::RemotePort
                )
            })
    }

    pub(super) fn are_of_the_process(&self) -> bool {
        !self.all.is_empty() && self.all.iter().all(|field| field.is_of_process())
    }
}
