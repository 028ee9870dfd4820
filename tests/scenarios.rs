//! Scenarios: unusual hosts that recon must support, each tried in a guest.
//!
//! In: the machine that this guest is, by [`MACHINE`]. Out: how each of its rows ended, as facts.
//! The decisions held here: rows share a guest, since a start of recon takes a second and a boot
//! several; the rows after one that fails are not tried, since they would find the guest as that
//! one left it. No row may leave an oops or a warning in the kernel's log. On a machine that is no
//! guest, the test only lists which row needs which machine.
//!
//! | module | holds |
//! |---|---|
//! | [`row`] | what a row consists of |
//! | [`fallback`], [`network`] | the rows |
//! | [`guest`] | how a row is carried out |

/// Shell lines that mount a cgroup2 whose root holds the host's processes and not the attacker's.
macro_rules! mount_host_cgroup {
    ($at:literal) => {
        concat!(
            "mkdir -p /tmp/cgroup
mount -t cgroup2 cgroup2 /tmp/cgroup
mkdir -p /tmp/cgroup/host
mount --bind /tmp/cgroup/host ",
            $at,
            "
umount /tmp/cgroup"
        )
    };
}

#[path = "scenarios/fallback.rs"]
mod fallback;
#[path = "scenarios/guest.rs"]
mod guest;
#[path = "scenarios/network.rs"]
mod network;
#[path = "scenarios/row.rs"]
mod row;

use std::{env, time::Instant};

use anyhow::{Context as _, Result, ensure};
use recon_tests::{
    kernel::Linux,
    machine::{MACHINE, SELECTED},
    report::{self, FAILED, NEEDS, PASSED, SCENARIO},
};

use guest::Guest;
use row::Table;

const TABLES: [&Table; 5] = [
    &fallback::HOOKS,
    &network::NETWORKS,
    &network::SEVERAL_CARDS,
    &fallback::INTEGRITY,
    &fallback::CONFIDENTIALITY,
];

#[test]
fn recon_passes_every_scenario() -> Result<()> {
    let Ok(machine) = env::var(MACHINE) else {
        for table in TABLES {
            for row in table.rows {
                report::record(NEEDS, row.name, table.machine.name);
            }
        }
        report::skip("scenarios", "they need guests: cargo xtask test --vm");
        return Ok(());
    };
    let selected = env::var(SELECTED).unwrap_or_default();
    let table = TABLES
        .into_iter()
        .find(|table| table.machine.name == machine)
        .with_context(|| format!("no rows for the machine {machine:?}"))?;
    let kernel = Linux::running()?;
    let rows: Vec<_> = table
        .rows
        .iter()
        .filter(|row| row.kernels.include(kernel) && row.name.contains(&selected))
        .collect();
    let guest = Guest::prepare(table, kernel)?;
    for (number, row) in rows.iter().enumerate() {
        let start = Instant::now();
        let done = guest.carry_out(row);
        println!("{}: {:.1?}", row.name, start.elapsed());
        let result = if done.is_ok() { PASSED } else { FAILED };
        report::record(SCENARIO, row.name, result);
        if done.is_err() {
            for row in &rows[number + 1..] {
                report::record(SCENARIO, row.name, "not tried");
            }
        }
        done.context(row.name)?;
    }
    ensure!(
        !rows.is_empty() || !selected.is_empty(),
        "no rows for this kernel"
    );
    Ok(())
}
