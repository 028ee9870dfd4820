//! What the judge finds.
//!
//! In: nothing; a finding is data. Out: [`Finding`], which alerts are made of.

use std::sync::Arc;

use jiff::Timestamp;
use recon_common::{Address, Signal};

use super::{Answers, Phase};
use crate::kql::eval::Value;
use crate::rule::{Rule, SignalSet};

/// A group that is over its threshold and has to be told of.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule that fired.
    pub rule: Arc<Rule>,
    /// Whether the incident begins, grows or is over.
    pub phase: Phase,
    /// When this was found.
    pub at: Timestamp,
    /// The address out there, where the rule groups by it or only one was seen.
    pub remote: Option<Address>,
    /// The network of the remotes, by the first of its addresses, where the rule groups by it.
    pub network: Option<Address>,
    /// Some of the remote addresses seen, ascending.
    pub remotes: Vec<Address>,
    /// The port, where the rule groups by it or only one was seen.
    pub port: Option<u16>,
    /// The local address, where the rule groups by it or only one is known.
    pub local: Option<Address>,
    /// What the rule measured in its window.
    pub count: u64,
    /// No event in the window is older.
    pub start: Timestamp,
    /// The last poll that brought an event: none in the window is younger.
    pub end: Timestamp,
    /// Kinds of signals seen.
    pub signals: SignalSet,
    /// Some of the ports seen, ascending.
    pub ports: Vec<u16>,
    /// Some of the local addresses seen, ascending.
    pub locals: Vec<Address>,
    /// The process of this host, where the rule groups by it or only one is known. Never 0.
    pub process: Option<u32>,
    /// Some of the processes seen, ascending, without those that are not known.
    pub processes: Vec<u32>,
    /// What this host answered, for rules on what one remote sends to ports.
    pub answers: Option<Answers>,
    /// The columns that the query shows, in its order.
    pub columns: Vec<(Arc<str>, Value<'static>)>,
    /// What one poll's findings are ordered by.
    pub(crate) sorted_by: Vec<Value<'static>>,
    /// Polls since the group's last alert that were over the threshold and not told of.
    pub suppressed: u64,
    /// Whether something was lost while counting, so that the true count may be higher.
    pub lower_bound: bool,
}

impl Finding {
    /// Whether this host is the sender of what was counted.
    #[must_use]
    pub fn is_outbound(&self) -> bool {
        self.signals.iter().all(Signal::is_outbound)
    }
}
