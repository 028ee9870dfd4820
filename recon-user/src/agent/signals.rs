//! Signals: which end the agent, and which it ignores.
//!
//! In: the signals of this process. Out: the end of a wait, or a log line.
//! The decisions held here: no signal that can be caught kills recon with counts in the kernel.
//! What asks a program to end (Ctrl-C, `kill`, Ctrl-\, the soft CPU limit, a power failure) ends it
//! after the last drain. Everything else that would kill it by default is logged and ignored,
//! SIGHUP above all: a terminal that hangs up closes stdout, which ends recon if its alerts went
//! there. Faults, and SIGABRT, with which supervisors ask for a core dump, keep their default.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use nix::sys::signal::{SigSet, SigmaskHow};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// Ends the agent after the last drain.
    Stop,
    /// Makes it read its configuration and open its files again.
    Reopen,
    /// Only gets a log line.
    Ignore,
}

/// The signals that would kill a process by default, without faults and SIGABRT. The real-time
/// signals are added to them.
const ACTIONS: [(libc::c_int, &str, Action); 13] = [
    (libc::SIGINT, "SIGINT", Action::Stop),
    (libc::SIGTERM, "SIGTERM", Action::Stop),
    (libc::SIGQUIT, "SIGQUIT", Action::Stop),
    (libc::SIGXCPU, "SIGXCPU", Action::Stop),
    (libc::SIGPWR, "SIGPWR", Action::Stop),
    (libc::SIGHUP, "SIGHUP", Action::Reopen),
    (libc::SIGUSR1, "SIGUSR1", Action::Ignore),
    (libc::SIGUSR2, "SIGUSR2", Action::Ignore),
    (libc::SIGALRM, "SIGALRM", Action::Ignore),
    (libc::SIGVTALRM, "SIGVTALRM", Action::Ignore),
    (libc::SIGPROF, "SIGPROF", Action::Ignore),
    (libc::SIGIO, "SIGIO", Action::Ignore),
    // A write beyond the limit on file sizes fails then, and the sink counts it.
    (libc::SIGXFSZ, "SIGXFSZ", Action::Ignore),
];

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// To end.
    Stop,
    /// To read the configuration, and to open the files again that it writes to.
    Reopen,
}

/// Keeps signals from this thread until it is dropped. A signal makes the kernel's verifier give
/// up, and aya then asks it again with a log, which takes many times as long. Other threads take
/// the signals meanwhile, or they wait.
pub(super) struct HeldSignals(SigSet);

impl HeldSignals {
    pub(super) fn hold() -> Self {
        Self(
            SigSet::all()
                .thread_swap_mask(SigmaskHow::SIG_BLOCK)
                .unwrap_or_else(|_| SigSet::empty()),
        )
    }
}

impl Drop for HeldSignals {
    fn drop(&mut self) {
        // It takes a set that the kernel has returned.
        let _ = self.0.thread_set_mask();
    }
}

/// The signals of this process.
pub(super) struct Signals {
    receivers: Vec<(String, Action, Signal)>,
}

impl Signals {
    /// Catches the signals. Needs a tokio runtime.
    pub(super) fn catch() -> io::Result<Self> {
        let named = ACTIONS.map(|(number, name, action)| (number, name.to_owned(), action));
        let mut unnamed: Vec<_> = (libc::SIGRTMIN()..=libc::SIGRTMAX()).collect();
        unnamed.push(libc::SIGSTKFLT);
        let unnamed = unnamed
            .into_iter()
            .map(|number| (number, format!("signal {number}"), Action::Ignore));
        let receivers = named.into_iter().chain(unnamed);
        let receivers = receivers.map(|(number, name, action)| {
            signal(SignalKind::from_raw(number)).map(|receiver| (name, action, receiver))
        });
        Ok(Self {
            receivers: receivers.collect::<io::Result<_>>()?,
        })
    }

    /// Waits for a signal that asks for something, and logs those that do not.
    pub(super) async fn next_request(&mut self) -> Request {
        poll_fn(|context| self.poll_request(context)).await
    }

    fn poll_request(&mut self, context: &mut Context<'_>) -> Poll<Request> {
        for (name, action, receiver) in &mut self.receivers {
            while receiver.poll_recv(context).is_ready() {
                match action {
                    Action::Stop => {
                        tracing::info!("{name}: ending");
                        return Poll::Ready(Request::Stop);
                    }
                    Action::Reopen => return Poll::Ready(Request::Reopen),
                    Action::Ignore => tracing::warn!("{name}: ignored; SIGTERM ends recon"),
                }
            }
        }
        Poll::Pending
    }
}
