//! Recognizes conditions that only exclude private remotes.
//!
//! In: a condition of a query. Out: whether it is such a condition, so that one switch can turn all
//! of them off, however they are written.
//! The decision held here: the form of the condition decides, and everything that it excludes must
//! be private. A condition that could exclude a public address is not one.

use std::net::{IpAddr, Ipv4Addr};

use super::fields::field;
use crate::address::{ipv4_range, is_private};
use crate::kql::{Comparison, Expr, Field, Function, Literal, TextOperator, TextTest};

/// The `RemoteIPType` of public addresses.
const PUBLIC: &str = "Public";
/// Prefixes of private IPv6 addresses: unique local and link-local.
const V6_STARTS: [&str; 3] = ["fc", "fd", "fe80:"];

/// Whether `condition` excludes private remotes and nothing else.
pub(super) fn is_exclusion(condition: &Expr) -> bool {
    match condition {
        Expr::And(parts) | Expr::Or(parts) => parts.iter().all(is_exclusion),
        Expr::Call(Function::Not, of) => matches!(&of[..], [of] if is_of_private(of)),
        Expr::Text(operator, sides) => operator.is_negated && is_start(*operator, sides),
        Expr::Compare(Comparison::NotEqual, sides) => match &**sides {
            [left, Expr::Literal(right)] => is_private_type(left, right),
            _ => false,
        },
        Expr::In {
            value,
            list,
            is_negated: true,
            ..
        } => list.iter().all(|literal| is_private_type(value, literal)),
        _ => is_public(condition),
    }
}

/// `RemoteIPType == "Public"`
pub(super) fn is_public(condition: &Expr) -> bool {
    let Expr::Compare(Comparison::Equal, sides) = condition else {
        return false;
    };
    let [left, right] = &**sides;
    field(left) == Some(Field::RemoteIpType) && text(right) == Some(PUBLIC)
}

/// Whether `condition` holds only for private remotes.
fn is_of_private(condition: &Expr) -> bool {
    match condition {
        Expr::Or(parts) => parts.iter().all(is_of_private),
        Expr::And(parts) => parts.iter().any(is_of_private),
        Expr::Text(operator, sides) => !operator.is_negated && is_start(*operator, sides),
        Expr::Call(Function::Ipv4IsPrivate, of) => {
            matches!(&of[..], [of] if field(of) == Some(Field::RemoteIp))
        }
        Expr::Call(Function::Ipv4IsInRange, of) => match &of[..] {
            [of, range] if field(of) == Some(Field::RemoteIp) => {
                text(range).is_some_and(is_private_range)
            }
            _ => false,
        },
        Expr::Compare(Comparison::Equal, sides) => match &**sides {
            [left, Expr::Literal(right)] => is_private_type(left, right),
            _ => false,
        },
        Expr::In {
            value,
            list,
            is_negated: false,
            ..
        } => list.iter().all(|literal| is_private_type(value, literal)),
        _ => false,
    }
}

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(Literal::String(text)) => Some(text),
        _ => None,
    }
}

/// Whether `value` is the `RemoteIPType` column and `kind` names a type other than `Public`.
fn is_private_type(value: &Expr, kind: &Literal) -> bool {
    field(value) == Some(Field::RemoteIpType)
        && matches!(kind, Literal::String(kind) if !kind.eq_ignore_ascii_case(PUBLIC))
}

/// Whether this is a prefix test on `RemoteIP` whose prefix covers only private addresses.
fn is_start(operator: TextOperator, sides: &[Expr; 2]) -> bool {
    let [left, right] = sides;
    operator.test == TextTest::StartsWith
        && field(left) == Some(Field::RemoteIp)
        && text(right).is_some_and(is_private_start)
}

/// Whether a textual prefix, such as `10.1.`, covers only private addresses.
fn is_private_start(start: &str) -> bool {
    if V6_STARTS
        .iter()
        .any(|known| start.to_ascii_lowercase().starts_with(known))
    {
        return true;
    }
    let Some(octets) = start.strip_suffix('.') else {
        return start.parse().is_ok_and(is_private);
    };
    let missing = 3_usize.checked_sub(octets.matches('.').count());
    let end = |octet: &str| {
        let whole = format!("{octets}{}", octet.repeat(missing?));
        whole.parse::<Ipv4Addr>().ok()
    };
    are_private(end(".0"), end(".255"))
}

/// Whether a range, such as `10.0.0.0/8`, covers only private addresses.
fn is_private_range(range: &str) -> bool {
    ipv4_range(range)
        .is_some_and(|range| are_private(Some(range.network()), Some(range.broadcast())))
}

/// Whether the block from `first` to `last` is private. Testing both ends is enough for blocks of
/// /8 and smaller.
fn are_private(first: Option<Ipv4Addr>, last: Option<Ipv4Addr>) -> bool {
    /// The prefix length of the largest private block.
    const SHORTEST: u32 = 8;
    let (Some(first), Some(last)) = (first, last) else {
        return false;
    };
    let common_prefix = (first.to_bits() ^ last.to_bits()).leading_zeros();
    common_prefix >= SHORTEST && [first, last].into_iter().map(IpAddr::V4).all(is_private)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kql::Loader;

    fn conditions(text: &str) -> Vec<Expr> {
        let query = format!("DeviceNetworkEvents\n| where {text}\n| project RemoteIP");
        let mut loaded = Loader::default().load("test.kql", query.as_bytes());
        assert_eq!(loaded.plans.len(), 1, "{text}: {:?}", loaded.diagnostics);
        loaded.plans.swap_remove(0).filter
    }

    #[test]
    fn conditions_that_only_exclude_private_remotes_are_recognized() {
        for (text, expected) in [
            ("RemoteIPType == 'Public'", true),
            ("RemoteIPType != 'Private'", true),
            ("RemoteIPType !in ('Private', 'Loopback')", true),
            ("RemoteIPType == 'Private'", false),
            ("RemoteIPType != 'Public'", false),
            ("RemoteIPType !in ('Private', 'Public')", false),
            ("not(ipv4_is_private(RemoteIP))", true),
            ("ipv4_is_private(RemoteIP)", false),
            ("not(ipv4_is_private(LocalIP))", false),
            ("RemoteIP !startswith '10.'", true),
            ("RemoteIP !startswith '10.1.'", true),
            ("RemoteIP !startswith '192.168.'", true),
            ("RemoteIP !startswith '172.16.'", true),
            ("RemoteIP !startswith '172.31.0.'", true),
            ("RemoteIP !startswith '127.0.0.1'", true),
            ("RemoteIP !startswith '169.254.'", true),
            ("RemoteIP !startswith 'fe80:'", true),
            ("RemoteIP !startswith '172.'", false),
            ("RemoteIP !startswith '172.32.'", false),
            ("RemoteIP !startswith '192.'", false),
            ("RemoteIP !startswith '1'", false),
            ("RemoteIP !startswith '10'", false),
            ("RemoteIP !startswith '10.0.0.0.0.'", false),
            ("RemoteIP startswith '10.'", false),
            ("not(RemoteIP startswith '10.')", true),
            (
                "not(RemoteIP startswith '10.' or RemoteIP startswith '192.168.')",
                true,
            ),
            (
                "not(RemoteIP startswith '10.' or RemoteIP startswith '8.8.')",
                false,
            ),
            ("not(ipv4_is_in_range(RemoteIP, '10.0.0.0/8'))", true),
            ("not(ipv4_is_in_range(RemoteIP, '172.16.0.0/12'))", true),
            ("not(ipv4_is_in_range(RemoteIP, '172.16.0.0/11'))", false),
            ("not(ipv4_is_in_range(RemoteIP, '0.0.0.0/0'))", false),
            ("RemoteIP != '10.0.0.1'", false),
            ("LocalPort == 22", false),
        ] {
            for condition in conditions(text) {
                assert_eq!(is_exclusion(&condition), expected, "{text}");
            }
        }
    }
}
