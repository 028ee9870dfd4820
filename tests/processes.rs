//! Real tools on the watched host: each alert names the process that caused it, even if it has
//! ended before anybody looks.
//!
//! A row lists all alerts that may come. Each row is checked twice: with polls while the tool runs,
//! and with one poll long after its end.

#[path = "processes/table.rs"]
mod table;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use recon_tests::dns::Responder;
use recon_tests::kernel::Linux;
use recon_tests::lab::{ATTACKER, ATTACKER_MAC, HOST, HOST_LINK, HOST_MAC};
use recon_tests::process::{Finished, run, shell};
use recon_tests::program::{Renamed, locate, open_folder};
use recon_tests::{Agent, Alert, Lab, Process, report, rows};
use tempfile::TempDir;

use table::ROWS;

/// Rule and measure.
type Fired = (&'static str, &'static str);

struct Row {
    name: &'static str,
    program: &'static str,
    /// The name of the tool's copy, if the row runs a copy.
    alias: Option<&'static str>,
    /// The arguments, separated by blanks. Names in braces are placeholders for parts of the lab.
    arguments: &'static str,
    runs: As,
    /// The agent's arguments, in addition to the interval.
    options: &'static str,
    /// The alerts that must come, and no others.
    expected: &'static [Fired],
    /// The signal that each alert counts.
    signals: &'static [&'static str],
    /// The first kernel that knows the sending process. An older one counts the same without a
    /// process.
    since: Option<Linux>,
}

impl Row {
    /// The alerts that must come on that kernel.
    fn expected_on(&self, kernel: Linux) -> &'static [Fired] {
        match self.since {
            Some(since) if kernel < since => &[],
            _ => self.expected,
        }
    }
}

/// The environment of the tool.
#[derive(Clone, Copy, PartialEq)]
enum As {
    Root,
    /// A user without privileges.
    Nobody,
    /// Root in a cgroup like those of container runtimes.
    Container,
    /// The same in a network namespace of its own, for which the host forwards.
    Guest,
}

/// Debian's user without files.
const NOBODY: &str = "65534";
const ROOT: &str = "0";
/// An id of a container, 64 hexadecimal digits.
const CONTAINER: &str = "5f0c7d3a9b1e4f6289ab3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f7081";

/// Connects to one port after the other without a pause.
const CONNECT_LOOP: &str = "\
import _socket, sys
address, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for port in range(first, last + 1):
    connection = _socket.socket()
    connection.connect_ex((address, port))
    connection.close()
";

/// Queries for a name server, enough for a flood.
const QUESTIONS: u32 = 210;

const DEADLINE: Duration = Duration::from_secs(60);

/// The files of a row.
struct Tool {
    path: PathBuf,
    arguments: Vec<OsString>,
    /// The tool's copy, if any, and its input files.
    _guards: (Option<Renamed>, TempDir),
}

impl Tool {
    fn of(row: &Row) -> Result<Self> {
        let copy = row
            .alias
            .map(|alias| Renamed::copy(row.program, alias))
            .transpose()?;
        let path = match &copy {
            Some(copy) => copy.path().to_owned(),
            None => locate(row.program)?,
        };
        let files = open_folder()?;
        let script = files.path().join("loop.py");
        fs::write(&script, CONNECT_LOOP)?;
        let questions = files.path().join("questions");
        let names: Vec<_> = (0..QUESTIONS)
            .map(|number| format!("{number}.example\n"))
            .collect();
        fs::write(&questions, names.concat())?;
        let masscan = format!(
            "--interface {HOST_LINK} --adapter-ip {HOST} --adapter-mac {HOST_MAC} --router-mac {ATTACKER_MAC} \
             --rate 1000 --wait 0"
        );
        let arguments = row
            .arguments
            .replace("{masscan}", &masscan)
            .replace("{path of nmap}", &locate("nmap")?.display().to_string())
            .replace("{nmap}", "-n -Pn -T4 --max-retries 0")
            .replace("{loop}", &script.display().to_string())
            .replace("{questions}", &questions.display().to_string())
            .replace("{attacker}", &ATTACKER.to_string());
        Ok(Self {
            path,
            arguments: arguments.split_whitespace().map(OsString::from).collect(),
            _guards: (copy, files),
        })
    }

    /// The command that executes the tool in the same process.
    fn command(&self, row: &Row, lab: &Lab) -> Result<Command> {
        let mut command = match row.runs {
            As::Root => Command::new(&self.path),
            As::Nobody => {
                let mut setpriv = Command::new("setpriv");
                setpriv
                    .args(["--clear-groups", "--regid", NOBODY, "--reuid", NOBODY])
                    .arg(&self.path);
                setpriv
            }
            As::Container | As::Guest => {
                let folder = container(lab)?;
                let mut enter = shell("echo 0 > \"$0\"/cgroup.procs && exec \"$@\"");
                enter.arg(folder).arg(&self.path);
                enter
            }
        };
        command.args(&self.arguments);
        Ok(command)
    }

    fn command_line(&self) -> String {
        let words = self.arguments.iter().map(|word| word.to_string_lossy());
        let words: Vec<_> = [self.path.to_string_lossy()]
            .into_iter()
            .chain(words)
            .collect();
        words.join(" ")
    }
}

/// A cgroup below the host's, with a name such as systemd gives to Docker's containers.
fn container(lab: &Lab) -> Result<PathBuf> {
    let cgroup = lab.host().cgroup().context("the host has a cgroup")?;
    let folder = cgroup.path().join(format!("docker-{CONTAINER}.scope"));
    fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

#[derive(Clone, Copy)]
enum Look {
    /// Polls every 100 ms.
    Meanwhile,
    /// Polls once, long after the end.
    Afterwards,
}

fn check(row: &Row, expected: &[Fired], look: Look) -> Result<()> {
    let lab = Lab::new()?;
    // No limit on 'port unreachable'.
    lab.attacker().set("ipv4/icmp_ratemask", 0)?;
    let _nameserver = Responder::start(lab.attacker(), ATTACKER)?;
    let tool = Tool::of(row)?;
    let command = tool.command(row, &lab)?;
    let interval = match look {
        Look::Meanwhile => "--interval 100ms",
        Look::Afterwards => "--interval 60s",
    };
    let guest = match row.runs {
        As::Guest => Some(lab.add_guest()?),
        _ => None,
    };
    let agent = Agent::start(&lab, &format!("{interval} {}", row.options))?;
    let finished = {
        let _frames = frames_for_receiver(&lab)?;
        run(guest.as_ref().unwrap_or(lab.host()), command, DEADLINE)?
    };
    if matches!(look, Look::Meanwhile) {
        agent.wait_for("the expected alerts", |seen| {
            let has = |&fired| seen.alerts.iter().any(|alert| is(alert, fired));
            expected.iter().all(has).then_some(())
        })?;
    }
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    let totals = stopped.totals()?;
    ensure!(
        totals.signals > 0 && totals.lost == 0,
        "not seen, or losses: {totals:?}"
    );
    only_the_expected(expected, &stopped.seen.alerts)
        .and_then(|()| {
            let mut alerts = stopped.seen.alerts.iter();
            alerts.try_for_each(|alert| check_alert(row, &tool, &finished, alert))
        })
        .with_context(|| format!("{}{}", stopped.seen, finished.output))
}

/// masscan's receiver ends on the first frame after the scan, so pings send some. They are too few
/// for a ping sweep.
fn frames_for_receiver(lab: &Lab) -> Result<Process> {
    let mut ping = Command::new("ping");
    ping.args(["-q", "-i", "0.5", "-c", "40", &HOST.to_string()])
        .stdout(std::process::Stdio::null());
    Process::spawn(lab.attacker(), ping)
}

fn is(alert: &Alert, (rule, measure): Fired) -> bool {
    alert.is(rule, measure)
}

fn only_the_expected(expected: &[Fired], alerts: &[Alert]) -> Result<()> {
    /// One alert at the threshold, one at ten times that.
    const MOST_LINES: usize = 2;
    for alert in alerts {
        let known = expected.iter().any(|&fired| is(alert, fired));
        ensure!(known, "unexpected alert: {alert}");
    }
    for &fired in expected {
        let lines = alerts.iter().filter(|alert| is(alert, fired)).count();
        ensure!(
            (1..=MOST_LINES).contains(&lines),
            "{lines} lines of {fired:?}"
        );
    }
    Ok(())
}

fn check_alert(row: &Row, tool: &Tool, finished: &Finished, alert: &Alert) -> Result<()> {
    let text = |path: &Path| Some(path.to_string_lossy().into_owned());
    let (user, name, container) = match row.runs {
        As::Root => (ROOT, Some("root"), None),
        As::Nobody => (NOBODY, Some("nobody"), None),
        As::Container | As::Guest => (ROOT, None, Some(CONTAINER.to_owned())),
    };
    let found = alert.text("user.name");
    ensure!(
        found.is_none() || found.as_deref() == name,
        "user.name is not {name:?}: {alert}"
    );
    // Whom recon could look at, it names.
    let is_read = alert.field("process.command_line").is_some();
    ensure!(
        found.as_deref() == name || !is_read,
        "no user.name: {alert}"
    );
    // A guest's address is not the host's.
    let source = (row.runs != As::Guest).then(|| HOST.to_string());
    for (field, expected) in [
        ("network.direction", Some("egress".to_owned())),
        ("source.ip", source),
        ("destination.ip", Some(ATTACKER.to_string())),
        ("process.pid", Some(finished.pid.to_string())),
        ("process.executable", text(&tool.path)),
        (
            "process.name",
            tool.path.file_name().and_then(|name| text(name.as_ref())),
        ),
        ("user.id", Some(user.to_owned())),
        ("container.id", container),
    ] {
        let found = alert.text(field);
        ensure!(
            found == expected,
            "{field} is {found:?}, not {expected:?}: {alert}"
        );
    }
    // The process may have ended before recon could read these.
    for (field, expected) in [
        ("process.command_line", tool.command_line()),
        ("process.parent.pid", std::process::id().to_string()),
    ] {
        let found = alert.text(field);
        ensure!(
            found.is_none_or(|found| found == expected),
            "{field} is not {expected:?}: {alert}"
        );
    }
    ensure!(
        alert.signals() == row.signals,
        "it counted {:?}",
        alert.signals()
    );
    Ok(())
}

fn check_and_tell(row: &Row, look: Look) -> Result<()> {
    let kernel = Linux::running()?;
    for &(rule, measure) in row.expected {
        if let Some(since) = row.since.filter(|&since| kernel < since) {
            let subject = report::detection(rule, measure);
            report::record(report::DETECTION, &subject, &format!("from {since} on"));
        }
    }
    let expected = row.expected_on(kernel);
    report::detections(expected.iter().copied(), check(row, expected, look))
}

#[test]
fn alerts_name_a_process_while_it_runs() {
    rows::check(
        ROWS,
        |row| row.name,
        |row| check_and_tell(row, Look::Meanwhile),
    );
}

#[test]
fn alerts_name_a_process_after_its_end() {
    rows::check(
        ROWS,
        |row| row.name,
        |row| check_and_tell(row, Look::Afterwards),
    );
}
