//! What was seen of a group, for the alert's reader.
//!
//! In: rows. Out: the signals, and some of the ports, addresses and processes.
//! The decision held here: of a group whose rows are all alike its first row says it all, so that what was seen once takes no heap.

use jiff::Timestamp;
use recon_common::{Address, Key, Signal};

use super::key::{known_local, known_process, known_remote};
use super::sample::Sample;
use crate::rule::{GroupBy, SignalSet};
use crate::window::allocated;

/// Ports, remotes, and local addresses and processes, that an alert lists.
const PORTS_SHOWN: usize = 16;
const REMOTES_SHOWN: usize = 16;
const SHOWN: usize = 8;

/// What was seen since the window was last empty.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) since: Timestamp,
    /// Where not all rows were like the first.
    more: Option<Box<Samples>>,
    pub(super) signals: SignalSet,
    pub(super) is_lossy: bool,
    /// Whether it was over half its threshold: memory for its alarm is set aside then, so that there is some when all of a flood sound.
    pub(super) is_near: bool,
}

/// Some of what rows had that a group is not of.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples {
    pub(super) ports: Sample<u16, PORTS_SHOWN>,
    pub(super) locals: Sample<Address, SHOWN>,
    /// Of groups that are not of one remote.
    pub(super) remotes: Sample<Address, REMOTES_SHOWN>,
    /// Whether there were others, of which only the number is known.
    pub(super) has_unnamed: bool,
    /// Of groups that are not of one process.
    pub(super) processes: Sample<u32, SHOWN>,
}

impl Seen {
    pub(super) fn nothing(since: Timestamp) -> Self {
        Self {
            since,
            more: None,
            signals: SignalSet::default(),
            is_lossy: false,
            is_near: false,
        }
    }

    /// Notes a row of a group whose first one had the key `first`. What takes more memory is left out where `may_grow` is false.
    pub(super) fn note(
        &mut self,
        by: GroupBy,
        first: &Key,
        signal: Signal,
        key: &Key,
        may_grow: bool,
    ) {
        self.signals.insert(signal);
        if let Some(more) = &mut self.more {
            more.insert(by, key, may_grow);
        } else if may_grow && !is_alike(first, key) {
            let mut samples = Samples::of(by, first);
            samples.insert(by, key, may_grow);
            self.more = Some(Box::new(samples));
        }
    }

    pub(super) fn samples(&self, by: GroupBy, first: &Key) -> Samples {
        match &self.more {
            Some(more) => (**more).clone(),
            None => Samples::of(by, first),
        }
    }

    /// The bytes of heap that it takes.
    pub(super) fn heap(&self) -> usize {
        self.more.as_ref().map_or(0, |more| {
            let samples = more.ports.heap() + more.locals.heap();
            let others = more.remotes.heap() + more.processes.heap();
            allocated(size_of::<Samples>()) + samples + others
        })
    }
}

fn is_alike(one: &Key, other: &Key) -> bool {
    one.port == other.port
        && one.remote == other.remote
        && one.local == other.local
        && one.pid == other.pid
}

impl Samples {
    fn of(by: GroupBy, key: &Key) -> Self {
        let mut samples = Self::default();
        samples.insert(by, key, true);
        samples
    }

    fn insert(&mut self, by: GroupBy, key: &Key, may_grow: bool) {
        self.ports.insert(key.port, may_grow);
        if let Some(local) = known_local(key) {
            self.locals.insert(local, may_grow);
        }
        match known_remote(key) {
            Some(remote) if !by.remote => self.remotes.insert(remote, may_grow),
            Some(_) => {}
            None => self.has_unnamed = true,
        }
        if !by.process
            && let Some(process) = known_process(key)
        {
            self.processes.insert(process, may_grow);
        }
    }
}
