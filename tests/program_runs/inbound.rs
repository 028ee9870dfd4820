//! Inbound frames: what a scanner sends, what a peer sends, and broken frames.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use etherparse::TcpHeader;
use recon_common::protocol::ethertype::{VLAN, VLAN_OUTER};
use recon_common::protocol::ip_protocol::{self, DESTINATION, FRAGMENT, HOP_BY_HOP, ROUTING};
use recon_common::protocol::tcp_flag::{ACK, CWR, ECE, FIN, PSH, RST, SYN, URG};
use recon_common::protocol::{ETHERNET_HEADER, IPV4_HEADER, IPV6_HEADER, port};
use recon_common::{Direction, Loss, Signal};
use recon_tests::frame::{Path, data, segment, syn};

use crate::Counted::{self, As, Lost, Nothing};
use crate::mangle::{first_fragment, padded, tagged, with_byte, with_extensions, with_options};
use crate::outbound::{dns_query, dns_reply};
use crate::{Row, outbound};

const PORT: u16 = 8080;
const MAPPED: Ipv6Addr = Ipv4Addr::new(203, 0, 113, 9).to_ipv6_mapped();

/// Offsets into an untagged frame.
const IP: usize = ETHERNET_HEADER;
const TCP_V4: usize = IP + IPV4_HEADER;
const TCP_FLAGS: usize = 13;

/// Extension headers without their first byte, the next header: 8 bytes of padding, and a fragment
/// header.
const PADDING: &[u8] = &[0, 1, 4, 0, 0, 0, 0];
const FIRST_FRAGMENT: &[u8] = &[0, 0, 1, 0, 0, 0, 9];
const LATER_FRAGMENT: &[u8] = &[0, 0, 8, 0, 0, 0, 9];
/// An authentication header of 24 bytes: its length field counts words beyond the first two.
const AUTHENTICATION: &[u8] = &[
    4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

pub(crate) fn rows() -> Result<Vec<Row>> {
    let mut rows = segments()?;
    rows.extend(other_protocols()?);
    rows.extend(envelopes()?);
    rows.extend(broken()?);
    Ok(rows)
}

fn row(name: &'static str, frame: Vec<u8>, counted: Counted) -> Row {
    Row {
        name,
        direction: Direction::In,
        frame,
        counted,
    }
}

fn v4() -> Path {
    Path::new(outbound::REMOTE_V4, outbound::LOCAL_V4)
}

fn v6() -> Path {
    Path::new(outbound::REMOTE_V6, outbound::LOCAL_V6)
}

/// A segment to [`PORT`] with these flag bits.
fn segment_with_flags(bits: u8) -> Result<Vec<u8>> {
    Ok(with_byte(
        &v4().tcp(segment([40_000, PORT]), &[])?,
        TCP_V4 + TCP_FLAGS,
        bits,
    ))
}

fn segments() -> Result<Vec<Row>> {
    let [answer, stray, odd] =
        [Signal::StraySynAck, Signal::StraySegment, Signal::OddProbe].map(|one| As(one, PORT));
    let table = [
        ("SYN", SYN, As(Signal::Syn, PORT)),
        ("ECN SYN", SYN | ECE | CWR, As(Signal::Syn, PORT)),
        ("SYN with PSH", SYN | PSH, As(Signal::Syn, PORT)),
        ("NULL", 0, As(Signal::NullProbe, PORT)),
        ("NULL with ECN bits", ECE | CWR, As(Signal::NullProbe, PORT)),
        ("FIN", FIN, As(Signal::FinProbe, PORT)),
        ("XMAS", FIN | PSH | URG, As(Signal::XmasProbe, PORT)),
        (
            "Maimon, no such connection",
            FIN | ACK,
            As(Signal::MaimonProbe, PORT),
        ),
        ("SYN and FIN", SYN | FIN, As(Signal::OddProbe, PORT)),
        ("SYN and RST", SYN | RST, As(Signal::OddProbe, PORT)),
        ("PSH alone", PSH, As(Signal::OddProbe, PORT)),
        ("URG alone", URG, As(Signal::OddProbe, PORT)),
        ("FIN and URG", FIN | URG, As(Signal::OddProbe, PORT)),
        ("ACK", ACK, Nothing),
        ("data", PSH | ACK, Nothing),
        ("the usual end with data", FIN | PSH | ACK, Nothing),
        ("SYN-ACK, an answer or backscatter", SYN | ACK, answer),
        ("RST, an answer or backscatter", RST, stray),
        ("RST-ACK", RST | ACK, stray),
        ("SYN, FIN and ACK", SYN | FIN | ACK, odd),
        ("SYN, RST and ACK", SYN | RST | ACK, odd),
        ("RST with FIN", RST | FIN, As(Signal::OddProbe, PORT)),
    ];
    table
        .into_iter()
        .map(|(name, bits, counted)| Ok(row(name, segment_with_flags(bits)?, counted)))
        .collect()
}

fn other_protocols() -> Result<Vec<Row>> {
    let query = dns_query();
    let stream = [&(query.len() as u16).to_be_bytes()[..], &query].concat();
    let with_timestamps = TcpHeader { ..data(port::HTTP) };
    let mut long_header = with_timestamps;
    long_header.set_options_raw(&[1; 12])?;
    let fin = TcpHeader {
        fin: true,
        psh: false,
        ..data(port::HTTP)
    };
    Ok(vec![
        row(
            "GET",
            v4().tcp(data(port::HTTP), b"GET / HTTP/1.1\r\n")?,
            As(Signal::HttpGet, port::HTTP),
        ),
        row(
            "GET behind TCP options",
            v4().tcp(long_header, b"GET / HTTP/1.1\r\n")?,
            As(Signal::HttpGet, port::HTTP),
        ),
        row(
            "GET over IPv6",
            v6().tcp(data(port::HTTP), b"GET / HTTP/1.1\r\n")?,
            As(Signal::HttpGet, port::HTTP),
        ),
        row(
            "GET with FIN",
            v4().tcp(fin, b"GET / HTTP/1.1\r\n")?,
            As(Signal::HttpGet, port::HTTP),
        ),
        row(
            "POST",
            v4().tcp(data(port::HTTP), b"POST / HTTP/1.1\r\n")?,
            Nothing,
        ),
        row(
            "GET on another port",
            v4().tcp(data(PORT), b"GET / HTTP/1.1\r\n")?,
            Nothing,
        ),
        row(
            "a word that starts like GET",
            v4().tcp(data(port::HTTP), b"GETTER")?,
            Nothing,
        ),
        row(
            "three bytes of GET",
            padded(v4().tcp(data(port::HTTP), b"GET")?),
            Nothing,
        ),
        row(
            "ACK to port 80 in a padded frame",
            padded(v4().tcp(data(port::HTTP), &[])?),
            Nothing,
        ),
        row(
            "UDP",
            v4().udp([40_000, PORT], b"x")?,
            As(Signal::Datagram, PORT),
        ),
        row(
            "UDP without payload",
            v4().udp([40_000, PORT], &[])?,
            As(Signal::Datagram, PORT),
        ),
        row(
            "UDP over IPv6",
            v6().udp([40_000, PORT], b"x")?,
            As(Signal::Datagram, PORT),
        ),
        row(
            "DNS query",
            v4().udp([40_000, port::DNS], &query)?,
            As(Signal::DnsQueryUdp, port::DNS),
        ),
        row(
            "DNS query over IPv6",
            v6().udp([40_000, port::DNS], &query)?,
            As(Signal::DnsQueryUdp, port::DNS),
        ),
        row(
            "DNS reply to port 53",
            v4().udp([port::DNS, port::DNS], &dns_reply())?,
            As(Signal::Datagram, port::DNS),
        ),
        row(
            "no DNS on port 53",
            v4().udp([40_000, port::DNS], b"hello")?,
            As(Signal::Datagram, port::DNS),
        ),
        row(
            "DNS query over TCP",
            v4().tcp(data(port::DNS), &stream)?,
            As(Signal::DnsQueryTcp, port::DNS),
        ),
        row(
            "half a DNS query over TCP",
            v4().tcp(data(port::DNS), &stream[..9])?,
            Nothing,
        ),
        row("ping", v4().echo(1)?, As(Signal::EchoRequest, 0)),
        row("ping over IPv6", v6().echo(1)?, As(Signal::EchoRequest, 0)),
        row(
            "ICMPv6's number above IPv4",
            with_byte(&with_byte(&v4().echo(1)?, IP + 9, 58), TCP_V4, 128),
            As(Signal::ProtocolProbe, 58),
        ),
        row(
            "ICMP's number above IPv6",
            with_byte(&with_byte(&v6().echo(1)?, IP + 6, 1), IP + IPV6_HEADER, 8),
            As(Signal::ProtocolProbe, 1),
        ),
        row(
            "no ARP that it could be",
            with_byte(&v4().echo(1)?, 13, 6),
            Nothing,
        ),
    ])
}

/// The same SYN in every encapsulation that the parser follows.
fn envelopes() -> Result<Vec<Row>> {
    let syn_v4 = v4().tcp(syn(PORT), &[])?;
    let syn_v6 = v6().tcp(syn(PORT), &[])?;
    let seen = As(Signal::Syn, PORT);
    let chain = |length: usize| -> Vec<(u8, &[u8])> { vec![(DESTINATION, PADDING); length] };
    Ok(vec![
        row("SYN over IPv6", syn_v6.clone(), seen),
        row("one tag", tagged(&syn_v4, &[VLAN]), seen),
        row("two tags", tagged(&syn_v4, &[VLAN_OUTER, VLAN]), seen),
        row("two tags over IPv6", tagged(&syn_v6, &[VLAN, VLAN]), seen),
        row("a frame full of tags", tagged(&syn_v4, &[VLAN; 365]), seen),
        row(
            "one more",
            tagged(&syn_v4, &[VLAN; 366]),
            Lost(Loss::TooDeep),
        ),
        row("IPv4 options", with_options(&syn_v4, 2), seen),
        row("all IPv4 options", with_options(&syn_v4, 10), seen),
        row("padding", padded(syn_v4.clone()), seen),
        row(
            "extension headers of all kinds",
            with_extensions(
                &syn_v6,
                &[
                    (HOP_BY_HOP, PADDING),
                    (ROUTING, PADDING),
                    (ip_protocol::AUTHENTICATION, AUTHENTICATION),
                    (DESTINATION, PADDING),
                ],
            ),
            seen,
        ),
        row(
            "a frame full of extension headers",
            with_extensions(&syn_v6, &chain(181)),
            seen,
        ),
        row(
            "one more extension header",
            with_extensions(&syn_v6, &chain(182)),
            Lost(Loss::TooDeep),
        ),
        row(
            "first fragment with the whole header",
            first_fragment(&syn_v4, 16),
            seen,
        ),
        row(
            "tiny first fragment",
            first_fragment(&syn_v4, 8),
            As(Signal::FragmentProbe, PORT),
        ),
        row(
            "first fragment over IPv6",
            with_extensions(&syn_v6, &[(FRAGMENT, FIRST_FRAGMENT)]),
            seen,
        ),
        row(
            "later fragment over IPv6",
            with_extensions(&syn_v6, &[(FRAGMENT, LATER_FRAGMENT)]),
            As(Signal::StrayFragment, 0),
        ),
        row(
            "to a group address",
            with_byte(&v4().udp([5353, 5353], b"x")?, 0, 1),
            Nothing,
        ),
    ])
}

fn broken() -> Result<Vec<Row>> {
    let syn_v4 = v4().tcp(syn(PORT), &[])?;
    let syn_v6 = v6().tcp(syn(PORT), &[])?;
    let get = v4().tcp(data(port::HTTP), b"GET / HTTP/1.1\r\n")?;
    let cut = |frame: &[u8], length: usize| frame[..length].to_vec();
    Ok(vec![
        row(
            "IPv4 header cut",
            cut(&syn_v4, IP + 19),
            Lost(Loss::Truncated),
        ),
        row(
            "IPv6 header cut",
            cut(&syn_v6, IP + 6),
            Lost(Loss::Truncated),
        ),
        row(
            "IPv6 addresses cut",
            cut(&syn_v6, IP + 39),
            Lost(Loss::Truncated),
        ),
        row(
            "TCP flags cut",
            cut(&syn_v4, TCP_V4 + 13),
            Lost(Loss::Truncated),
        ),
        row(
            "tag cut",
            cut(&tagged(&syn_v4, &[VLAN]), 17),
            Lost(Loss::Truncated),
        ),
        row("GET cut", cut(&get, TCP_V4 + 20 + 3), Lost(Loss::Truncated)),
        row(
            "extension header cut",
            cut(
                &with_extensions(&syn_v6, &[(DESTINATION, PADDING)]),
                IP + 43,
            ),
            Lost(Loss::Truncated),
        ),
        row(
            "from a mapped IPv4 address, which Linux drops",
            Path::new(MAPPED, outbound::LOCAL_V6).tcp(syn(PORT), &[])?,
            Lost(Loss::Malformed),
        ),
        row(
            "to a mapped IPv4 address",
            Path::new(outbound::REMOTE_V6, MAPPED).udp([1, 2], b"x")?,
            Lost(Loss::Malformed),
        ),
        row(
            "from nobody, `::`",
            Path::new(Ipv6Addr::UNSPECIFIED, outbound::LOCAL_V6).udp([1, 2], b"x")?,
            Lost(Loss::Malformed),
        ),
        row(
            "version 5",
            with_byte(&syn_v4, IP, 0x55),
            Lost(Loss::Malformed),
        ),
        row(
            "version 4 under the type of IPv6",
            with_byte(&syn_v6, IP, 0x45),
            Lost(Loss::Malformed),
        ),
        row(
            "IPv4 header of 16 bytes",
            with_byte(&syn_v4, IP, 0x44),
            Lost(Loss::Malformed),
        ),
        row(
            "total length below the header's",
            with_byte(&with_byte(&syn_v4, IP + 2, 0), IP + 3, 19),
            Lost(Loss::Malformed),
        ),
        row(
            "flags beyond the total length",
            with_byte(&syn_v4, IP + 3, 30),
            Lost(Loss::Truncated),
        ),
        row(
            "TCP header of 16 bytes",
            with_byte(&get, TCP_V4 + 12, 0x40),
            Lost(Loss::Malformed),
        ),
        row(
            "UDP header cut",
            cut(&v4().udp([1, 2], &[])?, TCP_V4 + 7),
            Lost(Loss::Truncated),
        ),
    ])
}
