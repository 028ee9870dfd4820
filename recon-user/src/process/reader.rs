//! The thread that looks into other processes for the agent.
//!
//! In: a function that reads. Out: what it returns.
//! The decision held here: Landlock lets a thread inside of a domain look at no process outside of
//! it: neither at the program that it runs nor at its namespaces. So these reads happen on a thread
//! that is not in the domain, and whose system calls only read. Without the sandbox there is no
//! such thread, and a function runs where it is called.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

type Job = Box<dyn FnOnce() + Send>;

static READER: OnceLock<Sender<Job>> = OnceLock::new();
/// The ids of the threads that look into other processes.
static THREADS: Mutex<Vec<libc::pid_t>> = Mutex::new(Vec::new());

/// Starts the thread. From now on, [`read`] runs there.
///
/// # Errors
/// The system has no more threads.
pub(crate) fn start() -> io::Result<()> {
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
    // A second call changes nothing.
    let _ = READER.set(jobs);
    Ok(())
}

/// Notes that this thread only looks into other processes.
pub(super) fn register() {
    // It may have been started while the agent held all signals back, and the order to give up
    // privileges comes by a signal.
    let _ = nix::sys::signal::SigSet::empty().thread_set_mask();
    let own = nix::unistd::gettid().as_raw();
    let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    threads.push(own);
}

/// The threads that look into other processes.
pub(crate) fn threads() -> Vec<libc::pid_t> {
    let threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    threads.clone()
}

/// Runs `look` where other processes can be seen. `None` if it panicked.
pub(crate) fn read<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let Some(reader) = READER.get() else {
        return Some(look());
    };
    let (answer, answered) = channel();
    let job = Box::new(move || {
        // The caller waits.
        let _ = answer.send(look());
    });
    reader.send(job).ok()?;
    answered.recv().ok()
}
