//! The boot that this machine is in.
//!
//! In: /proc, the kernel's clock. Out: which boot it is, and how long ago it was.

use std::fs;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The kernel makes another one at each boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What identifies the boot among all of all machines. Empty if /proc does not say.
pub(crate) fn id() -> String {
    fs::read_to_string(BOOT_ID).unwrap_or_default()
}

/// The time since the boot, that of suspended machines too.
pub(crate) fn elapsed() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}
