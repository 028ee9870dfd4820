//! The agent: hook, then at every interval drain, judge and write; and an orderly end.
//!
//! In: the options of `recon run`. Out: alerts on stdout, everything else on stderr. Who a process is, is [`actors`]' part.
//! The decisions held here: what fails at the start ends the agent with a message; once it runs, nothing but a signal or a reader that
//! has gone does: a poll that fails is said, counted and tried again, and the kernel keeps the counts meanwhile.

mod actors;
mod output;

use std::io;

use anyhow::Context;
use jiff::Timestamp;
use recon_common::{Key, Registers, Signal};
use tokio::signal::unix::{Signal as Unix, SignalKind, signal};
use tokio::time::{Interval as Ticks, MissedTickBehavior, interval_at};

use crate::alert::{self, Limiter, Told};
use crate::cli::RunOptions;
use crate::drain::{Drain, DrainError, Executions, Grace, Tally};
use crate::hook::{self, Cgroup, Egress, Hooks, Sockets, Taken};
use crate::judge::{Interval, Judge, Settings, Shed};
use crate::row::Row;
use crate::rule::SignalSet;
use crate::settings::InForce;
use crate::sink::Written;
use actors::Actors;
use output::{Output, Total};

/// Runs until a signal or a closed stdout.
///
/// # Errors
/// What keeps the agent from starting: interfaces, privileges, BPF. Nothing is left attached then.
pub fn run(options: &RunOptions, in_force: &InForce) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("can't start the runtime")?
        .block_on(watch(options, in_force))
}

async fn watch(options: &RunOptions, in_force: &InForce) -> anyhow::Result<()> {
    let settings = &in_force.settings;
    let interfaces = hook::select(&options.interfaces, options.xdp)?;
    let cgroup = Cgroup::select(options.cgroup.as_deref())?;
    // From here on a signal is taken note of and ends the agent in order.
    let mut stops = Stops::new().context("can't listen for signals")?;
    let mut hooks = Hooks::load(options.table_entries)?;
    let drain = Drain::new(hooks.ebpf(), Grace::detect())?;
    let executions = Executions::new(hooks.ebpf())?;
    let output = Output::new(options.events.as_deref(), !options.no_alerts)?;
    let sockets = attach_sockets(&mut hooks, cgroup.as_ref());
    let names = settings.scanner_names();
    // After the hook that tells of new ones, so that no process is missed.
    let actors = Actors::new(names, cgroup.map(|cgroup| cgroup.root));
    let taken = hooks.attach(&interfaces, options.xdp)?;
    taken.iter().for_each(|taken| log::info!("{taken}"));
    let mut agent = Agent {
        drain,
        executions,
        actors,
        judge: Judge::new(Settings {
            rules: in_force.rules.clone(),
            min_severity: settings.min_severity,
            include_private: settings.include_private,
            local_networks: settings.local_networks.clone(),
            ignored: untrusted(&sockets, &taken),
            memory: settings.state_memory(),
        }),
        limiter: Limiter::new(settings.alert_limit()),
        output,
        host: host_name(),
        last: now(),
        totals: Totals::default(),
    };
    let names: Vec<&str> = taken.iter().map(|taken| taken.interface.as_str()).collect();
    log::info!(
        "watching {}, polling every {:?}; alerts go to stdout",
        names.join(", "),
        options.interval
    );

    let mut ticks = interval_at(
        tokio::time::Instant::now() + options.interval,
        options.interval,
    );
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    agent.poll_until(&mut ticks, &mut stops).await;
    hooks.detach();
    agent.end();
    Ok(())
}

/// Attaches what knows processes, and says what was to be had.
fn attach_sockets(hooks: &mut Hooks, cgroup: Option<&Cgroup>) -> Sockets {
    let sockets = hooks.attach_sockets(cgroup);
    log::info!("{sockets}");
    for missing in &sockets.missing {
        log::warn!("{missing}");
    }
    if !actors::sees_all_processes() {
        log::warn!(
            "/proc is that of a pid namespace (a container's): processes are told of by wrong names or none; run recon in the host's (docker run --pid=host)"
        );
    }
    sockets
}

/// The signals that ask for an end.
struct Stops {
    interrupt: Unix,
    terminate: Unix,
}

impl Stops {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Signals that can't be trusted: without an outbound hook an answer looks like an unsolicited datagram, and without the hook that
/// sees connections begin every one looks failed.
fn untrusted(sockets: &Sockets, taken: &[Taken]) -> SignalSet {
    let is_blind = |taken: &Taken| matches!(taken.egress, Egress::Missing(_));
    let mut untrusted = SignalSet::default();
    if taken.iter().any(is_blind) {
        untrusted.insert(Signal::Datagram);
    }
    if !sockets.tells_failures() {
        untrusted.insert(Signal::ConnectFailed);
    }
    untrusted
}

/// The time, in whole milliseconds: finer than polls are, and as fine as Elastic's dates.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// `host.name` of the alerts.
fn host_name() -> String {
    nix::unistd::gethostname()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_else(|_| "localhost".to_owned())
}

#[derive(Debug, Default)]
struct Totals {
    polls: u64,
    failed_polls: u64,
    /// Polls whose time passed while another one was at work.
    missed_polls: u64,
    tally: Tally,
    shed: Shed,
    forgotten: u64,
}

/// What is done with each row of a poll.
type ForEach<'a> = dyn FnMut(&Key, u64, Option<&Registers>) + 'a;

struct Agent {
    drain: Drain,
    executions: Executions,
    actors: Actors,
    judge: Judge,
    limiter: Limiter,
    output: Output,
    host: String,
    /// The time of the poll before.
    last: Timestamp,
    totals: Totals,
}

impl Agent {
    async fn poll_until(&mut self, ticks: &mut Ticks, stops: &mut Stops) {
        loop {
            let due = tokio::select! {
                biased;
                () = stops.recv() => return,
                due = ticks.tick() => due,
                () = self.executions.wait() => {
                    self.note_started();
                    continue;
                }
            };
            let late = due.elapsed().as_nanos() / ticks.period().as_nanos();
            self.totals.missed_polls += u64::try_from(late).unwrap_or(u64::MAX);
            self.poll(|drain, row| drain.poll(row));
            if self.output.is_closed() {
                log::info!("stdout is closed: ending");
                return;
            }
        }
    }

    fn note_started(&mut self) {
        let actors = &mut self.actors;
        self.executions.drain(|executed| actors.executed(executed));
    }

    /// One poll: drains, judges, writes.
    fn poll(
        &mut self,
        drain: impl FnOnce(&mut Drain, &mut ForEach<'_>) -> Result<Tally, DrainError>,
    ) {
        let interval = Interval {
            from: self.last,
            to: now(),
        };
        self.last = interval.to;
        self.totals.polls += 1;
        // A program is told of before its first packet is counted.
        self.note_started();
        self.actors.begin_poll();
        let Self {
            judge,
            actors,
            output,
            host,
            ..
        } = self;
        let result = drain(&mut self.drain, &mut |key, count, sources| {
            let Some(signal) = Signal::from_number(key.signal) else {
                return;
            };
            let has_rows = output.has_rows();
            let asked = judge.asks(signal);
            let is_scanner = (asked.tool || has_rows) && actors.is_tool(key.process);
            let row = Row {
                key,
                signal,
                count,
                time: interval.to,
                device: host,
                process: actors.known(key.process, asked.process || has_rows),
                is_scanner,
                sources,
            };
            judge.observe(&row, interval);
            output.row(&row);
        });
        self.output.end_rows();
        let tally = result.unwrap_or_else(|error| {
            self.totals.failed_polls += 1;
            log::error!(
                "poll {}: {error}; the counts stay in the kernel for the next one",
                self.totals.polls
            );
            Tally::default()
        });
        let findings = self.judge.findings(interval, tally.is_lower_bound());
        let told = self.limiter.take(findings, interval.to);
        self.report(&tally, told.len());
        self.write(&told);
    }

    fn write(&mut self, told: &[Told]) {
        for told in told {
            let who = self.actors.of(&told.finding);
            match alert::told(told, &self.host, &who) {
                Ok(line) => self.output.alert(line),
                Err(error) => {
                    let id = told.finding.rule.id();
                    log::error!("{id}: can't write the alert: {error}");
                }
            }
        }
    }

    fn report(&mut self, tally: &Tally, findings: usize) {
        let Shed { evicted, refused } = self.judge.take_shed();
        let forgotten = self.actors.take_evicted();
        let level = match tally.frames_in + tally.frames_out {
            0 => log::Level::Trace,
            _ => log::Level::Debug,
        };
        log::log!(
            level,
            "poll {}: {tally} evicted={evicted} refused={refused} processes_forgotten={forgotten} findings={findings}",
            self.totals.polls
        );
        self.totals.tally.add(tally);
        self.totals.shed.evicted += evicted;
        self.totals.shed.refused += refused;
        self.totals.forgotten += forgotten;
    }

    /// The end, after the programs are detached: what they counted last is judged and written too.
    fn end(mut self) {
        if let Err(error) = self.drain.settle() {
            log::warn!("{error}: what the programs counted last may be missing");
        }
        self.poll(|drain, row| drain.finish(row));
        let told = self.limiter.finish(self.last);
        self.write(&told);
        let left_out = self.limiter.left_out();
        let Totals {
            polls,
            failed_polls,
            missed_polls,
            tally,
            shed: Shed { evicted, refused },
            forgotten,
        } = self.totals;
        let Total { alerts, rows } = self.output.finish();
        let Written { written, dropped } = alerts;
        let rows = rows.map_or_else(String::new, |Written { written, dropped }| {
            format!(" events={written} events_dropped={dropped}")
        });
        log::info!(
            "totals: polls={polls} failed_polls={failed_polls} missed_polls={missed_polls} {tally} evicted={evicted} refused={refused} processes_forgotten={forgotten} alerts={written} alerts_dropped={dropped} left_out={left_out}{rows}"
        );
    }
}
