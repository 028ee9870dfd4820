//! Interfaces: which exist, and which of them to watch.
//!
//! In: the kernel's list over rtnetlink, and the operator's names. Out: the [`Interface`]s to
//! attach to, or an error.
//! The decision held here: by default a packet is watched at the lowest interface. A bridge, a bond
//! or a VLAN interface shows its members' packets again, and counting them twice would halve every
//! threshold.

use std::io;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, LinkXdp,
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::HookError;

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
            .any(|member| member.controller == Some(interface.index));
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

/// Asks the kernel for all interfaces of this network namespace.
pub(super) fn list_interfaces() -> io::Result<Vec<Interface>> {
    /// The kernel puts at most this much into a message of a dump (NLMSG_GOODSIZE caps it at 32
    /// KiB).
    const DUMP_BUFFER: usize = 32 * 1024;
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetLink(LinkMessage::default()));
    request.header.flags = NLM_F_DUMP | NLM_F_REQUEST;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;

    let mut interfaces = Vec::new();
    loop {
        let mut buffer = Vec::with_capacity(DUMP_BUFFER);
        socket.recv(&mut buffer, 0)?;
        let mut rest = buffer.as_slice();
        while !rest.is_empty() {
            let reply = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .map_err(io::Error::other)?;
            let following = next_message(rest, &reply);
            match reply.payload {
                NetlinkPayload::Done(_) => return Ok(interfaces),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                    interfaces.push(interface_from_link(link))
                }
                _ => {}
            }
            rest = following;
        }
    }
}

/// What follows a message in the same datagram.
pub(super) fn next_message<'a>(
    bytes: &'a [u8],
    message: &NetlinkMessage<RouteNetlinkMessage>,
) -> &'a [u8] {
    // Messages are padded to 4 bytes (NLMSG_ALIGNTO).
    let length = (message.header.length as usize).next_multiple_of(4);
    bytes.get(length..).unwrap_or_default()
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
                "error: no interface is named eth9; there are: eth0, wg0",
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
