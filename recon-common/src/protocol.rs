//! Numbers that protocols and the kernel assign, in one place for the parser, the kernel programs,
//! the agent and the tests.
//!
//! In: nothing. Out: constants, and the [`Transport`] protocols.
//! The decision held here: a number that a standard assigns is written once, under the standard's
//! name; a unit test compares them with another implementation's.

/// Ethernet without tags: two addresses and a type.
pub const ETHERNET_HEADER: usize = 14;
/// The most bytes after the header in a frame of the usual size.
pub const ETHERNET_PAYLOAD: usize = 1500;
/// A VLAN tag (802.1Q): its contents and the next type.
pub const VLAN_TAG: usize = 4;
/// IPv4 without options.
pub const IPV4_HEADER: usize = 20;
/// The first byte of such a header: version 4 and five words.
pub const IPV4_PLAIN: u8 = 0x45;
/// The fixed header of IPv6.
pub const IPV6_HEADER: usize = 40;
/// TCP without options.
pub const TCP_HEADER: usize = 20;
/// UDP.
pub const UDP_HEADER: usize = 8;
/// ICMP and ICMPv6 up to the body.
pub const ICMP_HEADER: usize = 8;
/// A DNS message up to its questions (RFC 1035, 4.1.1).
pub const DNS_HEADER: usize = 12;

/// EtherTypes (IEEE 802 numbers).
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// An 802.1Q tag follows.
    pub const VLAN: u16 = 0x8100;
    /// An 802.1ad tag follows, the provider's outer tag.
    pub const VLAN_OUTER: u16 = 0x88a8;
}

/// Protocols above IP, and IPv6 extension headers (IANA numbers).
pub mod ip_protocol {
    /// Hop-by-hop options of IPv6.
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// Routing header of IPv6.
    pub const ROUTING: u8 = 43;
    /// Fragment header of IPv6.
    pub const FRAGMENT: u8 = 44;
    /// Authentication header.
    pub const AUTHENTICATION: u8 = 51;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// Destination options of IPv6.
    pub const DESTINATION: u8 = 60;
    /// SCTP.
    pub const SCTP: u8 = 132;
    /// UDP-Lite, whose ports are where UDP's are.
    pub const UDP_LITE: u8 = 136;
}

/// A protocol above IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP, or ICMPv6 above IPv6.
    Icmp,
    /// SCTP.
    Sctp,
}

/// Flags in byte 13 of a TCP header (RFC 9293, 3.1).
pub mod tcp_flag {
    /// The sender has sent all its data.
    pub const FIN: u8 = 0x01;
    /// Starts a connection.
    pub const SYN: u8 = 0x02;
    /// Aborts or refuses a connection.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement number is valid.
    pub const ACK: u8 = 0x10;
    /// The urgent pointer is valid.
    pub const URG: u8 = 0x20;
    /// ECN echo (RFC 3168).
    pub const ECE: u8 = 0x40;
    /// Congestion window reduced (RFC 3168).
    pub const CWR: u8 = 0x80;
}

/// Types and codes of ICMP (RFC 792, RFC 1812).
pub mod icmp {
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 3;
    /// Code of [`UNREACHABLE`]: the host does not know the protocol.
    pub const PROTOCOL_UNREACHABLE: u8 = 2;
    /// Code of [`UNREACHABLE`]: nobody has that port.
    pub const PORT_UNREACHABLE: u8 = 3;
    /// Code of [`UNREACHABLE`]: the network is administratively prohibited.
    pub const NETWORK_PROHIBITED: u8 = 9;
    /// Code of [`UNREACHABLE`]: the host is administratively prohibited.
    pub const HOST_PROHIBITED: u8 = 10;
    /// Code of [`UNREACHABLE`]: communication is administratively prohibited.
    pub const COMMUNICATION_PROHIBITED: u8 = 13;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 0;
    /// Asks for a router (RFC 1256).
    pub const ROUTER_SOLICITATION: u8 = 10;
    /// Asks for the time.
    pub const TIMESTAMP: u8 = 13;
    /// Asks for the network's number.
    pub const INFORMATION: u8 = 15;
    /// Asks for the network's mask (RFC 950).
    pub const ADDRESS_MASK: u8 = 17;
    /// Those that quote the packet they are about: unreachable, source quench, redirect, time
    /// exceeded, parameter problem.
    pub const ERRORS: [u8; 5] = [UNREACHABLE, 4, 5, 11, 12];
}

/// Types and codes of ICMPv6 (RFC 4443).
pub mod icmpv6 {
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 1;
    /// Code of [`UNREACHABLE`]: communication is administratively prohibited.
    pub const PROHIBITED: u8 = 1;
    /// Code of [`UNREACHABLE`]: nobody has that port.
    pub const PORT_UNREACHABLE: u8 = 4;
    /// Those that quote the packet they are about, up to [`PARAMETER_PROBLEM`].
    pub const ERRORS: core::ops::RangeInclusive<u8> = UNREACHABLE..=PARAMETER_PROBLEM;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 129;
    /// A header has a wrong field.
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Code of [`PARAMETER_PROBLEM`]: the host does not know the next header.
    pub const UNKNOWN_HEADER: u8 = 1;
    /// The first and the last message of neighbour discovery (RFC 4861).
    pub const ROUTER_SOLICITATION: u8 = 133;
    /// Redirect.
    pub const REDIRECT: u8 = 137;
    /// Asks who has an address.
    pub const NEIGHBOUR_SOLICITATION: u8 = 135;
    /// Asks for a host's names or addresses (RFC 4620).
    pub const NODE_INFORMATION: u8 = 139;
}

/// Chunks of SCTP (RFC 9260, 3.2).
pub mod sctp {
    /// The header before the first chunk.
    pub const HEADER: usize = 12;
    /// Type, flags and length of a chunk.
    pub const CHUNK_HEADER: usize = 4;
    /// Starts an association.
    pub const INIT: u8 = 1;
    /// Completes one.
    pub const COOKIE_ECHO: u8 = 10;
}

/// Numbers of ARP (RFC 826).
pub mod arp {
    /// A message about IPv4 addresses over Ethernet.
    pub const MESSAGE: usize = 28;
    /// The start of such a message, up to the operation: hardware, protocol, their lengths.
    pub const IPV4_OVER_ETHERNET: (u32, u16) = (0x0001_0800, 0x0604);
    /// Asks who has an address.
    pub const REQUEST: u16 = 1;
    /// The sender of a probe: a host without an address asks whether one is free (RFC 5227, 2.1.1).
    pub const NOBODY: u32 = 0;
}

/// Ports of services (IANA).
pub mod port {
    /// DNS.
    pub const DNS: u16 = 53;
    /// HTTP.
    pub const HTTP: u16 = 80;
}

/// What the datagrams of traceroutes have in common.
pub mod traceroute {
    /// The lowest port that a tool sends to: mtr's (`MIN_PORT`). traceroute(8) starts at 33434,
    /// tracepath(8) at 44444.
    pub const FIRST_PORT: u16 = 33_000;
    /// The most hops that a datagram has left when it leaves: traceroute(8) traces 30 (`-m`).
    pub const MOST_HOPS: u8 = 30;
    /// The most hops that a datagram has left when it arrives: traceroute(8) has 16 datagrams
    /// under way (`-N`), so the last one goes at most 16 hops further than the target. Other
    /// datagrams start with 64 or more, and few paths have more than 30 hops.
    pub const MOST_HOPS_LEFT: u8 = 16;
}

/// Numbers of the Linux UAPI that no header exports to BPF or to Rust in the type that is needed.
pub mod linux {
    /// `AF_INET` of linux/socket.h.
    pub const AF_INET: u8 = 2;
    /// `AF_INET6` of linux/socket.h.
    pub const AF_INET6: u8 = 10;
    /// `AF_PACKET` of linux/socket.h.
    pub const AF_PACKET: u8 = 17;
    /// `SOCK_RAW` of linux/net.h.
    pub const SOCK_RAW: u8 = 3;
    /// `TCP_SYN_RECV` of net/tcp_states.h.
    pub const TCP_SYN_RECV: u8 = 3;
    /// `TCP_LISTEN` of net/tcp_states.h.
    pub const TCP_LISTEN: u8 = 10;
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{
        EtherType, Ethernet2Header, IpNumber, Ipv4Header, Ipv6Header, SingleVlanHeader, TcpHeader,
        UdpHeader, icmpv4, icmpv6 as v6,
    };

    #[test]
    fn numbers_are_those_of_another_implementation() {
        for (ours, theirs) in [
            (ETHERNET_HEADER, Ethernet2Header::LEN),
            (VLAN_TAG, SingleVlanHeader::LEN),
            (IPV4_HEADER, Ipv4Header::MIN_LEN),
            (IPV6_HEADER, Ipv6Header::LEN),
            (TCP_HEADER, TcpHeader::MIN_LEN),
            (UDP_HEADER, UdpHeader::LEN),
        ] {
            assert_eq!(ours, theirs);
        }
        for (ours, theirs) in [
            (ethertype::IPV4, EtherType::IPV4),
            (ethertype::IPV6, EtherType::IPV6),
            (ethertype::VLAN, EtherType::VLAN_TAGGED_FRAME),
            (ethertype::VLAN_OUTER, EtherType::PROVIDER_BRIDGING),
        ] {
            assert_eq!(ours, theirs.0);
        }
        for (ours, theirs) in [
            (ip_protocol::HOP_BY_HOP, IpNumber::IPV6_HEADER_HOP_BY_HOP),
            (ip_protocol::ICMP, IpNumber::ICMP),
            (ip_protocol::TCP, IpNumber::TCP),
            (ip_protocol::UDP, IpNumber::UDP),
            (ip_protocol::ROUTING, IpNumber::IPV6_ROUTE_HEADER),
            (ip_protocol::FRAGMENT, IpNumber::IPV6_FRAGMENTATION_HEADER),
            (ip_protocol::AUTHENTICATION, IpNumber::AUTHENTICATION_HEADER),
            (ip_protocol::ICMPV6, IpNumber::IPV6_ICMP),
            (ip_protocol::DESTINATION, IpNumber::IPV6_DESTINATION_OPTIONS),
        ] {
            assert_eq!(ours, theirs.0);
        }
        for (ours, theirs) in [
            (icmp::UNREACHABLE, icmpv4::TYPE_DEST_UNREACH),
            (icmp::PORT_UNREACHABLE, icmpv4::CODE_DST_UNREACH_PORT),
            (
                icmp::NETWORK_PROHIBITED,
                icmpv4::CODE_DST_UNREACH_NET_PROHIB,
            ),
            (icmp::HOST_PROHIBITED, icmpv4::CODE_DST_UNREACH_HOST_PROHIB),
            (
                icmp::COMMUNICATION_PROHIBITED,
                icmpv4::CODE_DST_UNREACH_FILTER_PROHIB,
            ),
            (icmp::ECHO_REQUEST, icmpv4::TYPE_ECHO_REQUEST),
            (icmp::ECHO_REPLY, icmpv4::TYPE_ECHO_REPLY),
            (icmpv6::UNREACHABLE, v6::TYPE_DST_UNREACH),
            (icmpv6::PROHIBITED, v6::CODE_DST_UNREACH_PROHIBITED),
            (icmpv6::PORT_UNREACHABLE, v6::CODE_DST_UNREACH_PORT),
            (icmpv6::ECHO_REQUEST, v6::TYPE_ECHO_REQUEST),
            (icmpv6::ECHO_REPLY, v6::TYPE_ECHO_REPLY),
        ] {
            assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn flags_are_the_bits_that_another_implementation_writes() {
        type Set = fn(&mut TcpHeader);
        let setters: [(u8, Set); 8] = [
            (tcp_flag::FIN, |header| header.fin = true),
            (tcp_flag::SYN, |header| header.syn = true),
            (tcp_flag::RST, |header| header.rst = true),
            (tcp_flag::PSH, |header| header.psh = true),
            (tcp_flag::ACK, |header| header.ack = true),
            (tcp_flag::URG, |header| header.urg = true),
            (tcp_flag::ECE, |header| header.ece = true),
            (tcp_flag::CWR, |header| header.cwr = true),
        ];
        for (flag, set) in setters {
            let mut header = TcpHeader::default();
            set(&mut header);
            assert_eq!(header.to_bytes()[13], flag);
        }
    }
}
