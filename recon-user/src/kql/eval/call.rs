//! Functions of values.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use super::{Evaluation, Value, number, text};
use crate::address::ipv4_range;
use crate::kql::{Expr, Function};

/// The value of a function. Null if an argument is missing.
pub(super) fn call<'a>(
    function: Function,
    arguments: &'a [Expr],
    scope: &Evaluation<'a>,
) -> Value<'a> {
    match arguments {
        // `iff`: a null condition does not hold.
        [condition, then, otherwise] => match scope.truth(condition) {
            Some(true) => scope.eval(then),
            _ => scope.eval(otherwise),
        },
        [left, right] => of_two(function, &scope.eval(left), &scope.eval(right)),
        [argument] => of_one(function, scope.eval(argument)),
        _ => Value::Null,
    }
}

fn of_one(function: Function, value: Value<'_>) -> Value<'_> {
    let is_empty = match &value {
        Value::String(text) => text.is_empty(),
        value => value.is_null(),
    };
    match (function, value) {
        (Function::IsEmpty, _) => Value::Bool(is_empty),
        (Function::IsNotEmpty, _) => Value::Bool(!is_empty),
        (Function::IsNull, value) => Value::Bool(value.is_null()),
        (Function::IsNotNull, value) => Value::Bool(!value.is_null()),
        (Function::ToString, value) => Value::String(text::string(value)),
        (Function::ToLong, value) => Value::number(number::long(&value)),
        (Function::ToInt, value) => {
            let int = number::long(&value).and_then(|value| i32::try_from(value).ok());
            Value::number(int)
        }
        (Function::Ipv4IsPrivate, Value::String(text)) => Value::Bool(
            text.parse()
                .is_ok_and(|address: Ipv4Addr| address.is_private()),
        ),
        (Function::StrLen, Value::String(text)) => {
            Value::number(i64::try_from(text.chars().count()).ok())
        }
        (Function::ToLower, Value::String(text)) => {
            Value::String(Cow::Owned(text::folded(&text).into_owned()))
        }
        (Function::ToUpper, Value::String(text)) => Value::String(Cow::Owned(text.to_uppercase())),
        _ => Value::Null,
    }
}

fn of_two(function: Function, left: &Value<'_>, right: &Value<'_>) -> Value<'static> {
    match (function, left, right) {
        (Function::Bin, value, size) => number::bin(value, size),
        (Function::Ipv4IsInRange, Value::String(address), Value::String(range)) => {
            let range = ipv4_range(range).zip(address.parse().ok());
            Value::Bool(
                range.is_some_and(|(range, address): (_, Ipv4Addr)| range.contains(&address)),
            )
        }
        _ => Value::Null,
    }
}
