//! Functions of values.

use std::borrow::Cow;

use super::super::function::Function;
use super::super::plan::Expr;
use super::super::value::Type;
use super::{Evaluation, Value, address, number, text};

/// The value of a function. Null if an argument is missing.
pub(super) fn call<'a>(
    function: Function,
    arguments: &'a [Expr],
    scope: &Evaluation<'a>,
) -> Value<'a> {
    match (function, arguments) {
        (Function::Iff, [condition, then, otherwise]) => iff(condition, then, otherwise, scope),
        (_, [argument]) => of_one(function, scope.eval(argument)),
        (_, [left, right]) => of_two(function, &scope.eval(left), &scope.eval(right)),
        _ => Value::Null,
    }
}

/// A null condition does not hold. A whole number is real if the other value would be.
fn iff<'a>(
    condition: &'a Expr,
    then: &'a Expr,
    otherwise: &'a Expr,
    scope: &Evaluation<'a>,
) -> Value<'a> {
    let (taken, left) = match scope.truth(condition) {
        Some(true) => (then, otherwise),
        _ => (otherwise, then),
    };
    match scope.eval(taken) {
        Value::Long(value) if number::kind(left) == Some(Type::Real) => Value::Real(value as f64),
        value => value,
    }
}

fn of_one(function: Function, value: Value<'_>) -> Value<'_> {
    let is_empty = |value: &Value<'_>| match value {
        Value::String(text) => text.is_empty(),
        value => value.is_null(),
    };
    match function {
        Function::IsEmpty => Value::Bool(is_empty(&value)),
        Function::IsNotEmpty => Value::Bool(!is_empty(&value)),
        Function::IsNull => Value::Bool(value.is_null()),
        Function::IsNotNull => Value::Bool(!value.is_null()),
        Function::ToString => Value::String(text::string(value)),
        Function::ToLong => Value::number(number::long(&value)),
        Function::ToInt => {
            let int = number::long(&value).and_then(|value| i32::try_from(value).ok());
            Value::number(int)
        }
        _ => match value {
            Value::String(text) => of_text(function, text),
            _ => Value::Null,
        },
    }
}

fn of_text(function: Function, text: Cow<'_, str>) -> Value<'_> {
    match function {
        Function::Ipv4IsPrivate => Value::Bool(address::is_private(&text)),
        Function::StrLen => Value::number(i64::try_from(text.chars().count()).ok()),
        Function::ToLower => Value::String(Cow::Owned(text::folded(&text).into_owned())),
        Function::ToUpper => Value::String(Cow::Owned(text.to_uppercase())),
        _ => Value::Null,
    }
}

fn of_two(function: Function, left: &Value<'_>, right: &Value<'_>) -> Value<'static> {
    match (function, left, right) {
        (Function::Bin, value, size) => number::bin(value, size),
        (Function::Ipv4IsInRange, Value::String(address), Value::String(range)) => {
            Value::Bool(address::is_in_range(address, range))
        }
        _ => Value::Null,
    }
}
