//! Scenarios: what recon has to cope with on the hosts of its users, each tried in a guest.
//!
//! In: the agent, a kernel. Out: how each row ended; on stderr, why one failed.
//! The decisions held here: rows share a machine that is told what to do over a serial line, since a start of recon takes a second
//! and a boot several; after a row that has failed, the next one gets a machine that has just started. No row may leave an oops or a
//! warning in the kernel's log.
//!
//! | module | holds |
//! |---|---|
//! | [`row`] | what a row consists of |
//! | [`fallback`], [`network`] | the rows |
//! | [`machine`] | a running guest, and how a row is carried out in it |
//! | [`shell`] | the guest's shell on a serial line |

mod fallback;
mod machine;
mod network;
mod row;
mod shell;

use std::{
    io::Write as _,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use anyhow::{Result, anyhow};

use super::{
    Choice,
    fetch::{Kernel, Qemu, Store},
    guest::Guest,
    initramfs::{self, MODULES, Task},
    module::Modules,
    suite::{Outcome, Tested},
};
use machine::Running;
use row::{Features, Machine};

const MACHINES: [&Machine; 5] = [
    &fallback::HOOKS,
    &network::NETWORKS,
    &network::SEVERAL_CARDS,
    &fallback::LOCKED_FOR_INTEGRITY,
    &fallback::LOCKED_FOR_CONFIDENTIALITY,
];
/// Machines at a time.
const AT_ONCE: usize = 2;

/// Carries out the rows whose names contain `only` on these kernels, one after the other.
pub(crate) fn only(
    agent: &Path,
    store: &Path,
    kernels: &[Choice],
    only: &str,
) -> Result<Vec<Tested>> {
    let store = Store::new(store.to_owned())?;
    let (qemu, busybox) = (store.qemu()?, store.busybox()?);
    let mut tested = Vec::new();
    for choice in kernels {
        let started = Instant::now();
        let (release, outcomes) = run(agent, &store, (&qemu, &busybox), choice, only)?;
        eprintln!("{release}: scenarios took {:.0?}", started.elapsed());
        tested.push(Tested {
            release,
            outcomes,
            facts: Vec::new(),
            left_out: Vec::new(),
        });
    }
    Ok(tested)
}

/// Carries out the rows whose names contain `only`.
fn run(
    agent: &Path,
    store: &Store,
    (qemu, busybox): (&Qemu, &Path),
    choice: &Choice,
    only: &str,
) -> Result<(String, Vec<Outcome>)> {
    let kernel = store.kernel(choice)?;
    let bench = Bench {
        agent,
        qemu,
        busybox,
        kernel: &kernel,
        only,
    };
    let next = AtomicUsize::new(0);
    let work = || {
        let mut outcomes = Vec::new();
        while let Some(machine) = MACHINES.get(next.fetch_add(1, Ordering::Relaxed)) {
            outcomes.extend(bench.rows_of(machine)?);
        }
        Ok(outcomes)
    };
    let results: Vec<Result<Vec<Outcome>>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().map_err(|_| anyhow!("a worker panicked"))?)
            .collect()
    });
    let mut outcomes = Vec::new();
    for result in results {
        outcomes.extend(result?);
    }
    Ok((kernel.release, outcomes))
}

/// What all machines are made from.
struct Bench<'a> {
    agent: &'a Path,
    qemu: &'a Qemu,
    busybox: &'a Path,
    kernel: &'a Kernel,
    only: &'a str,
}

impl Bench<'_> {
    /// Carries out a machine's rows.
    fn rows_of(&self, machine: &Machine) -> Result<Vec<Outcome>> {
        let features = Features::of(&self.kernel.release);
        let rows: Vec<_> = machine
            .rows
            .iter()
            .filter(|row| features.fits(row.kernels) && row.name.contains(self.only))
            .collect();
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = [&MODULES[..], machine.modules].concat();
        let modules = Modules::find(&self.kernel.modules, self.busybox)?.closure(&wanted)?;
        let archive = initramfs::build(self.agent, self.busybox, &modules, Task::Commands)?;
        let mut initramfs = tempfile::tempfile()?;
        initramfs.write_all(&archive.finish())?;
        let guest = Guest {
            qemu: self.qemu,
            kernel: self.kernel,
            initramfs: &initramfs,
            tap: None,
        };
        let mut running = None;
        let mut outcomes = Vec::new();
        for row in rows {
            let started = Instant::now();
            let tried = match running.take() {
                Some(running) => Ok(running),
                None => Running::start(&guest, machine),
            };
            let done = tried.and_then(|mut running: Running| {
                running.carry_out(row, features)?;
                Ok(running)
            });
            outcomes.push(Outcome {
                test: row.name.to_owned(),
                passed: done.is_ok(),
                seconds: started.elapsed().as_secs() as u32,
            });
            running = match done {
                Ok(running) => Some(running),
                Err(error) => {
                    let (release, name) = (&self.kernel.release, row.name);
                    eprintln!("{release}, {}: {name}: {error:#}", machine.name);
                    None
                }
            };
        }
        Ok(outcomes)
    }
}
