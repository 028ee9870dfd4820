//! The transport layer: TCP, UDP, ICMP and ICMPv6, in both directions.
//!
//! In: a [`Datagram`]. Out: its flow and what it shows, or the class of one that no rule asks
//! about.
//! The decision held here: which packets are probes. Inbound, a flag set that starts a connection,
//! or that no connection starts with; SYN-ACK, RST and echo replies are answers or backscatter.
//! ICMP errors and other protocols are nobody's scan of a port, but may be a flood. Outbound, what
//! shows how this host answered, whom it contacts, and which answers to expect.
//! A datagram of a traceroute is one to a high port with few hops left.

use super::network::{Datagram, Family, quoted};
use super::{Direction, Parsed, checksum, fingerprint, payload};
use crate::observation::NONE;
use crate::packet::{Cursor, Fields};
use crate::protocol::tcp_flag::{ACK, FIN, PSH, RST, SYN, URG};
use crate::protocol::{ICMP_HEADER, UDP_HEADER, icmp, icmpv6, ip_protocol, port, sctp, traceroute};
use crate::{FrameClass, Ignored, Loss, Observation, Packet, Signal};

/// Without ECE and CWR: an ECN SYN (RFC 3168) is a SYN.
const FLAGS: u8 = FIN | SYN | RST | PSH | ACK | URG;

/// TCP's header up to and including its flags.
pub(super) const TCP_TO_FLAGS: usize = 14;
const PORTS: usize = 4;

/// The protocol and type of echo requests and replies, in both families.
const ECHO_REQUEST: (u8, u8) = (ip_protocol::ICMP, icmp::ECHO_REQUEST);
const ECHO_REQUEST6: (u8, u8) = (ip_protocol::ICMPV6, icmpv6::ECHO_REQUEST);
const ECHO_REPLY: (u8, u8) = (ip_protocol::ICMP, icmp::ECHO_REPLY);
const ECHO_REPLY6: (u8, u8) = (ip_protocol::ICMPV6, icmpv6::ECHO_REPLY);

type Parsing = Result<Parsed, FrameClass>;

/// The SCTP header and the type of its first chunk.
const SCTP_TO_CHUNK: usize = sctp::HEADER + 1;

/// What an inbound datagram shows. The first fragment of one that shows nothing by itself may be
/// data of a connection.
#[inline(always)]
pub(super) fn inbound<P: Packet + ?Sized>(datagram: &Datagram<'_, P>) -> Parsing {
    // Of a bare packet asked first: behind the parsing, the compiler copies what an error leaves
    // undefined, which the verifier of Linux 5.10 refuses. Of a frame that would take more stack.
    let asked_first = match P::STARTS_WITH_IP {
        true => Some(datagram.has_more_fragments()?),
        false => None,
    };
    let parsed = inbound_whole(datagram);
    let has_more_fragments = match asked_first {
        Some(has_more) => has_more,
        None => datagram.has_more_fragments()?,
    };
    if !has_more_fragments {
        return parsed;
    }
    let mut parsed = match parsed {
        Ok(parsed) => parsed,
        Err(FrameClass::Lost(loss)) => return Err(loss.into()),
        Err(_) => {
            let ports = match datagram.protocol {
                ip_protocol::TCP => datagram.payload.peek::<PORTS>().map(ports),
                _ => None,
            };
            Parsed {
                flow: datagram.flow(Direction::In, ports.unwrap_or_default())?,
                observation: Observation::FirstFragment(NONE),
                tool: None,
                next_fragment: None,
            }
        }
    };
    // Such an end of a connection is ignored without a look, and must not excuse what follows it.
    if parsed.observation == Observation::Unconnected(NONE) && parsed.flow.looks_like_answer() {
        parsed.observation = Observation::FirstFragment(NONE);
    }
    Ok(Parsed {
        next_fragment: datagram.next_place()?,
        ..parsed
    })
}

#[inline(always)]
fn inbound_whole<P: Packet + ?Sized>(datagram: &Datagram<'_, P>) -> Parsing {
    let (ports, observation, tool) = match datagram.protocol {
        ip_protocol::TCP => match datagram.payload.peek::<TCP_TO_FLAGS>() {
            Some(header) => {
                let observation = segment_in(datagram, header)?;
                let tool = match observation {
                    Observation::Plain(signal) => {
                        let words = header.u8::<12>() >> 4;
                        fingerprint::of_segment(datagram, signal, words)
                    }
                    _ => None,
                };
                (ports(header), observation, tool)
            }
            None => (
                short_segment(datagram)?,
                Observation::Plain(Signal::FragmentProbe),
                None,
            ),
        },
        ip_protocol::UDP | ip_protocol::UDP_LITE => {
            let header = datagram
                .payload
                .peek::<UDP_HEADER>()
                .ok_or(Loss::Truncated)?;
            let ports = ports(header);
            let observation = if ports[1] == port::DNS && is_dns_query(datagram)? {
                Observation::Query(NONE)
            } else if is_traceroute(datagram, ports, traceroute::MOST_HOPS_LEFT)? {
                Observation::Unsolicited(Signal::TraceProbe)
            } else {
                Observation::Unsolicited(Signal::Datagram)
            };
            (ports, observation, fingerprint::of_datagram(datagram))
        }
        _ if datagram.is_icmp() => {
            let header = datagram.payload.peek::<2>().ok_or(Loss::Truncated)?;
            let observation = match (datagram.protocol, header.u8::<0>()) {
                ECHO_REQUEST | ECHO_REQUEST6 => Observation::Plain(Signal::EchoRequest),
                ECHO_REPLY | ECHO_REPLY6 => Observation::EchoReply(NONE),
                (protocol, kind) => Observation::Plain(message_in(protocol, kind)?),
            };
            ([0, 0], observation, fingerprint::of_datagram(datagram))
        }
        ip_protocol::SCTP if is_sctp_start(datagram)? => {
            let header = datagram.payload.peek::<PORTS>().ok_or(Loss::Truncated)?;
            (ports(header), Observation::Plain(Signal::SctpProbe), None)
        }
        protocol => ([0, protocol.into()], Observation::OtherProtocol(NONE), None),
    };
    Ok(Parsed {
        flow: datagram.flow(Direction::In, ports)?,
        observation,
        tool,
        next_fragment: None,
    })
}

/// What an inbound segment shows. Segments of established connections leave here, after a look at
/// their flags and port.
///
/// A reset answers a segment without ACK with sequence number 0 and an ACK (RFC 9293, 3.5.2), and
/// one that has an ACK without. But some stacks and firewalls choose another number, so that a
/// reset says nothing without what came before.
#[inline(always)]
fn segment_in<P: Packet + ?Sized>(
    datagram: &Datagram<'_, P>,
    header: P::Header<TCP_TO_FLAGS>,
) -> Result<Observation, FrameClass> {
    let segment = &datagram.payload;
    let flags = header.u8::<13>() & FLAGS;
    if flags & ACK != 0 {
        if flags & (SYN | RST) != 0 {
            return Ok(match flags & (FIN | SYN | RST) {
                SYN => {
                    let words = header.u8::<12>() >> 4;
                    Observation::SynAckReceived(checksum::is_taken(datagram, words))
                }
                flags if flags & SYN != 0 => Observation::Plain(Signal::OddProbe),
                _ => Observation::ResetReceived(NONE),
            });
        }
        let asked = match ports(header)[1] {
            port::HTTP if payload::is_http_get(segment, header.u8::<12>())? => {
                Some(Signal::HttpGet)
            }
            port::DNS if payload::is_tcp_dns_query(segment, header.u8::<12>())? => {
                Some(Signal::DnsQueryTcp)
            }
            _ => None,
        };
        return match asked {
            Some(signal) => Ok(Observation::Plain(signal)),
            None if flags == FIN | ACK => Ok(Observation::Unconnected(NONE)),
            None if flags & FIN != 0 => Err(Ignored::Control.into()),
            None => Err(FrameClass::Established),
        };
    }
    let signal = match flags & (FIN | SYN | RST) {
        SYN => Signal::Syn,
        RST => return Ok(Observation::ResetReceived(NONE)),
        _ => match flags {
            0 => Signal::NullProbe,
            FIN => Signal::FinProbe,
            flags if flags == FIN | PSH | URG => Signal::XmasProbe,
            _ => Signal::OddProbe,
        },
    };
    Ok(Observation::Plain(signal))
}

/// The ports of a segment that ends before its flags: a probe if it is a first fragment, since no
/// stack cuts that short (RFC 1858).
#[inline(always)]
fn short_segment<P: Packet + ?Sized>(datagram: &Datagram<'_, P>) -> Result<[u16; 2], Loss> {
    if datagram.payload.left() >= TCP_TO_FLAGS || !datagram.has_more_fragments()? {
        return Err(Loss::Truncated);
    }
    let header = datagram.payload.peek::<PORTS>().ok_or(Loss::Truncated)?;
    Ok(ports(header))
}

#[inline(always)]
pub(super) fn outbound<P: Packet + ?Sized>(datagram: &Datagram<'_, P>) -> Parsing {
    let (ports, observation) = match datagram.protocol {
        ip_protocol::TCP => match datagram.payload.peek::<TCP_TO_FLAGS>() {
            Some(header) => {
                let observation = segment_out(&datagram.payload, header)?;
                (ports(header), observation)
            }
            None => (
                short_segment(datagram)?,
                Observation::Probed(Signal::ProbeSent),
            ),
        },
        ip_protocol::UDP | ip_protocol::UDP_LITE => {
            let header = datagram
                .payload
                .peek::<UDP_HEADER>()
                .ok_or(Loss::Truncated)?;
            let ports = ports(header);
            let observation = if ports[1] == port::DNS && is_dns_query(datagram)? {
                Observation::Sent(Signal::DnsSentUdp)
            } else if is_traceroute(datagram, ports, traceroute::MOST_HOPS)? {
                Observation::DatagramSent(Signal::TraceSent)
            } else {
                Observation::DatagramSent(Signal::DatagramSent)
            };
            (ports, observation)
        }
        _ if datagram.is_icmp() => {
            let header = datagram.payload.peek::<2>().ok_or(Loss::Truncated)?;
            let (kind, code) = (header.u8::<0>(), header.u8::<1>());
            if !matches!((datagram.protocol, kind), ECHO_REQUEST | ECHO_REQUEST6) {
                return refusal(datagram, kind, code);
            }
            ([0, 0], Observation::Sent(Signal::EchoSent))
        }
        protocol => ([protocol.into(), 0], Observation::OtherProtocolSent(NONE)),
    };
    Ok(Parsed {
        flow: datagram.flow(Direction::Out, ports)?,
        observation,
        tool: None,
        next_fragment: None,
    })
}

/// What an outbound segment shows: how this host answered, that it aborted or closed, that it
/// connects, probes or asks.
///
/// A reset that answers a segment without ACK carries sequence number 0 and an ACK (RFC 9293,
/// 3.5.2): it refuses a probe. A reset without ACK answers a segment that had one. A reset of the
/// kernel with another sequence number aborts a connection, a crafted one refuses it, and a guest's
/// does one or the other. A FIN closes this host's half of a connection. The peer's FIN may come
/// after the socket is gone (FIN-WAIT-2 ends after a minute) and must not look like a Maimon probe.
#[inline(always)]
fn segment_out<P: Packet + ?Sized>(
    segment: &Cursor<'_, P>,
    header: P::Header<TCP_TO_FLAGS>,
) -> Result<Observation, FrameClass> {
    let flags = header.u8::<13>() & FLAGS;
    if flags & ACK == 0 {
        return Ok(match flags & (FIN | SYN | RST) {
            SYN => Observation::Probed(Signal::SynSent),
            RST => Observation::Reset(NONE),
            _ => Observation::Probed(Signal::ProbeSent),
        });
    }
    let is_crafted = segment.is_crafted(ports(header)[0]);
    if flags & (FIN | SYN | RST) != 0 {
        let sequence = header.u32::<4>();
        return Ok(match flags & (SYN | RST) {
            RST if sequence == 0 || is_crafted => Observation::Plain(Signal::RefusedTcp),
            RST => Observation::Aborted(NONE),
            SYN => Observation::SynAckSent(is_crafted),
            _ if is_crafted => Observation::Crafted(NONE),
            _ => Observation::Closed(NONE),
        });
    }
    // The answer to a query over TCP is data, which does not count.
    let asks =
        ports(header)[1] == port::DNS && payload::is_tcp_dns_query(segment, header.u8::<12>())?;
    match (asks, is_crafted) {
        (true, _) => Ok(Observation::Plain(Signal::DnsSentTcp)),
        (false, true) => Ok(Observation::Crafted(NONE)),
        (false, false) => Err(FrameClass::Established),
    }
}

/// An ICMP error by which this host refuses a probe, as the flow of the probe that it quotes.
///
/// Port and protocol unreachable are the stack's answers, 'administratively prohibited' is a
/// firewall's. A router
/// sends errors about hosts and networks, and time exceeded refuses nothing.
#[inline(always)]
fn refusal<P: Packet + ?Sized>(error: &Datagram<'_, P>, kind: u8, code: u8) -> Parsing {
    let family = match (error.protocol, kind, code) {
        (
            ip_protocol::ICMP,
            icmp::UNREACHABLE,
            icmp::PORT_UNREACHABLE
            | icmp::NETWORK_PROHIBITED
            | icmp::HOST_PROHIBITED
            | icmp::COMMUNICATION_PROHIBITED,
        ) => Family::V4,
        (
            ip_protocol::ICMPV6,
            icmpv6::UNREACHABLE,
            icmpv6::PROHIBITED | icmpv6::PORT_UNREACHABLE,
        ) => Family::V6,
        (ip_protocol::ICMP, icmp::UNREACHABLE, icmp::PROTOCOL_UNREACHABLE) => Family::V4,
        (ip_protocol::ICMPV6, icmpv6::PARAMETER_PROBLEM, icmpv6::UNKNOWN_HEADER) => Family::V6,
        _ => return Err(Ignored::Icmp.into()),
    };
    let Some(probe) = quoted(family, error.payload.skip(ICMP_HEADER))? else {
        return Err(Ignored::Icmp.into());
    };
    let observation = match probe.protocol {
        // A reply that arrives after its asker has gone is refused as well, and is no probe.
        ip_protocol::UDP | ip_protocol::UDP_LITE => Observation::Refusal(NONE),
        ip_protocol::ICMP | ip_protocol::ICMPV6 => return Err(Ignored::Icmp.into()),
        _ => Observation::Plain(Signal::RefusedIcmp),
    };
    let ports = match probe.protocol {
        ip_protocol::TCP | ip_protocol::UDP | ip_protocol::UDP_LITE | ip_protocol::SCTP => {
            ports(probe.payload.peek::<PORTS>().ok_or(Loss::Truncated)?)
        }
        _ => [0, 0],
    };
    Ok(Parsed {
        flow: probe.flow(Direction::In, ports)?,
        observation,
        tool: None,
        next_fragment: None,
    })
}

/// What another ICMP message than an echo asks, or that it asks nothing. Neighbours that know each
/// other send discovery messages all the time.
#[inline(always)]
fn message_in(protocol: u8, kind: u8) -> Result<Signal, FrameClass> {
    match (protocol, kind) {
        (ip_protocol::ICMPV6, icmpv6::ROUTER_SOLICITATION..=icmpv6::REDIRECT) => {
            Err(Ignored::Icmp.into())
        }
        (ip_protocol::ICMPV6, icmpv6::NODE_INFORMATION)
        | (
            ip_protocol::ICMP,
            icmp::ROUTER_SOLICITATION | icmp::TIMESTAMP | icmp::INFORMATION | icmp::ADDRESS_MASK,
        ) => Ok(Signal::IcmpRequest),
        _ => Ok(Signal::IcmpNotice),
    }
}

/// Whether an SCTP packet starts an association.
#[inline(always)]
fn is_sctp_start<P: Packet + ?Sized>(datagram: &Datagram<'_, P>) -> Result<bool, Loss> {
    if datagram.payload.left() < SCTP_TO_CHUNK {
        return Ok(false);
    }
    let header = datagram.payload.peek::<SCTP_TO_CHUNK>();
    let chunk = header.ok_or(Loss::Truncated)?.u8::<{ sctp::HEADER }>();
    Ok(matches!(chunk, sctp::INIT | sctp::COOKIE_ECHO))
}

/// Whether it looks like a traceroute's datagram: to a high port, with at most so many hops left.
#[inline(always)]
fn is_traceroute<P: Packet + ?Sized>(
    datagram: &Datagram<'_, P>,
    ports: [u16; 2],
    most_hops: u8,
) -> Result<bool, Loss> {
    Ok(ports[1] >= traceroute::FIRST_PORT && datagram.hops_left()? <= most_hops)
}

#[inline(always)]
fn is_dns_query<P: Packet + ?Sized>(datagram: &Datagram<'_, P>) -> Result<bool, Loss> {
    payload::is_dns_query(&datagram.payload.skip(UDP_HEADER))
}

/// Source and destination port, which TCP and UDP have at the same place.
#[inline(always)]
fn ports<const N: usize>(header: impl Fields<N>) -> [u16; 2] {
    [header.u16::<0>(), header.u16::<2>()]
}
