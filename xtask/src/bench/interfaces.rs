//! The cost of an idle poll, by the number of watched interfaces.
//!
//! In: the agent; a lab whose host has more interfaces. Out: rows of processor microseconds a poll,
//! compared with one interface.
//! The decision held here: the agent polls often, so that a short time has many polls; each
//! measurement has an agent of its own.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use recon_tests::Lab;
use recon_tests::usage::Meter;

use super::row::Row;
use super::watch::watch;

/// Even, so that each size comes first as often as last.
const ROUNDS: u32 = 4;
/// Names and numbers of interfaces, ascending.
const INTERFACES: [(&str, usize); 3] = [
    ("an idle poll, 1 interface", 1),
    ("an idle poll, 4 interfaces", 4),
    ("an idle poll, 16 interfaces", 16),
];
const MOST: usize = 16;
const INTERVAL: &str = "20ms";
/// 100 polls.
const TIME: Duration = Duration::from_secs(2);
const UNIT: &str = "us";

/// Measures all numbers of interfaces.
pub(super) fn measure(agent: &Path) -> Result<Vec<Row>> {
    let lab = Lab::new()?;
    let names: Vec<String> = (0..MOST).map(|number| format!("quiet{number}")).collect();
    for name in &names {
        lab.host().ip(&format!(
            "link add {name} type veth peer name {name}-peer\nlink set {name} up\nlink set {name}-peer up\n"
        ))?;
    }
    let mut rows = INTERFACES.map(|(what, _)| Row::new(what, UNIT));
    for round in 0..ROUNDS {
        let mut figures = [0.0; INTERFACES.len()];
        for place in 0..INTERFACES.len() {
            let index = match round % 2 {
                0 => place,
                _ => INTERFACES.len() - 1 - place,
            };
            let (_, count) = INTERFACES[index];
            figures[index] = poll(&lab, agent, &names[..count])?;
        }
        for (row, figure) in rows.iter_mut().zip(figures) {
            row.push(false, figures[0]);
            row.push(true, figure);
        }
    }
    Ok(rows.into())
}

/// Processor microseconds a poll.
fn poll(lab: &Lab, agent: &Path, interfaces: &[String]) -> Result<f64> {
    let mut options = vec!["--interval", INTERVAL];
    for name in interfaces {
        options.extend(["-i", name]);
    }
    let agent = watch(lab, agent, &options)?;
    let meter = Meter::start(agent.pid())?;
    sleep(TIME);
    let spent = meter.spent()?;
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.seen);
    let polls = stopped.seen.log.iter().find_map(|line| polls(line));
    let polls = polls.with_context(|| format!("no polls\n{}", stopped.seen))?;
    Ok(spent.as_secs_f64() * 1e6 / f64::from(polls))
}

/// The number of polls in `totals: polls=7 failed_polls=0`.
fn polls(line: &str) -> Option<u32> {
    let (_, rest) = line.split_once("totals: polls=")?;
    rest.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::polls;

    #[test]
    fn polls_are_read() {
        for (line, expected) in [
            ("[INFO ] totals: polls=10 failed_polls=0", Some(10)),
            ("[INFO ] watching va", None),
        ] {
            assert_eq!(polls(line), expected, "{line}");
        }
    }
}
