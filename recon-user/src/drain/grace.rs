//! The wait after which no program can still write to the old generation.
//!
//! In: what membarrier(2) offers here. Out: a call that returns once that is so, or the advice to
//! drain a generation one poll later.
//!
//! The decisions held here:
//! - membarrier's GLOBAL command returns after an RCU grace period, and every program runs inside an
//!   RCU read section, so one call is exact. Kernels booted with nohz_full refuse it; there a
//!   generation is drained one interval after it was retired.
//! - A grace period takes some 10 ms, and under load of processes that do nothing but wake each
//!   other, which any user may have, it has taken 20 s. The call can't be interrupted. So it is made
//!   on a thread: a poll that has waited long enough fails, and a later one goes on with that call.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use super::DrainError;
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

/// How long a poll waits. Until then nobody else is served: no signal, no control socket.
const POLL_PATIENCE: Duration = Duration::from_secs(2);
/// The same for a call that an earlier poll has waited for in vain.
const LATE_PATIENCE: Duration = Duration::from_millis(100);
/// How long the end of an agent waits. After that, what its programs counted last is lost.
const END_PATIENCE: Duration = Duration::from_secs(20);

/// What waits for programs.
type Wait = fn() -> io::Result<()>;

/// Waits for programs in bounded time.
#[derive(Debug)]
pub(super) struct ProgramsWait {
    wait: Wait,
    thread: Option<WaitingThread>,
    patience: Duration,
    late_patience: Duration,
}

impl Default for ProgramsWait {
    fn default() -> Self {
        Self {
            wait: wait_for_programs,
            thread: None,
            patience: POLL_PATIENCE,
            late_patience: LATE_PATIENCE,
        }
    }
}

impl ProgramsWait {
    /// A call that was made before now says nothing any more: programs have begun that count. Its
    /// thread ends with it.
    pub(super) fn renew(&mut self) {
        self.thread.take_if(|thread| thread.is_waiting);
    }

    /// From now on there is time: the agent ends.
    pub(super) const fn be_patient(&mut self) {
        self.patience = END_PATIENCE;
        self.late_patience = END_PATIENCE;
    }

    /// Returns when every program that was running at the last [`Self::renew`] has ended.
    ///
    /// # Errors
    /// [`DrainError::Grace`] where the kernel refuses, [`DrainError::GraceIsLate`] if it takes
    /// longer. A later call goes on with that wait.
    pub(super) fn wait(&mut self) -> Result<(), DrainError> {
        let thread = match &mut self.thread {
            Some(thread) => thread,
            None => match WaitingThread::start(self.wait) {
                Ok(thread) => self.thread.insert(thread),
                // Without a thread to wait on it takes as long as it does.
                Err(_) => return (self.wait)().map_err(DrainError::Grace),
            },
        };
        let patience = match thread.is_waiting {
            true => self.late_patience,
            false => self.patience,
        };
        let waited = thread.wait(patience);
        if thread.has_ended {
            self.thread = None;
        }
        waited
    }
}

/// The thread. It ends when this is dropped, and its call with it.
#[derive(Debug)]
struct WaitingThread {
    calls: Sender<()>,
    results: Receiver<io::Result<()>>,
    /// Whether it makes a call.
    is_waiting: bool,
    has_ended: bool,
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
            is_waiting: false,
            has_ended: false,
        })
    }

    fn wait(&mut self, patience: Duration) -> Result<(), DrainError> {
        if !self.is_waiting {
            // If it has ended, there is no result either.
            self.is_waiting = self.calls.send(()).is_ok();
        }
        match self.results.recv_timeout(patience) {
            Ok(result) => {
                self.is_waiting = false;
                result.map_err(DrainError::Grace)
            }
            Err(RecvTimeoutError::Timeout) => Err(DrainError::GraceIsLate { patience }),
            Err(RecvTimeoutError::Disconnected) => {
                self.has_ended = true;
                let why = "the thread that waits has ended";
                Err(DrainError::Grace(io::Error::other(why)))
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

    fn late(waited: Result<(), DrainError>) -> bool {
        matches!(waited, Err(DrainError::GraceIsLate { .. }))
    }

    fn waiting(wait: Wait, patience: Duration) -> ProgramsWait {
        ProgramsWait {
            wait,
            thread: None,
            patience,
            late_patience: patience,
        }
    }

    /// Waits until there have been so many calls.
    fn called(calls: usize) {
        while CALLS.load(Ordering::SeqCst) < calls {
            thread::sleep(LITTLE);
        }
    }

    #[test]
    fn a_late_call_is_waited_for_by_the_next_poll_unless_it_is_too_old() {
        let mut programs = waiting(slow, LITTLE);
        programs.renew();
        for _poll in 0..3 {
            assert!(late(programs.wait()));
            called(1);
        }
        IS_SLOW.store(false, Ordering::SeqCst);
        programs.be_patient();
        programs.wait().expect("it ends");
        assert_eq!(CALLS.load(Ordering::SeqCst), 1, "one call for all polls");
        programs.renew();
        programs.wait().expect("it ends");
        assert_eq!(CALLS.load(Ordering::SeqCst), 2, "another one");
        // The generations have changed places after the call.
        IS_SLOW.store(true, Ordering::SeqCst);
        (programs.patience, programs.late_patience) = (LITTLE, LITTLE);
        assert!(late(programs.wait()));
        called(3);
        programs.renew();
        assert!(late(programs.wait()), "not behind the third");
        called(4);
        IS_SLOW.store(false, Ordering::SeqCst);
        programs.be_patient();
        programs.wait().expect("it ends");
        assert_eq!(CALLS.load(Ordering::SeqCst), 4);
    }

    #[test]
    fn an_error_is_the_kernels_and_a_panic_is_one_poll() {
        let refused = || Err(io::ErrorKind::PermissionDenied.into());
        for wait in [refused as Wait, || panic!("on purpose")] {
            let mut programs = waiting(wait, LONG);
            for _poll in 0..2 {
                let waited = programs.wait();
                assert!(matches!(waited, Err(DrainError::Grace(_))), "{waited:?}");
            }
        }
    }

    #[test]
    fn this_kernel_ends_a_grace_period() {
        if Grace::detect() == Grace::Membarrier {
            waiting(wait_for_programs, LONG).wait().expect("it ends");
        }
    }
}
