//! Makes the machine ready: looks, plans, says, does, and looks again.
//!
//! In: what for. Out: the toolchain that builds the kernel object, everything in its place; or an error with the
//! commands to type. Holds the decision to judge by the outcome: a step that succeeded counts only if what it
//! should have brought is there.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{
    machine::Machine,
    plan::{self, Goal},
    toolchain,
};

/// Brings what `goal` needs and names the toolchain for the kernel object. Without a word when nothing is missing.
pub(crate) fn ensure(goal: Goal, workspace: &Path) -> Result<&'static str> {
    let mut machine = Machine::look(workspace);
    if let Some(step) = plan::attempt(&machine) {
        if !step.try_out(workspace)? {
            eprintln!("setup: rustup cannot get it, going on with Debian's packages");
        }
        machine = Machine::look(workspace);
    }
    let steps = plan::decide(&machine, goal, workspace);
    if let Some(obstacle) = plan::obstacle(&machine, goal, &steps) {
        bail!("{obstacle}");
    }
    for step in &steps {
        step.run(workspace).map_err(|error| {
            anyhow!(
                "{error:#}\nIf that cannot be mended, by hand:{}",
                plan::by_hand(&machine, goal)
            )
        })?;
    }
    if !steps.is_empty() {
        machine = Machine::look(workspace);
        check(&machine, goal, workspace)?;
    }
    let toolchain = machine
        .toolchain
        .context("no toolchain can build the kernel object, though set-up found nothing to do")?;
    toolchain::record(toolchain, workspace)?;
    Ok(toolchain)
}

/// Complains about what is missing even now.
fn check(machine: &Machine, goal: Goal, workspace: &Path) -> Result<()> {
    let missing = plan::decide(machine, goal, workspace);
    if missing.is_empty() {
        return Ok(());
    }
    let lines = missing.iter().map(|step| format!("\n    {step}"));
    bail!(
        "every step succeeded, yet what these bring is still missing or too old:{}\nBy hand:{}",
        lines.collect::<String>(),
        plan::by_hand(machine, goal)
    )
}
