//! Filters of clsact that earlier agents have left.
//!
//! In: interfaces. Out: the filters there that run a program of recon's that this process has not
//! loaded, and whether an agent has it: [`Leftovers`], to be taken over or removed.
//! The decisions held here:
//! - A filter outlives a killed agent. It is a leftover if no agent claims its program
//!   (`claim.rs`). Filters are looked for before claims are listed, and an agent claims before it
//!   attaches: so a filter that was seen and whose agent lives has its claim in the list. What is
//!   attached after the look is no leftover.
//! - A filter whose program is pinned in the folder that this agent has locked belongs to no other
//!   agent: nothing is asked then, and a service's restart depends on no list.
//! - A user's claim also counts if that user has loaded the program: strangers may load none.
//! - Where nobody can tell, a filter stays. It runs beside the new one and counts for nobody.

use std::collections::HashSet;

use aya::Ebpf;
use aya::programs::{ProgramError, TcAttachType};

use super::bpf::describe_program;
use super::claim::{Subject, may_run_agents};
use super::claim_list::{ClaimList, Claims, Question};
use super::clsact::{self, Filter, Removal};
use super::pin::Pins;
use super::{BARE_EGRESS, BARE_INGRESS, Interface, TC_EGRESS, TC_INGRESS};
use crate::diagnostic::error_chain;

const DIRECTIONS: [TcAttachType; 2] = [TcAttachType::Ingress, TcAttachType::Egress];

/// Programs of which this process knows whose they are, by their ids.
#[derive(Debug, Default)]
pub(super) struct KnownIds {
    /// Those that it has loaded itself.
    own: HashSet<u32>,
    /// Those that earlier agents have pinned in the folder that it has locked.
    pinned: HashSet<u32>,
}

impl KnownIds {
    /// Those of this process.
    ///
    /// # Errors
    /// The kernel does not say which programs this process has loaded.
    pub(super) fn of(ebpf: &Ebpf, pins: Option<&Pins>) -> Result<Self, ProgramError> {
        let mut own = HashSet::new();
        for name in [TC_INGRESS, TC_EGRESS, BARE_INGRESS, BARE_EGRESS] {
            match ebpf.program(name).map(|program| program.info()) {
                Some(Ok(info)) => drop(own.insert(info.id())),
                Some(Err(ProgramError::NotLoaded)) | None => {}
                Some(Err(error)) => return Err(error),
            }
        }
        let pinned = pins.map(Pins::pinned_ids).unwrap_or_default();
        Ok(Self { own, pinned })
    }
}

/// Who has a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Nobody,
    /// An agent that runs.
    Agent,
    /// Nobody can tell, and why.
    Unknown(String),
}

/// A filter that runs a program of an agent.
#[derive(Debug)]
pub(super) struct Leftover {
    pub(super) filter: Filter,
    pub(super) owner: Owner,
}

/// The filters that one look has found.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    found: Vec<Leftover>,
    /// Where the kernel did not list filters, and why.
    pub(super) unseen: Vec<String>,
}

impl Leftovers {
    /// Looks for them on these interfaces. `known` is called if there is a filter, and `list` asked
    /// once at most.
    pub(super) fn find(
        interfaces: &[Interface],
        known: impl FnOnce() -> Result<KnownIds, ProgramError>,
        list: &mut ClaimList,
    ) -> Self {
        let mut filters = Vec::new();
        let mut unseen = Vec::new();
        for interface in interfaces {
            for direction in DIRECTIONS {
                match clsact::list_own_names(interface, direction) {
                    Ok(found) => filters.extend(found),
                    Err(error) => unseen.push(format!("filters of {}: {error}", interface.name)),
                }
            }
        }
        if filters.is_empty() {
            return Self {
                found: Vec::new(),
                unseen,
            };
        }
        let found = match known() {
            Ok(known) => find_owners(filters, &known, list),
            Err(error) => {
                let why = format!("its own programs are unknown: {}", error_chain(&error));
                let unknown = |filter| Leftover {
                    filter,
                    owner: Owner::Unknown(why.clone()),
                };
                filters.into_iter().map(unknown).collect()
            }
        };
        Self { found, unseen }
    }

    /// Takes a filter out that nobody has: its program can be replaced.
    pub(super) fn take_over(
        &mut self,
        interface: &Interface,
        direction: TcAttachType,
    ) -> Option<Filter> {
        let is_it = |leftover: &Leftover| {
            leftover.filter.is_on(interface, direction) && leftover.owner == Owner::Nobody
        };
        let place = self.found.iter().position(is_it)?;
        Some(self.found.swap_remove(place).filter)
    }

    /// Removes those of that interface and direction that nobody has.
    pub(super) fn remove(&mut self, interface: &Interface, direction: TcAttachType) {
        let is_it = |leftover: &mut Leftover| leftover.filter.is_on(interface, direction);
        let taken: Vec<_> = self.found.extract_if(.., is_it).collect();
        taken.into_iter().for_each(remove);
    }

    /// Removes those of that interface that nobody has.
    pub(super) fn remove_on(&mut self, interface: &Interface) {
        for direction in DIRECTIONS {
            self.remove(interface, direction);
        }
    }

    /// Removes all that nobody has.
    pub(super) fn remove_all(self) {
        for unseen in self.unseen {
            tracing::warn!(
                "{unseen}: what an earlier recon has left there may stay, and counts for nobody; remove it with: recon detach"
            );
        }
        self.found.into_iter().for_each(remove);
    }

    /// All of them.
    pub(super) fn into_found(self) -> Vec<Leftover> {
        self.found
    }
}

fn remove(leftover: Leftover) {
    let Leftover { filter, owner } = leftover;
    let interface = &filter.interface;
    match owner {
        Owner::Agent => tracing::debug!("{interface}: {filter} is another agent's, and stays"),
        Owner::Unknown(why) => tracing::warn!(
            "{interface}: {filter} stays, since recon can't tell whether another one that runs has it: {why}; if none does, it costs time and counts for nobody: end recon, type: recon detach, and start it again"
        ),
        Owner::Nobody => match clsact::remove_filter(&filter) {
            Ok(Removal::Removed) => tracing::info!(
                "{interface}: removed a program of an earlier agent that did not end cleanly"
            ),
            Ok(Removal::Missing) => {}
            Err(error) => tracing::warn!(
                "{interface}: can't remove {filter} of an earlier agent: {}; it costs time and counts for nobody: remove it with: recon detach",
                error_chain(&error)
            ),
        },
    }
}

/// Asks who has the filters, unless that is known. It ignores those of this process.
fn find_owners(filters: Vec<Filter>, known: &KnownIds, list: &mut ClaimList) -> Vec<Leftover> {
    let others = filters
        .into_iter()
        .filter(|filter| !known.own.contains(&filter.program));
    let (pinned, others): (Vec<_>, Vec<_>) =
        others.partition(|filter| known.pinned.contains(&filter.program));
    let mut leftovers = Vec::from_iter(pinned.into_iter().map(|filter| Leftover {
        filter,
        owner: Owner::Nobody,
    }));
    if others.is_empty() {
        return leftovers;
    }
    let subjects = others.iter().map(Filter::subject);
    let question = Question {
        wanted: subjects
            .flat_map(|subject| [subject, subject.any_program()])
            .collect(),
        own: None,
    };
    let claims = list.ask(question);
    let creator = |id| {
        let described = describe_program(id);
        described.ok().map(|program| program.created_by())
    };
    leftovers.extend(others.into_iter().map(|filter| {
        let owner = match &claims {
            Ok(claims) => owner_of(
                filter.subject(),
                filter.program,
                claims,
                may_run_agents,
                creator,
            ),
            Err(error) => Owner::Unknown(error.to_string()),
        };
        Leftover { filter, owner }
    }));
    leftovers
}

/// Who has a filter that runs the program with that id, by what is claimed. `may_run` says whether
/// a user may run agents, and `creator` who has loaded a program, as far as either is known.
fn owner_of(
    subject: Subject,
    program: u32,
    claims: &Claims,
    may_run: impl Fn(u32) -> Option<bool>,
    creator: impl FnOnce(u32) -> Option<u32>,
) -> Owner {
    let users = claims.users(subject);
    let users: HashSet<_> = users.chain(claims.users(subject.any_program())).collect();
    let ranks = || users.iter().flatten().map(|&user| may_run(user));
    if ranks().any(|rank| rank == Some(true)) {
        return Owner::Agent;
    }
    if users.is_empty() {
        return Owner::Nobody;
    }
    if users.contains(&None) {
        return Owner::Unknown(
            "a socket claims it, and this kernel does not say whose it is (it has no unix_diag)"
                .to_owned(),
        );
    }
    match creator(program) {
        Some(creator) if users.contains(&Some(creator)) => Owner::Agent,
        None if ranks().any(|rank| rank.is_none()) => Owner::Unknown(
            "a user claims it who may be that of the service, which can't be looked up".to_owned(),
        ),
        _ => Owner::Nobody,
    }
}

#[cfg(test)]
#[path = "leftover/tests.rs"]
mod tests;
