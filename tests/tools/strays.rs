//! The rows of scans and floods that are neither connections, datagrams nor pings.

use super::table::{FROM_ATTACKER, FROM_ATTACKER6, HPING, OF_ALL, ROW};
use super::{Fired, Row, Setup};

/// The rules on packets that belong to nothing of this host.
const OUTCOMES: &str = "--profile outcomes";

/// Questions for many neighbours.
const fn sweep(source: &'static str) -> [Fired; 1] {
    [(
        "neighbour-sweep",
        "distinct_addresses",
        "neighbour-request",
        source,
    )]
}
const SWEEP: &[Fired] = &sweep(FROM_ATTACKER);
const SWEEP6: &[Fired] = &sweep(FROM_ATTACKER6);

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "nmap, IP protocols",
        arguments: OUTCOMES,
        line: "{nmap} -sO -p 30-60 --max-retries 0 {host}",
        expected: &[(
            "protocol-scan",
            "distinct_protocols",
            "ip-protocol",
            FROM_ATTACKER,
        )],
        ..ROW
    },
    Row {
        name: "nmap, SCTP INIT",
        arguments: OUTCOMES,
        line: "{nmap} -sY -p 1-30 --max-retries 0 {host}",
        expected: &[("sctp-scan", "distinct_ports", "sctp", FROM_ATTACKER)],
        ..ROW
    },
    Row {
        name: "nmap, SCTP COOKIE-ECHO",
        arguments: OUTCOMES,
        line: "{nmap} -sZ -p 1-30 --max-retries 0 {host}",
        expected: &[("sctp-scan", "distinct_ports", "sctp", FROM_ATTACKER)],
        ..ROW
    },
    Row {
        name: "nmap, SYN-ACK",
        arguments: OUTCOMES,
        line: "{nmap} -sS --scanflags SYNACK -p 1-30 --max-retries 0 {host}",
        expected: &[(
            "syn-ack-probes",
            "distinct_ports",
            "stray-syn-ack",
            FROM_ATTACKER,
        )],
        ..ROW
    },
    Row {
        // The stack drops these SYN-ACKs, so each ACK has a reset of its own.
        name: "scapy, ACKs behind SYN-ACKs with a bad checksum",
        arguments: OUTCOMES,
        // Made before the first is sent, so that all are in one poll.
        line: "{scapy} 'frames = [bytes(Ether(dst=\"{host_mac}\")/IP(src=\"{attacker}\", dst=\"{host}\")/TCP(sport=40000, dport=port, **kind)) for port in range(2000, 2030) for kind in (dict(flags=\"SA\", chksum=1), dict(flags=\"A\"))]; link = conf.L2socket(iface=\"veth1\"); [link.send(frame) for frame in frames]'",
        expected: &[
            (
                "syn-ack-probes",
                "distinct_ports",
                "stray-syn-ack",
                FROM_ATTACKER,
            ),
            (
                "port-scan",
                "distinct_ports",
                "refused-attempt",
                FROM_ATTACKER,
            ),
        ],
        at_least: 60,
        ..ROW
    },
    Row {
        name: "scapy, ARP requests",
        arguments: OUTCOMES,
        line: "{scapy} 'sendp([Ether(dst=\"ff:ff:ff:ff:ff:ff\")/ARP(psrc=\"{attacker}\", pdst=\"203.0.113.%d\" % n) for n in range(60)], iface=\"veth1\")'",
        expected: SWEEP,
        ..ROW
    },
    Row {
        name: "scapy, neighbour solicitations",
        arguments: OUTCOMES,
        line: "{scapy} 'sendp([Ether(dst=\"33:33:ff:00:00:%02x\" % n)/IPv6(src=\"2001:db8:1::2\", dst=\"ff02::1:ff00:%x\" % n, hlim=255)/ICMPv6ND_NS(tgt=\"2001:db8::%x\" % n) for n in range(1, 61)], iface=\"veth1\")'",
        expected: SWEEP6,
        ..ROW
    },
    Row {
        name: "hping3, SYN-ACKs of any sources",
        arguments: OUTCOMES,
        line: "hping3 --quiet --rand-source --interval u20 --count 10500 --syn --ack --destport 8081 {host} || test $? = 1",
        expected: &[("backscatter-flood", "count", "stray-syn-ack", OF_ALL)],
        at_least: 10500,
        ..ROW
    },
    Row {
        name: "hping3, resets of any sources",
        arguments: OUTCOMES,
        line: "hping3 --quiet --rand-source --interval u20 --count 10500 --rst --destport 8081 {host} || test $? = 1",
        expected: &[("backscatter-flood", "count", "stray-segment", OF_ALL)],
        at_least: 10500,
        ..ROW
    },
    Row {
        name: "hping3, timestamp requests of any sources",
        arguments: OUTCOMES,
        line: "hping3 --quiet --rand-source --interval u20 --count 10500 --icmp --icmptype 13 {host} || test $? = 1",
        expected: &[("icmp-flood-other", "count", "icmp-request", OF_ALL)],
        at_least: 10500,
        ..ROW
    },
    Row {
        name: "hping3, echo replies of any sources",
        arguments: OUTCOMES,
        line: "hping3 --quiet --rand-source --interval u20 --count 10500 --icmp --icmptype 0 {host} || test $? = 1",
        expected: &[("icmp-flood-other", "count", "icmp-notice", OF_ALL)],
        at_least: 10500,
        ..ROW
    },
    Row {
        name: "hping3, GRE of any sources",
        arguments: OUTCOMES,
        line: "hping3 --quiet --rand-source --interval u20 --count 10500 --rawip --ipproto 47 --data 8 {host} || test $? = 1",
        expected: &[("protocol-flood", "count", "ip-protocol", OF_ALL)],
        at_least: 10500,
        ..ROW
    },
    Row {
        name: "hping3, later fragments of any sources",
        arguments: OUTCOMES,
        line: "hping3 --quiet --rand-source --interval u20 --count 10500 --udp --fragoff 800 --destport 8081 {host} || test $? = 1",
        expected: &[("fragment-flood", "count", "stray-fragment", OF_ALL)],
        at_least: 10500,
        ..ROW
    },
    Row {
        name: "hping3, ACKs to a closed port",
        arguments: OUTCOMES,
        line: "hping3 --quiet --rand-source --interval u20 --count 12000 --ack --destport 8081 {host} || test $? = 1",
        expected: &[("tcp-flood-refused", "count", "refused-reset", OF_ALL)],
        at_least: 10500,
        ..ROW
    },
    Row {
        name: "hping3, ACKs to an open port without a connection",
        arguments: OUTCOMES,
        line: "hping3 --quiet --rand-source --interval u20 --count 12000 --ack --destport 80 {host} || test $? = 1",
        expected: &[("tcp-flood-refused", "count", "refused-reset", OF_ALL)],
        setup: Setup::Web,
        at_least: 10500,
        ..ROW
    },
    Row {
        name: "hping3, FIN+PSH+ACK to an open port without a connection",
        arguments: OUTCOMES,
        line: "hping3 --quiet --rand-source --interval u20 --count 12000 --fin --push --ack --destport 80 {host} || test $? = 1",
        expected: &[("tcp-flood-refused", "count", "refused-reset", OF_ALL)],
        setup: Setup::Web,
        at_least: 10500,
        ..ROW
    },
    Row {
        name: "hping3, FINs to an open port",
        arguments: OUTCOMES,
        line: "hping3 --quiet --rand-source --interval u20 --count 10500 --fin --destport 80 {host} || test $? = 1",
        expected: &[("tcp-flood-odd-flags", "count", "fin", OF_ALL)],
        setup: Setup::Web,
        at_least: 10500,
        tool: HPING,
        ..ROW
    },
];
