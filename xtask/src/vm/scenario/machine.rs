//! A running guest, and how a row is carried out in it.
//!
//! In: a [`Row`]. Out: nothing, or what was not as the row says.
//! The decision held here: waiting means a condition and a deadline: an attack is over when its signals are counted and its alerts are
//! there, and another poll has shown that there are no more.

use std::{net::IpAddr, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use recon_tests::{
    Agent, Lab, Seen,
    frame::{Path, syn, tagged},
    lab::HOST_LINK,
    process::{run, shell},
};

use super::{
    super::{
        guest::{Card, Guest},
        initramfs::LISTENS,
        lab::bridge,
    },
    row::{Attack, By, End, Features, Machine, Row, Run, Told, is_like, told_since},
    shell::{SUCCESS, Shell},
};

/// What every run is started with: polls that are logged, and soon.
const ARGUMENTS: &str = "-vv --interval 200ms";
/// The largest frames of most switches.
const JUMBO: u32 = 9000;
/// A boot takes three to six seconds where the machine has nothing else to do.
const BOOT: Duration = Duration::from_secs(120);
/// The longest attack takes five seconds where the machine has nothing else to do.
const DEADLINE: Duration = Duration::from_secs(60);
/// Has the kernel list its programs among its symbols.
const LIST_PROGRAMS: &str = "echo 1 >/proc/sys/net/core/bpf_jit_kallsyms";
/// While it runs, the program that every run has is listed.
const HAS_PROGRAMS: &str = "grep -q ' bpf_prog_.*_recon_egress' /proc/kallsyms";
/// The kernel frees a program some time after its last user has gone.
const NO_PROGRAMS: &str =
    "until [ -z \"$(grep ' bpf_prog_.*_recon_' /proc/kallsyms)\" ]; do usleep 10000; done";
/// Looks for what the kernel writes where something is wrong with it, and forgets the rest.
const CHECK_KERNEL: &str = "dmesg -c >/tmp/kernel
bad=$(grep -E 'BUG:|Oops|WARNING:|Call Trace|general protection' /tmp/kernel) || true
[ -z \"$bad\" ]";

/// A guest, its network and its shell. Dropping it ends all of them.
pub(super) struct Running {
    shell: Shell,
    /// The machine, whose output is that of the agents in it. Ends before its network.
    agent: Agent,
    lab: Lab,
}

impl Running {
    pub(super) fn start(guest: &Guest<'_>, machine: &Machine) -> Result<Self> {
        let lab = Lab::new()?;
        bridge(&lab, machine.hardware.cards)?;
        lab.host().ip(&jumbo(HOST_LINK, machine.hardware.cards))?;
        lab.attacker().ip(machine.outside)?;
        let agent = Agent::launch(&lab, guest.watching_on(&machine.hardware), Stdio::piped())?;
        agent.wait_within(BOOT, "a guest that takes commands", |seen| {
            seen.has_logged(LISTENS).then_some(())
        })?;
        let mut shell = Shell::of(lab.host())?;
        shell.script(LIST_PROGRAMS)?;
        shell.script(machine.inside)?;
        Ok(Self { shell, agent, lab })
    }

    pub(super) fn carry_out(&mut self, row: &Row, features: Features) -> Result<()> {
        let before = features.fill(row.before);
        self.shell.script(&before).context("before")?;
        for (number, run) in row.runs.iter().enumerate() {
            self.carry_out_run(run, features)
                .with_context(|| format!("run {}", number + 1))?;
        }
        let after = features.fill(row.after);
        self.shell.script(&after).context("after")?;
        self.shell
            .script(NO_PROGRAMS)
            .context("programs are left")?;
        self.shell.script(CHECK_KERNEL).context("the kernel's log")
    }

    fn carry_out_run(&mut self, run: &Run, features: Features) -> Result<()> {
        self.agent.forget();
        self.shell.ask(&format!(
            "recon run {ARGUMENTS} {} </dev/null >/dev/ttyS0 2>/dev/ttyS1 & agent=$!",
            run.arguments
        ))?;
        self.agent.wait_for("ready or refused", |seen| {
            (seen.is_ready || seen.has_logged("[ERROR]")).then_some(())
        })?;
        check_start(&self.agent.seen(), run, features)?;
        for attack in run.attacks {
            self.attack(attack, features)
                .with_context(|| format!("{:?}", attack.by))?;
        }
        self.shell
            .script(run.while_running)
            .context("while it ran")?;
        if run.end != End::Refused {
            self.shell.script(HAS_PROGRAMS)?;
        }
        match run.end {
            End::Refused => {
                let (_, code) = self.shell.ask("wait $agent")?;
                ensure!(code != SUCCESS, "recon ended with {code}");
                Ok(())
            }
            End::Killed => self.shell.ask("kill -KILL $agent; wait $agent").map(drop),
            End::Stopped => {
                if let Some(told) = &run.told {
                    self.wait_told(told)?;
                }
                self.stop()
            }
        }
    }

    fn attack(&mut self, attack: &Attack, features: Features) -> Result<()> {
        let before = self.agent.seen();
        let said = self.make(attack, features)?;
        self.check_attack(attack, features, &before)
            .with_context(|| said.trim().to_owned())
    }

    /// Does it, and returns what the tool wrote.
    fn make(&mut self, attack: &Attack, features: Features) -> Result<String> {
        match &attack.by {
            By::Attacker(command) => {
                // hping3 says by its exit code whether all its probes were answered, which is not the point here.
                let command = shell(&features.fill(command));
                Ok(run(self.lab.attacker(), command, DEADLINE)?.output)
            }
            By::Guest(lines) => {
                self.shell.script(&features.fill(lines))?;
                Ok(String::new())
            }
            By::Tagged {
                vlan,
                from,
                to,
                ports,
            } => {
                let path = Path::new(from.parse::<IpAddr>()?, to.parse::<IpAddr>()?);
                let sender = self.lab.sender()?;
                for port in ports.clone() {
                    sender.send(&tagged(&path.tcp(syn(port), &[])?, *vlan))?;
                }
                Ok(String::new())
            }
        }
    }

    fn check_attack(&self, attack: &Attack, features: Features, before: &Seen) -> Result<()> {
        let counted = |seen: &Seen| seen.polled.signals - before.polled.signals;
        if let Some(signals) = attack.signals {
            self.agent.wait_for(&format!("{signals} signals"), |seen| {
                (counted(seen) >= signals).then_some(())
            })?;
        }
        let from = before.alerts.len();
        for expected in attack.alerts {
            self.agent.wait_for(&format!("{expected:?}"), |seen| {
                told_since(seen, from)
                    .any(|alert| expected.is(alert, features))
                    .then_some(())
            })?;
        }
        // One poll may have begun before; the next one has whatever else there is.
        self.agent.wait_poll()?;
        self.agent.wait_poll()?;
        let seen = self.agent.seen();
        if let Some(signals) = attack.signals {
            let counted = counted(&seen);
            ensure!(
                counted == signals,
                "{counted} signals instead of {signals}\n{seen}"
            );
        }
        let told = told_since(&seen, from).count();
        ensure!(
            attack.alerts.is_empty() || told == attack.alerts.len(),
            "{told} alerts instead of {}\n{seen}",
            attack.alerts.len()
        );
        Ok(())
    }

    /// Waits for the alert with the whole count, which may only come when the incident is over.
    fn wait_told(&self, told: &Told) -> Result<()> {
        self.agent.wait_for(&format!("{told:?}"), |seen| {
            told.is_true(seen).then_some(())
        })?;
        let seen = self.agent.seen();
        let of_rule = |alert: &&recon_tests::Alert| alert.fired().0 == told.rule;
        let alerts = seen.alerts.iter().filter(of_rule).count();
        ensure!(
            alerts <= told.at_most,
            "{alerts} alerts of {}\n{seen}",
            told.rule
        );
        Ok(())
    }

    /// Ends a run in order.
    fn stop(&mut self) -> Result<()> {
        let (_, code) = self.shell.ask("kill -TERM $agent; wait $agent")?;
        // Its last lines may still be on their way over the other serial lines.
        let totals = self.agent.wait_for("totals", |seen| seen.totals)?;
        let seen = self.agent.seen();
        ensure!(code == SUCCESS, "recon ended with {code}\n{seen}");
        ensure!(totals.lost == 0, "{} lost\n{seen}", totals.lost);
        Ok(())
    }
}

/// Has the network take frames of any size that a guest sends: a bridge takes what its smallest port does.
fn jumbo(link: &str, cards: &[Card<'_>]) -> String {
    let links = cards.iter().map(|card| card.tap).chain([link]);
    links
        .map(|link| format!("link set {link} mtu {JUMBO}\n"))
        .collect()
}

impl Told {
    fn is_true(&self, seen: &Seen) -> bool {
        let last = seen.fired(self.rule, self.measure).last();
        last.and_then(|alert| alert.text("recon.count")) == Some(self.last_count.to_string())
    }
}

/// Compares what the agent has said before it watched.
fn check_start(seen: &Seen, run: &Run, features: Features) -> Result<()> {
    const LEVELS: [&str; 3] = ["[INFO ]", "[WARN ]", "[ERROR]"];
    let said: Vec<&str> = seen
        .log
        .iter()
        .map(String::as_str)
        .filter(|line| LEVELS.iter().any(|level| line.starts_with(level)))
        .take_while(|line| !line.contains("] watching "))
        .collect();
    let expected: Vec<String> = run.says.iter().map(|line| features.fill(line)).collect();
    let same = said.len() == expected.len()
        && said
            .iter()
            .zip(&expected)
            .all(|(line, text)| is_like(line, text));
    if !same {
        bail!(
            "it said:\n{}\ninstead of:\n{}",
            said.join("\n"),
            expected.join("\n")
        );
    }
    Ok(())
}
