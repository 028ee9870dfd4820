//! `/healthz` says whether polls really happen.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use recon_tests::lab::HOST_LINK;
use recon_tests::scrape::{BETWEEN_SCRAPES, Scraper};
use recon_tests::{Lab, PATIENCE};

use super::{start, tcp, unix};

/// Asks until the status is that one. Returns what is said.
fn wait_status(scraper: Scraper<'_>, status: u16) -> Result<String> {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = scraper.get("/healthz", "")?;
        if answer.status == status {
            return Ok(answer.body);
        }
        if Instant::now() >= end {
            bail!("{status} was expected: {answer:?}");
        }
        std::thread::sleep(BETWEEN_SCRAPES);
    }
}

/// One thread that a debugger has stopped. Dropping it lets it go on.
struct Stopped(Pid);

impl Stopped {
    fn stop(thread: u32) -> Result<Self> {
        let thread = Pid::from_raw(thread.cast_signed());
        ptrace::seize(thread, ptrace::Options::empty()).context("seize")?;
        let stopped = Self(thread);
        ptrace::interrupt(thread).context("interrupt")?;
        waitpid(thread, Some(WaitPidFlag::__WALL)).context("wait")?;
        Ok(stopped)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // It has ended otherwise.
        let _ = ptrace::detach(self.0, None);
    }
}

/// The thread that polls is stopped, as one that hangs, and all others go on: the process answers,
/// and says that it is not healthy.
#[test]
fn an_agent_that_hangs_is_not_healthy() -> Result<()> {
    let lab = Lab::new()?;
    let address = tcp();
    // That polls came late is over soon.
    let agent = start(&lab, &address, "--quiet 1s")?;
    let scraper = Scraper::new(&lab, &address);
    agent.wait_poll()?;
    let said = wait_status(scraper, 200)?;
    ensure!(said == "ok\n", "{said}");
    let stopped = Stopped::stop(agent.pid())?;
    let said = wait_status(scraper, 503)?;
    ensure!(
        said.starts_with("polls are overdue: the last one"),
        "{said}"
    );
    ensure!(said.contains("one is due every 100ms"), "{said}");
    let before = scraper.scrape()?;
    let polls = |samples: &recon_tests::scrape::Samples| samples.sum("recon_polls_total", &[]);
    ensure!(polls(&scraper.scrape()?) == polls(&before), "it polls");
    drop(stopped);
    wait_status(scraper, 200)?;
    let after = scraper.wait_for(&agent, "more polls", |it| polls(it) > polls(&before))?;
    // The time that it hung is counted, too.
    ensure!(after.sum("recon_missed_polls_total", &[]) > 10, "{after}");
    ensure!(agent.stop()?.status.success());
    Ok(())
}

#[test]
fn an_agent_that_is_blind_is_not_healthy() -> Result<()> {
    let lab = Lab::new()?;
    let folder = tempfile::tempdir()?;
    let address = unix(folder.path());
    let agent = start(&lab, &address, "--quiet 1s")?;
    let scraper = Scraper::new(&lab, &address);
    wait_status(scraper, 200)?;
    lab.host().ip(&format!("link delete {HOST_LINK}\n"))?;
    let said = wait_status(scraper, 503)?;
    ensure!(
        said == format!("blind or tampered with: the interface {HOST_LINK} is gone\n"),
        "{said}"
    );
    let samples = scraper.scrape()?;
    for (metric, label, number) in [
        ("recon_blind", "part=\"interface\"", 1),
        ("recon_blind_reports_total", "part=\"interface\"", 1),
        ("recon_interfaces", "", 0),
        ("recon_missing_interfaces", "", 1),
        ("recon_hooks", "hook=\"xdp_native\"", 0),
    ] {
        ensure!(
            samples.sum(metric, &[label]) == number,
            "{metric}: {samples}"
        );
    }
    lab.join()?;
    wait_status(scraper, 200)?;
    ensure!(agent.stop()?.status.success());
    Ok(())
}

/// The niceness in /proc/PID/stat.
fn niceness(stat: &str) -> Result<i32> {
    /// Its place after the name, which may have blanks.
    const PLACE: usize = 16;
    let (_, fields) = stat.rsplit_once(") ").context("a name")?;
    let niceness = fields.split(' ').nth(PLACE).context("a field")?;
    Ok(niceness.parse()?)
}

/// The thread that hears strangers can do nothing but answer, with the lowest priority.
#[test]
fn the_thread_that_answers_has_no_privileges() -> Result<()> {
    /// What nice(1) calls it.
    const LEAST: i32 = 19;
    let lab = Lab::new()?;
    let address = tcp();
    let agent = start(&lab, &address, "")?;
    agent.wait_poll()?;
    let scraper = Scraper::new(&lab, &address);
    scraper.scrape()?;
    let mut filters = BTreeMap::new();
    let mut found = None;
    for thread in fs::read_dir(format!("/proc/{}/task", agent.pid()))? {
        let path = thread?.path();
        let status = fs::read_to_string(path.join("status"))?;
        let mut lines = status.lines();
        let count = lines.find_map(|line| line.strip_prefix("Seccomp_filters:"));
        let count: u32 = count.context("filters")?.trim().parse()?;
        filters.insert(path.file_name().context("a thread")?.to_owned(), count);
        if status.contains("Name:\trecon-metrics\n") {
            let stat = fs::read_to_string(path.join("stat"))?;
            found = Some((status, count, niceness(&stat)?));
        }
    }
    let (status, count, niceness) = found.context("its thread")?;
    for line in [
        "CapEff:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        ensure!(
            status.lines().any(|found| found == line),
            "no {line} in {status}"
        );
    }
    ensure!(niceness == LEAST, "the priority {niceness}");
    // Those of all threads, and its own.
    let of_agent = filters.get(OsStr::new(&agent.pid().to_string()));
    ensure!(of_agent == Some(&(count - 1)), "{filters:?}");
    let stopped = agent.stop()?;
    ensure!(
        !stopped.seen.has_logged("sandbox: without"),
        "{}",
        stopped.seen
    );
    Ok(())
}
