//! Other agents that watch the same interfaces.
//!
//! In: interfaces that this agent begins to watch. Out: a claim on each, and a warning if another
//! agent has claimed it.
//! The decisions held here: an agent claims an interface before it looks for others. So of two, the
//! later one finds the other; two that begin at once may both find each other. The warning is for
//! the operator and changes nothing, so a poll never waits for the list: it comes with a later one.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use super::Interface;
use super::claim::{Claim, Claimant, Subject, may_run_agents};
use super::claim_list::{ClaimList, Claims, Question, START_PATIENCE};

/// How an operator looks for them.
const LOOK: &str = "ss -xa | grep recon/agent";

/// Looks for other agents.
#[derive(Debug)]
pub(super) struct OtherAgents {
    own: Claimant,
    list: ClaimList,
    /// The interfaces that nobody has been looked for on, by index, and their names.
    unchecked: BTreeMap<u32, String>,
    /// Those that the list is made for.
    asked: BTreeMap<u32, String>,
    has_failed: bool,
}

impl Default for OtherAgents {
    fn default() -> Self {
        Self {
            own: Claimant::random(),
            list: ClaimList::default(),
            unchecked: BTreeMap::new(),
            asked: BTreeMap::new(),
            has_failed: false,
        }
    }
}

impl OtherAgents {
    /// Claims the interface for this agent.
    pub(super) fn claim(&mut self, interface: &Interface) -> Option<Claim> {
        let Interface { index, name, .. } = interface;
        self.unchecked.insert(*index, name.clone());
        let claim = Claim::bind(Subject::interface(*index), self.own);
        let warn = |error: &io::Error| {
            tracing::warn!(
                "{name}: can't claim it: {error}: another recon that starts here does not say that this one watches it; let recon open more files (LimitNOFILE=)"
            );
        };
        claim.inspect_err(warn).ok()
    }

    /// Forgets an interface that is no longer watched.
    pub(super) fn forget(&mut self, index: u32) {
        self.unchecked.remove(&index);
        self.asked.remove(&index);
    }

    /// Looks for others at the start, and waits for the list.
    pub(super) fn look_at_start(&mut self) {
        self.look(START_PATIENCE);
        if !self.asked.is_empty() {
            tracing::warn!(
                "listing the Unix sockets takes longer than {START_PATIENCE:?}: recon warns of another recon once the list is complete; look now with: {LOOK}"
            );
        }
        self.list.begin_polling();
    }

    /// The same at a poll, which waits for nothing.
    pub(super) fn look_at_poll(&mut self) {
        self.look(Duration::ZERO);
    }

    fn look(&mut self, patience: Duration) {
        self.report(Duration::ZERO);
        if self.unchecked.is_empty() {
            return;
        }
        let question = Question {
            wanted: self
                .unchecked
                .keys()
                .copied()
                .map(Subject::interface)
                .collect(),
            own: Some(self.own),
        };
        match self.list.begin(question) {
            Ok(()) => self.asked = std::mem::take(&mut self.unchecked),
            // The next poll tries again.
            Err(error) => tracing::debug!("not looking for another recon now: {error}"),
        }
        self.report(patience);
    }

    /// Warns of those that the list has.
    fn report(&mut self, patience: Duration) {
        let Some(listed) = self.list.wait(patience) else {
            return;
        };
        let asked = std::mem::take(&mut self.asked);
        match listed {
            Ok(claims) => {
                for (index, name) in &asked {
                    match watcher(&claims, *index) {
                        Some(Watcher::Agent) => tracing::warn!(
                            "{name}: another recon watches it: each alert about its packets is written twice, and its packets cost twice the time; end one of the two"
                        ),
                        Some(Watcher::Somebody) => warn_of_somebody(name),
                        None => {}
                    }
                }
            }
            Err(error) if !std::mem::replace(&mut self.has_failed, true) => tracing::warn!(
                "can't look for another recon on the watched interfaces: {error}: if there is one, each alert is written twice; look for it with: {LOOK}"
            ),
            Err(error) => tracing::debug!("can't look for another recon: {error}"),
        }
    }
}

/// Who claims to watch an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watcher {
    Agent,
    /// One whom the kernel does not name.
    Somebody,
}

fn watcher(claims: &Claims, interface: u32) -> Option<Watcher> {
    let users: Vec<_> = claims.users(Subject::interface(interface)).collect();
    let may_run = |user: &Option<u32>| user.and_then(may_run_agents) == Some(true);
    if users.iter().any(may_run) {
        return Some(Watcher::Agent);
    }
    users.contains(&None).then_some(Watcher::Somebody)
}

fn warn_of_somebody(interface: &str) {
    tracing::warn!(
        "{interface}: another recon watches it, or a user claims that: this kernel does not say whose the socket is (it has no unix_diag); look with: {LOOK}"
    );
}

/// The indexes of those of the interfaces that a recon watches; none if nobody can tell.
pub(crate) fn watched_by_agents(interfaces: &[Interface]) -> Vec<u32> {
    let indexes = interfaces.iter().map(|interface| interface.index);
    let question = Question {
        wanted: indexes.map(Subject::interface).collect(),
        own: None,
    };
    match ClaimList::default().ask(question) {
        Ok(claims) => {
            let is_watched = |interface: &&Interface| match watcher(&claims, interface.index) {
                Some(Watcher::Agent) => true,
                Some(Watcher::Somebody) => {
                    warn_of_somebody(&interface.name);
                    false
                }
                None => false,
            };
            let watched = interfaces.iter().filter(is_watched);
            watched.map(|interface| interface.index).collect()
        }
        Err(error) => {
            tracing::warn!(
                "can't look for a recon that runs: {error}: nothing here says which interfaces another recon watches; look for it with: {LOOK}"
            );
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_an_agents_only_if_its_user_may_run_one() {
        const STRANGER: Option<u32> = Some(65_534);
        const ROOT: Option<u32> = Some(0);
        for (users, expected) in [
            (&[][..], None),
            (&[STRANGER], None),
            (&[None], Some(Watcher::Somebody)),
            (&[STRANGER, None], Some(Watcher::Somebody)),
            (&[ROOT], Some(Watcher::Agent)),
            (&[None, ROOT], Some(Watcher::Agent)),
        ] {
            let claimed: Vec<_> = users
                .iter()
                .map(|&user| (Subject::interface(2), user))
                .collect();
            let claims = Claims::of(&claimed);
            assert_eq!(watcher(&claims, 2), expected, "{users:?}");
            assert_eq!(watcher(&claims, 3), None, "another interface");
        }
    }
}
