//! stdin, and folders of cases with expectations.

use std::fs;
use std::io::{Seek as _, Write as _};
use std::net::Ipv4Addr;
use std::process::Stdio;

use anyhow::{Result, ensure};
use recon_tests::agent::recon;
use recon_tests::frame::{Path, syn};
use recon_tests::lab::HOST;
use tempfile::TempDir;

use crate::made::{START, pcap, scan};
use crate::recording::{finish, replay_files};

#[test]
fn stdin_is_a_capture_too() -> Result<()> {
    let file = pcap(&scan(40, 1)?);
    let from_file = replay_files(std::slice::from_ref(&file), "--profile source")?;
    let mut stdin = tempfile::tempfile()?;
    stdin.write_all(&file)?;
    stdin.rewind()?;
    let mut command = recon("replay --profile source -")?;
    command.stdin(Stdio::from(stdin));
    let from_stdin = finish(command)?;
    ensure!(
        from_stdin.lines == from_file.lines && !from_stdin.alerts.is_empty(),
        "{from_stdin:?}\n{from_file:?}"
    );
    Ok(())
}

/// `recon replay --verify FOLDER ARGUMENTS`: the exit code, and what it writes.
fn verify(folder: &TempDir, arguments: &str) -> Result<(Option<i32>, String)> {
    let mut command = recon(&format!("replay --profile source {arguments} --verify"))?;
    let output = command.arg(folder.path()).output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

#[test]
fn cases_are_learned_and_verified() -> Result<()> {
    let folder = TempDir::new()?;
    let case = |name: &str, file: &str| folder.path().join(name).join(file);
    for (name, packets) in [("a-scan", scan(40, 1)?), ("quiet", scan(9, 1)?)] {
        fs::create_dir(folder.path().join(name))?;
        fs::write(case(name, "a.pcap"), pcap(&packets))?;
    }
    // (arguments, exit code, parts of what it writes)
    let check = |arguments: &str, code: i32, parts: &[&str]| {
        let (found, text) = verify(&folder, arguments)?;
        ensure!(found == Some(code), "{arguments}: {found:?}\n{text}");
        for part in parts {
            ensure!(text.contains(part), "{arguments}: no {part:?}\n{text}");
        }
        anyhow::Ok(())
    };
    check("", 1, &["a-scan", "there is no expect.toml"])?;
    let local = "--local 198.51.100.1";
    let learned = [
        "learned  a-scan: 1 incidents",
        "learned  quiet: 0 incidents",
    ];
    check(&format!("{local} --learn"), 0, &learned)?;
    check(
        "",
        0,
        &["ok       a-scan", "ok       quiet", "cases: 2, failed: 0"],
    )?;
    // What was learned is not learned again.
    let expected = fs::read_to_string(case("a-scan", "expect.toml"))?;
    fs::write(case("a-scan", "a.pcap"), pcap(&scan(39, 1)?))?;
    check(
        "--learn",
        1,
        &["FAILED   a-scan", "39, not 40", "cases: 2, failed: 1"],
    )?;
    ensure!(
        fs::read_to_string(case("a-scan", "expect.toml"))? == expected,
        "{expected}"
    );
    fs::write(case("quiet", "a.pcap"), pcap(&scan(40, 1)?))?;
    check(
        "",
        1,
        &["FAILED   quiet: unexpected: port-scan/distinct_ports by 198.51.100.2"],
    )
}

/// A limit that leaves lines out must not hide what is expected, nor what is forbidden.
#[test]
fn no_limit_on_lines_hides_an_incident_of_a_case() -> Result<()> {
    const SCANNERS: u8 = 6;
    let folder = TempDir::new()?;
    let case = folder.path().join("scanners");
    fs::create_dir(&case)?;
    let mut packets = Vec::new();
    for number in 0..SCANNERS {
        let path = Path::new(Ipv4Addr::new(203, 0, 113, number), HOST);
        for port in 0..40 {
            packets.push((START, path.tcp(syn(2000 + port), &[])?));
        }
    }
    let file = pcap(&packets);
    fs::write(case.join("a.pcap"), &file)?;
    let config = folder.path().join("recon.toml");
    fs::write(&config, "[alerts]\nlines = 1\ninformational_per_hour = 1\n")?;
    let arguments = format!("--config {}", config.display());
    let limited = replay_files(&[file], &format!("--profile source {arguments}"))?;
    ensure!(limited.log.contains("suppressed_lines="), "{}", limited.log);
    let scans = format!("[[alert]]\nrule = \"port-scan\"\nincidents = {SCANNERS}\ncount = 40\n");
    let forbidden = "[[alert]]\nrule = \"port-scan\"\nsource = \"203.0.113.5\"\nincidents = 0\n";
    for (expected, code) in [(scans.as_str(), 0), (forbidden, 1)] {
        fs::write(case.join("expect.toml"), expected)?;
        let (found, text) = verify(&folder, &arguments)?;
        ensure!(found == Some(code), "{expected}: {found:?}\n{text}");
    }
    Ok(())
}
