//! A rule in force.
//!
//! In: a plan and the settings for it. Out: [`Configured`], which the judge runs.
//! The decision held here: of the lists of remotes, `deny` wins.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Remotes;
use crate::kql::Plan;

/// A rule with the settings applied.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Configured {
    /// What it counts and how much is too much. Its threshold, window, severity and cooldown are
    /// those of the settings.
    pub plan: Plan,
    /// Remotes that the rule ignores. Lists may be long, and are never saved.
    #[serde(skip)]
    pub allow: Remotes,
    /// Remotes that count even if `allow` has them.
    #[serde(skip)]
    pub deny: Remotes,
    /// Whether private remotes count too if the query excludes them.
    pub include_private: bool,
}

impl Configured {
    /// A rule without settings.
    #[must_use]
    pub fn plain(plan: Plan) -> Self {
        Self {
            plan,
            allow: Remotes::default(),
            deny: Remotes::default(),
            include_private: false,
        }
    }

    /// Whether the rule ignores `remote`.
    #[must_use]
    pub fn allows(&self, remote: IpAddr) -> bool {
        self.allow.contains(remote) && !self.deny.contains(remote)
    }
}
