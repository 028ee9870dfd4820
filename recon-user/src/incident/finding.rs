//! What is reported about a group.
//!
//! In: a group over its threshold. Out: [`Finding`], which alerts are made from.
//! The decisions held here:
//! - If several values fit a field, the field is `None` and a list holds a sample.
//! - An incident is identified by its rule, its measure, the key of its group and the time at which
//!   it began, all of which the rows determine. So a replay gives it the same id.

use std::sync::Arc;

use jiff::Timestamp;
use recon_common::{Address, ImageId, Signal};
use serde::{Deserialize, Serialize};

use super::state::{Phase, Report};
use super::window_start_of;
use crate::address::NetworkSize;
use crate::contact::{Contacts, Outcomes};
use crate::kql::eval::{Columns, Value};
use crate::kql::{Severity, Slot};
use crate::row::{Name, SignalSet, ToolSet, Verdict};
use crate::stable_hash::StableHash;
use crate::stream::{Group, GroupKey, KeyColumn, Query};

/// A group that is over its threshold and is reported.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// The query that fired.
    pub query: Arc<Query>,
    /// Whether the incident begins, grows or is over.
    pub phase: Phase,
    /// The incident, on this host.
    pub incident: StableHash,
    /// When this was found.
    pub at: Timestamp,
    /// The remote address, if the query groups by it or only one was seen.
    pub remote: Option<Address>,
    /// The network of the remotes, by its first address, if the query groups by it.
    pub network: Option<Address>,
    /// A sample of the remote addresses, ascending.
    pub remotes: Vec<Address>,
    /// How many remotes there were, if the query counts them and names none.
    pub sources: Option<u64>,
    /// What the attempts of the source show.
    pub verdict: Verdict,
    /// Whether a handshake of its scan proves that the source has its address.
    pub is_proven: bool,
    /// The port, if the query groups by it or only one was seen.
    pub port: Option<u16>,
    /// The local address, if the query groups by it or only one is known.
    pub local: Option<Address>,
    /// The measure; at the end of an incident, its greatest value.
    pub count: u64,
    /// No event in the window is older.
    pub start: Timestamp,
    /// The last poll that brought an event: none in the window is younger.
    pub end: Timestamp,
    /// The signals seen.
    pub signals: SignalSet,
    /// A sample of the ports, ascending.
    pub ports: Vec<u16>,
    /// A sample of the local addresses, ascending.
    pub locals: Vec<Address>,
    /// The process of this host, if the query groups by it or only one is known.
    pub pid: Option<u32>,
    /// A sample of the known processes, ascending.
    pub pids: Vec<u32>,
    /// The programs that they ran when they sent, ascending.
    pub senders: Vec<ImageId>,
    /// The user of the only process, if it is known.
    pub user: Option<u32>,
    /// Whether somebody may have forged it in the name of a client.
    pub may_be_forged: bool,
    /// What became of the attempts, for rules on what one remote sends to ports.
    #[serde(with = "crate::contact::saved_outcomes")]
    pub outcomes: Option<Outcomes>,
    /// The tools whose fingerprints the probes carry, those of the group and others of the remote.
    pub tools: ToolSet,
    /// A sample of the interfaces on which the packets came in, ascending by name.
    #[serde(with = "saved_texts")]
    pub interfaces: Vec<&'static str>,
    /// A sample of the network namespaces of the sockets beside the agent's own, ascending by name.
    #[serde(with = "saved_texts")]
    pub netns: Vec<&'static str>,
    /// The name that the operator has given to the remote.
    pub label: Option<Arc<str>>,
    /// How sure it is to mean harm: that of the rule, or less where the source may be forged.
    pub severity: Severity,
    /// The columns that the query projects, in its order.
    pub columns: Vec<(Arc<str>, Value<'static>)>,
    /// The group that it is about.
    pub(crate) key: GroupKey,
    /// What the findings of one poll are ordered by.
    pub(crate) sorted_by: Vec<Value<'static>>,
    /// Polls over the threshold since the last report that were not reported.
    pub suppressed: u64,
    /// Whether something was lost while counting, so that the true count may be higher.
    pub lower_bound: bool,
    /// Where the headers of its last packets are, if they are recorded.
    #[serde(skip)]
    pub evidence: Option<PacketEvidence>,
}

/// A file with the headers of packets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PacketEvidence {
    /// Its path.
    pub file: String,
    /// How many packets it has.
    pub packets: usize,
}

impl Finding {
    /// All its times.
    pub(super) fn times_mut(&mut self) -> impl Iterator<Item = &mut Timestamp> {
        let columns = self
            .columns
            .iter_mut()
            .filter_map(|(_, value)| match value {
                Value::DateTime(time) => Some(time),
                _ => None,
            });
        [&mut self.at, &mut self.start, &mut self.end]
            .into_iter()
            .chain(columns)
    }

    /// What is reported about a group at `now`.
    pub(super) fn new(
        query: &Arc<Query>,
        group: &Group,
        key: &GroupKey,
        report: Report,
        now: Timestamp,
    ) -> Self {
        let samples = group.samples(query);
        let columns = group.columns(query, key, now);
        let plan = query.plan();
        let shown = plan.columns.iter().map(|shown| {
            let value = columns.value(shown.column.slot).into_owned();
            (Arc::clone(&shown.name), value)
        });
        let sorted_by = plan.order.iter();
        let sorted_by = sorted_by.map(|by| columns.value(by.column.slot).into_owned());
        let remote = key.remote.filter(|_| query.key.has(KeyColumn::Remote));
        let network = key.remote.filter(|_| query.key.network().is_some());
        let mut pids: Vec<u32> = samples.senders.items().iter().map(|by| by.pid).collect();
        pids.dedup();
        let only_pid = pids.first().copied().filter(|_| pids.len() == 1);
        let only_remote = samples.remotes.only();
        let only_port = samples.ports.only().filter(|_| !samples.has_portless);
        Self {
            query: Arc::clone(query),
            phase: report.phase,
            incident: identify(query, key, report.began_at),
            at: now,
            remote: remote.or(only_remote.filter(|_| !samples.has_aggregated)),
            network,
            remotes: listed(remote, samples.remotes.items()),
            sources: counted_sources(query, &columns),
            verdict: Verdict::default(),
            is_proven: false,
            port: key.port.or(only_port),
            local: key.local.or(samples.locals.only()),
            count: report.count,
            // The group may have begun with events that have left the window, and at the end of an
            // incident all of them may have.
            start: group
                .evidence
                .since
                .max(window_start_of(query, group.changed_at.min(now))),
            end: group.changed_at,
            signals: group.evidence.signals,
            ports: samples.ports.items().to_vec(),
            locals: samples.locals.items().to_vec(),
            pid: key.pid.or(only_pid),
            pids: listed(key.pid, &pids),
            senders: samples.senders.items().to_vec(),
            user: None,
            may_be_forged: false,
            outcomes: None,
            tools: samples.tools_of_all(),
            interfaces: names(samples.interfaces.items()),
            netns: names(samples.netns.items()),
            label: None,
            severity: query.severity(),
            columns: shown.collect(),
            key: key.clone(),
            sorted_by: sorted_by.collect(),
            suppressed: report.suppressed,
            lower_bound: group.evidence.is_lossy,
            evidence: None,
        }
    }

    /// Adds what the attempts of the source show. Returns the source, if that is one remote.
    pub(super) fn describe_standing(&mut self, contacts: &Contacts) -> Option<Address> {
        let remote = self.remote.filter(|_| !self.is_outbound())?;
        let source = contacts.source(remote);
        self.verdict = source.verdict;
        self.is_proven = source.is_proven;
        self.may_be_forged = source.is_contradicted && !self.rests_on_handshakes();
        self.tools.add(source.tools);
        Some(remote)
    }

    /// Adds what is known of the source. The attempts of an address that also does what clients do
    /// may be somebody else's who forges it, so that they are not reported as sure.
    pub(super) fn describe_source(&mut self, contacts: &Contacts) {
        let Some(remote) = self.describe_standing(contacts) else {
            return;
        };
        if self.query.reports_outcomes {
            let ports = match &self.port {
                Some(port) => std::slice::from_ref(port),
                None => &self.query.filter.ports[..],
            };
            let since = window_start_of(&self.query, self.end.min(self.at));
            self.outcomes = contacts.outcomes(remote, ports, self.local, since);
            if self.may_be_forged {
                self.severity = self.severity.min(Severity::Medium);
            }
        }
    }

    /// Whether only connections that the source completed were counted, which nobody can forge.
    fn rests_on_handshakes(&self) -> bool {
        self.signals.iter().all(|signal| {
            matches!(
                signal,
                Signal::Accepted
                    | Signal::AttemptAccepted
                    | Signal::Ended
                    | Signal::Used
                    | Signal::Login
            )
        })
    }

    /// What is written first if not everything may be: whom the verdict accuses, then who has
    /// shown that its address is not forged, then the greatest count.
    pub(super) fn rank(&self) -> (Verdict, bool, u64) {
        (self.verdict, self.is_proven, self.count)
    }

    /// Who did it, if that is one. For a rule by network that is the network, and for what this
    /// host's processes send a process.
    #[must_use]
    pub fn source(&self) -> Option<Source> {
        if self.is_outbound() {
            return self.pid.map(Source::Process);
        }
        let network = self
            .network
            .map(|first| Source::Network(first, self.network_size()));
        network.or(self.remote.map(Source::Remote))
    }

    /// The size of the network of the remotes.
    pub(crate) fn network_size(&self) -> NetworkSize {
        let size = self.query.key.network();
        size.unwrap_or(NetworkSize::Neighbours)
    }

    /// The network of the remotes as text.
    pub(crate) fn network_text(&self) -> Option<String> {
        self.network.map(|first| self.network_size().text(first))
    }

    /// Whether this host is the sender of what was counted.
    #[must_use]
    pub fn is_outbound(&self) -> bool {
        self.signals.iter().all(Signal::is_outbound)
    }
}

/// Who did what a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Source {
    /// A remote.
    Remote(Address),
    /// A network of remotes, by its first address and its size.
    Network(Address, NetworkSize),
    /// A process of this host, by its id.
    Process(u32),
}

impl Source {
    /// What identifies it, on this host.
    pub(crate) fn identify(self) -> StableHash {
        /// The hashes of what it is, which are the same for all.
        const KINDS: [StableHash; 5] = [
            StableHash::EMPTY.with(b"remote"),
            StableHash::EMPTY.with(b"network"),
            StableHash::EMPTY.with(b"site"),
            StableHash::EMPTY.with(b"block"),
            StableHash::EMPTY.with(b"process"),
        ];
        let [remote, network, site, block, process] = KINDS;
        match self {
            Self::Remote(address) => remote.with(&octets(address)),
            Self::Network(first, NetworkSize::Neighbours) => network.with(&octets(first)),
            Self::Network(first, NetworkSize::Site) => site.with(&octets(first)),
            Self::Network(first, NetworkSize::Block) => block.with(&octets(first)),
            Self::Process(pid) => process.with(&pid.to_be_bytes()),
        }
    }
}

/// What identifies an incident, on this host.
pub(super) fn identify(query: &Query, key: &GroupKey, began_at: Timestamp) -> StableHash {
    // Two rules may have the same id and measure, but not the same name too.
    let names = [query.id(), query.measure_name(), &query.plan().name];
    let add = |hash: StableHash, name: &str| hash.with(name.as_bytes());
    let hash = names.into_iter().fold(StableHash::EMPTY, add);
    let GroupKey {
        remote,
        local,
        port,
        pid,
        computed,
    } = key;
    let mut hash = hash
        .with_known(remote.map(octets))
        .with_known(local.map(octets))
        .with_known(port.map(u16::to_be_bytes))
        .with_known(pid.map(u32::to_be_bytes));
    for value in computed {
        hash = hash.with(&serde_json::to_vec(value).unwrap_or_default());
    }
    hash.with(&began_at.as_nanosecond().to_be_bytes())
}

/// The bytes of an address, of which an IPv4 one has as many.
fn octets(address: Address) -> [u8; 16] {
    let [a, b, c, d] = address.words().map(u32::to_ne_bytes);
    let mut octets = [0; 16];
    for (to, from) in octets.chunks_exact_mut(4).zip([a, b, c, d]) {
        to.copy_from_slice(&from);
    }
    octets
}

/// How many remotes a query has counted.
fn counted_sources(query: &Query, columns: &impl Columns) -> Option<u64> {
    let position = query.sources_aggregate()?;
    match columns.value(Slot::Aggregate(position, 0)) {
        Value::Long(sources) => u64::try_from(sources).ok(),
        _ => None,
    }
}

/// The texts of names, ascending.
fn names(of: &[Name]) -> Vec<&'static str> {
    let mut texts: Vec<_> = of.iter().map(|name| name.text()).collect();
    texts.sort_unstable();
    texts
}

/// What an alert lists: what the group is keyed by, or else a sample.
fn listed<T: Copy>(key: Option<T>, sample: &[T]) -> Vec<T> {
    key.map_or_else(|| sample.to_vec(), |one| vec![one])
}

/// The saved form of names of interfaces and namespaces.
mod saved_texts {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::row::Name;

    pub(super) fn serialize<S: Serializer>(
        texts: &Vec<&'static str>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        texts.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<&'static str>, D::Error> {
        let names = Vec::<Name>::deserialize(from)?;
        Ok(names.into_iter().map(Name::text).collect())
    }
}
