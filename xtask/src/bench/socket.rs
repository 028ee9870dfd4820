//! The cost of the socket hooks for a connection, and for a packet of an established one.
//!
//! In: the agent; a lab whose host has connections over loopback. Out: rows of nanoseconds without
//! the agent and with it.
//! The decisions held here: the agent watches only the pair's end, so that nothing but the socket
//! hooks acts on loopback. Rounds without and with it alternate (ABBA), so that drift affects both
//! sides. The agent's log and counts must show that the hooks were active.

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use recon_tests::lab::HOST_LINK;
use recon_tests::process::run;
use recon_tests::{Agent, Lab, Seen, cgroup};

use super::row::Row;
use super::watch::watch;

/// Even, so that each side comes first as often as the other.
const ROUNDS: u32 = 40;
/// 100,000 in all rounds, on each side.
const CONNECTS: u32 = 2_500;
/// 200,000 in all rounds, on each side.
const ROUND_TRIPS: u32 = 5_000;
/// The deadline of a worker, which takes less than a second.
const DEADLINE: Duration = Duration::from_secs(60);
const UNIT: &str = "ns";
/// The hooks that act on these connections.
const HOOKS: [&str; 2] = ["connect4", "sock_ops"];

/// One run of the worker.
struct SocketLoad {
    /// Whether the connecting socket and the listening one are watched; `None` where the load is a
    /// single connection.
    watched: Option<(bool, bool)>,
    /// The figures that the worker prints.
    figures: &'static [&'static str],
}

const LOADS: &[SocketLoad] = &[
    SocketLoad {
        watched: Some((true, false)),
        figures: &[
            "connect(2), client watched",
            "socket to close, client watched",
        ],
    },
    SocketLoad {
        watched: Some((false, true)),
        figures: &[
            "connect(2), listener watched",
            "socket to close, listener watched",
        ],
    },
    SocketLoad {
        watched: Some((true, true)),
        figures: &["connect(2), both watched", "socket to close, both watched"],
    },
    SocketLoad {
        watched: None,
        figures: &["byte and answer, established"],
    },
];

/// Measures all loads.
pub(super) fn measure(agent: &Path) -> Result<Vec<Row>> {
    let lab = Lab::new()?;
    let watched = lab.host().cgroup().context("the host has no cgroup")?;
    let mut bench = Bench {
        lab: &lab,
        agent,
        running: None,
        accepted: 0,
        watched: watched.path(),
        unwatched: &cgroup::root()?,
    };
    let row = |what: &&str| Row::new(what, UNIT);
    let mut rows: Vec<Vec<Row>> = LOADS
        .iter()
        .map(|load| load.figures.iter().map(row).collect())
        .collect();
    for round in 0..ROUNDS {
        eprintln!("round {} of {ROUNDS}", round + 1);
        let with_first = round % 2 == 1;
        for with in [with_first, !with_first] {
            bench.switch(with)?;
            for (load, rows) in LOADS.iter().zip(&mut rows) {
                let figures = bench.run(load)?;
                ensure!(figures.len() == rows.len(), "figures: {figures:?}");
                for (row, figure) in rows.iter_mut().zip(figures) {
                    row.push(with, figure);
                }
            }
        }
    }
    bench.switch(false)?;
    let mut rows = rows.concat();
    rows.iter_mut().for_each(Row::note_differences);
    Ok(rows)
}

/// Whether the agent has attached the hooks on connections. It logs a line for each that is
/// missing.
fn has_hooks(seen: &Seen) -> bool {
    let attached = seen.log.iter().find(|line| line.contains("sockets of "));
    attached.is_some_and(|line| HOOKS.iter().all(|hook| line.contains(hook)))
}

struct Bench<'a> {
    lab: &'a Lab,
    agent: &'a Path,
    running: Option<Agent>,
    /// The accepted connections that this agent should have counted.
    accepted: u64,
    watched: &'a Path,
    /// The root of cgroup2, above the watched cgroup.
    unwatched: &'a Path,
}

impl Bench<'_> {
    /// Starts or stops the agent.
    fn switch(&mut self, with: bool) -> Result<()> {
        match (with, self.running.take()) {
            (true, None) => {
                let agent = watch(self.lab, self.agent, &["-i", HOST_LINK])?;
                let seen = agent.seen();
                ensure!(
                    has_hooks(&seen),
                    "the socket hooks are not attached\n{seen}"
                );
                self.running = Some(agent);
            }
            (false, Some(agent)) => {
                let stopped = agent.stop()?;
                let counted = stopped.totals()?.signals;
                let accepted = std::mem::take(&mut self.accepted);
                ensure!(
                    stopped.status.success() && counted >= accepted,
                    "the hooks counted {counted} of {accepted} connections\n{}",
                    stopped.seen
                );
            }
            (_, unchanged) => self.running = unchanged,
        }
        Ok(())
    }

    /// The figures of one worker.
    fn run(&mut self, load: &SocketLoad) -> Result<Vec<f64>> {
        let mut worker = Command::new(env::current_exe()?);
        worker.arg("bench-worker");
        match load.watched {
            Some((client, listener)) => {
                let cgroup = |watched| match watched {
                    true => self.watched,
                    false => self.unwatched,
                };
                worker.args(["connects", &CONNECTS.to_string()]);
                worker.arg("--client").arg(cgroup(client));
                worker.arg("--listener").arg(cgroup(listener));
                if listener && self.running.is_some() {
                    self.accepted += u64::from(CONNECTS);
                }
            }
            None => {
                worker.args(["round-trips", &ROUND_TRIPS.to_string()]);
            }
        }
        let output = run(self.lab.host(), worker, DEADLINE)?.success()?;
        let figures = output.lines().map(str::parse);
        figures
            .collect::<Result<_, _>>()
            .with_context(|| format!("not figures: {output}"))
    }
}
