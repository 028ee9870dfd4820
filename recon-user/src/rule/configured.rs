//! A rule that is in force.
//!
//! In: a plan and what the settings make of it. Out: [`Configured`], which the judge runs.
//! The decision held here: of the lists of remotes, `deny` wins.

use std::net::IpAddr;

use super::Network;
use crate::kql::Plan;

/// A rule as the settings want it.
#[derive(Clone, Debug)]
pub struct Configured {
    /// What it counts and how much is too much: its threshold, window, severity and cooldown are those of the settings.
    pub plan: Plan,
    /// Remotes that may do what the rule looks for: they do not count.
    pub allow: Vec<Network>,
    /// Remotes that count although `allow` has them.
    pub deny: Vec<Network>,
    /// Whether private remotes count too, where the query leaves them out.
    pub include_private: bool,
}

impl Configured {
    /// A rule as its query has it.
    #[must_use]
    pub fn plain(plan: Plan) -> Self {
        Self {
            plan,
            allow: Vec::new(),
            deny: Vec::new(),
            include_private: false,
        }
    }

    /// Whether `remote` may do what the rule looks for.
    #[must_use]
    pub fn allows(&self, remote: IpAddr) -> bool {
        let has = |networks: &[Network]| networks.iter().any(|network| network.contains(remote));
        has(&self.allow) && !has(&self.deny)
    }
}
