//! The cost of recon for a whole host: the load that it serves or receives, without the agent and
//! with it.
//!
//! In: the agent; a lab whose host has a web server and iperf3's, or is flooded. Out: rows of
//! rates, with the agent's use of processor and memory; and its use on an idle host.
//! The decisions held here: each run has a new agent, so that none sees the load of the one before;
//! the sides alternate; the agent has the default options of `recon run`, except for the interface.

use std::net::Ipv4Addr;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use recon_tests::lab::{HOST, HOST_LINK};
use recon_tests::process::{run, shell};
use recon_tests::usage::{Meter, peak_memory};
use recon_tests::{Agent, Lab, Server};
use serde_json::Value;

use super::flood::Flood;
use super::row::Row;
use super::watch::watch;

/// Even, so that each side comes first as often as the other; on two busy processors, one run
/// differs from the next by a tenth.
const ROUNDS: u32 = 6;
/// The length of a run: two of the agent's polls.
const TIME: Duration = Duration::from_secs(2);
/// A tool may take this much longer.
const PATIENCE: Duration = Duration::from_secs(20);
/// The length of a run on an idle host: 20 seconds in all.
const QUIET_ROUNDS: u32 = 5;
const QUIET_TIME: Duration = Duration::from_secs(4);
/// The host does not have this address and drops the packets, since it does not forward.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
/// In percent of one processor.
const PERCENT: &str = "% of a processor";
const MEGABYTES: &str = "MB";
const PACKETS: &str = "packets/s";
/// The hook of most cards. By default the agent uses TC ingress on a veth pair, which loses
/// segmentation offload under XDP.
const NATIVE: &[&str] = &["--xdp", "native"];
/// The web server offers no download.
const NO_DOWNLOAD: u64 = 0;

/// The load on the host.
struct Load<'a> {
    what: &'a str,
    unit: &'static str,
    /// Additional options of the agent.
    options: &'a [&'a str],
    work: &'a dyn Fn() -> Result<Done>,
}

/// The measured rate, and further figures in packets a second.
type Done = (f64, Vec<(&'static str, f64)>);

/// Measures all loads.
pub(super) fn measure(agent: &Path) -> Result<Vec<Row>> {
    let lab = Lab::new()?;
    let mut rows = vec![quiet(&lab, agent)?];
    let _web = Server::web(lab.host(), NO_DOWNLOAD)?;
    let _iperf = Server::iperf(lab.host())?;
    let closed = Flood::new(&lab, HOST)?;
    let elsewhere = Flood::new(&lab, ELSEWHERE)?;
    let alone = Flood::new(&lab, HOST)?.at_stranger().run(TIME)?.offered;
    let flood = |flood: &Flood<'_>| {
        let rates = flood.run(TIME)?;
        let facts = vec![("generator", rates.offered), ("generator alone", alone)];
        Ok((rates.arrived, facts))
    };
    for load in [
        Load {
            what: "nginx, kept connections",
            unit: "requests/s",
            options: &[],
            work: &|| requests(&lab, ""),
        },
        Load {
            what: "nginx, a connection each",
            unit: "requests/s",
            options: &[],
            work: &|| requests(&lab, "-H 'Connection: close'"),
        },
        Load {
            what: "iperf3, TCP",
            unit: "Mbit/s",
            options: &[],
            work: &|| throughput(&lab),
        },
        Load {
            what: "iperf3, TCP, --xdp native on a veth pair",
            unit: "Mbit/s",
            options: NATIVE,
            work: &|| throughput(&lab),
        },
        Load {
            what: "SYN flood, closed port, --xdp native",
            unit: PACKETS,
            options: NATIVE,
            work: &|| flood(&closed),
        },
        Load {
            what: "SYN flood, dropped by routing, --xdp native",
            unit: PACKETS,
            options: NATIVE,
            work: &|| flood(&elsewhere),
        },
    ] {
        rows.push(compare(&lab, agent, &load)?);
    }
    Ok(rows)
}

/// The agent's use of processor and memory on an idle host.
fn quiet(lab: &Lab, agent: &Path) -> Result<Row> {
    let agent = watch(lab, agent, &["-i", HOST_LINK])?;
    let mut row = Row::new("the agent, quiet host", PERCENT);
    for _ in 0..QUIET_ROUNDS {
        let meter = Meter::start(agent.pid())?;
        sleep(QUIET_TIME);
        row.push(true, meter.percent()?);
    }
    note_memory(&agent, &mut row)?;
    stop(agent)?;
    Ok(row)
}

fn compare(lab: &Lab, agent: &Path, load: &Load<'_>) -> Result<Row> {
    let mut row = Row::new(load.what, load.unit);
    for round in 0..ROUNDS {
        eprintln!("{}: round {} of {ROUNDS}", load.what, round + 1);
        let with_first = round % 2 == 1;
        for with in [with_first, !with_first] {
            let figure = match with {
                true => watched(lab, agent, load, &mut row)?,
                false => (load.work)()?.0,
            };
            row.push(with, figure);
        }
    }
    Ok(row)
}

/// The rate while an agent watches.
fn watched(lab: &Lab, agent: &Path, load: &Load<'_>, row: &mut Row) -> Result<f64> {
    let options = [&["-i", HOST_LINK], load.options].concat();
    let agent = watch(lab, agent, &options)?;
    let meter = Meter::start(agent.pid())?;
    let (rate, facts) = (load.work)()?;
    row.note("agent", PERCENT, meter.percent()?);
    note_memory(&agent, row)?;
    row.note("lost", "% of packets", stop(agent)?);
    for (name, figure) in facts {
        row.note(name, PACKETS, figure);
    }
    Ok(rate)
}

fn note_memory(agent: &Agent, row: &mut Row) -> Result<()> {
    let peak = peak_memory(agent.pid())? as f64 / 1e6;
    row.note("peak memory", MEGABYTES, peak);
    Ok(())
}

/// Stops the agent, and returns the percentage of packets that it could not count.
fn stop(agent: Agent) -> Result<f64> {
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.seen);
    let totals = stopped.totals()?;
    let frames = totals.frames_in + totals.frames_out;
    Ok(100.0 * totals.lost as f64 / frames.max(1) as f64)
}

/// The rate of wrk's requests to the web server, with these options.
fn requests(lab: &Lab, options: &str) -> Result<Done> {
    let seconds = TIME.as_secs();
    let wrk =
        format!("wrk --threads 1 --connections 16 --duration {seconds}s {options} http://{HOST}/");
    let output = run(lab.attacker(), shell(&wrk), TIME + PATIENCE)?.success()?;
    Ok((wrk_rate(&output).context(output)?, Vec::new()))
}

fn wrk_rate(output: &str) -> Option<f64> {
    let mut lines = output.lines();
    let rate = lines.find_map(|line| line.strip_prefix("Requests/sec:"))?;
    rate.trim().parse().ok()
}

/// The rate of one TCP connection from iperf3 to the host.
fn throughput(lab: &Lab) -> Result<Done> {
    let iperf = format!("iperf3 --client {HOST} --json --time {}", TIME.as_secs());
    let output = run(lab.attacker(), shell(&iperf), TIME + PATIENCE)?.success()?;
    Ok((iperf_rate(&output).context(output)?, Vec::new()))
}

fn iperf_rate(output: &str) -> Option<f64> {
    let report: Value = serde_json::from_str(output).ok()?;
    let bits = report.pointer("/end/sum_received/bits_per_second")?;
    Some(bits.as_f64()? / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        let wrk = "  16 requests in 2.00s\nRequests/sec:  54321.09\nTransfer/sec: 1MB\n";
        let iperf = r#"{"end": {"sum_received": {"bits_per_second": 2.5e9}}}"#;
        for (rate, expected) in [
            (wrk_rate(wrk), Some(54321.09)),
            (wrk_rate("unable to connect"), None),
            (iperf_rate(iperf), Some(2500.0)),
            (iperf_rate(r#"{"error": "unable to connect"}"#), None),
        ] {
            assert_eq!(rate, expected);
        }
    }
}
