//! Every signal that would kill a process by default, and that it can catch.

use anyhow::{Result, ensure};
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
