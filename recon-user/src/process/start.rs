//! When a process started, and what tells it from all others.
//!
//! In: its pid, and the clock ticks from boot to its start, as /proc has them. Out: a [`Start`].
//! The decisions held here: the kernel gives a pid again, and after a boot even a pid with its
//! start. So the id is of the boot, the pid and the start: the same in each recon that sees the
//! process, and no other one's. The time is what the wall clock, as it is set now, would have shown
//! then, which is what ps(1) says.

use std::sync::OnceLock;

use jiff::{SignedDuration, Timestamp};
use nix::unistd::{SysconfVar, sysconf};
use serde::{Deserialize, Serialize};

use crate::boot;
use crate::stable_hash::StableHash;

/// As exact as clock ticks are: a hundredth of a second on all architectures.
const MILLISECONDS: i64 = 10;

/// The start of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// When it was.
    #[serde(with = "crate::saved::time")]
    pub at: Timestamp,
    /// What identifies the process among all of all hosts.
    pub entity: StableHash,
}

impl Start {
    /// The start of that process, so many clock ticks after the boot. `None` if the system does not
    /// say which boot that was, or when.
    pub(super) fn of(pid: u32, ticks: u64) -> Option<Self> {
        static BOOT: OnceLock<String> = OnceLock::new();
        let boot = BOOT.get_or_init(boot::id);
        if boot.is_empty() {
            return None;
        }
        let each_second = sysconf(SysconfVar::CLK_TCK).ok().flatten()?;
        let milliseconds = i64::try_from(ticks).ok()?.checked_mul(1000)?;
        let after_boot = SignedDuration::from_millis(milliseconds.checked_div(each_second)?);
        let uptime = SignedDuration::try_from(boot::elapsed()).ok()?;
        let booted = Timestamp::now().checked_sub(uptime).ok()?;
        let at = booted.checked_add(after_boot).ok()?.as_millisecond();
        let parts = [
            boot.trim().as_bytes(),
            &pid.to_be_bytes(),
            &ticks.to_be_bytes(),
        ];
        Some(Self {
            at: Timestamp::from_millisecond(at - at.rem_euclid(MILLISECONDS)).ok()?,
            entity: parts.into_iter().fold(StableHash::EMPTY, StableHash::with),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::process::proc::read_stat;

    #[test]
    fn a_process_is_told_from_others() {
        let of = |pid, ticks| Start::of(pid, ticks).expect("a start");
        let start = of(70, 5);
        assert_eq!(start.entity, of(70, 5).entity);
        for (pid, ticks) in [(71, 5), (70, 6), (5, 70)] {
            assert_ne!(start.entity, of(pid, ticks).entity, "{pid} {ticks}");
        }
        let later = of(70, 105).at.duration_since(start.at);
        // Two looks at two clocks.
        let around = [990, 1000, 1010].map(SignedDuration::from_millis);
        assert!(around.contains(&later), "{later:?}");
        assert_eq!(Start::of(70, u64::MAX), None);
    }

    /// This process started before now, and not before this machine.
    #[test]
    fn the_time_is_that_of_the_wall_clock() {
        let pid = std::process::id();
        let stat = read_stat(Path::new("/proc"), pid).expect("this process");
        let start = Start::of(pid, stat.start).expect("a start");
        let age = Timestamp::now().duration_since(start.at);
        assert!(age >= SignedDuration::ZERO, "{age:?}");
        assert!(
            age.as_secs() <= boot::elapsed().as_secs().cast_signed(),
            "{age:?}"
        );
    }
}
