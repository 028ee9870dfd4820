//! Prepares the machine: look, plan, announce, do, and look again.
//!
//! In: a goal. Out: the toolchain that builds the kernel object, with everything installed; or an
//! error with the commands to type.
//! The decision held here: the outcome counts. A step that succeeded is done only if what it
//! installs is there.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use crate::{
    machine::Machine,
    plan::{self, Goal},
    toolchain,
};

/// Installs what `goal` needs and returns the toolchain for the kernel object. Silent when nothing
/// is missing.
pub(crate) fn ensure_ready(goal: Goal, workspace: &Path) -> Result<&'static str> {
    let mut machine = Machine::look(workspace);
    if let Some(mut step) = plan::optional_step(&machine) {
        if !step.try_out(workspace) {
            eprintln!("setup: rustup cannot install it; trying Debian's packages");
        }
        machine = Machine::look(workspace);
    }
    if let Some(mut step) = plan::prometheus_step(&machine, goal, workspace)
        && !step.try_out(workspace)
    {
        eprintln!("setup: apt-get has no Prometheus: the tests that need it check nothing");
    }
    let mut steps = plan::plan_steps(&machine, goal, workspace);
    if let Some(obstacle) = plan::obstacle(&machine, goal, &steps) {
        bail!("{obstacle}");
    }
    for step in &mut steps {
        step.run(workspace).map_err(|error| {
            anyhow!(
                "{error:#}\nIf you cannot fix that, type:{}",
                plan::by_hand(&machine, goal)
            )
        })?;
    }
    // After the steps before, which have fetched the package lists.
    if let Some(mut step) = plan::browser_step(&machine, goal)
        && !step.try_out(workspace)
    {
        eprintln!(
            "setup: apt-get has no {}: the tests that need it check nothing",
            plan::BROWSER
        );
    }
    if !steps.is_empty() {
        machine = Machine::look(workspace);
        let missing = plan::plan_steps(&machine, goal, workspace);
        let lines = missing.iter().map(|step| format!("\n    {step}"));
        ensure!(
            missing.is_empty(),
            "every step succeeded, but what these install is still missing or too old:{}\nType:{}",
            lines.collect::<String>(),
            plan::by_hand(&machine, goal)
        );
    }
    let toolchain = machine
        .toolchain
        .context("no toolchain can build the kernel object, though set-up found nothing to do")?;
    toolchain::record(toolchain, workspace)?;
    Ok(toolchain)
}
