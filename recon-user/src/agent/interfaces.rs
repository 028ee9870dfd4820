//! The watched interfaces while the agent runs: which are gone, and which are back.
//!
//! In: announcements of the kernel. Out: hooks on an interface that is back, a log line for each
//! change, and what recon is blind for.
//! The decisions held here: hooks end with their interface, so an interface that is created again
//! under the name of a watched one gets new hooks. One that is renamed keeps its hooks and is
//! followed. An agent without any interface goes on and waits, since this host's own sockets are
//! still watched and an interface may come back. A bond has its members run the program of native
//! XDP, so that packets carry their indexes: those are named after the bond that is watched.

use jiff::Timestamp;

use crate::blind::{Blind, BlindPart};
use crate::diagnostic::error_chain;
use crate::hook::{
    AttachedHooks, HookError, Hooks, Interface, LinkChange, LinkEvents, Pins, XdpChoice,
    list_interfaces,
};

/// A watched interface.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Watched {
    pub(super) name: String,
    /// The kernel's index of it. `None` while it is gone.
    pub(super) index: Option<u32>,
    is_up: bool,
    /// The indexes of its members, if it is a bond or a bridge.
    members: Vec<u32>,
    /// Why hooks did not attach when it came back.
    refusal: Option<String>,
}

/// The hooks, and the interfaces that they are on.
pub(super) struct WatchedInterfaces {
    pub(super) hooks: Hooks,
    events: LinkEvents,
    pub(super) choice: XdpChoice,
    pub(super) watched: Vec<Watched>,
    /// Whether the interfaces may have changed since they were last listed.
    may_have_changed: bool,
}

impl WatchedInterfaces {
    /// Attaches `hooks` to the interfaces. `events` are the announcements since before they were
    /// listed.
    pub(super) fn attach(
        mut hooks: Hooks,
        interfaces: &[Interface],
        choice: XdpChoice,
        events: LinkEvents,
    ) -> Result<(Self, Vec<AttachedHooks>), HookError> {
        let attached = hooks.attach_interfaces(interfaces, choice)?;
        let watched = interfaces.iter().map(|interface| Watched {
            name: interface.name.clone(),
            index: Some(interface.index),
            is_up: interface.is_up,
            members: Vec::new(),
            refusal: None,
        });
        let mut interfaces = Self {
            hooks,
            events,
            choice,
            watched: watched.collect(),
            may_have_changed: false,
        };
        match list_interfaces() {
            Ok(all) => list_members(&mut interfaces.watched, &all),
            // The first poll tries again.
            Err(_) => interfaces.may_have_changed = true,
        }
        Ok((interfaces, attached))
    }

    /// Waits for announcements.
    pub(super) async fn wait(&mut self) {
        self.events.wait().await;
    }

    /// The indexes of those that are there.
    pub(super) fn indexes(&self) -> impl Iterator<Item = u32> {
        self.watched.iter().filter_map(|watched| watched.index)
    }

    /// The same with their names, after the members of bonds: one that is watched itself has its
    /// own name.
    pub(super) fn named(&self) -> impl Iterator<Item = (u32, &str)> {
        named(&self.watched)
    }

    /// Detaches all hooks. If they are pinned they stay, and no other agent takes them over before
    /// the returned pins are dropped.
    pub(super) fn detach(self) -> Option<Pins> {
        match self.hooks.is_pinned() {
            true => self.hooks.leave(),
            false => {
                self.hooks.detach();
                None
            }
        }
    }

    /// Follows the announcements since the last call, and tries again what was refused.
    pub(super) fn follow_changes(&mut self, blind: &mut Blind, now: Timestamp) {
        let watched = &self.watched;
        self.may_have_changed |= self.events.drain(|change| concerns(watched, &change));
        self.may_have_changed |= watched.iter().any(|watched| watched.refusal.is_some());
        if !self.may_have_changed {
            return;
        }
        match list_interfaces() {
            Ok(all) => {
                self.may_have_changed = false;
                self.compare(&all, blind, now);
            }
            Err(error) => log::warn!("{}; trying again", error_chain(&error)),
        }
    }

    fn compare(&mut self, all: &[Interface], blind: &mut Blind, now: Timestamp) {
        let Self {
            hooks,
            choice,
            watched,
            ..
        } = self;
        let mut has_lost = false;
        for watched in &mut *watched {
            if let Some(index) = watched.index {
                match all.iter().find(|interface| interface.index == index) {
                    Some(interface) => watched.follow(interface),
                    None => {
                        hooks.release_interface(index);
                        watched.index = None;
                        has_lost = true;
                        let part = BlindPart::Interface(watched.name.clone());
                        // Also if it is back by the end of the poll.
                        blind.lose(part.clone(), 1);
                        blind.lose_for_good(part, now);
                        blind.regain_hooks(&watched.name);
                        log::warn!(
                            "{}: is gone, and recon's hooks with it: its packets are not seen until an interface of that name is back",
                            watched.name
                        );
                    }
                }
            }
            if watched.index.is_none()
                && let Some(interface) = all.iter().find(|it| it.name == watched.name)
            {
                watched.attach(hooks, interface, *choice);
                if watched.index.is_some() {
                    blind.regain(&BlindPart::Interface(watched.name.clone()));
                }
            }
        }
        list_members(watched, all);
        if has_lost && watched.iter().all(|watched| watched.index.is_none()) {
            log::warn!(
                "no watched interface is left: recon sees no packets, and goes on until one is back; SIGTERM ends it"
            );
        }
    }
}

impl Watched {
    /// Logs what has changed of an interface that still has its hooks.
    fn follow(&mut self, interface: &Interface) {
        if self.name != interface.name {
            log::info!("{}: is now named {}", self.name, interface.name);
            self.name.clone_from(&interface.name);
        }
        if self.is_up != interface.is_up {
            self.is_up = interface.is_up;
            match self.is_up {
                true => log::info!("{}: is up", self.name),
                false => log::warn!(
                    "{}: is down; recon counts its packets once it is up",
                    self.name
                ),
            }
        }
    }

    /// Attaches hooks to the interface that has come back.
    fn attach(&mut self, hooks: &mut Hooks, interface: &Interface, choice: XdpChoice) {
        let attached = match interface.is_ethernet {
            true => hooks.attach_interfaces(std::slice::from_ref(interface), choice),
            false => Err(HookError::NotEthernet {
                name: interface.name.clone(),
            }),
        };
        match attached {
            Ok(attached) => {
                attached
                    .iter()
                    .for_each(|attached| log::info!("is back: {attached}"));
                self.index = Some(interface.index);
                self.is_up = interface.is_up;
                self.refusal = None;
            }
            Err(error) => {
                hooks.release_interface(interface.index);
                let refusal = error_chain(&error);
                if self.refusal.as_ref() != Some(&refusal) {
                    log::error!("{}: is back, but {refusal}; trying again", self.name);
                    self.refusal = Some(refusal);
                }
            }
        }
    }
}

fn named(watched: &[Watched]) -> impl Iterator<Item = (u32, &str)> {
    let members = watched.iter().flat_map(|watched| {
        let members = watched.members.iter();
        members.map(|&member| (member, &*watched.name))
    });
    let themselves = watched.iter();
    members.chain(themselves.filter_map(|watched| Some((watched.index?, &*watched.name))))
}

/// Lists the members of the watched interfaces that have some.
fn list_members(watched: &mut [Watched], all: &[Interface]) {
    for watched in watched {
        let members = all.iter().filter(|interface| {
            let index = watched.index;
            index.is_some_and(|index| interface.is_member_of(index))
        });
        watched.members = members.map(|member| member.index).collect();
    }
}

/// Whether a change may need hooks, a log line, or a name.
fn concerns(watched: &[Watched], change: &LinkChange<'_>) -> bool {
    watched.iter().any(|watched| match (change, watched.index) {
        (LinkChange::Unknown, _) => true,
        (LinkChange::Gone(gone), index) => index == Some(*gone),
        (LinkChange::Present(interface), Some(index)) if interface.index == index => {
            watched.name != interface.name || watched.is_up != interface.is_up
        }
        (LinkChange::Present(interface), Some(index)) => {
            interface.is_member_of(index) != watched.members.contains(&interface.index)
        }
        (LinkChange::Present(interface), None) => watched.name == interface.name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_other_interfaces_cost_nothing() {
        let watched = |index| Watched {
            name: "eth0".to_owned(),
            index,
            is_up: true,
            members: vec![8],
            refusal: None,
        };
        let interface = |index, name: &str, is_up| {
            let mut interface = Interface::default();
            (interface.name, interface.index) = (name.to_owned(), index);
            interface.is_up = is_up;
            interface
        };
        let (same, down) = (interface(2, "eth0", true), interface(2, "eth0", false));
        let (renamed, other) = (interface(2, "lan0", true), interface(7, "veth7", true));
        let again = interface(9, "eth0", true);
        let [joined, member, left] = [(7, 2), (8, 2), (8, 3)]
            .map(|(index, of)| interface(index, "veth", true).with_controller(of));
        for (what, change, present, gone) in [
            ("unchanged", LinkChange::Present(&same), false, true),
            ("down", LinkChange::Present(&down), true, true),
            ("renamed", LinkChange::Present(&renamed), true, false),
            ("another", LinkChange::Present(&other), false, false),
            ("joined", LinkChange::Present(&joined), true, false),
            ("a member", LinkChange::Present(&member), false, false),
            ("left", LinkChange::Present(&left), true, false),
            ("created again", LinkChange::Present(&again), false, true),
            ("deleted", LinkChange::Gone(2), true, false),
            ("another deleted", LinkChange::Gone(7), false, false),
            ("lost", LinkChange::Unknown, true, true),
        ] {
            assert_eq!(concerns(&[watched(Some(2))], &change), present, "{what}");
            assert_eq!(concerns(&[watched(None)], &change), gone, "{what}, gone");
        }
    }

    #[test]
    fn the_members_of_a_bond_have_its_name() {
        let watched = |name: &str, index| Watched {
            name: name.to_owned(),
            index,
            is_up: true,
            members: Vec::new(),
            refusal: None,
        };
        let member = |index, of| {
            let mut interface = Interface::default();
            interface.index = index;
            interface.with_controller(of)
        };
        let all = [member(2, 9), member(3, 9), member(4, 8), member(5, 0)];
        // The interfaces, and the names of indexes: the last one counts.
        for (interfaces, expected) in [
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
            let mut interfaces = interfaces;
            list_members(&mut interfaces, &all);
            let names: Vec<_> = named(&interfaces).collect();
            assert_eq!(names, expected);
        }
    }
}
