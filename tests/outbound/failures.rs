//! The boundary of the default profile's rules on what processes of the host reach for in vain: N
//! remotes or ports raise no alert, one more does.

use anyhow::{Result, ensure};
use recon_tests::lab::ATTACKER;
use recon_tests::process::{run, shell};
use recon_tests::program::{NETCAT, PYTHON};
use recon_tests::{Agent, Lab, PATIENCE, report, rows};

struct Row {
    name: &'static str,
    rule: &'static str,
    measure: &'static str,
    threshold: u64,
    /// A shell's line. `{n}` is a number of events, `{attacker}` the attacker's address, `{net}`
    /// the first two bytes of many of its addresses.
    line: &'static str,
}

/// Refused connections of one process, to port 8081 and 8082 in turn.
const SPREAD: &str = "exec {python} -I -S -c '
import _socket
for number in range({n}):
    connection = _socket.socket()
    connection.connect_ex((f\"{net}.0.{number + 1}\", 8081 + number % 2))
    connection.close()'";

/// The same to ten ports of each remote.
const TARGETS: &str = "exec {python} -I -S -c '
import _socket
for number in range({n}):
    connection = _socket.socket()
    connection.connect_ex((f\"{net}.0.{number // 10 + 1}\", 8081 + number % 10))
    connection.close()'";

/// Queries that nobody answers.
const ASK: &str = "exec {python} -I -S -c '
import _socket
sender = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
query = bytes([0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1])
for number in range({n}):
    sender.sendto(query, (f\"{net}.0.{number + 1}\", 53))'";

/// A process for each connection, which never executes a program.
const FORK: &str = "exec {python} -I -S -c '
import _socket, posix
for number in range({n}):
    child = posix.fork()
    if child == 0:
        _socket.socket().connect_ex((\"{attacker}\", 2000 + number))
        posix._exit(0)
    posix.waitpid(child, 0)'";

const ROWS: &[Row] = &[
    Row {
        name: "remotes on two ports",
        rule: "outbound-spread",
        measure: "distinct_remotes",
        threshold: 100,
        line: SPREAD,
    },
    Row {
        name: "ten ports of each remote",
        rule: "outbound-spread",
        measure: "target_count",
        threshold: 100,
        line: TARGETS,
    },
    Row {
        name: "name servers that do not answer",
        rule: "outbound-dns-sweep",
        measure: "distinct_remotes",
        threshold: 100,
        line: ASK,
    },
    Row {
        name: "a program for each port",
        rule: "outbound-split-scan",
        measure: "distinct_ports",
        threshold: 20,
        line: "for port in $(seq {n}); do {nc} -w 1 {attacker} $port; done; true",
    },
    Row {
        name: "a child for each port",
        rule: "outbound-split-scan",
        measure: "distinct_ports",
        threshold: 20,
        line: FORK,
    },
    Row {
        name: "a program for each remote",
        rule: "outbound-split-sweep",
        measure: "distinct_remotes",
        threshold: 100,
        line: "for remote in $(seq {n}); do {nc} -w 1 {net}.0.$remote 8081; done; true",
    },
    Row {
        name: "a ping for each remote",
        rule: "outbound-split-sweep",
        measure: "distinct_remotes",
        threshold: 100,
        line: "for remote in $(seq {n}); do ping -q -c 1 -W 1 203.0.113.$remote & done; wait",
    },
];

/// The counts that the rule's alerts report of so many events.
fn counts(row: &Row, events: u64) -> Result<Vec<Option<String>>> {
    let lab = Lab::new()?;
    lab.attacker()
        .ip("route add local 198.19.0.0/16 dev lo\n")?;
    let agent = Agent::start(&lab, "--interval 100ms --profile outcomes")?;
    let line = row
        .line
        .replace("{n}", &events.to_string())
        .replace("{attacker}", &ATTACKER.to_string())
        .replace("{net}", "198.19")
        .replace("{python}", PYTHON)
        .replace("{nc}", NETCAT);
    run(lab.host(), shell(&line), PATIENCE)?.success()?;
    // The end of the agent settles what still waits for an answer.
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    let totals = stopped.totals()?;
    ensure!(totals.signals >= events && totals.lost == 0, "{totals:?}");
    let alerts = stopped.seen.fired(row.rule, row.measure);
    Ok(alerts.map(|alert| alert.text("recon.count")).collect())
}

fn check(row: &Row) -> Result<()> {
    let quiet = counts(row, row.threshold)?;
    ensure!(quiet.is_empty(), "at {}: {quiet:?}", row.threshold);
    let above = row.threshold + 1;
    let fired = counts(row, above)?;
    ensure!(
        fired.first() == Some(&Some(above.to_string())),
        "at {above}: {fired:?}"
    );
    Ok(())
}

#[test]
fn one_failure_more_than_the_threshold_alerts() {
    rows::check(
        ROWS,
        |row| row.name,
        |row| report::detections([(row.rule, row.measure)], check(row)),
    );
}
