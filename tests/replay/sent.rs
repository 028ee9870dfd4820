//! A capture that is sent at a host: what a live recon reports of it, and what the replay of the
//! file does.
//!
//! The decision held here: of a kept capture, only what the scanner sent is sent again, by
//! tcpreplay; the host answers itself. So scans agree: what they get does not depend on numbers of
//! sequences. What completes a handshake can't: the acknowledgements in the file are of other
//! connections than the host's, so nothing is accepted, used, or ended.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use recon_tests::lab::{ATTACKER_LINK, ATTACKER_MAC, HOST, HOST6, SPARES};
use recon_tests::process::{run, shell};
use recon_tests::program::locate;
use recon_tests::{Agent, Lab, Server, rows};
use tempfile::TempDir;

use crate::kept::folder;
use crate::recording::replay;
use crate::{DEADLINE, OPEN, incidents};

/// A kept capture, the rules, and a rule that fires.
struct Row {
    case: &'static str,
    profile: &'static str,
    expected: &'static str,
}

const fn row(case: &'static str, profile: &'static str, expected: &'static str) -> Row {
    Row {
        case,
        profile,
        expected,
    }
}

const ROWS: &[Row] = &[
    row("nmap-syn", "outcomes", "port-scan"),
    row("nmap-ipv6", "outcomes", "port-scan"),
    row("nmap-udp", "outcomes", "port-scan"),
    row("nmap-xmas", "outcomes", "odd-flags"),
    row("nmap-ack", "source", "failed-connections"),
    row("nmap-fragments", "outcomes", "odd-flags"),
    row("nmap-ping-sweep", "source", "icmp-sweep"),
];

/// The records of pcap, from a file in this machine's byte order, whose frame comes from `source`.
fn sent_by(file: &[u8], source: [u8; 6]) -> Result<Vec<u8>> {
    const FILE_HEADER: usize = 24;
    const RECORD_HEADER: usize = 16;
    const CAPTURED: usize = 8;
    let (header, mut rest) = file.split_at_checked(FILE_HEADER).context("no header")?;
    let mut kept = header.to_vec();
    while !rest.is_empty() {
        let length = rest.get(CAPTURED..CAPTURED + 4).context("a cut record")?;
        let length = u32::from_le_bytes(length.try_into()?) as usize;
        let (record, next) = rest
            .split_at_checked(RECORD_HEADER + length)
            .context("a cut frame")?;
        if record.get(RECORD_HEADER + 6..RECORD_HEADER + 12) == Some(&source) {
            kept.extend_from_slice(record);
        }
        rest = next;
    }
    Ok(kept)
}

fn check(row: &Row) -> Result<()> {
    let path = folder().join(row.case).join("capture.pcap.gz");
    let file = Command::new("gzip").arg("-dc").arg(&path).output()?.stdout;
    let sent = sent_by(&file, ATTACKER_MAC.0)?;
    let temporary = TempDir::new()?;
    let sent_path = temporary.path().join("sent.pcap");
    fs::write(&sent_path, sent)?;

    let lab = Lab::new()?;
    lab.host().set("ipv4/icmp_ratemask", 0)?;
    let _server = Server::netcat(lab.host(), OPEN)?;
    let arguments = format!("--profile {}", row.profile);
    let agent = Agent::start(&lab, &arguments)?;
    let tcpreplay = locate("tcpreplay")?;
    let line = format!(
        "{} --quiet --intf1={ATTACKER_LINK} {}",
        tcpreplay.display(),
        sent_path.display()
    );
    run(lab.attacker(), shell(&line), DEADLINE)?.success()?;
    agent.wait_poll()?;
    agent.wait_poll()?;
    let stopped = agent.stop()?;
    ensure!(stopped.totals()?.lost == 0, "{}", stopped.seen);
    let locals = format!("--local {HOST} --local {HOST6} --local {SPARES}");
    let replayed = replay(&path, &format!("{locals} {arguments}"))?;
    let live = incidents(stopped.seen.alerts.iter(), &[]);
    let found = incidents(replayed.alerts.iter(), &[]);
    ensure!(
        live == found,
        "live:\n{live:#?}\nreplayed:\n{found:#?}\n{}",
        replayed.log
    );
    let fired = found.keys().any(|about| about.contains(row.expected));
    ensure!(fired, "{} is missing: {found:#?}", row.expected);
    Ok(())
}

#[test]
fn a_capture_that_is_sent_at_a_host_is_judged_as_its_file() {
    rows::check(ROWS, |row| row.case, check);
}
