//! A watched interface, and what it is named.
//!
//! In: the interface as the kernel announces it. Out: log lines on what has changed; the names of
//! the indexes that packets carry.

use std::collections::HashMap;

use super::change_log::ChangeLog;
use crate::hook::{AttachedHooks, Chosen, Interface};

/// A watched interface.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Watched {
    pub(super) name: String,
    /// The name that it had when it was last chosen.
    pub(super) chosen_as: String,
    /// The kernel's index of it. `None` while it is gone.
    pub(super) index: Option<u32>,
    /// Whether the operator has named it.
    pub(super) is_named: bool,
    /// Whether it is a guest's or a tunnel's.
    pub(super) is_transient: bool,
    /// Whether it is a bridge, which nothing passes once it is deleted, as the networks of
    /// containers are.
    pub(super) is_bridge: bool,
    pub(super) is_up: bool,
    /// The indexes of its members, if it is a bond or a bridge.
    pub(super) members: Vec<u32>,
}

impl Watched {
    /// Logs what has changed of an interface that still has its hooks. Returns its name before and
    /// now if that has changed.
    pub(super) fn follow(
        &mut self,
        interface: &Interface,
        changes: &mut ChangeLog,
    ) -> Option<[String; 2]> {
        let mut renamed = None;
        if self.name != interface.name {
            tracing::info!("{}: is now named {}", self.name, interface.name);
            let before = std::mem::replace(&mut self.name, interface.name.clone());
            renamed = Some([before, interface.name.clone()]);
        }
        if self.is_up != interface.is_up {
            self.is_up = interface.is_up;
            match self.is_up {
                // A tap goes down before each end.
                _ if self.is_transient && !self.is_named => changes.log(format_args!(
                    "{}: is {}",
                    self.name,
                    if self.is_up { "up" } else { "down" }
                )),
                true => tracing::info!("{}: is up", self.name),
                false => tracing::warn!(
                    "{}: is down; recon counts its packets once it is up",
                    self.name
                ),
            }
        }
        renamed
    }
}

/// Why an interface that was watched is no longer chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unwanted {
    ShownBelow,
    Unreadable,
    LeftOut,
}

impl Unwanted {
    pub(super) fn of(index: u32, chosen: &Chosen<'_>) -> Self {
        let has = |of: &[&Interface]| of.iter().any(|interface| interface.index == index);
        match () {
            () if has(&chosen.shown_below) => Self::ShownBelow,
            () if has(&chosen.unreadable) => Self::Unreadable,
            () => Self::LeftOut,
        }
    }

    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::ShownBelow => "another interface shows its packets",
            Self::Unreadable => "recon does not read its packets any more",
            Self::LeftOut => "-i leaves out the name that it has now",
        }
    }
}

/// The names of what is watched at the start.
pub(super) fn join_names(taken: &[AttachedHooks]) -> String {
    let names: Vec<&str> = taken.iter().map(|taken| taken.interface.as_str()).collect();
    match names.is_empty() {
        true => "no interface yet".to_owned(),
        false => names.join(", "),
    }
}

/// The indexes and names, after those of the members of bonds.
pub(super) fn named(watched: &[Watched]) -> impl Iterator<Item = (u32, &str)> {
    let members = watched.iter().flat_map(|watched| {
        let members = watched.members.iter();
        members.map(|&member| (member, &*watched.name))
    });
    let themselves = watched.iter();
    members.chain(themselves.filter_map(|watched| Some((watched.index?, &*watched.name))))
}

/// Lists the members of the watched interfaces that have some.
pub(super) fn list_members<'a>(watched: &mut [Watched], all: impl Iterator<Item = &'a Interface>) {
    let mut members: HashMap<u32, Vec<u32>> = HashMap::new();
    for interface in all {
        if let Some(controller) = interface.controller {
            members.entry(controller).or_default().push(interface.index);
        }
    }
    for watched in watched {
        let of = watched.index.and_then(|index| members.remove(&index));
        watched.members = of.unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_members_of_a_bond_have_its_name() {
        let watched = |name: &str, index| Watched {
            name: name.to_owned(),
            chosen_as: name.to_owned(),
            index,
            is_named: false,
            is_transient: false,
            is_bridge: false,
            is_up: true,
            members: Vec::new(),
        };
        let member = |index, of| Interface {
            index,
            controller: Some(of),
            ..Interface::default()
        };
        let all = [member(2, 9), member(3, 9), member(4, 8), member(5, 0)];
        // The interfaces, and the names of indexes: the last one counts.
        for (mut interfaces, expected) in [
            (
                vec![watched("bond0", Some(9))],
                &[(2, "bond0"), (3, "bond0"), (9, "bond0")][..],
            ),
            (
                vec![watched("eth1", Some(3)), watched("bond0", Some(9))],
                &[(2, "bond0"), (3, "bond0"), (3, "eth1"), (9, "bond0")],
            ),
            (vec![watched("bond0", None)], &[]),
        ] {
            list_members(&mut interfaces, all.iter());
            let names: Vec<_> = named(&interfaces).collect();
            assert_eq!(names, expected);
        }
    }
}
