//! When a process started, and what tells it from all others.
//!
//! In: its pid, and the clock ticks from boot to its start, as /proc has them. Out: a [`Start`].
//! The decisions held here: the kernel reuses pids, and after a boot a pid may have the same start
//! again. So the id is of the boot, the pid and the start: the same in each recon that sees the
//! process, and no other one's. The time is what the wall clock, as it is set now, would have shown
//! then, which is what ps(1) says. /proc counts from the boot of the reader's time namespace:
//! recons in two of them give a process two ids, and the clones of a running machine share theirs.

use std::sync::OnceLock;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::boot;
use crate::stable_hash::StableHash;

/// Clock ticks of /proc in a second (`USER_HZ`), on x86-64 and arm64.
const TICKS: i64 = 100;
/// As exact as a start is.
const TICK_MILLISECONDS: i64 = 1000 / TICKS;

/// The start of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// When it was.
    #[serde(with = "crate::saved::time")]
    pub at: Timestamp,
    /// What identifies the process among all processes of all hosts.
    pub entity: StableHash,
}

impl Start {
    /// The start of that process, so many clock ticks after the boot. `None` if the system does not
    /// say which boot that was, or when.
    pub(super) fn from_ticks(pid: u32, ticks: u64) -> Option<Self> {
        static BOOT: OnceLock<Option<String>> = OnceLock::new();
        let boot = BOOT.get_or_init(boot::id).as_ref()?;
        let after_boot = i64::try_from(ticks).ok()?.checked_mul(TICK_MILLISECONDS)?;
        let after_boot = SignedDuration::from_millis(after_boot);
        let at = boot::time()?.checked_add(after_boot).ok()?;
        let at = at.as_millisecond();
        let parts = [boot.as_bytes(), &pid.to_be_bytes(), &ticks.to_be_bytes()];
        Some(Self {
            at: Timestamp::from_millisecond(at - at.rem_euclid(TICK_MILLISECONDS)).ok()?,
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
        let start_of = |pid, ticks| Start::from_ticks(pid, ticks).expect("a start");
        let start = start_of(70, 5);
        assert_eq!(start.entity, start_of(70, 5).entity);
        for (pid, ticks) in [(71, 5), (70, 6), (5, 70)] {
            assert_ne!(start.entity, start_of(pid, ticks).entity, "{pid} {ticks}");
        }
        let later = start_of(70, 105).at.duration_since(start.at);
        // Two looks at two clocks.
        let around = [990, 1000, 1010].map(SignedDuration::from_millis);
        assert!(around.contains(&later), "{later:?}");
        assert_eq!(Start::from_ticks(70, u64::MAX), None);
    }

    /// This process started before now, and not before this machine.
    #[test]
    fn the_time_is_that_of_the_wall_clock() {
        let pid = std::process::id();
        let stat = read_stat(Path::new("/proc"), pid).expect("this process");
        let start = Start::from_ticks(pid, stat.start).expect("a start");
        let age = Timestamp::now().duration_since(start.at);
        assert!(age >= SignedDuration::ZERO, "{age:?}");
        let uptime = boot::elapsed().expect("a clock");
        assert!(age.as_secs() <= uptime.as_secs().cast_signed(), "{age:?}");
    }

    #[test]
    fn a_second_has_as_many_ticks_as_the_system_says() {
        use nix::unistd::{SysconfVar, sysconf};
        assert_eq!(sysconf(SysconfVar::CLK_TCK), Ok(Some(TICKS)));
    }
}
