//! What a signal says in the columns of its row.
//!
//! In: a [`Signal`]. Out: its table, `ActionType`, `Outcome`, `Protocol`, and which column has its
//! port.

use recon_common::Signal;
use recon_common::signal::Transport;

use crate::kql::Table;

/// The column that holds the port of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortColumn {
    /// `LocalPort`
    Local,
    /// `RemotePort`
    Remote,
    /// `ProtocolNumber`: it is no port, but the number of the protocol above IP.
    Protocol,
}

/// The table of a signal's row.
#[must_use]
pub const fn table(signal: Signal) -> Table {
    match signal {
        Signal::AnsweredTcp
        | Signal::AnsweredUdp
        | Signal::Ended
        | Signal::ForwardedEnded
        | Signal::SynAckReceived
        | Signal::ResetReceived
        | Signal::ReplyReceived
        | Signal::EchoReplyReceived
        | Signal::Login
        | Signal::Used
        | Signal::StraySynAck
        | Signal::StraySegment
        | Signal::IcmpRequest
        | Signal::IcmpNotice
        | Signal::ProtocolProbe
        | Signal::StrayFragment
        | Signal::SctpProbe
        | Signal::NeighbourRequest => Table::Recon,
        _ if outcome(signal).is_empty() => Table::Network,
        _ => Table::Recon,
    }
}

/// The `ActionType` of a signal.
#[must_use]
pub const fn action_type(signal: Signal) -> &'static str {
    match signal {
        Signal::Syn => "SYN",
        Signal::NullProbe => "NullProbe",
        Signal::FinProbe => "FinProbe",
        Signal::XmasProbe => "XmasProbe",
        Signal::MaimonProbe => "MaimonProbe",
        Signal::OddProbe => "OddProbe",
        Signal::FragmentProbe => "FragmentProbe",
        Signal::Datagram => "Datagram",
        Signal::SessionDatagram => "SessionDatagram",
        Signal::DnsQueryUdp | Signal::DnsQueryTcp | Signal::DnsSentUdp | Signal::DnsSentTcp => {
            "Query"
        }
        Signal::EchoRequest => "EchoRequest",
        Signal::HttpGet => "HttpGet",
        Signal::RefusedTcp | Signal::RefusedIcmp | Signal::ConnectFailed => "ConnectionFailed",
        Signal::Accepted => "ConnectionSuccess",
        Signal::SynSent => "ConnectionRequest",
        Signal::ProbeSent => "ProbeSent",
        Signal::DatagramSent => "DatagramSent",
        Signal::EchoSent => "EchoSent",
        Signal::TraceProbe => "TraceProbe",
        Signal::TraceSent => "TraceSent",
        Signal::AnsweredTcp | Signal::AnsweredUdp => "PortAnswered",
        Signal::Ended => "ConnectionEnded",
        Signal::ForwardedEnded => "ForwardedConnectionEnded",
        Signal::SynAckReceived | Signal::ReplyReceived | Signal::EchoReplyReceived => {
            "AnswerReceived"
        }
        Signal::ResetReceived => "RefusalReceived",
        Signal::Login => "Login",
        Signal::Used => "ConnectionUsed",
        Signal::StraySynAck => "StraySynAck",
        Signal::StraySegment => "StraySegment",
        Signal::IcmpRequest => "IcmpRequest",
        Signal::IcmpNotice => "IcmpNotice",
        Signal::ProtocolProbe => "ProtocolProbe",
        Signal::StrayFragment => "StrayFragment",
        Signal::SctpProbe => "SctpProbe",
        Signal::NeighbourRequest => "NeighbourRequest",
        Signal::AttemptAccepted
        | Signal::AttemptRefused
        | Signal::AttemptHalfOpen
        | Signal::AttemptIgnored
        | Signal::DatagramAnswered
        | Signal::DatagramRefused
        | Signal::DatagramIgnored
        | Signal::ConnectAnswered
        | Signal::ConnectRefused
        | Signal::ConnectIgnored
        | Signal::SentAnswered
        | Signal::SentIgnored
        | Signal::EchoAnswered
        | Signal::EchoIgnored => "Attempt",
    }
}

/// The `Outcome` of a signal. Empty for signals that are no attempts.
#[must_use]
pub const fn outcome(signal: Signal) -> &'static str {
    match signal {
        Signal::AttemptAccepted | Signal::ConnectAnswered => "accepted",
        Signal::DatagramAnswered | Signal::SentAnswered | Signal::EchoAnswered => "answered",
        Signal::AttemptRefused | Signal::DatagramRefused | Signal::ConnectRefused => "refused",
        Signal::AttemptHalfOpen => "half-open",
        Signal::AttemptIgnored
        | Signal::DatagramIgnored
        | Signal::ConnectIgnored
        | Signal::SentIgnored
        | Signal::EchoIgnored => "ignored",
        _ => "",
    }
}

/// The `Protocol` of a signal. Empty for a refusal by ICMP, which may quote any, and for what has
/// no transport header.
#[must_use]
pub const fn protocol(signal: Signal) -> &'static str {
    match signal.transport() {
        Some(Transport::Tcp) => "Tcp",
        Some(Transport::Udp) => "Udp",
        Some(Transport::Icmp) => "ICMP",
        Some(Transport::Sctp) => "Sctp",
        None => "",
    }
}

/// The column that holds the port of a signal. `None` if the signal has no port.
#[must_use]
pub const fn port_column(signal: Signal) -> Option<PortColumn> {
    match signal {
        Signal::ProtocolProbe => Some(PortColumn::Protocol),
        Signal::StrayFragment | Signal::NeighbourRequest => None,
        _ if matches!(signal.transport(), Some(Transport::Icmp)) => None,
        _ if signal.is_outbound() => Some(PortColumn::Remote),
        _ => Some(PortColumn::Local),
    }
}
