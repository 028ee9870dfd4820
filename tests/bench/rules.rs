//! Measures the cost of rules: the rows of one poll under more rules and under fewer.
//!
//! In: nothing. Out: on stdout, a line for each round of each comparison, separated by tabs: the
//! comparison, and the nanoseconds per row with fewer and with more rules. `cargo xtask bench` runs
//! this and formats a table.
//! The decision held here: both sides take turns on the same rows, each with a new pipeline.

mod driver;

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, ensure};
use recon_common::{Address, Key, Signal};
use recon_user::kql::{Loader, Plan};
use recon_user::rule::{Profile, defaults};

const ROUNDS: u32 = 5;
const ROWS: u32 = 1_000_000;
/// Rows of a scanning remote, each on another port.
const PORTS: u16 = 20;
/// The signals of the rows, in turn: mostly SYNs, as when many remotes scan.
const SIGNALS: [Signal; 8] = [
    Signal::Syn,
    Signal::Syn,
    Signal::RefusedTcp,
    Signal::Syn,
    Signal::Datagram,
    Signal::RefusedTcp,
    Signal::EchoRequest,
    Signal::DnsQueryUdp,
];

/// `ROWS` rows, `of_each` rows for each remote.
fn rows(of_each: u32) -> Vec<Key> {
    let row = |number: u32| {
        let [_, high, middle, low] = (number / of_each).to_be_bytes();
        let signal = SIGNALS[number as usize % SIGNALS.len()];
        Key {
            remote: Address::v4([20 + high, middle, low, 1]),
            local: Address::v4([203, 0, 113, 1]),
            detail: 0,
            port: match signal {
                Signal::EchoRequest => 0,
                Signal::DnsQueryUdp => 53,
                _ => 20 + (number % u32::from(PORTS)) as u16,
            },
            signal: signal as u8,
            tool: 0,
        }
    };
    (0..ROWS).map(row).collect()
}

/// `count` rules on one port each, as users write them.
fn on_ports(count: u16) -> Result<Vec<Plan>> {
    let rules: String = (0..count)
        .map(|number| {
            let port = 20 + number;
            format!(
                "// id: knock-{port}\nDeviceNetworkEvents\n| where ActionType == \"SYN\" and LocalPort == {port} and RemoteIPType == \"Public\"\n\
                 | summarize hits = count() by RemoteIP\n| where hits > 10\n\n"
            )
        })
        .collect();
    let loaded = Loader::default().load("rules.kql", rules.as_bytes());
    ensure!(
        loaded.plans.len() == usize::from(count),
        "{:?}",
        loaded.diagnostics
    );
    Ok(loaded.plans)
}

/// Nanoseconds per row.
fn time(rows: &[Key], rules: &[Plan]) -> f64 {
    let mut pipeline = driver::pipeline_of(rules.to_vec());
    let interval = driver::interval(0);
    let start = Instant::now();
    for key in rows {
        driver::push(&mut pipeline, key, 1, interval);
    }
    black_box(pipeline.end_poll_unlimited(interval, false));
    start.elapsed().as_nanos() as f64 / f64::from(ROWS)
}

fn main() -> Result<()> {
    let of_scans = rows(PORTS.into());
    let of_a_flood = rows(1);
    let all = defaults(Profile::Outcomes);
    let comparisons = [
        (
            format!("a row, all {} rules, to none", all.len()),
            &of_scans,
            Vec::new(),
            all.clone(),
        ),
        (
            "a row, 100 rules on a port each, to 10".to_owned(),
            &of_scans,
            on_ports(10)?,
            on_ports(100)?,
        ),
        (
            format!(
                "a row of a source of its own, all {} rules, to none",
                all.len()
            ),
            &of_a_flood,
            Vec::new(),
            all,
        ),
    ];
    for (what, rows, fewer, more) in &comparisons {
        for _ in 0..ROUNDS {
            println!("{what}\t{}\t{}", time(rows, fewer), time(rows, more));
        }
    }
    Ok(())
}
