//! The names of programs, which rules write as on Windows.
//!
//! In: the operands of a comparison. Out: the constant without its `.exe`, if the other is a
//! program's name.
//! The decision held here: the constant matches as written too, since a program may have such a
//! name on Linux.

use super::super::function::Function;
use super::super::plan::{Column, Expr, Slot};
use super::super::schema::Field;
use super::super::value::Literal;

const EXE: &str = ".exe";

/// What else an operand may be, and which operand.
pub(super) enum Other<'a> {
    Left(&'a str),
    Right(&'a str),
}

/// What else the constant of two operands may be, if the other operand is a program's name.
pub(super) fn other([left, right]: &[Expr; 2]) -> Option<Other<'_>> {
    match (left, right) {
        (Expr::Literal(literal), expr) if is_program(expr) => without_exe(literal).map(Other::Left),
        (expr, Expr::Literal(literal)) if is_program(expr) => {
            without_exe(literal).map(Other::Right)
        }
        _ => None,
    }
}

/// Whether an expression is the name of a process's file, in any case.
pub(super) fn is_program(expr: &Expr) -> bool {
    match expr {
        Expr::Column(Column { slot, .. }) => *slot == Slot::Field(Field::ProcessFileName),
        Expr::Call(Function::ToLower | Function::ToUpper | Function::ToString, arguments) => {
            arguments.iter().all(is_program)
        }
        _ => false,
    }
}

/// A string without its final `.exe`. None if nothing would be left.
pub(super) fn without_exe(literal: &Literal) -> Option<&str> {
    let Literal::String(text) = literal else {
        return None;
    };
    let (stem, end) = text.split_at_checked(text.len().checked_sub(EXE.len())?)?;
    (!stem.is_empty() && end.eq_ignore_ascii_case(EXE)).then_some(stem)
}
