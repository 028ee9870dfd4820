//! recon in the hands of an operator on a bad day: signals, streams and files that fail, interfaces
//! that vanish. Whatever happens, recon ends in order or goes on, and loses nothing silently.

#[path = "hostile_operator/capabilities.rs"]
mod capabilities;
#[path = "hostile_operator/events.rs"]
mod events;
#[path = "hostile_operator/frozen.rs"]
mod frozen;
#[path = "hostile_operator/hints.rs"]
mod hints;
#[path = "hostile_operator/interfaces.rs"]
mod interfaces;
#[path = "hostile_operator/signals.rs"]
mod signals;
#[path = "hostile_operator/streams.rs"]
mod streams;
#[path = "hostile_operator/warnings.rs"]
mod warnings;

use anyhow::{Result, ensure};
use recon_tests::Lab;
use recon_tests::hooks::{attached, attached_to_cgroup};

const INTERVAL: &str = "--interval 100ms";

fn ensure_nothing_attached(lab: &Lab) -> Result<()> {
    let left = [attached(lab)?, attached_to_cgroup(lab)?].concat();
    ensure!(left.is_empty(), "still attached: {left:?}");
    Ok(())
}
