//! The captures that are kept in tests/captures, each with what recon must say of it, and what it
//! must not.
//!
//! `tests/captures/make.py` writes those that are made packet by packet. Those of real tools come
//! from `write_the_captures_of_tools`, which is ignored otherwise: run it as root with
//! `cargo test -p recon-tests --test replay -- --ignored`, and then look at `git diff`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use recon_tests::agent::recon;
use recon_tests::lab::{HOST, HOST6, SPARES};
use recon_tests::process::{run, shell};
use recon_tests::{Lab, Server, rows};

use crate::recording::Recording;

/// Where the cases are.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures")
}

#[test]
fn each_kept_capture_gives_what_is_expected_and_nothing_else() -> Result<()> {
    let output = recon("replay --verify")?.arg(folder()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let cases = fs::read_dir(folder())?.filter(|entry| {
        let path = entry.as_ref().map(fs::DirEntry::path);
        path.is_ok_and(|path| path.is_dir())
    });
    let passed = text.lines().filter(|line| line.starts_with("ok ")).count();
    ensure!(passed == cases.count() && passed > 0, "{text}");
    Ok(())
}

#[test]
fn each_expectation_is_whole() -> Result<()> {
    for case in fs::read_dir(folder())? {
        let path = case?.path().join("expect.toml");
        if path.parent().is_some_and(Path::is_dir) {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            ensure!(
                text.contains("only = true"),
                "{}: may say more",
                path.display()
            );
        }
    }
    Ok(())
}

/// A run of a tool: the name of its case, and its command line.
struct Row {
    name: &'static str,
    line: &'static str,
    is_by_host: bool,
}

const fn row(name: &'static str, line: &'static str) -> Row {
    Row {
        name,
        line,
        is_by_host: false,
    }
}

const ROWS: &[Row] = &[
    row("nmap-syn", "{nmap} -sS -p 20-59 {host}"),
    row("nmap-connect", "{nmap} -sT -p 20-59 {host}"),
    row("nmap-udp", "{nmap} -sU --max-retries 0 -p 2000-2039 {host}"),
    row("nmap-null", "{nmap} -sN -p 2000-2039 {host}"),
    row("nmap-fin", "{nmap} -sF -p 2000-2039 {host}"),
    row("nmap-xmas", "{nmap} -sX -p 2000-2039 {host}"),
    row("nmap-maimon", "{nmap} -sM -p 2000-2039 {host}"),
    row("nmap-ack", "{nmap} -sA -p 2000-2149 {host}"),
    row("nmap-window", "{nmap} -sW -p 2000-2149 {host}"),
    row(
        "nmap-protocols",
        "{nmap} -sO -p 30-60 --max-retries 0 {host}",
    ),
    row("nmap-sctp", "{nmap} -sY -p 1-30 --max-retries 0 {host}"),
    row("nmap-system", "{nmap} -O -p 22,2000 {host}"),
    row("nmap-ping-sweep", "nmap -n -sn -PE {spares}"),
    row("nmap-fragments", "{nmap} -sS -f -p 2000-2039 {host}"),
    row("nmap-ipv6", "{nmap} -6 -sS -p 20-59 {host6}"),
    row(
        "nmap-decoys",
        "{nmap} -sS -p 2000-2029 -D 203.0.113.10,203.0.113.11,ME {host}",
    ),
    // Its receiver ends on the first frame after the scan, so pings send some.
    row(
        "masscan",
        "ping -q -i 0.5 -c 6 {host} & masscan --interface veth1 --adapter-ip 198.51.100.2 --adapter-mac 02:00:00:00:00:02 --router-mac 02:00:00:00:00:01 --rate 1000 --wait 0 -p 2000-2039 {host}",
    ),
    row(
        "zmap",
        "zmap --interface veth1 --source-ip 198.51.100.2 --gateway-mac 02:00:00:00:00:01 --blacklist-file /dev/null --rate 1000 --cooldown-time 0 --output-file /dev/null --quiet --target-port 2000 {spares}",
    ),
    row(
        "hping3-syn-flood",
        "hping3 -q -S -p 22 -i u500 -c 600 {host}",
    ),
    Row {
        is_by_host: true,
        ..row("nmap-by-host", "{nmap} -sS -p 2000-2149 198.51.100.2")
    },
];

fn write_capture(row: &Row) -> Result<()> {
    const DEADLINE: Duration = Duration::from_secs(90);
    const OPEN: u16 = 22;
    let lab = Lab::new()?;
    lab.host().set("ipv4/icmp_ratemask", 0)?;
    let _server = Server::netcat(lab.host(), OPEN)?;
    let recording = Recording::start(&lab)?;
    let line = [
        ("{nmap}", "nmap -n -Pn -T4 --max-retries 1"),
        ("{host}", &HOST.to_string()),
        ("{host6}", &HOST6.to_string()),
        ("{spares}", SPARES),
    ]
    .into_iter()
    .fold(row.line.to_owned(), |line, (name, value)| {
        line.replace(name, value)
    });
    let side = if row.is_by_host {
        lab.host()
    } else {
        lab.attacker()
    };
    run(side, shell(&line), DEADLINE)?.success()?;
    let capture = recording.stop()?;
    let folder = folder().join(row.name);
    fs::create_dir_all(&folder)?;
    let path = folder.join("capture.pcap");
    fs::copy(capture.path(), &path)?;
    let status = Command::new("gzip")
        .args(["-n", "-9", "-f"])
        .arg(&path)
        .status()?;
    ensure!(status.success(), "gzip: {status}");
    Ok(())
}

#[test]
#[ignore = "writes into tests/captures"]
fn write_the_captures_of_tools() {
    rows::check(ROWS, |row| row.name, write_capture);
}
