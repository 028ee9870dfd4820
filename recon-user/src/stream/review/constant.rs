//! Constants that a column never has.
//!
//! In: a condition. Out: a [`Doubt`] for each of its tests that no value of the column meets, and
//! for each constant in a list that is none of them.

use std::net::IpAddr;

use jiff::Timestamp;
use recon_common::Signal;

use super::domain::listed;
use super::{Doubt, Guess, slots};
use crate::address::{Network, is_neighbour_network};
use crate::diagnostic::{Diagnostics, Span};
use crate::kql::eval::{Value, compare, holds};
use crate::kql::{Comparison, Expr, Field, Literal, Table, TextTest};
use crate::row::table;
use crate::stream::fields::field;

/// Values are listed in a hint if there are no more.
const SHOWN: usize = 8;

/// The doubts about the tests of a condition, all at its place.
pub(super) fn doubts(
    condition: &Expr,
    place: Span,
    of: Table,
    diagnostics: &Diagnostics,
) -> Vec<Doubt> {
    let mut wrong: Vec<(String, Option<String>)> = Vec::new();
    condition.visit(&mut |part| {
        let (column, literals) = match part {
            Expr::Compare(comparison, sides) => {
                let ([column, Expr::Literal(literal)] | [Expr::Literal(literal), column]) =
                    &**sides
                else {
                    return;
                };
                if !matches!(comparison, Comparison::Equal | Comparison::NotEqual) {
                    return;
                }
                (column, std::slice::from_ref(literal))
            }
            Expr::In { value, list, .. } => (&**value, &**list),
            Expr::Text(operator, sides) => {
                let [column, Expr::Literal(literal)] = &**sides else {
                    return;
                };
                if operator.test != TextTest::Equals {
                    wrong.extend(matches_none(part, column, of));
                    return;
                }
                (column, std::slice::from_ref(literal))
            }
            _ => return,
        };
        let Some(field) = field(column) else { return };
        let ignores_case = match part {
            Expr::In {
                is_case_sensitive, ..
            } => !is_case_sensitive,
            Expr::Text(operator, _) => !operator.is_case_sensitive,
            _ => false,
        };
        let values = values(field, of);
        let values = values.as_deref();
        let literals = literals.iter();
        let never = literals.filter_map(|it| {
            let constant = Constant {
                field,
                literal: it,
                ignores_case,
            };
            constant.never(values, of, diagnostics)
        });
        wrong.extend(never.take(SHOWN));
    });
    let doubt = |(message, hint)| Doubt {
        place,
        message,
        hint,
        is_hopeless: false,
    };
    wrong.into_iter().map(doubt).collect()
}

/// A constant that a column is compared with.
#[derive(Clone, Copy)]
struct Constant<'c> {
    field: Field,
    literal: &'c Literal,
    ignores_case: bool,
}

impl Constant<'_> {
    /// What to say of it if the column, whose values are these, never has it.
    fn never(
        self,
        values: Option<&[Value<'static>]>,
        of: Table,
        diagnostics: &Diagnostics,
    ) -> Option<(String, Option<String>)> {
        let Self { field, literal, .. } = self;
        match (field, literal) {
            (Field::LocalPort | Field::RemotePort, Literal::Long(port)) => {
                u16::try_from(*port).err()?;
                let hint = format!("a port is from 0 to {}", u16::MAX);
                return Some((format!("no port is {port}"), Some(hint)));
            }
            (Field::RemoteIp | Field::LocalIp, Literal::String(text)) => {
                return no_address(field, text);
            }
            (Field::RemoteNetwork, Literal::String(text)) => return no_network(text),
            _ => {}
        }
        let listed = values?;
        if self.is_among(listed) {
            return None;
        }
        let message = format!("{} is never {}", field.name(), shown(literal));
        let mut others = Table::ALL.into_iter().filter(|&table| table != of);
        let has_it =
            |&table: &Table| self::values(field, table).is_some_and(|all| self.is_among(&all));
        let hint = match others.find(has_it) {
            Some(table) => format!("rows of {} have it", table.name()),
            None => suggestion(literal, listed, diagnostics),
        };
        Some((message, Some(hint)))
    }

    fn is_among(self, values: &[Value<'_>]) -> bool {
        values.iter().any(|value| match (value, self.literal) {
            (Value::String(value), Literal::String(text)) if self.ignores_case => {
                value.eq_ignore_ascii_case(text)
            }
            _ => compare(Comparison::Equal, value, &Value::of(self.literal)) == Some(true),
        })
    }
}

fn shown(literal: &Literal) -> String {
    match literal {
        Literal::String(text) => format!("\"{text}\""),
        Literal::Long(number) => number.to_string(),
        Literal::Bool(truth) => truth.to_string(),
        _ => "this".to_owned(),
    }
}

/// The value that was probably meant, or those that there are.
fn suggestion(literal: &Literal, values: &[Value<'_>], diagnostics: &Diagnostics) -> String {
    let names: Vec<String> = values
        .iter()
        .filter_map(|value| match value {
            Value::String(text) if !text.is_empty() => Some(text.to_string()),
            Value::Long(number) => Some(number.to_string()),
            _ => None,
        })
        .collect();
    let meant = match literal {
        Literal::String(text) => diagnostics.did_you_mean(text, names.iter().map(String::as_str)),
        _ => None,
    };
    let more = if names.len() > SHOWN { ", ..." } else { "" };
    let some = &names[..names.len().min(SHOWN)];
    meant.unwrap_or_else(|| format!("it is one of {}{more}", some.join(", ")))
}

/// All values of a column in a table, each once. `None` if they can't be listed.
fn values(field: Field, of: Table) -> Option<Vec<Value<'static>>> {
    // Any process may have any name.
    if field.is_of_process() && field != Field::ProcessIsScanner {
        return None;
    }
    let mut all: Vec<Value<'static>> = Vec::new();
    for signal in Signal::ALL.into_iter().filter(|&it| table(it) == of) {
        for value in listed(field, signal)? {
            if !all.contains(&value) {
                all.push(value);
            }
        }
    }
    Some(all)
}

/// What to say of a test of texts that no value of its column meets.
fn matches_none(test: &Expr, column: &Expr, of: Table) -> Option<(String, Option<String>)> {
    let field = field(column)?;
    let Expr::Text(operator, _) = test else {
        return None;
    };
    let values = values(field, of)?;
    let [slot] = slots(test)[..] else {
        return None;
    };
    let is_met = |value: &Value<'static>| {
        let guess = Guess {
            slots: &[slot],
            values: vec![value],
        };
        holds(test, &guess, Timestamp::UNIX_EPOCH) != operator.is_negated
    };
    if values.iter().any(is_met) {
        return None;
    }
    let message = format!("no {} is like this", field.name());
    Some((message, None))
}

/// What to say of a text that is no address in the form in which rows have it.
fn no_address(field: Field, text: &str) -> Option<(String, Option<String>)> {
    let name = field.name();
    let hint = match text.parse::<IpAddr>() {
        Ok(address) => {
            let canonical = address.to_canonical().to_string();
            if canonical == text {
                return None;
            }
            Some(format!("write \"{canonical}\""))
        }
        Err(_) if text.is_empty() => return None,
        Err(_) if text.parse::<Network>().is_ok() => {
            Some(format!("write ipv4_is_in_range({name}, \"{text}\")"))
        }
        Err(_) => None,
    };
    Some((format!("{name} is never \"{text}\""), hint))
}

/// What to say of a text that is no network of neighbours.
fn no_network(text: &str) -> Option<(String, Option<String>)> {
    if text.is_empty() || is_neighbour_network(text) {
        return None;
    }
    let hint = "it is a /24, or a /64 of IPv6, such as \"198.51.100.0/24\"";
    let message = format!("RemoteNetwork is never \"{text}\"");
    Some((message, Some(hint.to_owned())))
}
