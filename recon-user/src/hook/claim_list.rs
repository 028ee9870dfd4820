//! The claims of other agents, listed in bounded time.
//!
//! In: what may be claimed. Out: which users' sockets claim it, or that nobody can tell.
//! The decisions held here:
//! - The kernel finds a Unix socket by its inode alone, so it lists all of this network namespace.
//!   One list answers for any number of interfaces.
//! - Where the kernel does not say whose a socket is (no `unix_diag`), a list of addresses is
//!   better than none: what nobody claims has no agent.
//! - The thread that lists has no capabilities. The kernel may hold it for as long as strangers
//!   like, and it then can't be told to give them up.
//! - A list takes as long as strangers have made it: they may have many sockets, and some kernels
//!   let only one process ask at a time, a place that any user may hold. So it is made on a thread,
//!   and whoever waits for it gives up after a while: the answer is "unknown". Once the agent
//!   polls, a slow list is followed by a rest.
//! - The kernel lists in pieces, and may skip a socket if one before it is closed between two of
//!   them. So two lists make one, and whoever wants a claim to be skipped has to hit both.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Capabilities;
use super::claim::{Claimant, Subject, read_name};
use super::unix_diag::list_datagram_sockets;
use super::unix_names::list_datagram_names;

/// How long the start waits for a list.
pub(super) const START_PATIENCE: Duration = Duration::from_secs(2);
/// How long a poll does.
const POLL_PATIENCE: Duration = Duration::from_millis(20);
/// After a list that took longer than a poll waits, none is made for so many times as long: lists
/// take two hundredths of a processor's time.
const REST_FACTOR: u32 = 50;
/// How many lists make one.
const LISTS: usize = 2;

/// What to look for.
#[derive(Debug, Default)]
pub(super) struct Question {
    pub(super) wanted: HashSet<Subject>,
    /// Whose claims are passed over.
    pub(super) own: Option<Claimant>,
}

/// The users who have sockets that claim something. `None` for one whom the kernel does not name.
#[derive(Debug, Default)]
pub(super) struct Claims(HashMap<Subject, HashSet<Option<u32>>>);

impl Claims {
    /// Those that claim `subject`.
    pub(super) fn users(&self, subject: Subject) -> impl Iterator<Item = Option<u32>> {
        self.0.get(&subject).into_iter().flatten().copied()
    }

    /// These subjects and users.
    #[cfg(test)]
    pub(super) fn of(claimed: &[(Subject, Option<u32>)]) -> Self {
        let mut claims = Self::default();
        for &(subject, user) in claimed {
            claims.0.entry(subject).or_default().insert(user);
        }
        claims
    }

    fn note(&mut self, question: &Question, address: &[u8], user: Option<u32>) {
        if let Some((subject, by)) = read_name(address)
            && question.wanted.contains(&subject)
            && (by.is_none() || by != question.own)
        {
            self.0.entry(subject).or_default().insert(user);
        }
    }
}

fn list(question: &Question) -> io::Result<Claims> {
    list_by(question, list_with_users, list_without_users)
}

/// Lists with users, or without where this kernel has no `unix_diag`, or no sock_diag(7) at all.
fn list_by(question: &Question, with_users: List, without_users: List) -> io::Result<Claims> {
    with_users(question).or_else(|error| match error.raw_os_error() {
        Some(libc::ENOENT | libc::EPROTONOSUPPORT) => without_users(question),
        _ => Err(error),
    })
}

fn list_with_users(question: &Question) -> io::Result<Claims> {
    let mut claims = Claims::default();
    for _ in 0..LISTS {
        list_datagram_sockets(|address, user| claims.note(question, address, Some(user)))?;
    }
    Ok(claims)
}

fn list_without_users(question: &Question) -> io::Result<Claims> {
    let mut claims = Claims::default();
    for _ in 0..LISTS {
        list_datagram_names(|address| claims.note(question, address, None))?;
    }
    Ok(claims)
}

/// The ids of the threads that list now.
static LISTING: Mutex<Vec<libc::pid_t>> = Mutex::new(Vec::new());

/// The threads that list now. The kernel may hold one for as long as strangers like: until then it
/// hears no signal.
pub(crate) fn listing_threads() -> Vec<libc::pid_t> {
    LISTING
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

/// This thread lists as long as this lives.
struct Listing(libc::pid_t);

impl Listing {
    fn begin() -> Self {
        // Nothing keeps a thread from having fewer.
        let _ = Capabilities::NONE.keep();
        let thread = nix::unistd::gettid().as_raw();
        let mut threads = LISTING.lock().unwrap_or_else(PoisonError::into_inner);
        threads.push(thread);
        Self(thread)
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        let mut threads = LISTING.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|&thread| thread != self.0);
    }
}

/// What makes a list.
type List = fn(&Question) -> io::Result<Claims>;

/// Lists claims.
#[derive(Debug)]
pub(super) struct ClaimList {
    list: List,
    /// A list that is being made. Its time comes with it.
    running: Option<Receiver<(io::Result<Claims>, Duration)>>,
    is_polling: bool,
    rests_until: Option<Instant>,
}

impl Default for ClaimList {
    fn default() -> Self {
        Self {
            list,
            running: None,
            is_polling: false,
            rests_until: None,
        }
    }
}

impl ClaimList {
    /// Waits for no list any longer from now on than a poll may.
    pub(super) const fn begin_polling(&mut self) {
        self.is_polling = true;
    }

    /// Lists the claims that there are now.
    ///
    /// # Errors
    /// The kernel does not say, or not in time.
    pub(super) fn ask(&mut self, question: Question) -> io::Result<Claims> {
        let patience = match self.is_polling {
            true => POLL_PATIENCE,
            false => START_PATIENCE,
        };
        let end = Instant::now() + patience;
        let late = || {
            io::Error::new(
                io::ErrorKind::TimedOut,
                "the list of sockets takes too long",
            )
        };
        if self.running.is_some() && self.wait(patience).is_none() {
            return Err(late());
        }
        self.begin(question)?;
        let left = end.saturating_duration_since(Instant::now());
        self.wait(left).unwrap_or_else(|| Err(late()))
    }

    /// Begins a list, for [`Self::wait`].
    ///
    /// # Errors
    /// Another one is being made, it is time to rest, or there is no thread for it.
    pub(super) fn begin(&mut self, question: Question) -> io::Result<()> {
        let rests = |until| self.is_polling && Instant::now() < until;
        if self.running.is_some() || self.rests_until.is_some_and(rests) {
            let why = "the list of sockets before this one took too long";
            return Err(io::Error::new(io::ErrorKind::WouldBlock, why));
        }
        let (answer, running) = channel();
        let list = self.list;
        // Whoever waits may have given up, or ended.
        let work = move || {
            let begun = Instant::now();
            let listing = Listing::begin();
            let claims = list(&question);
            // Before anybody can know that there is a list.
            drop(listing);
            let _ = answer.send((claims, begun.elapsed()));
        };
        let thread = thread::Builder::new().name("recon-claims".to_owned());
        thread.spawn(work)?;
        self.running = Some(running);
        Ok(())
    }

    /// The list, if there is one by then.
    pub(super) fn wait(&mut self, patience: Duration) -> Option<io::Result<Claims>> {
        let received = self.running.as_ref()?.recv_timeout(patience);
        let (claims, took) = match received {
            Err(RecvTimeoutError::Timeout) => return None,
            Err(RecvTimeoutError::Disconnected) => {
                let why = "the thread that lists sockets panicked";
                (Err(io::Error::other(why)), Duration::ZERO)
            }
            Ok(answer) => answer,
        };
        self.running = None;
        self.rests_until = (took > POLL_PATIENCE).then(|| Instant::now() + REST_FACTOR * took);
        Some(claims)
    }

    /// One whose lists `list` makes.
    #[cfg(test)]
    pub(super) fn of(list: List) -> Self {
        Self {
            list,
            ..Self::default()
        }
    }
}

#[cfg(test)]
#[path = "claim_list/tests.rs"]
mod tests;
