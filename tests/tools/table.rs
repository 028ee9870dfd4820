//! The rows of the tools test: a command, and the alerts that it must cause.

use super::{Fired, Row, Setup, Side};

/// The common parts of most rows.
pub(super) const ROW: Row = Row {
    name: "",
    arguments: "",
    setup: Setup::Nothing,
    line: "",
    side: Side::Attacker,
    expected: &[],
    tool: &[],
    at_least: 1,
};

// The lab's addresses, as alerts write them.
pub(super) const FROM_ATTACKER: &str = "198.51.100.2";
pub(super) const FROM_ATTACKER6: &str = "2001:db8:1::2";
/// For sources that an alert does not name.
pub(super) const OF_ALL: &str = "";
const FROM_HOST: &str = "198.51.100.1";

/// Ports hit by that signal.
const fn port_scan(signal: &'static str) -> [Fired; 1] {
    [("port-scan", "distinct_ports", signal, FROM_ATTACKER)]
}

/// What `recon.tool` says.
const NMAP: &[&str] = &["nmap"];
const MASSCAN: &[&str] = &["masscan"];
const ZMAP: &[&str] = &["zmap"];
pub(super) const HPING: &[&str] = &["hping3"];

const SYN_SCAN: &[Fired] = &port_scan("syn");

/// One accepted connection for each request.
const CURLS: &str = "curl --silent --fail --header Connection:close 'http://{host}/?[1-110]'";
const FROM_CURL: &[Fired] = &[
    ("http-flood", "count", "http-get", FROM_ATTACKER),
    ("http-flood", "count", "accepted", FROM_ATTACKER),
    ("port-scan", "count", "syn", FROM_ATTACKER),
    ("rapid-scan", "count", "syn", FROM_ATTACKER),
    ("common-ports", "count", "syn", FROM_ATTACKER),
];

/// A query also hits the port.
const DIG: &[Fired] = &[
    ("dns-flood", "count", "dns-query", FROM_ATTACKER),
    ("port-scan", "count", "dns-query", FROM_ATTACKER),
    ("rapid-scan", "count", "dns-query", FROM_ATTACKER),
];

/// So does the SYN before a query over TCP.
const DIG_TCP: &[Fired] = &[
    ("dns-flood", "count", "dns-query", FROM_ATTACKER),
    ("port-scan", "count", "syn", FROM_ATTACKER),
    ("rapid-scan", "count", "syn", FROM_ATTACKER),
];

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "nmap -sS",
        line: "{nmap} -sS -p 2000-2039 {host}",
        expected: SYN_SCAN,
        tool: NMAP,
        ..ROW
    },
    Row {
        name: "nmap -sT",
        line: "{nmap} -sT -p 2000-2039 {host}",
        expected: SYN_SCAN,
        ..ROW
    },
    Row {
        name: "nmap -sU",
        // Without retransmissions: the host limits 'port unreachable'.
        line: "{nmap} -sU --max-retries 0 -p 2000-2039 {host}",
        expected: &port_scan("udp"),
        ..ROW
    },
    Row {
        name: "nmap -sF",
        line: "{nmap} -sF -p 2000-2039 {host}",
        expected: &port_scan("fin"),
        tool: NMAP,
        ..ROW
    },
    Row {
        name: "nmap -sN",
        line: "{nmap} -sN -p 2000-2039 {host}",
        expected: &port_scan("null"),
        tool: NMAP,
        ..ROW
    },
    Row {
        name: "nmap -sX",
        line: "{nmap} -sX -p 2000-2039 {host}",
        expected: &port_scan("xmas"),
        tool: NMAP,
        ..ROW
    },
    Row {
        name: "nmap -sM",
        line: "{nmap} -sM -p 2000-2039 {host}",
        expected: &port_scan("maimon"),
        ..ROW
    },
    Row {
        name: "nmap -f",
        line: "{nmap} -sS -f -p 2000-2039 {host}",
        expected: &port_scan("short-fragment"),
        ..ROW
    },
    Row {
        name: "nmap -ff, fragments that show the flags",
        line: "{nmap} -sS -ff -p 2000-2039 {host}",
        expected: SYN_SCAN,
        ..ROW
    },
    Row {
        name: "nmap -6",
        line: "{nmap} -6 -sS -p 2000-2039 {host6}",
        expected: &[("port-scan", "distinct_ports", "syn", FROM_ATTACKER6)],
        tool: NMAP,
        ..ROW
    },
    Row {
        name: "nmap -sn over 64 addresses",
        line: "nmap -n -sn -PE {spares}",
        expected: &[(
            "icmp-sweep",
            "distinct_addresses",
            "echo-request",
            FROM_ATTACKER,
        )],
        ..ROW
    },
    Row {
        name: "nmap -D",
        line: "{nmap} -sS -p 2000-2039 -D 203.0.113.10,203.0.113.11,ME {host}",
        expected: &[
            ("port-scan", "distinct_ports", "syn", FROM_ATTACKER),
            ("port-scan", "distinct_ports", "syn", "203.0.113.10"),
            ("port-scan", "distinct_ports", "syn", "203.0.113.11"),
        ],
        tool: NMAP,
        ..ROW
    },
    Row {
        name: "nmap -p445, again and again",
        line: "for i in $(seq 11); do {nmap} -sS -p445 {host}; done",
        expected: &[("smb-scan", "count", "syn", FROM_ATTACKER)],
        tool: NMAP,
        ..ROW
    },
    Row {
        name: "nmap of a thousand ports, in few lines",
        line: "{nmap} -sS -p 1001-2000 {host}",
        // More than 500 SYNs are a flood as well. The host refuses all.
        expected: &[
            ("port-scan", "distinct_ports", "syn", FROM_ATTACKER),
            (
                "failed-connections",
                "count",
                "refused-reset",
                FROM_ATTACKER,
            ),
            ("syn-flood", "count", "syn", FROM_ATTACKER),
        ],
        at_least: 2000,
        tool: NMAP,
        ..ROW
    },
    Row {
        name: "masscan",
        line: "{masscan} -p 2000-2039 {host}",
        expected: SYN_SCAN,
        tool: MASSCAN,
        ..ROW
    },
    Row {
        name: "masscan under a VLAN tag",
        line: "{masscan} --adapter-vlan 7 -p 2000-2039 {host}",
        expected: SYN_SCAN,
        tool: MASSCAN,
        ..ROW
    },
    Row {
        name: "masscan under the tag of a VLAN that the host has",
        setup: Setup::Vlan,
        line: "{masscan} --adapter-vlan 7 -p 2000-2039 {host}",
        expected: SYN_SCAN,
        tool: MASSCAN,
        ..ROW
    },
    Row {
        name: "zmap of one port over 64 addresses",
        line: "{zmap} --target-port 2000 {spares}",
        expected: &[
            ("address-sweep", "distinct_addresses", "syn", FROM_ATTACKER),
            ("port-scan", "count", "syn", FROM_ATTACKER),
        ],
        tool: ZMAP,
        at_least: 64,
        ..ROW
    },
    Row {
        name: "zmap -M icmp_echoscan over 64 addresses",
        line: "{zmap} --probe-module icmp_echoscan {spares}",
        expected: &[(
            "icmp-sweep",
            "distinct_addresses",
            "echo-request",
            FROM_ATTACKER,
        )],
        tool: ZMAP,
        at_least: 64,
        ..ROW
    },
    Row {
        name: "zmap -M udp over 64 addresses",
        line: "{zmap} --probe-module udp --probe-args text:x --target-port 2000 {spares}",
        expected: &[
            ("address-sweep", "distinct_addresses", "udp", FROM_ATTACKER),
            ("port-scan", "count", "udp", FROM_ATTACKER),
        ],
        tool: ZMAP,
        at_least: 64,
        ..ROW
    },
    Row {
        name: "masscan and then nmap",
        line: "{ {masscan} -p 2000-2014 {host}; } && {nmap} -sS -p 2030-2049 {host}",
        expected: SYN_SCAN,
        tool: &["nmap", "masscan"],
        ..ROW
    },
    Row {
        name: "hping3, 5000 SYNs from as many sources",
        // It exits with 1 if it got no answer: the answers go to others.
        line: "hping3 --quiet --syn --rand-source --interval u50 --count 5000 --destport 2000 {host} || test $? = 1",
        at_least: 5000,
        ..ROW
    },
    Row {
        name: "hping3, SYNs with ECE and CWR",
        // hping3 calls the two bits xmas and ymas.
        line: "hping3 --quiet --syn --xmas --ymas --interval u200 --count 600 --destport 2000 --keep {host}",
        expected: &[
            ("syn-flood", "count", "syn", FROM_ATTACKER),
            ("port-scan", "count", "syn", FROM_ATTACKER),
            ("rapid-scan", "count", "syn", FROM_ATTACKER),
            (
                "failed-connections",
                "count",
                "refused-reset",
                FROM_ATTACKER,
            ),
        ],
        at_least: 1200,
        tool: HPING,
        ..ROW
    },
    Row {
        name: "hping3 from three neighbours, seven ports each",
        line: "for last in 11 12 13; do hping3 --quiet --syn --spoof 198.51.100.$last --interval u1000 --count 7 \
               --destport ++$((2000 + 7 * last)) {host} || test $? = 1; done",
        expected: &[("split-scan", "distinct_ports", "syn", "198.51.100.0/24")],
        tool: HPING,
        ..ROW
    },
    Row {
        name: "hping3, more SYNs of any sources than a server should get",
        line: "hping3 --quiet --syn --rand-source --interval u20 --count 10500 --destport 2000 {host} || test $? = 1",
        expected: &[("syn-flood-distributed", "count", "syn", OF_ALL)],
        at_least: 10_500,
        tool: HPING,
        ..ROW
    },
    Row {
        name: "hping3, SYNs of any sources to ever-new ports",
        arguments: "--profile outcomes",
        line: "hping3 --quiet --syn --rand-source --interval u20 --count 10500 --destport ++2000 {host} || test $? = 1",
        expected: &[("syn-flood-all-ports", "count", "syn", OF_ALL)],
        at_least: 10_500,
        tool: HPING,
        ..ROW
    },
    Row {
        name: "hping3, datagrams of any sources",
        line: "hping3 --quiet --udp --rand-source --interval u20 --count 10500 --destport 2000 {host} || test $? = 1",
        expected: &[("udp-flood-distributed", "count", "udp", OF_ALL)],
        at_least: 10_500,
        ..ROW
    },
    Row {
        name: "hping3, pings of any sources",
        line: "hping3 --quiet --icmp --rand-source --interval u20 --count 10500 {host} || test $? = 1",
        expected: &[("icmp-flood-distributed", "count", "echo-request", OF_ALL)],
        at_least: 10_500,
        ..ROW
    },
    Row {
        name: "hping3, DNS queries of any sources",
        // A standard query with one question, for the root.
        line: "query=$(mktemp) && printf '\\0\\7\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\0\\0\\1\\0\\1' > $query; \
               { hping3 --quiet --udp --rand-source --interval u20 --count 10500 --destport 53 --file $query --data 17 {host} || test $? = 1; } && \
               rm $query",
        expected: &[("dns-flood-distributed", "count", "dns-query", OF_ALL)],
        at_least: 10_500,
        ..ROW
    },
    Row {
        name: "ping -f",
        line: "ping -q -f -c 60 {host}",
        expected: &[("icmp-sweep", "count", "echo-request", FROM_ATTACKER)],
        ..ROW
    },
    Row {
        name: "nc of thirty closed ports",
        line: "nc.openbsd -z -w 1 {host} 2000-2029 || test $? = 1",
        expected: SYN_SCAN,
        ..ROW
    },
    Row {
        name: "curl, 110 times",
        setup: Setup::Web,
        line: CURLS,
        expected: FROM_CURL,
        ..ROW
    },
    Row {
        name: "curl, 110 times, seen by generic XDP",
        arguments: "--xdp generic",
        setup: Setup::Web,
        line: CURLS,
        expected: FROM_CURL,
        ..ROW
    },
    Row {
        name: "curl, 110 times, seen by TC",
        arguments: "--xdp off",
        setup: Setup::Web,
        line: CURLS,
        expected: FROM_CURL,
        ..ROW
    },
    Row {
        name: "curl, 110 times, in jumbo frames",
        arguments: "--xdp {xdp_of_jumbo_frames}",
        setup: Setup::WebJumbo,
        line: "curl --silent --fail --header Connection:close --header X:$(printf %07000d) 'http://{host}/?[1-110]'",
        expected: FROM_CURL,
        ..ROW
    },
    Row {
        name: "dig in a loop, at this host",
        setup: Setup::Nameserver(Side::Host),
        line: "{questions} | dig @{host} +tries=1 -f -",
        expected: DIG,
        ..ROW
    },
    Row {
        name: "dig +tcp in a loop, at this host",
        setup: Setup::Nameserver(Side::Host),
        line: "{questions} | dig @{host} +tries=1 +tcp -f -",
        expected: DIG_TCP,
        ..ROW
    },
    Row {
        name: "dig in a loop, by this host",
        setup: Setup::Nameserver(Side::Attacker),
        line: "{questions} | dig @{attacker} +tries=1 -f -",
        side: Side::Host,
        expected: &[("dns-flood", "count", "dns-query-sent", FROM_HOST)],
        ..ROW
    },
    Row {
        name: "dig +tcp in a loop, by this host",
        setup: Setup::Nameserver(Side::Attacker),
        line: "{questions} | dig @{attacker} +tries=1 +tcp -f -",
        side: Side::Host,
        expected: &[("dns-flood", "count", "dns-query-sent", FROM_HOST)],
        ..ROW
    },
];
