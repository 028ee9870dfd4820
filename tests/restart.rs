//! A restart is no gap: what recon has counted, reported and concluded goes on in the next process.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::ops::Range;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use recon_tests::frame::{Path as Flow, syn};
use recon_tests::lab::{ATTACKER, HOST, spare};
use recon_tests::{Agent, Alert, Lab, Server};

const REMOTE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const RULE: &str = "port-scan";
const MEASURE: &str = "distinct_ports";

/// A lab with a folder for the state.
struct Bench {
    lab: Lab,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Result<Self> {
        Ok(Self {
            lab: Lab::new()?,
            folder: tempfile::tempdir()?,
        })
    }

    /// The folder of the state, which recon creates.
    fn state(&self) -> String {
        self.folder.path().join("state").display().to_string()
    }

    fn start(&self, arguments: &str) -> Result<Agent> {
        self.start_polling("100ms", arguments)
    }

    fn start_polling(&self, interval: &str, arguments: &str) -> Result<Agent> {
        let state = self.state();
        let arguments = format!("--interval {interval} --state {state} {arguments}");
        Agent::start_into(&self.lab, &arguments, Stdio::piped())
    }

    /// Sends a SYN to each of these ports, and waits until the agent has judged them.
    fn scan(&self, agent: &Agent, ports: Range<u16>) -> Result<()> {
        let before = agent.seen().polled.signals;
        let sender = self.lab.sender()?;
        let sent = u64::from(ports.end - ports.start);
        for port in ports {
            sender.send(&Flow::new(REMOTE, HOST).tcp(syn(port), &[])?)?;
        }
        agent.wait_drained(before + sent)?;
        agent.wait_poll().map(drop)
    }
}

impl Bench {
    /// Connects as a client, which all or none of the ports accept.
    fn connect(
        &self,
        ports: impl Iterator<Item = (IpAddr, u16)> + Send,
        is_open: bool,
    ) -> Result<()> {
        self.lab.attacker().enter(|| {
            for port in ports {
                let is_accepted = TcpStream::connect(port).is_ok();
                ensure!(is_accepted == is_open, "{port:?}: {is_accepted}");
            }
            Ok(())
        })
    }
}

fn alerts(agent: &Agent) -> Vec<Alert> {
    agent.seen().fired(RULE, MEASURE).cloned().collect()
}

fn count(alert: &Alert) -> Option<u64> {
    alert.field("recon.count")?.as_u64()
}

fn kill(agent: Agent) -> Result<()> {
    agent.signal(Signal::SIGKILL)?;
    agent.wait().map(drop)
}

fn stop(agent: Agent) -> Result<()> {
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.seen);
    Ok(())
}

/// How an agent ends.
type Ending = fn(Agent) -> Result<()>;
/// What happens to a file.
type Change = fn(&mut Vec<u8>);

const ENDINGS: [(&str, Ending); 2] = [("SIGTERM", stop), ("kill -9", kill)];

#[test]
fn a_scan_in_progress_is_reported_once_with_its_full_count() -> Result<()> {
    for (how, end) in ENDINGS {
        let bench = Bench::new()?;
        let agent = bench.start("")?;
        bench.scan(&agent, 1..16)?;
        ensure!(alerts(&agent).is_empty(), "{how}: {}", agent.seen());
        end(agent)?;
        let agent = bench.start("")?;
        bench.scan(&agent, 16..31)?;
        agent.wait_for("the alert", |seen| {
            seen.fired(RULE, MEASURE).next().cloned()
        })?;
        stop_after(agent, how, 30)?;
    }
    Ok(())
}

/// Stops the agent, which must have reported one scan of so many ports.
fn stop_after(agent: Agent, how: &str, ports: u64) -> Result<()> {
    let stopped = agent.stop()?;
    let seen = stopped.seen;
    let found: Vec<_> = seen.fired(RULE, MEASURE).map(count).collect();
    // The thirty ports may come in two polls.
    ensure!(
        matches!(found[..], [Some(first)] if first > 20 && first <= ports),
        "{how}: {found:?}\n{seen}"
    );
    Ok(())
}

/// Else the journal of the first polls, which the kernel has forgotten, would have no beginning.
#[test]
fn a_snapshot_is_there_before_the_first_poll() -> Result<()> {
    let bench = Bench::new()?;
    let agent = bench.start_polling("60s", "")?;
    let snapshot = Path::new(&bench.state()).join("snapshot");
    ensure!(snapshot.exists(), "{} is not there", snapshot.display());
    stop(agent)
}

#[test]
fn an_incident_goes_on_with_its_id_and_is_not_reported_again() -> Result<()> {
    for (how, end) in ENDINGS {
        let bench = Bench::new()?;
        let agent = bench.start("")?;
        bench.scan(&agent, 1..26)?;
        let began = agent.wait_for("the alert", |seen| {
            seen.fired(RULE, MEASURE).next().cloned()
        })?;
        // Its mark is written with a later poll at the latest.
        agent.wait_poll()?;
        end(agent)?;
        let agent = bench.start("--quiet 2s")?;
        bench.scan(&agent, 26..31)?;
        let ended = agent.wait_for("the end", |seen| seen.fired(RULE, MEASURE).next().cloned())?;
        ensure!(
            ended.text("recon.phase").as_deref() == Some("ended"),
            "{how}: {ended}"
        );
        ensure!(count(&ended) == Some(30), "{how}: {ended}");
        ensure!(
            ended.text("event.id") == began.text("event.id"),
            "{how}: {began}\n{ended}"
        );
        ensure!(alerts(&agent).len() == 1, "{how}: {}", agent.seen());
        stop(agent)?;
    }
    Ok(())
}

/// What a reload makes an alert is reported, also after a crash: the polls before the reload are
/// not judged by the new rules, which would take the alert for written.
#[test]
fn an_alert_of_a_reload_is_not_lost_in_a_crash() -> Result<()> {
    const HITS: u16 = 21;
    let bench = Bench::new()?;
    let config = bench.folder.path().join("recon.toml");
    let options = format!("--config {}", config.display());
    let threshold = |ports: u16| {
        let text = format!("rules.'{RULE}/{MEASURE}'.threshold = {ports}");
        fs::write(&config, text)
    };
    threshold(50)?;
    let agent = bench.start(&options)?;
    bench.scan(&agent, 1..31)?;
    // Another alert of these polls, whose mark says that all of their lines are written.
    (0..HITS).try_for_each(|_| bench.scan(&agent, 1..2))?;
    agent.wait_for("the alert about hits", |seen| {
        seen.fired(RULE, "count").next().map(drop)
    })?;
    agent.wait_poll()?;
    threshold(20)?;
    agent.signal(Signal::SIGHUP)?;
    agent.wait_for("the reload", |seen| {
        seen.has_logged("threshold 50 -> 20").then_some(())
    })?;
    kill(agent)?;
    let agent = bench.start(&options)?;
    bench.scan(&agent, 31..32)?;
    agent.wait_for("the alert about ports", |seen| {
        seen.fired(RULE, MEASURE).next().map(drop)
    })?;
    stop_after(agent, "a reload", 31)
}

#[test]
fn a_snapshot_that_cannot_be_used_is_set_aside() -> Result<()> {
    // (what, how the file is changed, what the log says)
    let changes: [(&str, Change, &str); 4] = [
        (
            "another version",
            |file| file[8] ^= 1,
            "its format is version 0",
        ),
        (
            "another layout",
            |file| file[12] ^= 1,
            "another version of recon has written it",
        ),
        ("cut", |file| file.truncate(40), "it was cut"),
        ("damaged", |file| file.reverse(), "it is no such file"),
    ];
    let bench = Bench::new()?;
    stop(bench.start("")?)?;
    let snapshot = Path::new(&bench.state()).join("snapshot");
    for (what, change, expected) in changes {
        let mut file = fs::read(&snapshot).context("a snapshot")?;
        change(&mut file);
        fs::write(&snapshot, file)?;
        let agent = bench.start("")?;
        bench.scan(&agent, 1..26)?;
        agent.wait_for("the alert", |seen| {
            seen.fired(RULE, MEASURE).next().cloned()
        })?;
        ensure!(
            agent.seen().has_logged(expected),
            "{what}: {}",
            agent.seen()
        );
        ensure!(snapshot.with_extension("unusable").exists(), "{what}");
        stop(agent)?;
    }
    Ok(())
}

#[test]
fn another_agent_can_not_use_the_folder() -> Result<()> {
    let bench = Bench::new()?;
    let agent = bench.start("")?;
    let Err(error) = bench.start("--xdp off") else {
        anyhow::bail!("two agents use one folder");
    };
    let text = error.to_string();
    ensure!(text.contains("another recon uses"), "{text}");
    stop(agent)
}

/// One port for each restart. tests/pins/saved.rs does fifty restarts.
#[test]
fn two_dozen_restarts_lose_no_port() -> Result<()> {
    const RESTARTS: u16 = 24;
    let bench = Bench::new()?;
    let mut found = Vec::new();
    for restart in 0..RESTARTS {
        let agent = bench.start("")?;
        bench.scan(&agent, restart + 1..restart + 2)?;
        found.extend(alerts(&agent).iter().map(count));
        let (_, end) = ENDINGS[usize::from(restart) % ENDINGS.len()];
        end(agent)?;
    }
    ensure!(found == [Some(21)], "{found:?}");
    let agent = bench.start("--quiet 1s")?;
    let ended = agent.wait_for("the end", |seen| seen.fired(RULE, MEASURE).next().cloned())?;
    ensure!(count(&ended) == Some(RESTARTS.into()), "{ended}");
    stop(agent)
}

/// Whether the state is kept, and whom the second agent names: by the verdicts of the first, or by
/// what it has seen itself.
const VERDICTS: [(bool, Ipv4Addr); 2] = [(true, REMOTE), (false, ATTACKER)];

/// The client's successes and the scanner's failures are before the restart, and attempts of both
/// after it.
#[test]
fn verdicts_on_clients_and_scanners_outlive_a_restart() -> Result<()> {
    const ATTEMPTS: &str = "// id: attempts\nReconEvents\n| where ActionType == 'Attempt'\n| summarize attempts = count() by RemoteIP\n| where attempts > 1000";
    const BY_SCANNERS: &str = "// id: by-scanners\nDeviceNetworkEvents\n| where ActionType == 'SYN' and RemoteVerdict == 'scanner'\n| summarize syns = count() by RemoteIP\n| where syns > 0";
    for ((is_kept, expected), (how, end)) in VERDICTS.into_iter().zip(ENDINGS) {
        let bench = Bench::new()?;
        let rules = |name: &str, text: &str| -> Result<String> {
            let path = bench.folder.path().join(name);
            fs::write(&path, text)?;
            Ok(format!("--rules {}", path.display()))
        };
        let agent = bench.start(&rules("attempts.kql", ATTEMPTS)?)?;
        let _server = Server::nginx(
            bench.lab.host(),
            tempfile::tempdir()?,
            "server { listen 80; location / { return 200 hello; } }",
        )?;
        bench.connect((0..10).map(|number| (spare(number), 80)), true)?;
        bench.scan(&agent, 1..7)?;
        agent.wait_poll()?;
        end(agent)?;
        if !is_kept {
            fs::remove_dir_all(bench.state())?;
        }
        let agent = bench.start(&rules("by-scanners.kql", BY_SCANNERS)?)?;
        // Six attempts in vain make an unknown source a scanner, and the next one shows it.
        bench.connect((2000..2006).map(|port| (HOST.into(), port)), false)?;
        agent.wait_drained(12)?;
        agent.wait_poll()?;
        bench.connect([(HOST.into(), 2006)].into_iter(), false)?;
        bench.scan(&agent, 7..8)?;
        agent.wait_poll()?;
        let stopped = agent.stop()?;
        let alerts = stopped.seen.fired("by-scanners", "count");
        let named: Vec<_> = alerts.map(|alert| alert.text("source.ip")).collect();
        ensure!(
            named == [Some(expected.to_string())],
            "{how}, kept: {is_kept}: {named:?}\n{}",
            stopped.seen
        );
    }
    Ok(())
}
