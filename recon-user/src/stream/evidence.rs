//! What a group's rows showed, for the alert's reader.
//!
//! In: rows. Out: the signals and tools, and samples of the ports, addresses, processes,
//! interfaces and network namespaces.
//! The decision held here: as long as all rows of a group are alike, its first row says everything,
//! so that what was seen once takes no heap.

use jiff::Timestamp;
use recon_common::{Address, ImageId};
use serde::{Deserialize, Serialize};

use super::key::{KeyColumn, KeyPlan};
use super::sample::Sample;
use super::window::allocated;
use crate::row::{Name, PortColumn, RowKey, SignalSet, ToolSet, port_column};

/// Ports, remotes, and local addresses, processes, interfaces and namespaces, that an alert lists.
const PORTS_SHOWN: usize = 16;
const REMOTES_SHOWN: usize = 16;
const SHOWN: usize = 8;

/// What was seen since the window was last empty.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct GroupEvidence {
    /// No row is older.
    #[serde(with = "crate::saved::time")]
    pub(crate) since: Timestamp,
    /// Set once a row differs from the first.
    samples: Option<Box<Samples>>,
    pub(crate) signals: SignalSet,
    /// Whether rows were lost, so that the count is a lower bound.
    pub(crate) is_lossy: bool,
    /// Whether the group was over half of its threshold: memory for its incident is reserved then,
    /// so that there is enough when all groups of a flood cross it.
    pub(super) is_near: bool,
}

/// Samples of what the group is not keyed by.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Samples {
    pub(crate) ports: Sample<u16, PORTS_SHOWN>,
    /// Whether there were rows without a port.
    pub(crate) has_portless: bool,
    pub(crate) locals: Sample<Address, SHOWN>,
    /// Only of groups that are not keyed by the remote.
    pub(crate) remotes: Sample<Address, REMOTES_SHOWN>,
    /// Whether there were aggregated sources, of which only the number is known.
    pub(crate) has_aggregated: bool,
    /// Also of groups that are keyed by the process, which may have run several programs.
    pub(crate) senders: Sample<ImageId, SHOWN>,
    /// On which the packets came in.
    pub(crate) interfaces: Sample<Name, SHOWN>,
    /// Of the sockets, beside the agent's own.
    pub(crate) netns: Sample<Name, SHOWN>,
    tools: ToolSet,
    /// Whether there were probes that carry no fingerprint.
    has_toolless: bool,
}

impl GroupEvidence {
    pub(super) fn since(since: Timestamp) -> Self {
        Self {
            since,
            samples: None,
            signals: SignalSet::default(),
            is_lossy: false,
            is_near: false,
        }
    }

    /// Adds a row to a group whose first row was `first`. Where `may_grow` is false, this skips
    /// what takes more memory.
    #[inline]
    pub(super) fn add(&mut self, key: &KeyPlan, first: &RowKey, row: &RowKey, may_grow: bool) {
        self.signals.insert(row.signal);
        if let Some(samples) = &mut self.samples {
            samples.insert(key, row, may_grow);
        } else if may_grow && !is_alike(first, row) {
            let mut samples = Samples::of(key, first);
            samples.insert(key, row, may_grow);
            self.samples = Some(Box::new(samples));
        }
    }

    /// Forgets which processes have sent.
    pub(super) fn forget_processes(&mut self) {
        if let Some(samples) = &mut self.samples {
            samples.senders.clear();
        }
    }

    /// The samples of a group whose first row was `first`.
    pub(crate) fn samples(&self, key: &KeyPlan, first: &RowKey) -> Samples {
        match &self.samples {
            Some(samples) => (**samples).clone(),
            None => Samples::of(key, first),
        }
    }

    /// The bytes of heap that it takes.
    #[inline]
    pub(super) fn heap(&self) -> usize {
        self.samples.as_ref().map_or(0, |samples| {
            let held = samples.ports.heap() + samples.locals.heap();
            let others = samples.remotes.heap() + samples.senders.heap();
            let others = others + samples.interfaces.heap() + samples.netns.heap();
            allocated(size_of::<Samples>()) + held + others
        })
    }
}

#[inline]
fn is_alike(one: &RowKey, other: &RowKey) -> bool {
    one.port == other.port
        && one.remote == other.remote
        && one.local == other.local
        && one.sender() == other.sender()
        && one.tool == other.tool
        && one.interface == other.interface
        && one.netns == other.netns
}

impl Samples {
    fn of(key: &KeyPlan, row: &RowKey) -> Self {
        let mut samples = Self::default();
        samples.insert(key, row, true);
        samples
    }

    fn insert(&mut self, key: &KeyPlan, row: &RowKey, may_grow: bool) {
        // A protocol's number is no port.
        let is_port = port_column(row.signal) != Some(PortColumn::Protocol);
        match row.port.filter(|_| is_port) {
            Some(port) => self.ports.insert(port, may_grow),
            None => self.has_portless = true,
        }
        if let Some(local) = row.local {
            self.locals.insert(local, may_grow);
        }
        match row.remote {
            Some(remote) if !key.has(KeyColumn::Remote) => self.remotes.insert(remote, may_grow),
            Some(_) => {}
            None => self.has_aggregated = true,
        }
        if let Some(sender) = row.sender() {
            self.senders.insert(sender, may_grow);
        }
        if let Some(interface) = row.interface {
            self.interfaces.insert(interface, may_grow);
        }
        if let Some(netns) = row.netns {
            self.netns.insert(netns, may_grow);
        }
        match row.tool {
            Some(tool) => self.tools.insert(tool),
            None => self.has_toolless |= row.remote.is_some() && row.signal.is_probe(),
        }
    }

    /// The tools that the group's source uses. One probe among those of many sources labels none of
    /// the others, so that several have a tool only if all of their probes carry one.
    pub(crate) fn tools_of_all(&self) -> ToolSet {
        let has_many = self.remotes.items().len() > 1;
        match has_many && self.has_toolless {
            true => ToolSet::default(),
            false => self.tools,
        }
    }
}
