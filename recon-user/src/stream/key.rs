//! What a group is keyed by, and how it is looked up.
//!
//! In: rows that a query accepts. Out: the parts of them that it groups by.
//! The decision held here: a key is hashed by a 128-bit multiply-fold under secrets that nobody
//! outside knows, since whoever sends packets chooses what is hashed; only the parts that the query
//! groups by are hashed.

use std::cmp::Ordering;
use std::hash::{BuildHasher, Hash, Hasher};

use recon_common::Address;
use serde::{Deserialize, Serialize};

use super::Secrets;
use super::columns::RowColumns;
use super::fields::field;
use crate::address::{NetworkSize, write_address};
use crate::kql::eval::{Value, eval, total_order};
use crate::kql::{Expr, Field, Plan};
use crate::row::RowKey;

/// A column of the row that queries group by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyColumn {
    /// The remote address.
    Remote,
    /// The network of the remote's neighbours.
    Network,
    /// The /56 of IPv6 that the remote is in.
    Site,
    /// The /48 of IPv6 that the remote is in.
    Block,
    /// The local address.
    Local,
    /// The port.
    Port,
    /// The process of this host.
    Pid,
}

impl KeyColumn {
    /// The column with a network of that size.
    const fn of_network(size: NetworkSize) -> Self {
        match size {
            NetworkSize::Neighbours => Self::Network,
            NetworkSize::Site => Self::Site,
            NetworkSize::Block => Self::Block,
        }
    }
}

/// What a query groups by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPlan {
    /// A bit for each column.
    columns: u8,
    /// The size of the network among them.
    network: Option<NetworkSize>,
    /// The plan's groups that are computed from the row, by position.
    pub computed: Vec<usize>,
}

impl KeyPlan {
    /// Plans the key of `plan`. Without `summarize`, rows are grouped by the projected columns.
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut key = Self {
            columns: 0,
            network: None,
            computed: Vec::new(),
        };
        for (position, group) in plan.groups.iter().enumerate() {
            // One part of the key is for the remote: of several networks the first is it.
            let network = network_size(&group.expr).filter(|_| key.network.is_none());
            let column = match field(&group.expr) {
                Some(Field::RemoteIp) => Some(KeyColumn::Remote),
                Some(Field::LocalIp) => Some(KeyColumn::Local),
                Some(Field::ProcessId) if plan.is_summary => Some(KeyColumn::Pid),
                Some(Field::LocalPort | Field::RemotePort) if plan.is_summary => {
                    Some(KeyColumn::Port)
                }
                _ => network.map(KeyColumn::of_network),
            };
            key.network = key.network.or(network);
            match column {
                Some(column) => key.columns |= 1 << column as u8,
                None => key.computed.push(position),
            }
        }
        key
    }

    /// Whether it has that column.
    #[inline]
    #[must_use]
    pub const fn has(&self, column: KeyColumn) -> bool {
        self.columns & 1 << column as u8 != 0
    }

    /// Whether it has that column and nothing else.
    #[must_use]
    pub fn is_only(&self, column: KeyColumn) -> bool {
        self.columns == 1 << column as u8 && self.computed.is_empty()
    }

    /// The size of the network that it has.
    #[inline]
    #[must_use]
    pub const fn network(&self) -> Option<NetworkSize> {
        self.network
    }

    /// The size of the network that it has, if it has nothing else.
    #[must_use]
    pub fn only_network(&self) -> Option<NetworkSize> {
        self.network()
            .filter(|&size| self.is_only(KeyColumn::of_network(size)))
    }

    /// Whether it has the remote, or its network.
    #[inline]
    #[must_use]
    pub fn is_of_remotes(&self) -> bool {
        self.has(KeyColumn::Remote) || self.network.is_some()
    }

    /// The remote's part of the key: the address, or the first address of its network.
    #[inline]
    pub(super) fn remote_of(&self, row: &RowKey) -> Option<Address> {
        if self.has(KeyColumn::Remote) {
            return row.remote;
        }
        self.network?.first(row.remote?)
    }

    /// The key of a group that has counted this row.
    pub(crate) fn group_key(&self, row: &RowKey, computed: &[Value<'static>]) -> GroupKey {
        GroupKey {
            remote: self.remote_of(row),
            local: row.local.filter(|_| self.has(KeyColumn::Local)),
            port: row.port.filter(|_| self.has(KeyColumn::Port)),
            pid: row.pid.filter(|_| self.has(KeyColumn::Pid)),
            computed: computed.into(),
        }
    }

    /// The key of the group that holds all rows of that remote, if the query groups by its network
    /// alone.
    pub(crate) fn network_key(&self, remote: Address) -> Option<GroupKey> {
        let first = self.only_network()?.first(remote)?;
        Some(GroupKey::of_remote(first))
    }
}

/// The size of the network that an expression is.
fn network_size(expr: &Expr) -> Option<NetworkSize> {
    match field(expr)? {
        Field::RemoteNetwork => Some(NetworkSize::Neighbours),
        Field::RemoteSite => Some(NetworkSize::Site),
        Field::RemoteBlock => Some(NetworkSize::Block),
        _ => None,
    }
}

/// The key of a group. What the query does not group by is `None`, and so is what is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GroupKey {
    /// The first address of the network, if the query groups by that.
    pub(crate) remote: Option<Address>,
    pub(crate) local: Option<Address>,
    pub(crate) port: Option<u16>,
    pub(crate) pid: Option<u32>,
    /// The values of what is computed. Most queries have none.
    pub(crate) computed: Box<[Value<'static>]>,
}

impl GroupKey {
    /// A total order of a query's groups.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        let plain = |key: &Self| (key.remote, key.local, key.port, key.pid);
        let computed = self.computed.iter().zip(&other.computed);
        let mut computed = computed.map(|(one, other)| total_order(one, other));
        plain(self).cmp(&plain(other)).then_with(|| {
            computed
                .find(|ordering| ordering.is_ne())
                .unwrap_or(Ordering::Equal)
        })
    }

    /// The group of a query that groups by the remote alone.
    pub(crate) fn of_remote(remote: Address) -> Self {
        Self {
            remote: Some(remote),
            ..Self::default()
        }
    }
}

/// A row used as a lookup key; only the key columns count.
pub(crate) struct GroupLookup<'a> {
    pub(crate) plan: &'a KeyPlan,
    pub(crate) row: RowKey,
    pub(crate) computed: Vec<Value<'a>>,
}

impl<'a> GroupLookup<'a> {
    /// The group of a row. `None` where the remote, or another part of a summary's key, is unknown.
    #[inline]
    pub(crate) fn of_row(
        plan: &'a Plan,
        key: &'a KeyPlan,
        row: &'a RowColumns<'_>,
    ) -> Option<Self> {
        let of = row.row.key;
        if key.is_of_remotes() && key.remote_of(&of).is_none() {
            return None;
        }
        let mut computed = Vec::with_capacity(key.computed.len());
        for &position in &key.computed {
            let value = eval(&plan.groups[position].expr, row, row.now());
            if value.is_null() && plan.is_summary {
                return None;
            }
            computed.push(value);
        }
        Some(Self {
            plan: key,
            row: of,
            computed,
        })
    }

    pub(crate) fn of_key(plan: &'a KeyPlan, key: &'a GroupKey) -> Self {
        Self {
            plan,
            row: RowKey {
                remote: key.remote,
                local: key.local,
                port: key.port,
                pid: key.pid,
                ..RowKey::of(recon_common::Signal::Syn)
            },
            computed: key.computed.to_vec(),
        }
    }

    /// Whether `row` belongs to the looked-up group.
    #[inline]
    pub(crate) fn matches(&self, row: &RowKey, computed: &[Value<'static>]) -> bool {
        let Self {
            plan, row: wanted, ..
        } = self;
        plan.remote_of(row) == plan.remote_of(wanted)
            && (!plan.has(KeyColumn::Local) || row.local == wanted.local)
            && (!plan.has(KeyColumn::Port) || row.port == wanted.port)
            && (!plan.has(KeyColumn::Pid) || row.pid == wanted.pid)
            && *computed == *self.computed
    }

    /// The low 32 bits of the hash; groups number far fewer than 2^32.
    #[inline]
    pub(crate) fn hash(&self, secrets: &Secrets) -> u32 {
        secrets.hash_one(self) as u32
    }
}

/// Always the same parts for one query, in whole words: every row is looked up in every query that
/// accepts it.
impl Hash for GroupLookup<'_> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            plan,
            row,
            computed,
        } = self;
        if let Some(remote) = plan.remote_of(row) {
            write_address(remote, state);
        }
        if plan.has(KeyColumn::Local)
            && let Some(local) = row.local
        {
            write_address(local, state);
        }
        let port = row.port.filter(|_| plan.has(KeyColumn::Port));
        let pid = row.pid.filter(|_| plan.has(KeyColumn::Pid));
        if port.is_some() || pid.is_some() {
            let port = port.map_or(0, u64::from);
            state.write_u64(pid.map_or(0, u64::from) << u32::BITS | port);
        }
        if !computed.is_empty() {
            computed.hash(state);
        }
    }
}
