//! Traffic that is no scan raises no alert: busy, old, answered and stray traffic. The counters
//! show that recon saw it.
//!
//! Each row also says how many signals its traffic causes, since a threshold would hide a few wrong
//! ones.

#[path = "quiet/connections.rs"]
mod connections;
#[path = "quiet/servers.rs"]
mod servers;

use std::ops::RangeInclusive;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use recon_tests::dns::Responder;
use recon_tests::lab::{ATTACKER, HOST};
use recon_tests::process::{run, shell};
use recon_tests::program::locate;
use recon_tests::server::DOWNLOAD;
use recon_tests::{Agent, Alert, Lab, Server, report, rows};

use connections::{
    BACKSCATTER_PORTS, FORGOTTEN, backscatter, forget, open_connections, use_and_close,
    use_forgotten,
};
use servers::{Mirror, proxy};

/// The traffic while the agent runs. Constructing it does what must happen before.
type Traffic<'lab> = Box<dyn FnOnce() -> Result<()> + 'lab>;

struct Row {
    name: &'static str,
    /// A program that only Debian has.
    needs: Option<&'static str>,
    traffic: for<'lab> fn(&'lab Lab) -> Result<Traffic<'lab>>,
    /// The least number of frames in each direction.
    frames: [u64; 2],
    /// The signals among them: opened connections, sent queries, what became of both.
    signals: RangeInclusive<u64>,
    /// Whether inbound traffic may raise an alert. The host's own processes raise none in any row.
    is_busy: bool,
}

const ROW: Row = Row {
    name: "",
    needs: None,
    traffic: |_| Ok(Box::new(|| Ok(()))),
    frames: [0, 0],
    signals: 0..=0,
    is_busy: false,
};

const ROWS: &[Row] = &[
    Row {
        name: "iperf3 over TCP, both ways",
        traffic: |lab| {
            let server = Server::iperf(lab.host())?;
            Ok(Box::new(move || {
                let _server = server;
                from_attacker(lab, "iperf3 -c {host} -n 100M --bidir")
            }))
        },
        // Of up to 64 KiB each; the direction that finishes first ends both.
        frames: [800, 800],
        // A control connection and a data connection each way: opened, answered, accepted, ended.
        signals: 12..=12,
        ..ROW
    },
    Row {
        name: "iperf3 over UDP, both ways",
        traffic: |lab| {
            let server = Server::iperf(lab.host())?;
            Ok(Box::new(move || {
                let _server = server;
                from_attacker(lab, "iperf3 -u -c {host} -b 200M -n 10M --bidir")
            }))
        },
        frames: [7_000, 7_000],
        // Besides a control connection and two answers, each datagram of the client's.
        signals: 7_000..=9_000,
        ..ROW
    },
    Row {
        name: "iperf3 over UDP, this host as the client",
        traffic: |lab| {
            let server = Server::iperf(lab.attacker())?;
            Ok(Box::new(move || {
                let _server = server;
                from_host(lab, "iperf3 -u -c {attacker} -b 200M -n 10M --reverse")
            }))
        },
        frames: [7_000, 10],
        // A SYN, a datagram that begins a flow, and the first answer to each.
        signals: 4..=4,
        ..ROW
    },
    Row {
        name: "a hundred old connections",
        traffic: |lab| {
            let connections = open_connections(lab)?;
            Ok(Box::new(move || use_and_close(connections)))
        },
        frames: [200, 200],
        signals: 0..=0,
        ..ROW
    },
    Row {
        name: "connections that this host has closed and forgotten",
        traffic: |lab| {
            // The state after a minute in FIN-WAIT-2: recon keeps nothing of a connection whose end
            // was acknowledged.
            lab.host().set("ipv4/tcp_max_tw_buckets", 0)?;
            let connections = open_connections(lab)?;
            Ok(Box::new(move || {
                connections.into_iter().try_for_each(forget)
            }))
        },
        frames: [200, 100],
        signals: 0..=0,
        ..ROW
    },
    Row {
        name: "peers of connections that this host lost in a restart",
        traffic: |lab| Ok(Box::new(|| use_forgotten(lab))),
        frames: [FORGOTTEN as u64, FORGOTTEN as u64],
        // A reset to each: one refused attempt, on one port.
        signals: FORGOTTEN as u64..=FORGOTTEN as u64,
        ..ROW
    },
    Row {
        name: "a resolver's client",
        traffic: |lab| {
            let upstream = Responder::start(lab.attacker(), ATTACKER)?;
            Ok(Box::new(move || {
                let _upstream = upstream;
                from_host(
                    lab,
                    "for i in $(seq 150); do echo $i.example; done | dig @{attacker} +tries=1 -f -",
                )
            }))
        },
        frames: [150, 150],
        // The queries, and the first answer to each port, which is no hit. A few queries may share
        // a port by chance.
        signals: 290..=300,
        ..ROW
    },
    Row {
        name: "a resolver with a process for each look-up",
        traffic: |lab| {
            let upstream = Responder::start(lab.attacker(), ATTACKER)?;
            Ok(Box::new(move || {
                let _upstream = upstream;
                from_host(
                    lab,
                    "for i in $(seq 60); do dig @{attacker} +tries=1 $i.example || exit; done",
                )
            }))
        },
        frames: [60, 60],
        // As above.
        signals: 115..=120,
        ..ROW
    },
    Row {
        name: "apt-get update",
        needs: Some("apt-get"),
        traffic: |lab| {
            let mirror = Mirror::start(lab.attacker(), ATTACKER)?;
            Ok(Box::new(move || {
                let mut update = Command::new("apt-get");
                update.arg("update").env("APT_CONFIG", mirror.config());
                let output = run(lab.host(), update, DEADLINE)?.success()?;
                mirror.check(&output)
            }))
        },
        frames: [5, 5],
        // One or a few connections: a SYN and its answer.
        signals: 2..=10,
        ..ROW
    },
    Row {
        name: "a reverse proxy under load",
        traffic: |lab| {
            let servers = proxy(lab)?;
            Ok(Box::new(move || {
                let _servers = servers;
                from_attacker(
                    lab,
                    "wrk --threads 1 --connections 20 --duration 5s http://{host}/",
                )
            }))
        },
        frames: [1_500, 1_500],
        // A GET in, a SYN out and its answer for each of some hundred requests, on the slowest
        // machine.
        signals: 750..=u64::MAX,
        is_busy: true,
        ..ROW
    },
    Row {
        name: "backscatter",
        traffic: |lab| Ok(Box::new(|| backscatter(lab))),
        // The host resets connections that it did not open.
        frames: [5 * BACKSCATTER_PORTS as u64, BACKSCATTER_PORTS as u64],
        // Each is a stray, which no rule on scans reads.
        signals: 5 * BACKSCATTER_PORTS as u64..=5 * BACKSCATTER_PORTS as u64,
        ..ROW
    },
    Row {
        name: "a download to this host and one from it",
        traffic: |lab| {
            const SIZE: u64 = 200 << 20;
            let servers = [
                Server::web(lab.host(), SIZE)?,
                Server::web(lab.attacker(), SIZE)?,
            ];
            Ok(Box::new(move || {
                let _servers = servers;
                from_attacker(
                    lab,
                    &format!("curl -sSf -o /dev/null http://{HOST}/{DOWNLOAD}"),
                )?;
                from_host(
                    lab,
                    &format!("curl -sSf -o /dev/null http://{ATTACKER}/{DOWNLOAD}"),
                )
            }))
        },
        frames: [3_200, 3_200],
        // One connection opened, answered, accepted, ended, and a GET; one SYN sent and answered.
        signals: 7..=7,
        ..ROW
    },
];

const DEADLINE: Duration = Duration::from_secs(60);

fn from_attacker(lab: &Lab, line: &str) -> Result<()> {
    let line = line.replace("{host}", &HOST.to_string());
    run(lab.attacker(), shell(&line), DEADLINE)?
        .success()
        .map(drop)
}

fn from_host(lab: &Lab, line: &str) -> Result<()> {
    let line = line.replace("{attacker}", &ATTACKER.to_string());
    run(lab.host(), shell(&line), DEADLINE)?.success().map(drop)
}

fn check(row: &Row) -> Result<()> {
    if let Some(program) = row.needs
        && let Err(error) = locate(program)
    {
        report::skip(row.name, &error.to_string());
        return Ok(());
    }
    let lab = Lab::new()?;
    let traffic = (row.traffic)(&lab)?;
    let agent = Agent::start(&lab, "--interval 100ms")?;
    traffic()?;
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    let mut alerts = stopped.seen.alerts.iter();
    let is_fine = |alert: &Alert| {
        row.is_busy && alert.text("network.direction").as_deref() == Some("ingress")
    };
    ensure!(alerts.all(is_fine), "not quiet\n{}", stopped.seen);
    let totals = stopped.totals()?;
    let [frames_in, frames_out] = row.frames;
    ensure!(
        totals.frames_in >= frames_in && totals.frames_out >= frames_out,
        "not seen: {totals:?}"
    );
    ensure!(
        row.signals.contains(&totals.signals) && totals.lost == 0,
        "{totals:?}"
    );
    Ok(())
}

#[test]
fn traffic_that_is_no_scan_raises_no_alert() {
    rows::check(ROWS, |row| row.name, check);
}
