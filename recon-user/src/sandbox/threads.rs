//! Every thread of this process is reduced, not only the one that asks.
//!
//! In: an [`Order`]. Out: the order carried out by each thread, one after the other.
//! The decision held here: capabilities and Landlock belong to a thread, and the kernel has no call
//! that changes those of another. The writers of alerts and of the log run before the agent is
//! attached. So each thread gets a signal and carries the order out in its handler, as libpsx does
//! for setuid. The handler makes system calls and stores a number: nothing that allocates or locks.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::ops::BitOrAssign;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use seccompiler::sock_filter;

use crate::hook::Capabilities;
use crate::process::reader::ORDER_SIGNAL;

/// What a thread is to do.
#[derive(Clone, Debug)]
pub(super) enum Order {
    /// To keep these capabilities, and to enter a Landlock domain.
    Reduce(Capabilities, Option<RawFd>),
    /// To live under this filter of system calls, besides those that it has.
    Filter(Vec<sock_filter>),
}

/// What of an order failed in some thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Failures(u32);

impl Failures {
    #[cfg(test)]
    pub(super) const NONE: Self = Self(0);
    pub(super) const BOUNDING: Self = Self(1);
    pub(super) const CAPABILITIES: Self = Self(1 << 1);
    pub(super) const NEW_PRIVILEGES: Self = Self(1 << 2);
    pub(super) const DOMAIN: Self = Self(1 << 3);
    pub(super) const FILTER: Self = Self(1 << 4);
    /// A thread did not answer: nobody knows what it has done.
    pub(super) const THREAD: Self = Self(1 << 5);

    const NAMES: [(Self, &'static str); 6] = [
        (Self::BOUNDING, "an empty bounding set"),
        (Self::CAPABILITIES, "fewer capabilities"),
        (Self::NEW_PRIVILEGES, "no_new_privs"),
        (Self::DOMAIN, "Landlock"),
        (Self::FILTER, "the narrower filter of some threads"),
        (Self::THREAD, "the same limits for each thread"),
    ];

    pub(super) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn names(self) -> impl Iterator<Item = (Self, &'static str)> {
        let names = Self::NAMES.into_iter();
        names.filter(move |&(failure, _)| self.contains(failure))
    }
}

impl BitOrAssign for Failures {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// The order that a signal asks for.
static ORDER: AtomicPtr<Order> = AtomicPtr::new(ptr::null_mut());
/// Who is asked, in the upper half, and what came of it: [`WAITING`], or [`DONE`] with
/// [`Failures`]. So a thread that answers too late is not taken for the one that is asked by then.
static ANSWER: AtomicU64 = AtomicU64::new(0);
const WAITING: u32 = 0;
const DONE: u32 = 1 << 31;

/// How often the threads are listed, until there is none that was not asked.
const LISTINGS: usize = 16;
/// How long a thread has to answer. A thread that writes to a slow disk does not hear signals.
const PATIENCE: Duration = Duration::from_secs(10);
const NO_FLAGS: libc::c_uint = 0;
/// Only looks whether there is somebody to send a signal to.
const NO_SIGNAL: libc::c_int = 0;
const BETWEEN_LOOKS: Duration = Duration::from_micros(50);

/// Has each thread that `concerns` selects carry the order out. One that another has started
/// meanwhile may have been born before that one did: it is found when they are listed again. The
/// order itself is never freed: a thread that answers too late still reads it.
pub(super) fn on_each(order: Order, concerns: impl Fn(libc::pid_t) -> bool) -> Failures {
    let mut failures = Failures::default();
    let own = nix::unistd::gettid().as_raw();
    let old = match install_handler() {
        Ok(old) => old,
        Err(_) => return Failures::THREAD,
    };
    let order: &'static Order = Box::leak(Box::new(order));
    ORDER.store(ptr::from_ref(order).cast_mut(), Ordering::SeqCst);
    let mut asked = BTreeSet::<libc::pid_t>::new();
    let is_everyone_asked = (0..LISTINGS).any(|_| {
        let is_new = |&thread: &libc::pid_t| concerns(thread) && !asked.contains(&thread);
        // Whom nobody can list nobody can ask.
        let Ok(threads) = list_threads() else {
            return false;
        };
        let new: Vec<_> = threads.into_iter().filter(is_new).collect();
        for &thread in &new {
            failures |= match thread == own {
                true => carry_out(order),
                false => order_thread(thread),
            };
        }
        asked.extend(&new);
        new.is_empty()
    });
    if !is_everyone_asked {
        failures |= Failures::THREAD;
    }
    ORDER.store(ptr::null_mut(), Ordering::SeqCst);
    // SAFETY: the action is the one that the kernel has returned.
    unsafe { libc::sigaction(ORDER_SIGNAL, &raw const old, ptr::null_mut()) };
    failures
}

/// The ids of all threads of this process.
fn list_threads() -> io::Result<Vec<libc::pid_t>> {
    let threads = fs::read_dir("/proc/self/task")?.map(|entry| {
        let name = entry?.file_name();
        let thread = name.to_str().and_then(|name| name.parse().ok());
        thread.ok_or_else(|| io::Error::other("a thread without a number"))
    });
    threads.collect()
}

/// Installs the handler, and returns the action of before.
fn install_handler() -> io::Result<libc::sigaction> {
    let mut old = MaybeUninit::uninit();
    // SAFETY: all bytes of a sigaction may be 0; the handler does only what a handler may; the
    // kernel fills `old` if it succeeds.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
        match libc::sigaction(ORDER_SIGNAL, &raw const action, old.as_mut_ptr()) {
            0 => Ok(old.assume_init()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// The value of [`ANSWER`].
fn answer_of(thread: libc::pid_t, answer: u32) -> u64 {
    u64::from(thread.cast_unsigned()) << u32::BITS | u64::from(answer)
}

/// Asks one thread, and waits until it has answered.
fn order_thread(thread: libc::pid_t) -> Failures {
    let waiting = answer_of(thread, WAITING);
    ANSWER.store(waiting, Ordering::SeqCst);
    let until = Instant::now() + PATIENCE;
    let mut next = ORDER_SIGNAL;
    loop {
        match ANSWER.load(Ordering::SeqCst) {
            answer if answer != waiting => return Failures(answer as u32 & !DONE),
            _ if Instant::now() >= until => return Failures::THREAD,
            _ => {}
        }
        match send_signal(thread, next) {
            Ok(()) => next = NO_SIGNAL,
            // It has ended, maybe before it heard the order.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Failures::default(),
            Err(_) => return Failures::THREAD,
        }
        thread::sleep(BETWEEN_LOOKS);
    }
}

/// Sends it to a thread of this process.
fn send_signal(thread: libc::pid_t, signal: libc::c_int) -> io::Result<()> {
    // SAFETY: three integers.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, signal) };
    match sent {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

extern "C" fn on_signal(_: libc::c_int) {
    let own = nix::unistd::gettid().as_raw();
    // A thread that comes too late would carry out what another one is asked.
    if ANSWER.load(Ordering::SeqCst) != answer_of(own, WAITING) {
        return;
    }
    // SAFETY: the pointer is null or leads to an order, which is never freed.
    if let Some(order) = unsafe { ORDER.load(Ordering::SeqCst).as_ref() } {
        // SAFETY: the number of the last error belongs to this thread.
        let number = unsafe { libc::__errno_location() };
        // SAFETY: as above.
        let before = unsafe { *number };
        answer(own, carry_out(order));
        // SAFETY: as above.
        unsafe { *number = before };
    }
}

/// Says what came of it, if this thread is still asked.
fn answer(own: libc::pid_t, failures: Failures) {
    let (asked, done) = (answer_of(own, WAITING), answer_of(own, DONE | failures.0));
    // If another one is asked by now, this answer comes too late.
    let _ = ANSWER.compare_exchange(asked, done, Ordering::SeqCst, Ordering::SeqCst);
}

/// Does to this thread what is ordered. Makes system calls only.
fn carry_out(order: &Order) -> Failures {
    match order {
        Order::Reduce(keep, domain) => reduce(*keep, *domain),
        Order::Filter(filter) => add_filter(filter),
    }
}

fn reduce(keep: Capabilities, domain: Option<RawFd>) -> Failures {
    let mut failures = Failures::default();
    let mut check = |result: libc::c_long, failure| {
        if result != 0 {
            failures |= failure;
        }
    };
    check(empty_bounding_set(), Failures::BOUNDING);
    // SAFETY: integers only.
    let no_ambient = unsafe {
        libc::prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_CLEAR_ALL,
            0,
            0,
            0,
        )
    };
    check(no_ambient.into(), Failures::CAPABILITIES);
    check(keep.keep(), Failures::CAPABILITIES);
    // SAFETY: integers only.
    let no_new = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    check(no_new.into(), Failures::NEW_PRIVILEGES);
    if let Some(domain) = domain {
        // SAFETY: integers only.
        let entered = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, domain, NO_FLAGS) };
        check(entered, Failures::DOMAIN);
    }
    failures
}

fn add_filter(filter: &[sock_filter]) -> Failures {
    let program = libc::sock_fprog {
        // The crate refuses longer ones.
        len: filter.len() as u16,
        filter: filter.as_ptr().cast_mut().cast(),
    };
    // SAFETY: the kernel copies `len` instructions, and writes none.
    let added = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            NO_FLAGS,
            &raw const program,
        )
    };
    match added {
        0 => Failures::default(),
        _ => Failures::FILTER,
    }
}

/// Takes every capability from what a file could give this thread.
fn empty_bounding_set() -> libc::c_long {
    let mut result = 0;
    for capability in 0..u64::BITS {
        // SAFETY: integers only.
        let is_bound = unsafe { libc::prctl(libc::PR_CAPBSET_READ, capability, 0, 0, 0) };
        match is_bound {
            0 => {}
            1 => {
                // SAFETY: integers only.
                result |= unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
            }
            // The kernel has no more.
            _ => break,
        }
    }
    result.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread that answers after its time does not speak for the next one.
    #[test]
    fn late_answers_are_not_taken_for_others() {
        let own = nix::unistd::gettid().as_raw();
        for (asked, expected) in [
            (own, answer_of(own, DONE | Failures::DOMAIN.0)),
            (own + 1, answer_of(own + 1, WAITING)),
        ] {
            ANSWER.store(answer_of(asked, WAITING), Ordering::SeqCst);
            answer(own, Failures::DOMAIN);
            assert_eq!(ANSWER.load(Ordering::SeqCst), expected, "{asked}");
        }
    }
}
