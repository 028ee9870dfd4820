//! Interfaces: which exist.
//!
//! In: the kernel's list over rtnetlink. Out: the [`Interface`]s.
//! The decision held here: an interface whose packets start with neither Ethernet nor IP (Wi-Fi in
//! monitor mode, CAN, InfiniBand) is listed, and never watched.

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, LinkXdp, Prop,
};

use super::rtnetlink::{Asks, request};

/// What the packets of an interface start with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LinkHeader {
    /// Ethernet's header.
    Ethernet,
    /// IP's: there is no link layer. Tunnels, point-to-point links.
    Missing,
    /// Something that the parser does not read.
    #[default]
    Unreadable,
}

impl LinkHeader {
    fn of(layer: LinkLayerType) -> Self {
        match layer {
            // Loopback frames carry an Ethernet header too.
            LinkLayerType::Ether | LinkLayerType::Loopback => Self::Ethernet,
            // The first is that of tun and WireGuard.
            LinkLayerType::None
            | LinkLayerType::Ppp
            | LinkLayerType::Rawip
            | LinkLayerType::Tunnel
            | LinkLayerType::Tunnel6
            | LinkLayerType::Sit
            | LinkLayerType::Ipgre
            | LinkLayerType::Ip6gre => Self::Missing,
            _ => Self::Unreadable,
        }
    }
}

/// A network interface, as far as choosing and attaching need it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interface {
    /// Name, such as `eth0`.
    pub(crate) name: String,
    /// Its other names (`ip link property add dev eth0 altname uplink`).
    pub(crate) altnames: Vec<String>,
    /// The kernel's index of it.
    pub(crate) index: u32,
    /// Whether it is administratively up.
    pub(crate) is_up: bool,
    /// Whether it is loopback.
    pub(crate) is_loopback: bool,
    /// What its packets start with.
    pub(crate) header: LinkHeader,
    /// Whether it is one end of a veth pair.
    pub(crate) is_veth: bool,
    /// Whether such interfaces come and go with guests and peers: a veth, a tap, a tunnel.
    pub(crate) is_transient: bool,
    /// Whether it is a bridge.
    pub(crate) is_bridge: bool,
    /// Id of the XDP program that is attached to it.
    pub(crate) xdp_program: Option<u32>,
    /// Index of the bridge, bond or team that it belongs to.
    pub(crate) controller: Option<u32>,
    /// Index of the interface whose packets it shows again (VLAN, macvlan, ipvlan).
    pub(crate) lower: Option<u32>,
}

impl Interface {
    /// Whether it has that name, or that other name.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.names().any(|of| of == name)
    }

    /// Its name, and its other names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let altnames = self.altnames.iter().map(String::as_str);
        std::iter::once(self.name.as_str()).chain(altnames)
    }

    /// Whether recon could watch it.
    pub(crate) fn is_readable(&self) -> bool {
        self.header != LinkHeader::Unreadable
    }
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

/// The packets that each interface has received and sent, as its driver counts them, by index.
pub(super) fn list_packets() -> io::Result<Vec<(u32, [u64; 2])>> {
    let mut packets = Vec::new();
    let all = RouteNetlinkMessage::GetLink(LinkMessage::default());
    request(all, Asks::All, |reply| {
        let RouteNetlinkMessage::NewLink(link) = reply else {
            return;
        };
        let counts = link
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::Stats64(of) => Some([of.rx_packets, of.tx_packets]),
                _ => None,
            });
        packets.extend(counts.map(|counts| (link.header.index, counts)));
    })?;
    Ok(packets)
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
        header: LinkHeader::of(link.header.link_layer_type),
        ..Interface::default()
    };
    interface.is_transient = interface.header == LinkHeader::Missing;
    let mut parent = None;
    let mut shows_parent = false;
    let mut is_parent_elsewhere = false;
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name = name,
            LinkAttribute::PropList(properties) => {
                let altnames = properties
                    .into_iter()
                    .filter_map(|property| match property {
                        Prop::AltIfName(name) => Some(name),
                        _ => None,
                    });
                interface.altnames = altnames.collect();
            }
            LinkAttribute::Controller(index) => interface.controller = Some(index),
            // A veth names its peer here, which is another interface and not a lower one.
            LinkAttribute::Link(index) => parent = Some(index),
            // The index is one of another network namespace.
            LinkAttribute::LinkNetNsId(_) => is_parent_elsewhere = true,
            LinkAttribute::LinkInfo(infos) => {
                shows_parent = infos.iter().any(is_stacked);
                interface.is_veth = infos.contains(&LinkInfo::Kind(InfoKind::Veth));
                interface.is_bridge = infos.contains(&LinkInfo::Kind(InfoKind::Bridge));
                interface.is_transient |= infos.iter().any(is_of_guest);
            }
            LinkAttribute::Xdp(state) => {
                interface.xdp_program = state.iter().find_map(xdp_program_id)
            }
            _ => {}
        }
    }
    interface.lower = parent.filter(|_| shows_parent && !is_parent_elsewhere);
    interface
}

fn is_of_guest(info: &LinkInfo) -> bool {
    matches!(
        info,
        LinkInfo::Kind(
            InfoKind::Veth
                | InfoKind::Tun
                | InfoKind::MacVtap
                | InfoKind::IpVtap
                | InfoKind::Netkit
        )
    )
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

    #[test]
    fn the_kernel_lists_loopback() {
        let all = list_interfaces().expect("rtnetlink answers everybody");
        assert!(
            all.iter().any(|interface| interface.is_loopback
                && interface.header == LinkHeader::Ethernet
                && !interface.is_transient),
            "{all:?}"
        );
    }

    #[test]
    fn a_link_layer_is_read_or_not() {
        use LinkHeader::{Ethernet, Missing, Unreadable};
        for (layer, expected) in [
            (LinkLayerType::Ether, Ethernet),
            (LinkLayerType::Loopback, Ethernet),
            (LinkLayerType::None, Missing),
            (LinkLayerType::Ppp, Missing),
            (LinkLayerType::Tunnel, Missing),
            (LinkLayerType::Sit, Missing),
            (LinkLayerType::Ipgre, Missing),
            (LinkLayerType::Can, Unreadable),
            (LinkLayerType::Infiniband, Unreadable),
            (LinkLayerType::Ieee80211Radiotap, Unreadable),
            (LinkLayerType::Netlink, Unreadable),
        ] {
            assert_eq!(LinkHeader::of(layer), expected, "{layer:?}");
        }
    }
}
