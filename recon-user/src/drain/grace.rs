//! The wait after which no program can still write to the old generation.
//!
//! In: what membarrier(2) offers here. Out: a call that returns once that is so, or the advice to
//! drain a generation one poll later.
//!
//! The decision held here: membarrier's GLOBAL command returns after an RCU grace period, and every
//! program runs inside an RCU read section, so one call is exact. Kernels booted with nohz_full
//! refuse it; there a generation is drained one interval after it was retired.

use std::io;

/// How to wait for programs that have read the old generation's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grace {
    /// One membarrier call per poll.
    Membarrier,
    /// Drain each generation one poll later.
    NextPoll,
}

impl Grace {
    /// What this kernel supports.
    #[must_use]
    pub fn detect() -> Self {
        match membarrier(libc::MEMBARRIER_CMD_QUERY) {
            Ok(commands) if commands & i64::from(libc::MEMBARRIER_CMD_GLOBAL) != 0 => {
                Self::Membarrier
            }
            _ => Self::NextPoll,
        }
    }
}

/// Returns when every program that was running at the call has ended.
pub(super) fn wait_for_programs() -> io::Result<()> {
    membarrier(libc::MEMBARRIER_CMD_GLOBAL).map(drop)
}

fn membarrier(command: libc::c_int) -> io::Result<i64> {
    // SAFETY: membarrier takes three integers and touches no memory of ours.
    match unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) } {
        -1 => Err(io::Error::last_os_error()),
        commands => Ok(commands),
    }
}
