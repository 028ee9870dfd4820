//! How a row is carried out in the guest that this test runs in.
//!
//! In: a [`Row`]. Out: nothing, or what differed from the row. The decision held here: the guest
//! itself is the watched host, and the attacker is a network namespace with a card of its own,
//! which qemu joins to the host's cards. An attack is over when its signals are counted, its alerts
//! are there, and two more polls have shown that no others come.

use std::{
    io::{Read as _, Seek as _},
    net::IpAddr,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use recon_tests::{
    Agent, Lab, Seen,
    agent::recon,
    frame::{Path, syn, tagged},
    kernel::Linux,
    process::{run, shell},
};

use super::row::{Attack, By, End, Row, Run, Table, Total, alerts_since, fill, matches};

/// The arguments of every run: frequent polls, and a log line for each.
const ARGUMENTS: &str = "-vv --interval 200ms";
/// The longest attack sends for 66 seconds: 65,535 SYNs, one a millisecond.
const DEADLINE: Duration = Duration::from_secs(120);
/// Makes the kernel list its BPF programs among its symbols.
const LIST_PROGRAMS: &str = "echo 1 >/proc/sys/net/core/bpf_jit_kallsyms";
/// Succeeds while the program that every run loads is in the kernel.
const HAS_PROGRAMS: &str = "grep -q ' bpf_prog_.*_recon_egress' /proc/kallsyms";
/// The kernel frees a program some time after its last user has gone.
const NO_PROGRAMS: &str =
    "until [ -z \"$(grep ' bpf_prog_.*_recon_' /proc/kallsyms)\" ]; do usleep 10000; done";
/// Looks for the words with which the kernel reports its own faults, and clears its log.
const CHECK_KERNEL: &str = "dmesg -c >/tmp/kernel
bad=$(grep -E 'BUG:|Oops|WARNING:|Call Trace|general protection' /tmp/kernel) || true
[ -z \"$bad\" ]";
/// Moves the shell into the cgroup that recon sees as the root, where that is mounted.
const ENTER_HOST_CGROUP: &str = "for at in /sys/fs/cgroup /sys/fs/cgroup/unified; do
    if [ -e $at/cgroup.procs ]; then echo $$ >$at/cgroup.procs; fi
done
";

/// The guest, with the attacker behind its last card.
pub(super) struct Guest {
    lab: Lab,
    kernel: Linux,
}

impl Guest {
    /// Prepares the guest for the rows of `table`.
    pub(super) fn prepare(table: &Table, kernel: Linux) -> Result<Self> {
        let lab = Lab::in_guest(table.machine.cards.len())?;
        lab.attacker().ip(table.outside)?;
        for lines in [
            LIST_PROGRAMS,
            concat!(
                "umount /sys/fs/cgroup\n",
                mount_host_cgroup!("/sys/fs/cgroup")
            ),
            table.inside,
        ] {
            script(lines)?;
        }
        Ok(Self { lab, kernel })
    }

    pub(super) fn carry_out(&self, row: &Row) -> Result<()> {
        script(&fill(row.before, self.kernel)).context("before")?;
        for (number, run) in row.runs.iter().enumerate() {
            self.carry_out_run(run)
                .with_context(|| format!("run {}", number + 1))?;
        }
        script(&fill(row.after, self.kernel)).context("after")?;
        script(NO_PROGRAMS).context("programs are left")?;
        script(CHECK_KERNEL).context("the kernel's log")
    }

    fn carry_out_run(&self, run: &Run) -> Result<()> {
        let command = recon(&format!("run {ARGUMENTS} {}", run.arguments))?;
        let agent = Agent::launch(&self.lab, command, Stdio::piped())?;
        agent.wait_for("ready or refused", |seen| {
            (seen.is_ready || seen.has_logged("[ERROR]")).then_some(())
        })?;
        check_start(&agent.seen(), run, self.kernel)?;
        for attack in run.attacks {
            self.attack(&agent, attack)
                .with_context(|| format!("{:?}", attack.by))?;
        }
        script(run.while_running).context("while it ran")?;
        if run.end != End::Refused {
            script(HAS_PROGRAMS)?;
        }
        match run.end {
            End::Refused => {
                let status = agent.wait()?.status;
                ensure!(!status.success(), "recon ended with {status}");
            }
            End::Killed => {
                agent.signal(Signal::SIGKILL)?;
                agent.wait()?;
            }
            End::Stopped => {
                let stopped = agent.stop()?;
                let (status, seen) = (stopped.status, &stopped.seen);
                ensure!(status.success(), "recon ended with {status}\n{seen}");
                if let Some(total) = &run.total {
                    check_total(seen, total)?;
                }
                let lost = stopped.totals()?.lost;
                ensure!(lost == 0, "{lost} lost\n{seen}");
            }
        }
        Ok(())
    }

    fn attack(&self, agent: &Agent, attack: &Attack) -> Result<()> {
        let before = agent.seen();
        let output = self.make(attack)?;
        check_attack(agent, attack, self.kernel, &before).with_context(|| output.trim().to_owned())
    }

    /// Does it, and returns what the tool wrote.
    fn make(&self, attack: &Attack) -> Result<String> {
        match &attack.by {
            By::Attacker(command) => {
                // hping3's exit code says whether all its probes were answered, which does not
                // matter here.
                let command = shell(&fill(command, self.kernel));
                return Ok(run(self.lab.attacker(), command, DEADLINE)?.output);
            }
            By::Host(lines) => {
                script(&(ENTER_HOST_CGROUP.to_owned() + &fill(lines, self.kernel)))?;
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
            }
        }
        Ok(String::new())
    }
}

fn check_attack(agent: &Agent, attack: &Attack, kernel: Linux, before: &Seen) -> Result<()> {
    let counted = |seen: &Seen| seen.polled.signals - before.polled.signals;
    if let Some(signals) = attack.signals {
        agent.wait_for(&format!("{signals} signals"), |seen| {
            (counted(seen) >= signals).then_some(())
        })?;
    }
    let from = before.alerts.len();
    for expected in attack.alerts {
        agent.wait_for(&format!("{expected:?}"), |seen| {
            alerts_since(seen, from)
                .any(|alert| expected.is_met_by(alert, kernel))
                .then_some(())
        })?;
    }
    // One poll may have begun before; the next one has everything else.
    agent.wait_poll()?;
    agent.wait_poll()?;
    let seen = agent.seen();
    if let Some(signals) = attack.signals {
        let counted = counted(&seen);
        ensure!(
            counted == signals,
            "{counted} signals instead of {signals}\n{seen}"
        );
    }
    let alerts = alerts_since(&seen, from).count();
    ensure!(
        attack.alerts.is_empty() || alerts == attack.alerts.len(),
        "{alerts} alerts instead of {}\n{seen}",
        attack.alerts.len()
    );
    Ok(())
}

/// Checks the last alert of an incident, which ends with the run.
fn check_total(seen: &Seen, total: &Total) -> Result<()> {
    let alerts: Vec<_> = seen.fired(total.rule, total.measure).collect();
    let last = alerts.last().and_then(|alert| alert.text("recon.count"));
    let expected = total.last_count.to_string();
    ensure!(
        last == Some(expected) && alerts.len() <= total.at_most,
        "not {total:?}\n{seen}"
    );
    Ok(())
}

/// Compares what the agent has logged before it watched. What the kernel lacks is the same for all
/// rows, and each agent that watches says once what it has reduced itself to.
fn check_start(seen: &Seen, run: &Run, kernel: Linux) -> Result<()> {
    const LEVELS: [&str; 3] = ["[INFO ]", "[WARN ]", "[ERROR]"];
    const LACKS: &str = "this kernel lacks ";
    /// One line says what it keeps, others which layers the kernel lacks.
    const REDUCED: &str = "] sandbox: ";
    const KEEPS: &str = "[INFO ] sandbox: keeps ";
    let (lacks, said): (Vec<&str>, Vec<&str>) = seen
        .log
        .iter()
        .map(String::as_str)
        .filter(|line| LEVELS.iter().any(|level| line.starts_with(level)))
        .take_while(|line| !line.contains("] watching "))
        .partition(|line| line.contains(LACKS));
    let (reduced, said): (Vec<&str>, Vec<&str>) =
        said.into_iter().partition(|line| line.contains(REDUCED));
    let expected: Vec<String> = run.says.iter().map(|line| fill(line, kernel)).collect();
    compare(&said, &expected)?;
    // One that is refused may end before.
    if run.end != End::Refused {
        compare(&lacks, &kernel.lacks())?;
        let keeps = reduced.iter().filter(|line| line.starts_with(KEEPS));
        ensure!(keeps.count() == 1, "{reduced:?}");
    }
    Ok(())
}

/// Whether each line matches its pattern.
fn compare(said: &[&str], expected: &[String]) -> Result<()> {
    let mut pairs = said.iter().zip(expected);
    let same = said.len() == expected.len() && pairs.all(|(line, pattern)| matches(line, pattern));
    ensure!(
        same,
        "it logged:\n{}\ninstead of:\n{}",
        said.join("\n"),
        expected.join("\n")
    );
    Ok(())
}

/// Runs lines in a shell, each of which must succeed. Processes that they leave in the background
/// stay.
fn script(lines: &str) -> Result<()> {
    const SECONDS: &str = "60";
    // A file and not a pipe: a process in the background would keep a pipe open.
    let mut output = tempfile::tempfile()?;
    let status = Command::new("timeout")
        .args([SECONDS, "sh", "-exc", lines])
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .status()
        .context("timeout")?;
    if !status.success() {
        let mut text = String::new();
        output.rewind()?;
        output.read_to_string(&mut text)?;
        bail!("{status}:\n{text}");
    }
    Ok(())
}
