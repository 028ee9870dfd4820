//! Pins and a saved state together: whenever and however an agent ends, the next one goes on with
//! what the kernel has counted and with what the last one knew.
//!
//! The decision held here: the rules of the test count every packet, so that the last line of an
//! incident says how many all agents together have judged.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path as FilePath, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use recon_tests::frame::{Path, syn};
use recon_tests::{Agent, Alert, Seen};

use super::pinned::{Pinned, TARGET, copy_binary, end, kill, stop};

const SCANNER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10));
/// The first port of the scan.
const FIRST: u16 = 3000;
const RESTARTS: u16 = 50;
const UPGRADES: u16 = 10;
const KILLS: u64 = 12;
/// An agent that is killed has begun at most so long ago. A start takes about half of that.
const LONGEST: u64 = 2_000;
const ALL: &str = "all-packets";
const SCAN: &str = "one-scan";

const RULES: &str = r#"
// id: all-packets
// severity: high
DeviceNetworkEvents
| where ActionType == "SYN"
| summarize packets = count() by LocalIP
| where packets > 20

// id: one-scan
// severity: high
DeviceNetworkEvents
| where ActionType == "SYN" and LocalPort >= 3000
| summarize ports = dcount(LocalPort) by RemoteIP
| where ports > 20
"#;

/// A lab whose agents have pins, a state and the rules above.
struct Saved {
    pinned: Pinned,
    has_state: bool,
    /// What all agents have written.
    alerts: Vec<Alert>,
}

impl Saved {
    fn new() -> Result<Self> {
        let pinned = Pinned::new()?;
        fs::write(pinned.file("rules.kql"), RULES)?;
        let alerts = Vec::new();
        Ok(Self {
            pinned,
            has_state: true,
            alerts,
        })
    }

    fn arguments(&self, more: &str) -> String {
        let [rules, state] = ["rules.kql", "state"].map(|name| self.pinned.file(name));
        let state = match self.has_state {
            true => format!("--state {}", state.display()),
            false => String::new(),
        };
        format!("--xdp native --rules {} {state} {more}", rules.display())
    }

    fn start(&mut self, binary: Option<&FilePath>, more: &str) -> Result<Agent> {
        let arguments = self.arguments(more);
        self.pinned.start_binary(binary, &arguments)
    }

    /// Sends the scan's packets to some ports.
    fn scan(&mut self, ports: std::ops::Range<u16>) -> Result<()> {
        self.pinned.send_frames(&scan(ports)?)
    }

    /// Sends traffic while `work` runs, with the arguments of agents.
    fn under_traffic(
        &mut self,
        work: impl FnOnce(&mut Pinned, &str) -> Result<Vec<Seen>>,
    ) -> Result<()> {
        let arguments = self.arguments("");
        let seen = self
            .pinned
            .under_traffic(|pinned| work(pinned, &arguments))?;
        seen.into_iter().for_each(|seen| self.note(seen));
        Ok(())
    }

    fn note(&mut self, seen: Seen) {
        self.alerts.extend(seen.alerts);
    }

    /// Starts a last agent, waits until both incidents have ended, and checks all lines: each
    /// packet was judged once, and each line written once, if a kill repeats none.
    fn ensure_exact(mut self, ports: u64, kills: usize) -> Result<()> {
        let agent = self.start(None, "--quiet 1s")?;
        let counts = [(ALL, self.pinned.sent()), (SCAN, ports)];
        agent.wait_for("the last lines", |seen| {
            let all = || self.alerts.iter().chain(&seen.alerts);
            let is_over = |&(rule, count)| of_rule(all(), rule).any(|line| line.is_last(count));
            counts.iter().all(is_over).then_some(())
        })?;
        self.pinned.ensure_one_program()?;
        let seen = stop(agent)?;
        ensure!(seen.has_logged("went on with the maps"), "{seen}");
        self.note(seen);
        for (rule, count) in counts {
            let lines: Vec<_> = of_rule(&self.alerts, rule).collect();
            ensure_one_incident(&lines, count, kills)
                .with_context(|| format!("{rule}: {count} sent, {lines:?}"))?;
        }
        self.pinned.detach()?.success()?;
        self.pinned.ensure_nothing_left()
    }
}

/// A SYN to each of these ports.
fn scan(ports: std::ops::Range<u16>) -> Result<Vec<Vec<u8>>> {
    let path = Path::new(SCANNER, TARGET);
    ports.map(|port| path.tcp(syn(port), &[])).collect()
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    id: String,
    phase: String,
    count: u64,
}

impl Line {
    /// Whether it is an incident's last one, if that has `count` in the end. An end without news is
    /// not reported.
    fn is_last(&self, count: u64) -> bool {
        self.phase == "ended" || self.count == count
    }
}

fn of_rule<'a>(
    alerts: impl IntoIterator<Item = &'a Alert>,
    rule: &str,
) -> impl Iterator<Item = Line> {
    let of_rule = alerts
        .into_iter()
        .filter(move |alert| alert.text("rule.category").as_deref() == Some(rule));
    of_rule.map(|alert| Line {
        id: alert.text("event.id").unwrap_or_default(),
        phase: alert.text("recon.phase").unwrap_or_default(),
        count: alert
            .field("recon.count")
            .and_then(|count| count.as_u64())
            .unwrap_or(0),
    })
}

/// One incident: a beginning, growth by ten times, a last line with the full count. A line that may
/// not have been written is written again by the next agent, word for word.
fn ensure_one_incident(lines: &[Line], count: u64, kills: usize) -> Result<()> {
    let mut times: BTreeMap<&Line, usize> = BTreeMap::new();
    for line in lines {
        *times.entry(line).or_default() += 1;
    }
    let repeated: usize = times.values().map(|times| times - 1).sum();
    ensure!(repeated <= kills, "{repeated} lines repeated");
    let mut in_order: Vec<_> = times.into_keys().collect();
    in_order.sort_by_key(|line| line.count);
    let phases: Vec<_> = in_order.iter().map(|line| line.phase.as_str()).collect();
    let [began, later @ ..] = &phases[..] else {
        anyhow::bail!("no line");
    };
    let grew = later.strip_suffix(&["ended"]).unwrap_or(later);
    ensure!(*began == "began" && grew.iter().all(|phase| *phase == "grew"));
    let is_one = lines.iter().all(|line| line.id == in_order[0].id);
    ensure!(is_one, "two incidents");
    let mut steps = in_order.windows(2);
    ensure!(
        steps.all(|step| step[1].phase == "ended" || step[1].count >= 10 * step[0].count),
        "growth by less than ten times"
    );
    let counted = in_order.last().map_or(0, |line| line.count);
    ensure!(counted == count, "{counted} counted");
    Ok(())
}

#[test]
fn a_scan_goes_on_over_a_restart_while_nobody_runs() -> Result<()> {
    for (is_killed, how) in [(false, "SIGTERM"), (true, "kill -9")] {
        check_scan(is_killed).context(how)?;
    }
    Ok(())
}

fn check_scan(is_killed: bool) -> Result<()> {
    let mut saved = Saved::new()?;
    let agent = saved.start(None, "")?;
    saved.scan(FIRST..FIRST + 15)?;
    agent.wait_drained(15)?;
    let seen = match is_killed {
        true => kill(agent)?,
        false => stop(agent)?,
    };
    ensure!(seen.alerts.is_empty(), "{seen}");
    // The kernel counts these.
    saved.scan(FIRST + 15..FIRST + 25)?;
    let agent = saved.start(None, "")?;
    agent.wait_for("both alerts", |seen| (seen.alerts.len() == 2).then_some(()))?;
    // So that the end has news.
    saved.scan(FIRST + 25..FIRST + 30)?;
    agent.wait_drained(15)?;
    let seen = stop(agent)?;
    saved.note(seen);
    saved.ensure_exact(30, 0)
}

#[test]
fn kills_at_any_moment_lose_and_repeat_no_packet() -> Result<()> {
    let saved = kill_again_and_again(Saved::new()?)?;
    saved.ensure_exact(4000, KILLS as usize)
}

/// Without a state, what a kill leaves in the kernel is given to the next one, perhaps again: rows
/// are never missing, and some stand there twice.
#[test]
fn kills_at_any_moment_lose_no_row_without_a_state() -> Result<()> {
    let mut saved = Saved::new()?;
    saved.has_state = false;
    let mut saved = kill_again_and_again(saved)?;
    let agent = saved.start(None, "")?;
    agent.wait_poll()?;
    let (sent, counted) = (saved.pinned.sent(), saved.pinned.counted()?);
    println!("{sent} sent, {counted} in rows");
    // A poll is a tenth of a second of traffic, and there were seconds between two kills.
    ensure!(
        counted - sent <= sent / 10,
        "{sent} sent, {counted} in rows"
    );
    saved.pinned.finish(agent)
}

fn kill_again_and_again(mut saved: Saved) -> Result<Saved> {
    let seed = RandomState::new().hash_one(0);
    saved.pinned.mix_into_traffic(scan(FIRST..FIRST + 4000)?);
    let moments = RandomState::new();
    // What is sent before the first one watches is nobody's.
    let mut agent = saved.start(None, "")?;
    saved.under_traffic(|pinned, arguments| {
        let mut seens = Vec::new();
        for kill in 0..KILLS {
            let wait = moments.hash_one((seed, kill)) % LONGEST;
            // Also while it takes over the maps, swaps programs and reads the state.
            thread::sleep(Duration::from_millis(wait));
            pinned.note_ids(&agent)?;
            agent.signal(Signal::SIGKILL)?;
            seens.push(agent.wait()?.seen);
            let command = pinned.command(None, arguments)?;
            agent = Agent::launch(&pinned.lab, command, std::process::Stdio::piped())?;
        }
        agent.wait_ready()?;
        pinned.ensure_one_program()?;
        seens.push(stop(agent)?);
        Ok(seens)
    })?;
    let agent = saved.start(None, "")?;
    agent.wait_poll()?;
    saved.note(stop(agent)?);
    let (sent, counted) = (saved.pinned.sent(), saved.pinned.counted()?);
    ensure!(counted >= sent, "{sent} sent, {counted} in rows");
    Ok(saved)
}

#[test]
fn fifty_restarts_judge_each_packet_once() -> Result<()> {
    check_restarts(RESTARTS, |_, _| Ok(None))
}

#[test]
fn ten_upgrades_judge_each_packet_once() -> Result<()> {
    check_restarts(UPGRADES, |pinned, number| {
        copy_binary(pinned, &format!("recon-{number}"), None).map(Some)
    })
}

/// Restarts under traffic, with one port of a scan for each agent.
fn check_restarts(
    restarts: u16,
    binary: impl Fn(&Pinned, u16) -> Result<Option<PathBuf>>,
) -> Result<()> {
    let mut saved = Saved::new()?;
    let mut agent = saved.start(None, "")?;
    saved.under_traffic(|pinned, arguments| {
        let mut seens = Vec::new();
        for number in 0..restarts {
            pinned.send_frames(&scan(FIRST + number..FIRST + number + 1)?)?;
            agent.wait_poll()?;
            seens.push(end(agent, number.into())?);
            let binary = binary(pinned, number)?;
            agent = pinned.start_binary(binary.as_deref(), arguments)?;
            binary.map_or(Ok(()), fs::remove_file)?;
            pinned.ensure_one_program()?;
        }
        // Reported at last, and then news for the end.
        pinned.send_frames(&scan(FIRST + restarts..FIRST + restarts + 25)?)?;
        agent.wait_poll()?;
        agent.wait_poll()?;
        pinned.send_frames(&scan(FIRST + restarts + 25..FIRST + restarts + 30)?)?;
        seens.push(stop(agent)?);
        Ok(seens)
    })?;
    saved.ensure_exact((restarts + 30).into(), restarts.into())
}
