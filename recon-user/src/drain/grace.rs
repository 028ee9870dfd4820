//! The wait after which no program can still write to the old generation.
//!
//! In: what membarrier(2) offers here. Out: a call that returns once that is so, or the advice to
//! drain a generation one poll later.
//!
//! The decisions held here:
//! - membarrier's GLOBAL command returns after an RCU grace period, and every program runs inside
//!   an RCU read section, so one call is exact. Kernels booted with nohz_full refuse it; there a
//!   generation is drained one interval after it was retired.
//! - A grace period takes some 10 ms. But any user can have processes that do nothing but wake each
//!   other, and while four of those ran on two processors, no grace period ended. So nobody waits
//!   longer than [`BOUND`]. By then a packet's program has ended, which nothing interrupts for
//!   long. One of a socket may have been put aside for longer, with its process: what it counts
//!   then is given later or, over pinned maps, lost.
//! - The call can't be interrupted, so it is made on a thread. There is no second call while one is
//!   being made, however many polls come and go. It starts with the agent: where the system has no
//!   more threads, that is an error before anything is attached, and no poll fails for it.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::reader::leave_signals_to_others;

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

/// How long to wait for programs at most.
const BOUND: Duration = Duration::from_secs(1);

/// What waits for programs.
type Wait = fn() -> io::Result<()>;

/// Waits for programs in bounded time.
#[derive(Debug)]
pub(super) struct ProgramsWait {
    wait: Wait,
    bound: Duration,
    thread: Option<WaitingThread>,
    /// Whether the last wait was given up.
    is_late: bool,
}

impl Default for ProgramsWait {
    fn default() -> Self {
        Self {
            wait: wait_for_programs,
            bound: BOUND,
            thread: None,
            is_late: false,
        }
    }
}

impl ProgramsWait {
    /// Starts the thread, if that grace needs it.
    pub(super) fn start(grace: Grace) -> io::Result<Self> {
        let mut programs = Self::default();
        if grace == Grace::Membarrier {
            programs.thread = Some(WaitingThread::start(programs.wait)?);
        }
        Ok(programs)
    }

    /// Returns when every program that was running at the call has ended, or after the bound. Says
    /// whether the kernel has confirmed it.
    pub(super) fn wait(&mut self) -> io::Result<bool> {
        let thread = match &mut self.thread {
            Some(thread) => thread,
            None => self.thread.insert(WaitingThread::start(self.wait)?),
        };
        let waited = thread.wait(self.bound);
        match &waited {
            Ok(has_ended) => self.note_late(!has_ended),
            // It makes no more calls.
            Err(_) => self.thread = None,
        }
        waited
    }

    fn note_late(&mut self, is_late: bool) {
        let bound = self.bound;
        match (std::mem::replace(&mut self.is_late, is_late), is_late) {
            (false, true) => tracing::warn!(
                "the kernel ends no grace period (RCU) within {bound:?}, as where processes keep all processors busy by waking each other: each poll waits so long, and goes on; what a program of a socket still counts comes later, or with --pins is lost"
            ),
            (true, false) => tracing::info!("the kernel ends grace periods (RCU) again"),
            _ => {}
        }
    }
}

/// The thread. Once this is dropped, it ends after its call.
#[derive(Debug)]
struct WaitingThread {
    calls: Sender<()>,
    results: Receiver<io::Result<()>>,
    /// Whether it makes a call that nobody waits for any more.
    is_behind: bool,
}

impl WaitingThread {
    fn start(wait: Wait) -> io::Result<Self> {
        let (calls, called) = channel::<()>();
        let (waited, results) = channel();
        thread::Builder::new()
            .name("recon-grace".to_owned())
            .spawn(move || {
                leave_signals_to_others();
                // The agent may have ended meanwhile.
                called.into_iter().for_each(|()| drop(waited.send(wait())));
            })?;
        Ok(Self {
            calls,
            results,
            is_behind: false,
        })
    }

    /// Returns whether the kernel has confirmed it by then.
    fn wait(&mut self, bound: Duration) -> io::Result<bool> {
        let end = Instant::now() + bound;
        loop {
            if !self.is_behind {
                // If it has ended, there is no result either.
                let _ = self.calls.send(());
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.results.recv_timeout(left) {
                // Programs have begun since that call which count.
                Ok(_) if std::mem::take(&mut self.is_behind) => {}
                Ok(result) => return result.map(|()| true),
                Err(RecvTimeoutError::Timeout) => {
                    self.is_behind = true;
                    return Ok(false);
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let why = "the thread that waits for programs has ended";
                    return Err(io::Error::other(why));
                }
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    const LITTLE: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_secs(60);

    static CALLS: AtomicUsize = AtomicUsize::new(0);
    static IS_SLOW: AtomicBool = AtomicBool::new(true);

    /// Takes until the test lets it end.
    fn slow() -> io::Result<()> {
        CALLS.fetch_add(1, Ordering::SeqCst);
        while IS_SLOW.load(Ordering::SeqCst) {
            thread::sleep(LITTLE);
        }
        Ok(())
    }

    fn waiting(wait: Wait, bound: Duration) -> ProgramsWait {
        ProgramsWait {
            wait,
            bound,
            ..ProgramsWait::default()
        }
    }

    #[test]
    fn a_grace_period_without_end_is_one_call_and_holds_up_no_poll() {
        let mut programs = waiting(slow, LITTLE);
        for _poll in 0..3 {
            assert!(!programs.wait().expect("it is given up"));
            while CALLS.load(Ordering::SeqCst) == 0 {
                thread::sleep(LITTLE);
            }
        }
        assert!(programs.is_late);
        assert_eq!(CALLS.load(Ordering::SeqCst), 1, "one thread waits");
        IS_SLOW.store(false, Ordering::SeqCst);
        programs.bound = LONG;
        for calls in [2, 3] {
            assert!(programs.wait().expect("it ends"));
            assert_eq!(CALLS.load(Ordering::SeqCst), calls, "the first was too old");
        }
        assert!(!programs.is_late);
    }

    #[test]
    fn an_error_is_the_kernels_and_a_panic_is_one_poll() {
        let refused = || Err(io::ErrorKind::PermissionDenied.into());
        for wait in [refused as Wait, || panic!("on purpose")] {
            let mut programs = waiting(wait, LONG);
            for _poll in 0..2 {
                programs.wait().expect_err("it fails");
            }
        }
    }

    #[test]
    fn this_kernel_ends_a_grace_period() {
        let grace = Grace::detect();
        let mut programs = ProgramsWait::start(grace).expect("a thread");
        assert_eq!(programs.thread.is_some(), grace == Grace::Membarrier);
        programs.bound = LONG;
        if grace == Grace::Membarrier {
            assert!(programs.wait().expect("it ends"));
        }
    }
}
