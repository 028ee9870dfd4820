//! Interfaces: which exist, and which of them to watch.
//!
//! In: the kernel's list over rtnetlink, and the operator's names. Out: the [`Interface`]s to
//! attach to, or an error.
//! The decision held here: by default a packet is watched at the lowest interface. A bridge, a bond
//! or a VLAN interface shows its members' packets again, and counting them twice would halve every
//! threshold.

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, LinkXdp,
};

use super::HookError;
use super::rtnetlink::{Asks, request};

/// A network interface, as far as attaching needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interface {
    /// Name, such as `eth0`.
    pub(crate) name: String,
    /// The kernel's index of it.
    pub(crate) index: u32,
    /// Whether it is administratively up.
    pub(crate) is_up: bool,
    /// Whether it is loopback.
    pub(crate) is_loopback: bool,
    /// Whether its frames start with an Ethernet header. The parser reads no other.
    pub(crate) is_ethernet: bool,
    /// Whether it is one end of a veth pair.
    pub(crate) is_veth: bool,
    /// Id of the XDP program that is attached to it.
    pub(crate) xdp_program: Option<u32>,
    /// Index of the bridge, bond or team that it belongs to.
    controller: Option<u32>,
    /// Index of the interface whose packets it shows again (VLAN, macvlan, ipvlan).
    lower: Option<u32>,
}

impl Interface {
    /// Whether it is a member of the bridge, bond or team with that index.
    pub(crate) fn is_member_of(&self, index: u32) -> bool {
        self.controller == Some(index)
    }

    /// A member of the bond with that index.
    #[cfg(test)]
    pub(crate) fn with_controller(self, index: u32) -> Self {
        let controller = Some(index);
        Self { controller, ..self }
    }
}

/// The interfaces of these names, or the default ones; see [`super::select_interfaces`].
pub(super) fn find_selected(names: &[String]) -> Result<Vec<Interface>, HookError> {
    choose_interfaces(list_interfaces().map_err(HookError::ListInterfaces)?, names)
}

fn choose_interfaces(all: Vec<Interface>, names: &[String]) -> Result<Vec<Interface>, HookError> {
    if names.is_empty() {
        return choose_default(all);
    }
    let mut chosen: Vec<Interface> = Vec::with_capacity(names.len());
    for name in names {
        let Some(interface) = all.iter().find(|interface| interface.name == *name) else {
            return Err(HookError::NoSuchInterface {
                name: name.clone(),
                known: join_names(&all),
            });
        };
        if !interface.is_ethernet {
            return Err(HookError::NotEthernet { name: name.clone() });
        }
        if !chosen.contains(interface) {
            chosen.push(interface.clone());
        }
    }
    Ok(chosen)
}

fn choose_default(all: Vec<Interface>) -> Result<Vec<Interface>, HookError> {
    let candidates: Vec<Interface> = all
        .iter()
        .filter(|interface| interface.is_up && !interface.is_loopback)
        .cloned()
        .collect();
    let is_candidate = |index: u32| candidates.iter().any(|interface| interface.index == index);
    let mut chosen = Vec::new();
    for interface in &candidates {
        let has_members = candidates
            .iter()
            .any(|member| member.is_member_of(interface.index));
        if !interface.is_ethernet {
            log::warn!(
                "{}: not watched: its frames have no Ethernet header, and recon reads no others",
                interface.name
            );
        } else if has_members || interface.lower.is_some_and(is_candidate) {
            log::info!(
                "{}: not watched: recon sees its packets on the interfaces below it",
                interface.name
            );
        } else {
            chosen.push(interface.clone());
        }
    }
    if chosen.is_empty() {
        return Err(HookError::NothingToWatch {
            known: join_names(&all),
        });
    }
    Ok(chosen)
}

fn join_names(all: &[Interface]) -> String {
    let names: Vec<&str> = all
        .iter()
        .map(|interface| interface.name.as_str())
        .collect();
    names.join(", ")
}

/// Asks the kernel for the interface with that index.
pub(super) fn find_interface(index: u32) -> io::Result<Interface> {
    let mut of = LinkMessage::default();
    of.header.index = index;
    let mut found = request_links(of, Asks::One)?;
    found.pop().ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Asks the kernel for all interfaces of this network namespace.
pub(super) fn list_interfaces() -> io::Result<Vec<Interface>> {
    request_links(LinkMessage::default(), Asks::All)
}

fn request_links(of: LinkMessage, asks: Asks) -> io::Result<Vec<Interface>> {
    let mut interfaces = Vec::new();
    request(RouteNetlinkMessage::GetLink(of), asks, |reply| {
        if let RouteNetlinkMessage::NewLink(link) = reply {
            interfaces.push(interface_from_link(link));
        }
    })?;
    Ok(interfaces)
}

pub(super) fn interface_from_link(link: LinkMessage) -> Interface {
    let mut interface = Interface {
        index: link.header.index,
        is_up: link.header.flags.contains(LinkFlags::Up),
        is_loopback: link.header.flags.contains(LinkFlags::Loopback),
        // Loopback frames carry an Ethernet header too.
        is_ethernet: matches!(
            link.header.link_layer_type,
            LinkLayerType::Ether | LinkLayerType::Loopback
        ),
        ..Interface::default()
    };
    let mut parent = None;
    let mut shows_parent = false;
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name = name,
            LinkAttribute::Controller(index) => interface.controller = Some(index),
            // A veth names its peer here, which is another interface and not a lower one.
            LinkAttribute::Link(index) => parent = Some(index),
            LinkAttribute::LinkInfo(infos) => {
                shows_parent = infos.iter().any(is_stacked);
                interface.is_veth = infos.contains(&LinkInfo::Kind(InfoKind::Veth));
            }
            LinkAttribute::Xdp(state) => {
                interface.xdp_program = state.iter().find_map(xdp_program_id)
            }
            _ => {}
        }
    }
    interface.lower = parent.filter(|_| shows_parent);
    interface
}

fn is_stacked(info: &LinkInfo) -> bool {
    matches!(
        info,
        LinkInfo::Kind(
            InfoKind::Vlan
                | InfoKind::MacVlan
                | InfoKind::MacVtap
                | InfoKind::IpVlan
                | InfoKind::IpVtap
        )
    )
}

fn xdp_program_id(state: &LinkXdp) -> Option<u32> {
    match state {
        LinkXdp::ProgId(id)
        | LinkXdp::DrvProgId(id)
        | LinkXdp::SkbProgId(id)
        | LinkXdp::HwProgId(id) => Some(*id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(index: u32, name: &str) -> Interface {
        Interface {
            name: name.to_owned(),
            index,
            is_up: true,
            is_ethernet: true,
            ..Interface::default()
        }
    }

    fn names(chosen: Result<Vec<Interface>, HookError>) -> String {
        match chosen {
            Ok(chosen) => join_names(&chosen),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn the_default_watches_each_packet_once() {
        let all = vec![
            Interface {
                is_loopback: true,
                ..interface(1, "lo")
            },
            Interface {
                controller: Some(4),
                ..interface(2, "eth0")
            },
            Interface {
                is_up: false,
                ..interface(3, "eth1")
            },
            interface(4, "br0"),
            Interface {
                lower: Some(2),
                ..interface(5, "eth0.7")
            },
            Interface {
                lower: Some(3),
                ..interface(6, "eth1.7")
            },
            Interface {
                is_ethernet: false,
                ..interface(7, "wg0")
            },
        ];
        assert_eq!(names(choose_interfaces(all, &[])), "eth0, eth1.7");
    }

    #[test]
    fn unknown_and_unreadable_interfaces_are_refused() {
        let all = || {
            vec![
                interface(2, "eth0"),
                Interface {
                    is_ethernet: false,
                    ..interface(7, "wg0")
                },
            ]
        };
        for (asked, expected) in [
            (&["eth0", "eth0"][..], "eth0"),
            (
                &["eth9"],
                "error: no interface is named `eth9`; there are: eth0, wg0",
            ),
            (
                &["wg0"],
                "error: wg0 has no Ethernet header (a tunnel or point-to-point link), and recon reads no other frames; watch the interface below it",
            ),
        ] {
            let asked: Vec<String> = asked.iter().map(|&name| name.to_owned()).collect();
            assert_eq!(names(choose_interfaces(all(), &asked)), expected);
        }
    }

    #[test]
    fn the_kernel_lists_loopback() {
        let all = list_interfaces().expect("rtnetlink answers everybody");
        assert!(
            all.iter()
                .any(|interface| interface.is_loopback && interface.is_ethernet),
            "{all:?}"
        );
    }
}
