//! The thread that looks into other processes for the agent.
//!
//! In: a function that reads. Out: what it returns, if that comes in time.
//! The decisions held here:
//! - Landlock lets a thread inside of a domain look at no process outside of it: neither at the
//!   program that it runs nor at its namespaces. So these reads happen on a thread that is not in
//!   the domain, and whose system calls only read.
//! - A process may let nobody read its memory for as long as it likes: its arguments may be on a
//!   file system of its own, or whoever maps memory for it may never end. A read of them has a
//!   deadline, and until it ends there is no other: names are missing then, and no poll waits.
//! - These threads handle no signal to the process but the one by which threads are told to give up
//!   privileges: a handler would have to write, which they may not, and the agent would never hear
//!   that it is to end.
//! - Where nobody has started the thread, a function runs where it is called.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};

/// How long a read may take.
const PATIENCE: Duration = Duration::from_millis(500);

type Job = Box<dyn FnOnce() + Send>;

static READER: OnceLock<Reader> = OnceLock::new();
/// The ids of the threads that look into other processes.
static THREADS: Mutex<Vec<libc::pid_t>> = Mutex::new(Vec::new());

/// The thread.
#[derive(Debug)]
struct Reader {
    jobs: Sender<Job>,
    /// Reads that nobody waits for any more, and that have not ended.
    stuck: Arc<AtomicUsize>,
    /// Reads without an answer since they were last taken.
    late: AtomicU64,
}

impl Reader {
    fn start() -> io::Result<Self> {
        let (jobs, queue) = channel::<Job>();
        let (ready, started) = channel();
        thread::Builder::new()
            .name("recon-reader".to_owned())
            .spawn(move || {
                register();
                // The one that starts it waits for this.
                let _ = ready.send(());
                queue.into_iter().for_each(|job| job());
            })?;
        started.recv().map_err(io::Error::other)?;
        Ok(Self {
            jobs,
            stuck: Arc::default(),
            late: AtomicU64::new(0),
        })
    }

    /// Runs `look` on the thread. `None` if it panicked, takes longer, or follows one that does.
    fn read<T: Send + 'static>(
        &self,
        patience: Duration,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if self.stuck.load(Ordering::SeqCst) > 0 {
            self.late.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let (answer, answered) = channel();
        // The thread sets it when it has read, and the caller when he gives up: who finds it set is
        // the second one.
        let ended = Arc::new(AtomicBool::new(false));
        let (stuck, is_ended) = (Arc::clone(&self.stuck), Arc::clone(&ended));
        let job = Box::new(move || {
            let seen = look();
            if is_ended.swap(true, Ordering::SeqCst) {
                stuck.fetch_sub(1, Ordering::SeqCst);
            }
            // A caller that has given up takes no answer.
            let _ = answer.send(seen);
        });
        self.jobs.send(job).ok()?;
        match answered.recv_timeout(patience) {
            Ok(seen) => return Some(seen),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
        self.stuck.fetch_add(1, Ordering::SeqCst);
        if ended.swap(true, Ordering::SeqCst) {
            self.stuck.fetch_sub(1, Ordering::SeqCst);
            return answered.recv().ok();
        }
        self.late.fetch_add(1, Ordering::Relaxed);
        None
    }
}

/// Starts the thread, unless it runs. From now on, [`read`] runs there.
///
/// # Errors
/// The system has no more threads.
pub(crate) fn start() -> io::Result<()> {
    if READER.get().is_none() {
        // Of two callers at a time, the second one's thread ends at once.
        let _ = READER.set(Reader::start()?);
    }
    Ok(())
}

/// Takes the number of reads since the last call that had no answer in time.
pub(crate) fn take_late() -> u64 {
    let taken = READER.get().map(|it| it.late.swap(0, Ordering::Relaxed));
    taken.unwrap_or_default()
}

/// Makes this thread one that only looks into other processes: sets its signal mask and lists it.
/// The mask also lets the order through: the agent may have started this thread while it held all
/// signals back.
pub(super) fn register() {
    leave_signals_to_others();
    let own = nix::unistd::gettid().as_raw();
    let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    threads.push(own);
}

/// Handles no signal to the process on this thread, which may not do what a handler does.
pub(crate) fn leave_signals_to_others() {
    // Fails only for an argument that is no mask change.
    let _ = blocked().thread_set_mask();
}

/// The signals that such a thread leaves to the others: all but faults, which belong to the thread
/// that causes them, and the order to give up privileges.
fn blocked() -> SigSet {
    const FAULTS: [Signal; 7] = [
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGFPE,
        Signal::SIGILL,
        Signal::SIGTRAP,
        Signal::SIGSYS,
        Signal::SIGABRT,
    ];
    let mut others = SigSet::all();
    FAULTS.into_iter().for_each(|fault| others.remove(fault));
    let mut set = *others.as_ref();
    // SAFETY: the set is a valid one, and the number one of a signal.
    unsafe {
        libc::sigdelset(&raw mut set, ORDER_SIGNAL);
        SigSet::from_sigset_t_unchecked(set)
    }
}

/// The signal by which a thread is told to give up privileges. Nothing here has urgent data, and
/// one that comes too late is ignored. A real-time signal would need a place in its user's queue,
/// which other processes of that user can fill.
pub(crate) const ORDER_SIGNAL: libc::c_int = libc::SIGURG;

/// The threads that look into other processes.
pub(crate) fn threads() -> Vec<libc::pid_t> {
    let threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    threads.clone()
}

/// Runs `look` where other processes can be seen. `None` if it panicked, or had no answer in time.
pub(crate) fn read<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    match READER.get() {
        Some(reader) => reader.read(PATIENCE, look),
        None => Some(look()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn signals_of_the_process_are_left_to_other_threads() {
        let reader = Reader::start().expect("a thread");
        let mask = reader.read(PATIENCE, SigSet::thread_get_mask);
        let mask = mask.expect("an answer").expect("its mask");
        for (signal, expected) in [
            (libc::SIGTERM, 1),
            (libc::SIGHUP, 1),
            (libc::SIGPIPE, 1),
            (libc::SIGRTMIN(), 1),
            (libc::SIGSEGV, 0),
            (libc::SIGABRT, 0),
            (ORDER_SIGNAL, 0),
        ] {
            // SAFETY: a set that the kernel has filled, and the number of a signal.
            let is_blocked = unsafe { libc::sigismember(mask.as_ref(), signal) };
            assert_eq!(is_blocked, expected, "{signal}");
        }
    }

    #[test]
    fn a_read_that_hangs_delays_nobody() {
        const LITTLE: Duration = Duration::from_millis(20);
        const LONG: Duration = Duration::from_secs(60);
        let reader = Reader::start().expect("a thread");
        let (end, ends) = channel::<()>();
        assert_eq!(reader.read(LONG, || 1), Some(1));
        assert_eq!(reader.read(LITTLE, move || ends.recv()), None);
        let begun = Instant::now();
        assert_eq!(reader.read(LONG, || 2), None, "behind it");
        assert!(begun.elapsed() < LONG);
        assert_eq!(reader.late.swap(0, Ordering::Relaxed), 2);
        end.send(()).expect("it still waits");
        while reader.stuck.load(Ordering::SeqCst) > 0 {
            assert!(begun.elapsed() < LONG);
            thread::yield_now();
        }
        assert_eq!(reader.read(LONG, || 3), Some(3), "it has ended");
        assert_eq!(reader.read(LONG, || panic!("on purpose")), None::<()>);
    }
}
