//! The last headers of each remote, and of each process of this host.
//!
//! In: the headers of packets that count, in their order. Out: those that an alert is about.
//! The decisions held here: a packet that a process sends is kept under the process and under the
//! remote, since rules ask for either. All rings together are bounded: the one with the fewest
//! headers goes first, in steps of powers of two, and of those the one that has been unchanged for
//! longest. So sources that send a packet each, which anybody can forge, never evict one that has
//! sent many.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use recon_common::{Address, Detail, FrameOrigin, Key, Signal};

use crate::row::Name;

/// Headers that are kept of a remote or a process, and the most that a file has.
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
        size_of::<Self>() + size_of::<Arc<Self>>() + self.bytes.len()
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

/// Whose headers a ring has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Owner {
    Remote(Address),
    Process(u32),
}

/// The place of a ring in the order of eviction: by its number of headers, then by its last change.
type Rank = (u32, u64);

#[derive(Debug, Default)]
struct Ring {
    headers: VecDeque<Arc<RecordedHeader>>,
    rank: Rank,
}

impl Ring {
    fn cost(&self) -> usize {
        RING_COST
            + self
                .headers
                .iter()
                .map(|header| header.cost())
                .sum::<usize>()
    }
}

/// Whom and what an alert is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Whether this host is the sender of what was counted.
    pub(crate) is_outbound: bool,
    pub(crate) remotes: Vec<Address>,
    pub(crate) processes: Vec<u32>,
    /// The only port, and the only local address.
    pub(crate) port: Option<u16>,
    pub(crate) local: Option<Address>,
}

impl Wanted {
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
            && self.port.is_none_or(|wanted| wanted == port)
            && self.local.is_none_or(|wanted| wanted == local)
    }
}

/// All rings.
#[derive(Debug)]
pub(crate) struct HeaderStore {
    rings: HashMap<Owner, Ring>,
    order: BTreeMap<Rank, Owner>,
    /// What all of them take, and may take.
    bytes: usize,
    limit: usize,
    changes: u64,
}

impl HeaderStore {
    /// A store of so many bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            rings: HashMap::new(),
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
            Some(Owner::Remote(header.key.remote)),
            sender.map(Owner::Process),
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

    fn add_to(&mut self, owner: Owner, header: Arc<RecordedHeader>) {
        self.changes += 1;
        let ring = self.rings.entry(owner).or_insert_with(|| {
            self.bytes += RING_COST;
            Ring::default()
        });
        self.order.remove(&ring.rank);
        self.bytes += header.cost();
        ring.headers.push_back(header);
        if ring.headers.len() > KEPT
            && let Some(oldest) = ring.headers.pop_front()
        {
            self.bytes -= oldest.cost();
        }
        ring.rank = (ring.headers.len().ilog2(), self.changes);
        self.order.insert(ring.rank, owner);
    }

    /// The last headers that an alert is about, in their order.
    pub(crate) fn find(&self, wanted: &Wanted) -> Vec<Arc<RecordedHeader>> {
        let remotes = wanted.remotes.iter().copied().map(Owner::Remote);
        let processes = wanted.processes.iter().copied().map(Owner::Process);
        // The remote's ring has its answers too.
        let owners: Vec<_> = match wanted.remotes.is_empty() {
            true => processes.collect(),
            false => remotes.collect(),
        };
        let rings = owners.iter().filter_map(|owner| self.rings.get(owner));
        let mut found: Vec<_> = rings
            .flat_map(|ring| &ring.headers)
            .filter(|header| wanted.has(header))
            .cloned()
            .collect();
        found.sort_by_key(|header| Reverse(header.since_boot));
        found.truncate(KEPT);
        found.reverse();
        found
    }

    /// What all rings take.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
