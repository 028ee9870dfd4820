//! What a group is of, and how it is looked up.
//!
//! In: rows that a rule takes. Out: the parts of them that it groups by.
//! The decision held here: a key is hashed with SipHash under keys that nobody outside knows, since what is hashed is chosen by whoever sends
//! packets; only those parts are hashed that the rule groups by.

use std::cmp::Ordering;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use recon_common::{Address, Key};

use super::columns::RowColumns;
use super::order::order;
use crate::kql::eval::{Value, eval};
use crate::row::network;
use crate::rule::{GroupBy, Rule};

/// What a rule keeps its counts by. Parts that it does not group by are `None`, and so is what is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GroupKey {
    /// The first of its network's, where the rule groups by that alone.
    pub(super) remote: Option<Address>,
    pub(super) local: Option<Address>,
    pub(super) port: Option<u16>,
    pub(super) process: Option<u32>,
    /// The values of what it is of beside: of few rules anything.
    pub(super) others: Box<[Value<'static>]>,
}

impl GroupKey {
    /// An order of a rule's groups.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let plain = |key: &Self| (key.remote, key.local, key.port, key.process);
        let others = self.others.iter().zip(&other.others);
        let others = others.map(|(one, other)| order(one, other));
        plain(self)
            .cmp(&plain(other))
            .then_with(|| others.fold(Ordering::Equal, Ordering::then))
    }

    /// The group that holds all rows of that remote, where the rule groups by its network alone.
    pub(super) fn of_network(rule: &Rule, remote: Address) -> Option<Self> {
        const BY_NETWORK: GroupBy = GroupBy {
            remote: false,
            network: true,
            local: false,
            port: false,
            process: false,
        };
        let is_alone = rule.by == BY_NETWORK && rule.others.is_empty();
        is_alone.then(|| Self::of_remote(network::first(remote)))
    }

    /// The group of a rule that groups by the remote alone.
    pub(super) fn of_remote(remote: Address) -> Self {
        Self {
            remote: Some(remote),
            ..Self::default()
        }
    }
}

/// What a group is looked up by: the parts of a row's key that its rule groups by, and what it groups by beside.
pub(super) struct Wanted<'a> {
    pub(super) by: GroupBy,
    pub(super) key: Key,
    pub(super) others: Vec<Value<'a>>,
}

impl<'a> Wanted<'a> {
    /// The group of a row. None where something is not known that a summary groups by, or the remote.
    pub(super) fn new(rule: &'a Rule, row: &'a RowColumns<'_>) -> Option<Self> {
        let key = *row.row.key;
        if (rule.by.remote || rule.by.network) && known_remote(&key).is_none() {
            return None;
        }
        // Of few rules anything: this takes no heap then.
        let mut others = Vec::with_capacity(rule.others.len());
        for &position in &rule.others {
            let value = eval(&rule.plan().groups[position].expr, row, row.now());
            if value.is_null() && rule.plan().is_summary {
                return None;
            }
            others.push(value);
        }
        let by = rule.by;
        Some(Self { by, key, others })
    }

    pub(super) fn of(by: GroupBy, group: &'a GroupKey) -> Self {
        Self {
            by,
            key: Key {
                remote: group.remote.unwrap_or(Address::UNSPECIFIED),
                local: group.local.unwrap_or(Address::UNSPECIFIED),
                pid: group.process.unwrap_or_default(),
                port: group.port.unwrap_or_default(),
                signal: 0,
                reserved: 0,
            },
            others: group.others.to_vec(),
        }
    }

    /// Half of its hash, which is enough for as many groups as there can be.
    pub(super) fn hash(&self, hasher: &RandomState) -> u32 {
        hasher.hash_one(self) as u32
    }
}

/// Of one rule always the same parts, whole words of them at once: every row is looked up in every rule that takes it.
impl Hash for Wanted<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut address = |address: Address| {
            let [a, b, c, d] = address.words();
            state.write_u64(u64::from(a) << 32 | u64::from(b));
            state.write_u64(u64::from(c) << 32 | u64::from(d));
        };
        let Self { by, key, others } = self;
        if let Some(remote) = by.remote_of(key) {
            address(remote);
        }
        if by.local {
            address(key.local);
        }
        if by.port || by.process {
            let port = if by.port { u64::from(key.port) } else { 0 };
            let process = if by.process { u64::from(key.pid) } else { 0 };
            state.write_u64(process << 32 | port);
        }
        if !others.is_empty() {
            others.hash(state);
        }
    }
}

impl GroupBy {
    /// What of a remote a rule groups by: its address, or the first one of its network. None where it is not known.
    pub(super) fn remote_of(self, key: &Key) -> Option<Address> {
        let remote = known_remote(key);
        match self {
            Self { remote: true, .. } => remote,
            Self { network: true, .. } => remote.map(network::first),
            _ => None,
        }
    }
}

pub(super) fn known_remote(key: &Key) -> Option<Address> {
    (key.remote != Address::UNSPECIFIED).then_some(key.remote)
}

pub(super) fn known_local(key: &Key) -> Option<Address> {
    (key.local != Address::UNSPECIFIED).then_some(key.local)
}

pub(super) fn known_process(key: &Key) -> Option<u32> {
    (key.pid != 0).then_some(key.pid)
}
