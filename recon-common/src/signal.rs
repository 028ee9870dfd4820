//! What a counted packet means.
//!
//! In: nothing. Out: [`Signal`], the vocabulary in which the kernel counts and rules filter.
//! The decision held here: a packet gives at most one signal, so one map update. What several
//! signals have in common ('hit', 'inbound', the transport) is a property of the signal, not a
//! second count.

pub use crate::protocol::Transport;

/// Declares each signal once: its number, and the name that alerts show.
macro_rules! signals {
    ($($(#[$doc:meta])* $signal:ident = $number:literal, $name:literal;)*) => {
        /// One kind of event that the kernel counts, or that the agent derives from what it counts.
        /// The numbers are part of the table's layout.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[repr(u8)]
        pub enum Signal {
            $($(#[$doc])* $signal = $number,)*
        }

        impl Signal {
            /// All signals, in the order of their numbers.
            pub const ALL: [Self; [$($number),*].len()] = [$(Self::$signal),*];

            /// The name that alerts show.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$signal => $name,)*
                }
            }
        }
    };
}

signals! {
    /// A TCP SYN without ACK, whatever its ECN bits (ECE, CWR): a remote connects or tries to.
    Syn = 0, "syn";
    /// A TCP segment without any flag (`nmap -sN`).
    NullProbe = 1, "null";
    /// A TCP segment with only FIN (`nmap -sF`).
    FinProbe = 2, "fin";
    /// A TCP segment with FIN, PSH and URG (`nmap -sX`).
    XmasProbe = 3, "xmas";
    /// FIN and ACK to a connection that does not exist (`nmap -sM`, after Uriel Maimon).
    MaimonProbe = 4, "maimon";
    /// Another flag set that no connection starts with: SYN with FIN or RST, none of SYN, RST, ACK.
    OddProbe = 5, "odd-flags";
    /// The first fragment of a TCP segment, too short to show the flags (`nmap -f`).
    FragmentProbe = 6, "short-fragment";
    /// A UDP datagram that answers nothing this host sent.
    Datagram = 7, "udp";
    /// A DNS query to local port 53 over UDP.
    DnsQueryUdp = 8, "dns-query";
    /// A DNS query to local port 53 over TCP.
    DnsQueryTcp = 9, "dns-query";
    /// An ICMP or ICMPv6 echo request.
    EchoRequest = 10, "echo-request";
    /// A GET request to local port 80.
    HttpGet = 11, "http-get";
    /// This host answered a TCP probe with a reset: refused.
    RefusedTcp = 12, "refused-reset";
    /// This host answered with ICMP 'port unreachable' or 'prohibited': refused.
    RefusedIcmp = 13, "refused-icmp";
    /// A DNS query from this host to a remote's port 53 over UDP.
    DnsSentUdp = 14, "dns-query-sent";
    /// A DNS query from this host to a remote's port 53 over TCP.
    DnsSentTcp = 15, "dns-query-sent";
    /// This host answered a SYN with a SYN-ACK: the port is open.
    AnsweredTcp = 16, "answered-syn-ack";
    /// This host answered a flow of datagrams that a remote began: the port is open.
    AnsweredUdp = 17, "answered-udp";
    /// A connection that a remote opened and this host accepted.
    Accepted = 18, "accepted";
    /// A SYN from this host: one of its processes connects or tries to.
    SynSent = 19, "syn-sent";
    /// A TCP segment from this host with a flag set that no connection starts with, a first
    /// fragment too short to show the flags, or an ACK or FIN+ACK that a process has crafted.
    ProbeSent = 20, "odd-flags-sent";
    /// The first datagram from this host on a flow that no remote began.
    DatagramSent = 21, "udp-sent";
    /// An ICMP or ICMPv6 echo request from this host.
    EchoSent = 22, "echo-request-sent";
    /// A TCP connection from this host that was not established.
    ConnectFailed = 23, "connect-failed";
    /// An accepted connection ended. The key holds its [`crate::Ending`].
    Ended = 24, "ended";
    /// A connection that this host forwards, and that a guest had accepted, ended.
    ForwardedEnded = 25, "ended-forwarded";
    /// A remote answered a SYN of this host with a SYN-ACK.
    SynAckReceived = 26, "syn-ack-received";
    /// A remote answered a segment of this host with a reset.
    ResetReceived = 27, "reset-received";
    /// The first datagram from a remote on a flow that this host began.
    ReplyReceived = 28, "udp-reply-received";
    /// An ICMP or ICMPv6 echo reply from a remote.
    EchoReplyReceived = 29, "echo-reply-received";
    /// A datagram of a traceroute: to a high port, with few hops left.
    TraceProbe = 30, "traceroute";
    /// A datagram of a traceroute from this host.
    TraceSent = 31, "traceroute-sent";
    /// A program was started in a session of a remote that had logged in. The agent counts it.
    Login = 32, "login";
    /// From here on: what became of a remote's attempt, a first contact with a port of this host.
    /// The agent derives it. Here: accepted.
    AttemptAccepted = 33, "accepted-attempt";
    /// Refused by a reset or by ICMP.
    AttemptRefused = 34, "refused-attempt";
    /// Answered by a SYN-ACK, but the remote never completed the handshake.
    AttemptHalfOpen = 35, "half-open-attempt";
    /// Not answered.
    AttemptIgnored = 36, "ignored-attempt";
    /// A datagram that was answered.
    DatagramAnswered = 37, "answered-udp-attempt";
    /// A datagram that was refused.
    DatagramRefused = 38, "refused-udp-attempt";
    /// A datagram that was not answered.
    DatagramIgnored = 39, "ignored-udp-attempt";
    /// An accepted connection that its remote used: it sent data, or stayed.
    Used = 40, "used";
    /// From here on: what became of an attempt of this host. Here: a SYN that was answered.
    ConnectAnswered = 41, "answered-connect";
    /// A connection or a probe that was refused, or that failed before its first packet.
    ConnectRefused = 42, "refused-connect";
    /// A connection or a probe that was not answered.
    ConnectIgnored = 43, "ignored-connect";
    /// A flow of datagrams that was answered.
    SentAnswered = 44, "answered-udp-sent";
    /// A flow of datagrams that was not answered.
    SentIgnored = 45, "ignored-udp-sent";
    /// An echo request that was answered.
    EchoAnswered = 46, "answered-echo-request";
    /// An echo request that was not answered.
    EchoIgnored = 47, "ignored-echo-request";
    /// A datagram of a flow that a remote began and that this host has answered.
    SessionDatagram = 48, "udp-session";
    /// A SYN-ACK that this host has not asked for: backscatter, a reflected flood, or a probe.
    StraySynAck = 49, "stray-syn-ack";
    /// A reset on a connection that recon does not know; in a flood of those, also a FIN and ACK.
    StraySegment = 50, "stray-segment";
    /// An ICMP or ICMPv6 request other than echo: for a timestamp, a mask, a name.
    IcmpRequest = 51, "icmp-request";
    /// An ICMP or ICMPv6 message that asks nothing: an error, or a reply to no request.
    IcmpNotice = 52, "icmp-notice";
    /// A packet of another IP protocol, which this host does not send to that remote.
    ProtocolProbe = 53, "ip-protocol";
    /// A later fragment of a datagram whose earlier ones have not come, or the first one of data on
    /// no connection.
    StrayFragment = 54, "stray-fragment";
    /// An SCTP packet that starts an association, INIT or COOKIE-ECHO.
    SctpProbe = 55, "sctp";
    /// An ARP request or a neighbour solicitation, for the local address.
    NeighbourRequest = 56, "neighbour-request";
}

impl Signal {
    /// Whether the kernel counts it. The agent derives the others.
    #[must_use]
    pub const fn is_counted(self) -> bool {
        (self as u8) < Self::Login as u8 || self as u8 > Self::EchoIgnored as u8
    }

    /// The signal with that number, or `None` for a number of another layout.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The transport that carried it: of a refusal by ICMP, which quotes any, none.
    #[must_use]
    pub const fn transport(self) -> Option<Transport> {
        match self {
            Self::Syn
            | Self::NullProbe
            | Self::FinProbe
            | Self::XmasProbe
            | Self::MaimonProbe
            | Self::OddProbe
            | Self::FragmentProbe
            | Self::DnsQueryTcp
            | Self::HttpGet
            | Self::RefusedTcp
            | Self::DnsSentTcp
            | Self::AnsweredTcp
            | Self::Accepted
            | Self::SynSent
            | Self::ProbeSent
            | Self::ConnectFailed
            | Self::Ended
            | Self::ForwardedEnded
            | Self::SynAckReceived
            | Self::ResetReceived
            | Self::Login
            | Self::AttemptAccepted
            | Self::AttemptRefused
            | Self::AttemptHalfOpen
            | Self::AttemptIgnored
            | Self::Used
            | Self::ConnectAnswered
            | Self::ConnectRefused
            | Self::ConnectIgnored
            | Self::StraySynAck
            | Self::StraySegment => Some(Transport::Tcp),
            Self::Datagram
            | Self::DnsQueryUdp
            | Self::DnsSentUdp
            | Self::AnsweredUdp
            | Self::DatagramSent
            | Self::ReplyReceived
            | Self::TraceProbe
            | Self::TraceSent
            | Self::DatagramAnswered
            | Self::DatagramRefused
            | Self::DatagramIgnored
            | Self::SentAnswered
            | Self::SentIgnored
            | Self::SessionDatagram => Some(Transport::Udp),
            Self::EchoRequest
            | Self::EchoSent
            | Self::EchoReplyReceived
            | Self::EchoAnswered
            | Self::EchoIgnored
            | Self::IcmpRequest
            | Self::IcmpNotice => Some(Transport::Icmp),
            Self::SctpProbe => Some(Transport::Sctp),
            Self::RefusedIcmp
            | Self::ProtocolProbe
            | Self::StrayFragment
            | Self::NeighbourRequest => None,
        }
    }

    /// Whether this host made it in answer to a remote, which need not exist.
    #[inline(always)]
    #[must_use]
    pub const fn is_answer(self) -> bool {
        matches!(
            self,
            Self::RefusedTcp | Self::RefusedIcmp | Self::AnsweredTcp | Self::AnsweredUdp
        )
    }

    /// Whether the parser looks for a tool's fingerprint in it.
    #[inline(always)]
    #[must_use]
    pub const fn is_probe(self) -> bool {
        matches!(
            self,
            Self::Syn
                | Self::NullProbe
                | Self::FinProbe
                | Self::XmasProbe
                | Self::OddProbe
                | Self::Datagram
                | Self::DnsQueryUdp
                | Self::EchoRequest
                | Self::TraceProbe
        )
    }

    /// Whether it is known on which interface its packets came in: they are a remote's, and ask
    /// something of this host. The end of a guest's connection may be the guest's packet; sockets
    /// and sessions have no interface.
    #[inline(always)]
    #[must_use]
    pub const fn has_interface(self) -> bool {
        !self.is_outbound()
            && !self.is_answer()
            && !matches!(
                self,
                Self::Accepted | Self::Ended | Self::ForwardedEnded | Self::Login
            )
    }

    /// Whether this host is the sender of what the rules judge. Alerts then name it as the source.
    ///
    /// Such a signal has the remote's port and a process of this host. A refusal or an answer
    /// leaves this host too, but is about what the remote tried. A remote's answer to this host is
    /// about what this host tried, and has no process.
    #[inline(always)]
    #[must_use]
    pub const fn is_outbound(self) -> bool {
        matches!(
            self,
            Self::DnsSentUdp
                | Self::DnsSentTcp
                | Self::SynSent
                | Self::ProbeSent
                | Self::DatagramSent
                | Self::EchoSent
                | Self::ConnectFailed
                | Self::SynAckReceived
                | Self::ResetReceived
                | Self::ReplyReceived
                | Self::EchoReplyReceived
                | Self::TraceSent
                | Self::ConnectAnswered
                | Self::ConnectRefused
                | Self::ConnectIgnored
                | Self::SentAnswered
                | Self::SentIgnored
                | Self::EchoAnswered
                | Self::EchoIgnored
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions() {
        for (position, signal) in Signal::ALL.into_iter().enumerate() {
            assert_eq!(signal as usize, position, "{}", signal.name());
            assert_eq!(Signal::from_number(position as u8), Some(signal));
        }
        assert_eq!(Signal::from_number(Signal::ALL.len() as u8), None);
    }
}
