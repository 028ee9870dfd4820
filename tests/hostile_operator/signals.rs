//! Every signal that would kill a process by default, and that it can catch; and one that comes as
//! a stopped agent goes on.

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use recon_tests::process::{run, shell};
use recon_tests::scan::{PORTS, has_alert, scan};
use recon_tests::{Agent, Lab, PATIENCE, rows};

use super::ensure_nothing_attached;

/// No poll happens before the end.
const LONGEST: &str = "--interval 60s";

/// What the agent does about a signal.
enum Then {
    /// It ends in order.
    Ends,
    /// It logs this, and goes on.
    Logs(&'static str),
    /// It goes on.
    GoesOn,
}
use Then::{Ends, GoesOn, Logs};

/// The names are those of kill(1).
const SIGNALS: &[(&str, Then)] = &[
    ("INT", Ends),
    ("TERM", Ends),
    ("QUIT", Ends),
    ("XCPU", Ends),
    ("PWR", Ends),
    ("HUP", Logs("reload: nothing has changed")),
    ("USR1", Logs("SIGUSR1: ignored")),
    ("USR2", Logs("SIGUSR2: ignored")),
    ("ALRM", Logs("SIGALRM: ignored")),
    ("VTALRM", Logs("SIGVTALRM: ignored")),
    ("PROF", Logs("SIGPROF: ignored")),
    ("POLL", Logs("SIGIO: ignored")),
    ("XFSZ", Logs("SIGXFSZ: ignored")),
    ("STKFLT", Logs("signal 16: ignored")),
    ("PIPE", GoesOn),
    // Real-time signals.
    ("34", Logs("signal 34: ignored")),
    ("64", Logs("signal 64: ignored")),
];

#[test]
fn no_signal_loses_the_last_counts() {
    rows::check(SIGNALS, |(name, _)| name, |(name, then)| check(name, then));
}

fn check(name: &str, then: &Then) -> Result<()> {
    let lab = Lab::new()?;
    let agent = Agent::start(&lab, LONGEST)?;
    scan(&lab, PORTS)?;
    let kill = shell(&format!("env kill -{name} {}", agent.pid()));
    run(lab.host(), kill, PATIENCE)?.success()?;
    let stopped = match then {
        Ends => agent.wait()?,
        Logs(text) => {
            agent.wait_for(text, |seen| seen.has_logged(text).then_some(()))?;
            agent.stop()?
        }
        GoesOn => agent.stop()?,
    };
    ensure!(stopped.status.success(), "{}", stopped.status);
    let seen = stopped.seen;
    ensure!(has_alert(&seen), "no alert: {seen}");
    ensure!(seen.has_logged("totals: polls=1 "), "{seen}");
    ensure_nothing_attached(&lab)
}

/// Any thread of a stopped process may be the first to run again and to take the signal.
#[test]
fn no_signal_is_lost_after_a_stop() -> Result<()> {
    /// Where any thread took signals, one in five was lost.
    const TIMES: usize = 300;
    const HEARD: &str = "SIGUSR1: ignored";
    let lab = Lab::new()?;
    let agent = Agent::start(&lab, LONGEST)?;
    let pid = Pid::from_raw(agent.pid().cast_signed());
    for time in 1..=TIMES {
        agent.signal(Signal::SIGSTOP)?;
        waitid(Id::Pid(pid), WaitPidFlag::WSTOPPED)?;
        agent.signal(Signal::SIGCONT)?;
        agent.signal(Signal::SIGUSR1)?;
        agent.wait_for(&format!("signal {time}"), |seen| {
            let heard = seen.log.iter().filter(|line| line.contains(HEARD)).count();
            (heard == time).then_some(())
        })?;
    }
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    Ok(())
}
