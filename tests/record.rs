//! `recon run --record`: the headers of the packets that an alert is about, as a file beside it.
//!
//! In: scans by real tools, payloads with a mark, floods. Out: a file that tcpdump and `recon
//! replay` read, in which the same scan is, and nothing of a payload unless that was asked for.
//! The decision held here: what a file has is held against what was sent, at each kind of hook.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use recon_tests::agent::recon;
use recon_tests::frame::{self, data, syn};
use recon_tests::lab::{ATTACKER, HOST};
use recon_tests::process::{run, shell};
use recon_tests::program::locate;
use recon_tests::{Agent, Alert, Lab, PATIENCE, Seen, mounts, rows};
use tempfile::TempDir;

const INTERVAL: &str = "--interval 100ms";
/// What must not be in any file.
const MARK: &[u8] = b"SECRET-OF-A-CLIENT";
/// One port more than the threshold of the port scan rule, some of which may be in the next poll.
const PORTS: u16 = 40;
const FIRST_PORT: u16 = 2000;

/// An agent that records.
struct Recording {
    lab: Lab,
    agent: Agent,
    root: TempDir,
}

impl Recording {
    fn start(settings: &str, arguments: &str) -> Result<Self> {
        let root = tempfile::tempdir()?;
        let (config, folder) = (root.path().join("recon.toml"), root.path().join("evidence"));
        fs::write(&config, settings)?;
        let lab = Lab::new()?;
        let arguments = format!(
            "--config {} --record {} {arguments}",
            config.display(),
            folder.display()
        );
        let agent = Agent::start(&lab, &arguments)?;
        Ok(Self { lab, agent, root })
    }

    fn folder(&self) -> PathBuf {
        self.root.path().join("evidence")
    }

    /// The alert of a rule and measure, and its file once that is whole.
    fn evidence(&self, rule: &str, measure: &str) -> Result<(Alert, PathBuf)> {
        let what = format!("{rule}/{measure} with a file");
        let alert = self.agent.wait_for(&what, |seen| {
            let mut fired = seen.fired(rule, measure);
            fired.find(|alert| file_of(alert).is_some()).cloned()
        })?;
        let file = file_of(&alert).context("no file")?;
        let end = Instant::now() + PATIENCE;
        while !file.exists() {
            ensure!(Instant::now() < end, "{}", file.display());
            std::thread::yield_now();
        }
        Ok((alert, file))
    }

    /// Sends a SYN to each of so many ports.
    fn scan_from(&self, source: [u8; 4], ports: u16) -> Result<()> {
        let sender = self.lab.sender()?;
        let path = frame::Path::new(source, HOST);
        for port in FIRST_PORT..FIRST_PORT + ports {
            sender.send(&path.tcp(syn(port), &[])?)?;
        }
        Ok(())
    }
}

/// The file that an alert names.
fn file_of(alert: &Alert) -> Option<PathBuf> {
    alert.text("recon.evidence.file").map(PathBuf::from)
}

/// The files of a folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    entries.collect()
}

/// A line of tcpdump for each packet in a file.
fn dump(lab: &Lab, file: &Path) -> Result<Vec<String>> {
    let mut command = Command::new(locate("tcpdump")?);
    command.args(["-n", "-r"]).arg(file);
    let text = run(lab.host(), command, PATIENCE)?.success()?;
    // What it says of the file itself.
    let packets = text
        .lines()
        .filter(|line| !line.starts_with("reading from file"));
    Ok(packets.map(str::to_owned).collect())
}

/// Whether a file has those bytes.
fn has(file: &Path, bytes: &[u8]) -> Result<bool> {
    let found = fs::read(file)?;
    Ok(found.windows(bytes.len()).any(|part| part == bytes))
}

struct Row {
    name: &'static str,
    mode: &'static str,
    is_by_host: bool,
    line: &'static str,
    expected: (&'static str, &'static str),
    /// What a replay of the file must report of the attacker.
    replayed: Option<(&'static str, &'static str)>,
}

const ROW: Row = Row {
    name: "",
    mode: "--xdp native",
    is_by_host: false,
    line: "nmap -n -Pn -sS -p 2000-2099 198.51.100.1",
    expected: ("port-scan", "distinct_ports"),
    replayed: Some(("port-scan", "distinct_ports")),
};

const ROWS: &[Row] = &[
    Row {
        name: "nmap -sS, native XDP",
        ..ROW
    },
    Row {
        name: "nmap -sS, generic XDP",
        mode: "--xdp generic",
        ..ROW
    },
    Row {
        name: "nmap -sS, TC",
        mode: "--xdp off",
        ..ROW
    },
    Row {
        name: "nmap -6 -sS",
        line: "nmap -n -Pn -6 -sS -p 2000-2099 2001:db8:1::1",
        ..ROW
    },
    Row {
        name: "nmap -sS by the host",
        is_by_host: true,
        line: "nmap -n -Pn -sS -p 2000-2099 198.51.100.2",
        expected: ("outbound-port-scan", "distinct_ports"),
        replayed: None,
        ..ROW
    },
];

#[test]
fn an_alert_leaves_the_headers_of_its_packets() {
    rows::check(ROWS, |row| row.name, check);
}

fn check(row: &Row) -> Result<()> {
    let arguments = format!("{INTERVAL} --profile outcomes {}", row.mode);
    let recording = Recording::start("", &arguments)?;
    let (host, attacker) = (recording.lab.host(), recording.lab.attacker());
    let namespace = if row.is_by_host { host } else { attacker };
    run(namespace, shell(row.line), PATIENCE)?.success()?;
    let (rule, measure) = row.expected;
    let (alert, file) = recording.evidence(rule, measure)?;
    let packets = dump(&recording.lab, &file)?;
    let named = alert.field("recon.evidence.packets");
    let named = named.and_then(serde_json::Value::as_u64);
    let found = packets.len() as u64;
    ensure!(named == Some(found), "{named:?} {found}: {packets:?}");
    ensure!(packets.len() > 20, "{packets:?}");
    for field in ["event.id", "message"] {
        let text = alert.text(field).context(field)?;
        ensure!(has(&file, text.as_bytes())?, "{field}: {text}");
    }
    let mode = fs::metadata(&file)?.permissions().mode();
    ensure!(mode & 0o137 == 0, "{mode:o}");
    if let Some((rule, measure)) = row.replayed {
        let mut command = recon("replay --local 198.51.100.1 --local 2001:db8:1::1 --")?;
        command.arg(&file);
        let mut seen = Seen::default();
        let text = run(host, command, PATIENCE)?.success()?;
        text.lines().for_each(|line| seen.read_stdout(line));
        let source = alert.text("source.ip");
        let mut fired = seen.fired(rule, measure);
        let is_same = fired.any(|alert| alert.text("source.ip") == source);
        ensure!(is_same, "{text}");
    }
    let stopped = recording.agent.stop()?;
    let text = "failed=0 lost_packets=0";
    ensure!(stopped.seen.has_logged(text), "{}", stopped.seen);
    Ok(())
}

/// UDP probes, which this host refuses by messages that quote them, and SYNs with data; and GET
/// requests of another remote, since a remote has so many packets in each poll.
fn send_marks(recording: &Recording) -> Result<()> {
    const REQUESTS: u16 = 110;
    let sender = recording.lab.sender()?;
    let path = frame::Path::new(ATTACKER, HOST);
    for port in FIRST_PORT..FIRST_PORT + PORTS {
        sender.send(&path.udp([40_000, port], MARK)?)?;
        sender.send(&path.tcp(syn(port + PORTS), MARK)?)?;
    }
    let request = [b"GET /", MARK].concat();
    let client = frame::Path::new([198, 19, 0, 1], HOST);
    for _ in 0..REQUESTS {
        sender.send(&client.tcp(data(80), &request)?)?;
    }
    Ok(())
}

#[test]
fn payloads_stay_in_the_kernel_unless_asked_for() {
    let modes = ["--xdp native", "--xdp off"];
    let all = modes.map(|mode| [(mode, ""), (mode, "[record]\npayload = 32\n")]);
    rows::check(
        all.as_flattened(),
        |(mode, settings)| {
            if settings.is_empty() {
                mode
            } else {
                "32 bytes"
            }
        },
        |(mode, settings)| {
            let recording = Recording::start(settings, &format!("{INTERVAL} {mode}"))?;
            send_marks(&recording)?;
            let mut found = Vec::new();
            for (rule, measure) in [("port-scan", "distinct_ports"), ("http-flood", "count")] {
                recording.evidence(rule, measure)?;
            }
            let folder = recording.folder();
            recording.agent.stop()?;
            for file in files(&folder)? {
                found.push(has(&file, MARK)?);
            }
            let expected = !settings.is_empty();
            ensure!(found.contains(&true) == expected, "{found:?}");
            Ok(())
        },
    );
}

/// Sources of a packet each, as many as fill the ring several times between two polls, and a
/// scanner among them.
#[test]
fn a_flood_hides_no_scan() -> Result<()> {
    const FLOOD: u32 = 30_000;
    const SCANNED: u32 = 30;
    let recording = Recording::start("", "--interval 2s")?;
    recording.agent.wait_poll()?;
    let sender = recording.lab.sender()?;
    let scanner = frame::Path::new(ATTACKER, HOST);
    for number in 0..FLOOD {
        if number % (FLOOD / SCANNED) == 0 {
            let port = FIRST_PORT + u16::try_from(number / (FLOOD / SCANNED))?;
            sender.send(&scanner.tcp(syn(port), &[])?)?;
        }
        let [.., third, last] = number.to_be_bytes();
        let source = frame::Path::new([198, 19, third, last], HOST);
        sender.send(&source.tcp(syn(80), &[])?)?;
    }
    let (_, file) = recording.evidence("port-scan", "distinct_ports")?;
    let packets = dump(&recording.lab, &file)?;
    let from = format!("IP {ATTACKER}.");
    let scanned = packets.iter().filter(|line| line.contains(&from)).count();
    let stopped = recording.agent.stop()?;
    ensure!(scanned as u32 == SCANNED, "{packets:?}\n{}", stopped.seen);
    let text = "packets had no room";
    ensure!(stopped.seen.has_logged(text), "{}", stopped.seen);
    Ok(())
}

const UNLIMITED: &str = "[alerts]\nlines = \"unlimited\"\n[record]\nsize = \"1MiB\"\n";
/// Sources that scan: the files about them take more than a mebibyte.
const SCANNERS: u8 = 200;

#[test]
fn a_folder_keeps_to_its_size() -> Result<()> {
    const LIMIT: u64 = 1 << 20;
    let recording = Recording::start(UNLIMITED, INTERVAL)?;
    for last in 0..SCANNERS {
        recording.scan_from([203, 0, 113, last], PORTS)?;
    }
    let scans = |seen: &Seen| {
        let scans = seen.fired("port-scan", "distinct_ports");
        scans.filter_map(file_of).count()
    };
    recording.agent.wait_for("an alert about each", |seen| {
        (scans(seen) == usize::from(SCANNERS)).then_some(())
    })?;
    let folder = recording.folder();
    let stopped = recording.agent.stop()?;
    let sizes = files(&folder)?.into_iter().map(|file| {
        let size = fs::metadata(file)?.len();
        Ok(size.next_multiple_of(4096))
    });
    let sizes: Vec<u64> = sizes.collect::<Result<_>>()?;
    let sum: u64 = sizes.iter().sum();
    ensure!(sum <= LIMIT && sum > LIMIT / 2, "{sum}");
    let last = stopped.seen.alerts.iter().rev().find_map(file_of);
    ensure!(last.is_some_and(|file| file.exists()), "{}", stopped.seen);
    let log = stopped.seen.log.iter();
    let totals = log.rev().find(|line| line.contains("totals of record"));
    let totals = totals.context("no totals")?;
    ensure!(
        totals.contains("failed=0") && !totals.contains("evicted=0"),
        "{totals}"
    );
    Ok(())
}

#[test]
fn a_full_disk_costs_files_alone() -> Result<()> {
    const FULL: &str = "No space left on device";
    let root = tempfile::tempdir()?;
    let disk = root.path().join("disk");
    fs::create_dir(&disk)?;
    mounts::enter()?;
    mounts::mount_new("tmpfs", &disk, "size=64k")?;
    let config = root.path().join("recon.toml");
    fs::write(&config, UNLIMITED)?;
    let arguments = format!(
        "{INTERVAL} --config {} --record {}",
        config.display(),
        disk.display()
    );
    let lab = Lab::new()?;
    let agent = Agent::start(&lab, &arguments)?;
    let recording = Recording { lab, agent, root };
    for last in 0..SCANNERS {
        recording.scan_from([203, 0, 113, last], PORTS)?;
    }
    recording.agent.wait_for("an alert about each", |seen| {
        let scans = seen.fired("port-scan", "distinct_ports").count();
        (scans == usize::from(SCANNERS) && seen.has_logged(FULL)).then_some(())
    })?;
    let stopped = recording.agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.seen);
    let said = stopped.seen.log.iter().filter(|line| line.contains(FULL));
    ensure!(said.count() == 1, "{}", stopped.seen);
    // Nothing is left of a file that did not fit.
    for file in files(&disk)? {
        ensure!(
            !dump(&recording.lab, &file)?.is_empty(),
            "{}",
            file.display()
        );
    }
    Ok(())
}
