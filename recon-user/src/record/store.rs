//! The last headers of each remote, and of each process of this host.
//!
//! In: the headers of packets that count, in their order. Out: those that an alert is about.
//! The decisions held here: a packet that a process sends is kept under the process and under the
//! remote, since rules ask for either. Each signal has a ring of its own, and an alert takes those
//! of the signals that its rule counted before others of the same transport: whoever pings before
//! each probe of a scan hides no probe. A ring that is full evicts first what has a later header of
//! the same target, the oldest of these, and an alert takes the last header of each target first:
//! repeats of one probe, by one signal or by several, hide no other probe. What hides one is as
//! many other targets as a ring has places, and then these are the evidence. All rings together are
//! bounded: the one with the fewest headers goes first, in steps of powers of two, and of those the
//! one that has been unchanged for longest. So sources that send a packet each, which anybody can
//! forge, never evict one that has sent many.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use recon_common::{Address, Detail, Direction, FrameOrigin, Key, Signal};

use crate::row::{Name, SignalSet};
use crate::seed::Secrets;

/// Headers that are kept of a remote or a process for each signal, and the most that a file has.
const KEPT: usize = 64;
/// What a ring takes beside its headers: its places in both maps, and its memory's spare part.
const RING_COST: usize = 256;

/// The headers of a packet that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordedHeader {
    /// When it was seen, since the boot.
    pub(crate) since_boot: Duration,
    /// The key under which it counts.
    pub(crate) key: Key,
    pub(crate) origin: FrameOrigin,
    /// Its interface, if that has a name.
    pub(crate) interface: Option<Name>,
    /// How long it is.
    pub(crate) length: u32,
    /// Its first bytes.
    pub(crate) bytes: Box<[u8]>,
}

impl RecordedHeader {
    /// What it takes in a ring. It may be in two, and counts in each.
    fn cost(&self) -> usize {
        size_of::<Self>() + size_of::<KeptHeader>() + self.bytes.len()
    }

    /// Whether another packet has the same target: the same port and addresses.
    fn has_target_of(&self, other: &Self) -> bool {
        self.target() == other.target()
    }

    /// What it goes to, or comes from.
    const fn target(&self) -> (u16, Address, Address) {
        (self.key.port, self.key.local, self.key.remote)
    }

    /// Whether it is about what this host does to a remote.
    fn is_outbound(&self) -> bool {
        Signal::from_number(self.key.signal).is_some_and(Signal::is_outbound)
    }

    /// The process that has sent it, if one of this host is known.
    fn sender(&self) -> Option<u32> {
        match self.key.detail() {
            Some(Detail::Sender(image)) => Some(image.pid),
            _ => None,
        }
    }
}

/// Whose headers a ring has, with the number of their signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum HeaderOwner {
    Remote(Address, u8),
    Process(u32, u8),
}

/// The place of a ring in the order of eviction: by its number of headers, then by its last change.
type Rank = (u32, u64);

/// A header in a ring.
#[derive(Clone, Debug)]
struct KeptHeader {
    header: Arc<RecordedHeader>,
    /// Whether the ring has a later one of its target.
    is_repeated: bool,
}

#[derive(Debug, Default)]
struct HeaderRing {
    headers: VecDeque<KeptHeader>,
    rank: Rank,
}

impl HeaderRing {
    /// Adds the latest header. Returns the one that it takes the place of.
    fn push(&mut self, header: Arc<RecordedHeader>) -> Option<Arc<RecordedHeader>> {
        let mut kept = self.headers.iter_mut().rev();
        if let Some(before) = kept.find(|kept| kept.header.has_target_of(&header)) {
            before.is_repeated = true;
        }
        let evicted = (self.headers.len() >= KEPT).then(|| {
            let repeated = self.headers.iter().position(|kept| kept.is_repeated);
            self.headers.remove(repeated.unwrap_or_default())
        });
        self.headers.push_back(KeptHeader {
            header,
            is_repeated: false,
        });
        Some(evicted??.header)
    }

    fn cost(&self) -> usize {
        RING_COST
            + self
                .headers
                .iter()
                .map(|kept| kept.header.cost())
                .sum::<usize>()
    }
}

/// Whom and what an alert is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EvidenceQuery {
    /// Whether this host is the sender of what was counted.
    pub(crate) is_outbound: bool,
    /// The signals that its rule has counted.
    pub(crate) signals: SignalSet,
    pub(crate) remotes: Vec<Address>,
    pub(crate) processes: Vec<u32>,
    /// The only port, and the only local address.
    pub(crate) port: Option<u16>,
    pub(crate) local: Option<Address>,
}

/// How much an alert needs a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Need {
    /// Its rule has counted the signal.
    Counted,
    /// An answer, or the packets behind a signal that the agent derives.
    SameTransport,
}

impl EvidenceQuery {
    /// How much the alert needs headers of a signal, if at all.
    fn need(&self, signal: Signal) -> Option<Need> {
        let is_same = |counted: Signal| counted.transport() == signal.transport();
        if self.signals.contains(signal) {
            Some(Need::Counted)
        } else if signal == Signal::RefusedIcmp || self.signals.iter().any(is_same) {
            Some(Need::SameTransport)
        } else {
            None
        }
    }

    fn has(&self, header: &RecordedHeader) -> bool {
        let Key {
            remote,
            local,
            port,
            ..
        } = header.key;
        // An answer of a remote has no sender.
        let is_sender = |pid| self.processes.is_empty() || self.processes.contains(&pid);
        header.is_outbound() == self.is_outbound
            && (self.remotes.is_empty() || self.remotes.contains(&remote))
            && header.sender().is_none_or(is_sender)
            && self.port.is_none_or(|only| only == port)
            && self.local.is_none_or(|only| only == local)
    }
}

/// All rings.
#[derive(Debug)]
pub(crate) struct HeaderStore {
    rings: HashMap<HeaderOwner, HeaderRing, Secrets>,
    order: BTreeMap<Rank, HeaderOwner>,
    /// What all of them take, and may take.
    bytes: usize,
    limit: usize,
    changes: u64,
}

impl HeaderStore {
    /// A store of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            rings: HashMap::default(),
            order: BTreeMap::new(),
            bytes: 0,
            limit,
            changes: 0,
        }
    }

    /// Keeps a header, and evicts what it takes the room of.
    pub(crate) fn add(&mut self, header: RecordedHeader) {
        let header = Arc::new(header);
        let sender = header.sender().filter(|_| header.is_outbound());
        let owners = [
            Some(HeaderOwner::Remote(header.key.remote, header.key.signal)),
            sender.map(|pid| HeaderOwner::Process(pid, header.key.signal)),
        ];
        for owner in owners.into_iter().flatten() {
            self.add_to(owner, Arc::clone(&header));
        }
        while self.bytes > self.limit {
            let Some((_, owner)) = self.order.pop_first() else {
                return;
            };
            let ring = self.rings.remove(&owner).unwrap_or_default();
            self.bytes = self.bytes.saturating_sub(ring.cost());
        }
    }

    fn add_to(&mut self, owner: HeaderOwner, header: Arc<RecordedHeader>) {
        self.changes += 1;
        let ring = self.rings.entry(owner).or_insert_with(|| {
            self.bytes += RING_COST;
            HeaderRing::default()
        });
        self.order.remove(&ring.rank);
        self.bytes += header.cost();
        if let Some(evicted) = ring.push(header) {
            self.bytes -= evicted.cost();
        }
        ring.rank = (ring.headers.len().ilog2(), self.changes);
        self.order.insert(ring.rank, owner);
    }

    /// The last headers that an alert is about, in their order: of as many targets as possible.
    pub(crate) fn find(&self, query: &EvidenceQuery) -> Vec<Arc<RecordedHeader>> {
        let mut found = Vec::new();
        for signal in Signal::ALL.into_iter() {
            let Some(need) = query.need(signal) else {
                continue;
            };
            let number = signal as u8;
            let remotes = query.remotes.iter();
            let processes = query.processes.iter();
            // A remote's rings have its answers too.
            let owners: Vec<_> = match query.remotes.is_empty() {
                true => processes
                    .map(|&pid| HeaderOwner::Process(pid, number))
                    .collect(),
                false => remotes.map(|&it| HeaderOwner::Remote(it, number)).collect(),
            };
            let rings = owners.iter().filter_map(|owner| self.rings.get(owner));
            let kept = rings.flat_map(|ring| &ring.headers);
            let kept = kept.filter(|kept| query.has(&kept.header));
            found.extend(kept.map(|kept| (need, false, Arc::clone(&kept.header))));
        }
        found.sort_by_key(|(need, _, header)| (*need, Reverse(header.since_boot)));
        // A target that was probed by several signals has a place once before others have none. An
        // answer is no probe.
        let mut targets = HashSet::new();
        for (need, is_repeated, header) in &mut found {
            let is_inbound = header.origin.direction == Direction::In;
            *is_repeated = !targets.insert((*need, is_inbound, header.target()));
        }
        found.sort_by_key(|(need, is_repeated, _)| (*need, *is_repeated));
        found.truncate(KEPT);
        let mut found: Vec<_> = found.into_iter().map(|(_, _, header)| header).collect();
        found.sort_by_key(|header| header.since_boot);
        found
    }

    /// What all rings take.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
