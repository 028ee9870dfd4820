//! The names of programs, which rules write as on Windows.
//!
//! In: the operands of a test. Out: whether it holds without the `.exe` of a constant, if the other
//! operand is a program's name.
//! The decision held here: the constant matches as written too, since a program may have such a
//! name on Linux.

use super::Value;
use crate::kql::{Column, Expr, Field, Function, Literal, Slot};

const EXE: &str = ".exe";

/// Whether a test holds with the constant of two operands without its `.exe`, if the other operand
/// is a program's name.
pub(super) fn holds_without_exe<'a>(
    operands: &'a [Expr; 2],
    [left, right]: &[Value<'a>; 2],
    test: impl Fn(&Value<'a>, &Value<'a>) -> bool,
) -> bool {
    match operands {
        [Expr::Literal(literal), expr] if is_program(expr) => {
            without_exe(literal).is_some_and(|name| test(&Value::text(name), right))
        }
        [expr, Expr::Literal(literal)] if is_program(expr) => {
            without_exe(literal).is_some_and(|name| test(left, &Value::text(name)))
        }
        _ => false,
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
