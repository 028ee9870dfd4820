//! A process that sends, and then executes another program: what it sent is the first one's.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use recon_tests::lab::ATTACKER;
use recon_tests::program::{PYTHON, Renamed};
use recon_tests::{Lab, Process, rows};

use crate::{AFTERWARDS, MEANWHILE, field_of_rows};

/// Sends, and becomes another program, which waits. That program has no other name than its file.
const SCRIPT: &str = "\
import _socket, posix, sys
way, address, last = sys.argv[1:4]
for port in range(2000, 2025):
    if way == 'connect':
        connection = _socket.socket()
        connection.connect_ex((address, port))
        connection.close()
    else:
        raw = _socket.socket(_socket.AF_INET, _socket.SOCK_RAW, _socket.IPPROTO_TCP)
        header = b'\\x00\\x00\\x00\\x01' + bytes(4) + b'\\x50\\x02\\x04\\x00' + bytes(4)
        ports = (40000).to_bytes(2, 'big') + port.to_bytes(2, 'big')
        raw.sendto(ports + header, (address, 0))
        raw.close()

posix.execv(last, [last, '600'])
";
const SENT: u64 = 25;

struct Row {
    name: &'static str,
    /// `connect` or `raw`.
    way: &'static str,
    interval: &'static str,
    /// The name of the program that sends, and of the one that follows.
    programs: [&'static str; 2],
}

const ROWS: &[Row] = &[
    Row {
        name: "connections, and one poll later",
        way: "connect",
        interval: AFTERWARDS,
        programs: ["zmap", "sleeper"],
    },
    Row {
        name: "connections, and polls meanwhile",
        way: "connect",
        interval: MEANWHILE,
        programs: ["zmap", "sleeper"],
    },
    Row {
        name: "a raw socket, and one poll later",
        way: "raw",
        interval: AFTERWARDS,
        programs: ["zmap", "sleeper"],
    },
    Row {
        name: "a program that becomes a tool, which sends nothing",
        way: "connect",
        interval: AFTERWARDS,
        programs: ["worker", "zmap"],
    },
];

fn check(row: &Row) -> Result<()> {
    let lab = Lab::new()?;
    let [first, last] = row.programs;
    let (first, last) = (Renamed::copy(PYTHON, first)?, Renamed::copy("sleep", last)?);
    let script = first.folder().join("script.py");
    fs::write(&script, SCRIPT)?;
    let mut command = Command::new(first.path());
    command.args(["-I", "-S"]).arg(&script);
    command
        .args([row.way, &ATTACKER.to_string()])
        .arg(last.path());
    command.stdout(std::process::Stdio::null());
    let mut running = None;
    let named = field_of_rows(
        &lab,
        row.interval,
        SENT,
        |row| row["ActionType"] == "ConnectionRequest",
        "InitiatingProcessFolderPath",
        || {
            let process = running.insert(Process::spawn(lab.host(), command)?);
            wait_until_executed(process.pid(), last.path())
        },
    )?;
    let expected = BTreeSet::from([Some(first.path().display().to_string())]);
    ensure!(named == expected, "{named:?} instead of {expected:?}");
    Ok(())
}

/// Waits until the process runs that program.
fn wait_until_executed(pid: u32, program: &std::path::Path) -> Result<()> {
    let deadline = std::time::Instant::now() + recon_tests::PATIENCE;
    let link = format!("/proc/{pid}/exe");
    while fs::read_link(&link)? != program {
        ensure!(
            std::time::Instant::now() < deadline,
            "{link} stays the same"
        );
        std::thread::yield_now();
    }
    Ok(())
}

#[test]
fn what_a_process_sent_is_its_program_of_that_time() {
    rows::check(ROWS, |row| row.name, check);
}
