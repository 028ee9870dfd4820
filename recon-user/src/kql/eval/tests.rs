//! Conditions as rules write them, and whether they hold for a row.

use std::net::IpAddr;

use jiff::Timestamp;
use proptest::prelude::*;
use recon_common::{Address, Key, Signal};

use super::number::{arithmetic, bin, long};
use super::{Predicate, Value, holds};
use crate::kql::{Arithmetic, Expr, Loader};
use crate::process::Process;
use crate::row::{Row, RowKey};

/// Conditions that hold for a row and, after `!!`, conditions that do not. A line `# ` names the
/// row.
const CONDITIONS: &str = include_str!("tests/conditions.txt");

fn ip(text: &str) -> Address {
    text.parse::<IpAddr>().expect("an address").into()
}

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// The filter of a query with that condition.
fn filter(condition: &str) -> Vec<Expr> {
    let text = format!("DeviceNetworkEvents | where {condition}");
    let mut loaded = Loader::default().load("t.kql", text.as_bytes());
    assert_eq!(
        loaded.diagnostics.errors(),
        0,
        "{}",
        loaded.diagnostics.render(&loaded.source)
    );
    loaded.plans.remove(0).filter
}

/// A row by its name: a SYN to this host, a failed connection of nmap, an echo request by IPv6.
fn with_row<T>(name: &str, ask: impl FnOnce(&Row<'_>) -> T) -> T {
    let process = Process {
        pid: 4242,
        parent: Some(17),
        user: Some(1000),
        name: Some("nmap".to_owned()),
        executable: Some("/usr/bin/nmap".to_owned()),
        command_line: Some("nmap -sT 10.0.0.5".to_owned()),
        ..Process::default()
    };
    let (signal, remote, local, port, pid) = match name {
        "syn" => (Signal::Syn, ip("198.51.100.7"), ip("192.0.2.1"), 445, 0),
        "failed" => (
            Signal::ConnectFailed,
            ip("10.0.0.5"),
            Address::UNSPECIFIED,
            53,
            4242,
        ),
        "echo" => (
            Signal::EchoRequest,
            ip("2001:db8::1"),
            ip("2001:db8::2"),
            0,
            0,
        ),
        _ => panic!("no row {name}"),
    };
    let key = Key {
        remote,
        local,
        detail: pid,
        port,
        signal: signal as u8,
        tool: 0,
    };
    ask(&Row {
        device: "Web-01.Example.org",
        process: (pid != 0).then_some(&process),
        is_scanner: pid != 0,
        ..Row::bare(
            RowKey::unpack(&key).expect("a signal"),
            3,
            time("2026-01-31T10:20:30Z"),
        )
    })
}

/// The ways to evaluate a condition that give the wrong result: as written, and prepared.
fn wrong(row: &Row<'_>, condition: &str, expected: bool) -> Vec<&'static str> {
    let now = time("2026-01-31T10:30:00Z");
    let filter = filter(condition);
    let is_wrong = |ask: &dyn Fn(&Expr) -> bool| filter.iter().all(ask) != expected;
    [
        ("as written", is_wrong(&|expr| holds(expr, row, now))),
        (
            "prepared",
            is_wrong(&|expr| Predicate::new(expr).holds(row, now)),
        ),
    ]
    .into_iter()
    .filter_map(|(way, is_wrong)| is_wrong.then_some(way))
    .collect()
}

#[test]
fn conditions() {
    let mut name = "";
    let mut failures = Vec::new();
    for line in CONDITIONS.lines().filter(|line| !line.is_empty()) {
        if let Some(row) = line.strip_prefix("# ") {
            name = row;
            continue;
        }
        let (condition, expected) = match line.strip_prefix("!! ") {
            Some(condition) => (condition, false),
            None => (line, true),
        };
        let wrong = with_row(name, |row| wrong(row, condition, expected));
        failures.extend(
            wrong
                .into_iter()
                .map(|way| format!("{name}: {line}: {way}")),
        );
    }
    assert_eq!(failures, Vec::<String>::new());
}

/// Arithmetic without a result can't be written as a condition on columns.
#[test]
fn what_has_no_result_is_null() {
    let ends = [i64::MIN, -1, 0, 1, i64::MAX];
    let mut values = vec![
        Value::Null,
        Value::Bool(true),
        Value::text("x"),
        Value::List(Vec::new()),
        Value::DateTime(Timestamp::MIN),
        Value::DateTime(Timestamp::MAX),
    ];
    values.extend(ends.map(Value::Long));
    values.extend(ends.map(Value::Timespan));
    values.extend([f64::MIN, -0.0, f64::MAX, f64::NAN, f64::INFINITY].map(Value::Real));
    let operators = [
        Arithmetic::Add,
        Arithmetic::Subtract,
        Arithmetic::Multiply,
        Arithmetic::Divide,
        Arithmetic::Remainder,
    ];
    for left in &values {
        for right in &values {
            for operator in operators {
                let value = arithmetic(operator, left, right);
                let is_finite = !matches!(value, Value::Real(value) if !value.is_finite());
                assert!(is_finite, "{left:?} {operator} {right:?}");
                if left.is_null() || right.is_null() {
                    assert!(value.is_null(), "{left:?} {operator} {right:?}");
                }
            }
            bin(left, right);
        }
        arithmetic(Arithmetic::Multiply, &Value::Long(-1), left);
        long(left);
    }
    let long_of = |left: i64, operator, right: i64| {
        arithmetic(operator, &Value::Long(left), &Value::Long(right))
    };
    for (value, expected) in [
        (long_of(7, Arithmetic::Divide, 2), Value::Long(3)),
        (long_of(-7, Arithmetic::Remainder, 2), Value::Long(-1)),
        (long_of(7, Arithmetic::Divide, 0), Value::Null),
        (long_of(7, Arithmetic::Remainder, 0), Value::Null),
        (long_of(i64::MAX, Arithmetic::Add, 1), Value::Null),
        (long_of(i64::MIN, Arithmetic::Divide, -1), Value::Null),
        (bin(&Value::Long(-7), &Value::Long(5)), Value::Long(-10)),
        (bin(&Value::Long(7), &Value::Real(2.5)), Value::Real(5.0)),
        (bin(&Value::Long(i64::MIN), &Value::Long(3)), Value::Null),
    ] {
        assert_eq!(value, expected);
    }
}

const COLUMNS: [&str; 4] = ["RemoteIP", "LocalIP", "DeviceName", "ActionType"];

proptest! {
    /// A prepared condition is the condition, whatever is written as an address.
    #[test]
    fn prepared_conditions_equal_written_ones(
        column in proptest::sample::select(&COLUMNS),
        operator in proptest::sample::select(vec![
            "startswith", "!startswith", "startswith_cs", "endswith", "==", "!=", "has",
        ]),
        text in "[0-9]{1,3}(\\.[0-9]{0,3}){0,4}|10\\.|198\\.51\\.|2001:.{0,4}|[+]1\\.",
        remote in any::<[u8; 4]>(),
        small in 0..3_u8,
    ) {
        let text = text.replace(['"', '\\'], "");
        let text: String = text.chars().filter(|letter| !letter.is_control()).collect();
        let condition = format!("{column} {operator} \"{text}\"");
        let filter = filter(&condition);
        with_row("syn", |row| {
            let remote = Address::v4([if small == 0 { 10 } else { remote[0] }, remote[1] % 12, small, remote[3]]);
            let key = RowKey { remote: Some(remote), ..row.key };
            let row = Row { key, ..*row };
            let now = row.time;
            prop_assert_eq!(
                Predicate::new(&filter[0]).holds(&row, now),
                holds(&filter[0], &row, now),
                "{} of {}", condition, remote.to_ip()
            );
            Ok(())
        })?;
    }
}
