//! Rows: networks with more than one plain card.
//!
//! In: nothing. Out: tables of rows. The decision held here: a host behind the watched one is a
//! network namespace in the same guest, joined by a veth pair: its packets take the path that those
//! of another machine would.

use recon_tests::machine::{self, OTHER_NETWORKS};

use super::fallback::{BEST, NATIVE, SCAN, SOCKETS};
use super::row::{Attack, By, End, Expected, Kernels, Row, Run, Table, Total};

/// A hundred SYNs from one host to another, which refuses all but the one to its web server.
const fn scan(command: &'static str, alert: &'static [Expected]) -> Attack {
    Attack {
        by: By::Attacker(command),
        signals: Some(200),
        alerts: alert,
    }
}

/// SYNs under a tag; the host answers under the same.
const TAGGED_SCAN: Attack = Attack {
    by: By::Tagged {
        vlan: 7,
        from: "203.0.113.2",
        to: "203.0.113.1",
        ports: 101..201,
    },
    signals: Some(200),
    alerts: &Expected::of_fast_scan(
        "source.ip=203.0.113.2 destination.ip=203.0.113.1 recon.outcomes.refused>0",
    ),
};
/// Datagrams that fill the largest frames, as a whole.
const JUMBO_PINGS: Attack = Attack {
    by: By::Attacker("ip link set {link} mtu 9000; ping -n -q -M do -s 8900 -f -c 60 {host}"),
    signals: Some(60),
    alerts: &[Expected {
        rule: "icmp-sweep",
        measure: "count",
        fields: "source.ip={attacker} destination.ip={host}",
    }],
};
const ROUTED_SCAN: Attack = scan(
    "hping3 -q -n -S -p ++1 -c 100 -i u2000 192.0.2.2",
    &Expected::of_fast_scan(
        "source.ip={attacker} destination.ip=192.0.2.2 recon.outcomes.refused>0",
    ),
);
const BRIDGED_SCAN: Attack = scan(
    "hping3 -q -n -S -p ++1 -c 100 -i u2000 198.51.100.3",
    &Expected::of_fast_scan(
        "source.ip={attacker} destination.ip=198.51.100.3 recon.outcomes.refused>0",
    ),
);
/// A SYN that is forwarded is a hit on the interface where it comes in, and, where it goes out, a
/// sent one without a process. So its answer is a received one there, and then a sent one.
const FORWARDED_TWICE: Option<u64> = Some(400);
const VETH: &str = "[INFO ] va: inbound by {tc} ingress, outbound by {tc} egress; *";
const VLAN_IS_ABOVE: &str =
    "[INFO ] eth0.7: not watched: recon sees its packets on the interfaces below it";

/// Creates a namespace with one end of a veth pair, and writes its process id to /tmp/behind.
macro_rules! behind {
    ($rest:literal) => {
        concat!(
            "unshare -n sh -c 'echo $$ >/tmp/behind; exec sleep 1000' &
until [ -s /tmp/behind ]; do usleep 10000; done
behind() { nsenter -t $(cat /tmp/behind) -n \"$@\"; }
# Its other end is veth0.
ip link add va type veth
ip link set veth0 netns $(cat /tmp/behind)
ip link set va up
behind ip link set lo up
behind ip link set veth0 up
",
            $rest
        )
    };
}
const END_BEHIND: &str = "kill $(cat /tmp/behind)
rm /tmp/behind
while [ -e /sys/class/net/va ]; do usleep 10000; done
";

pub(super) const NETWORKS: Table = Table {
    machine: &OTHER_NETWORKS,
    inside: "",
    outside: "route add 192.0.2.0/24 via 198.51.100.1
neighbor replace 198.51.100.3 lladdr 02:00:00:00:00:05 dev veth1 nud permanent
",
    rows: &[
        Row {
            name: "a routed host behind: it is the destination",
            kernels: Kernels::All,
            before: behind!(
                "ip address add 192.0.2.1/24 dev va
behind ip address add 192.0.2.2/24 dev veth0
behind ip route add default via 192.0.2.1
echo 1 >/proc/sys/net/ipv4/ip_forward
behind ping -c 1 {attacker}"
            ),
            runs: &[
                Run {
                    arguments: "-i eth0",
                    says: BEST,
                    attacks: &[ROUTED_SCAN],
                    ..Run::PLAIN
                },
                Run {
                    says: &[SOCKETS, NATIVE, VETH],
                    attacks: &[Attack {
                        signals: FORWARDED_TWICE,
                        ..ROUTED_SCAN
                    }],
                    ..Run::PLAIN
                },
            ],
            after: END_BEHIND,
        },
        Row {
            name: "a VLAN: counted once, below it",
            kernels: Kernels::All,
            before: "ip link add link eth0 name eth0.7 type vlan id 7
ip link set eth0.7 up
ip address add 203.0.113.1/24 dev eth0.7
arp -i eth0.7 -s 203.0.113.2 02:00:00:00:00:02",
            runs: &[
                Run {
                    says: &[VLAN_IS_ABOVE, SOCKETS, NATIVE],
                    attacks: &[TAGGED_SCAN],
                    ..Run::PLAIN
                },
                Run {
                    arguments: "--xdp generic",
                    says: &[
                        VLAN_IS_ABOVE,
                        SOCKETS,
                        "[INFO ] eth0: inbound by generic XDP, outbound by {tc} egress; *",
                    ],
                    attacks: &[TAGGED_SCAN],
                    ..Run::PLAIN
                },
                Run {
                    arguments: "--xdp off",
                    says: &[
                        VLAN_IS_ABOVE,
                        SOCKETS,
                        "[INFO ] eth0: inbound by {tc} ingress, outbound by {tc} egress; *",
                    ],
                    attacks: &[TAGGED_SCAN],
                    ..Run::PLAIN
                },
                // An interface that is named is watched in its own right.
                Run {
                    arguments: "-i eth0.7",
                    says: &[
                        SOCKETS,
                        "[INFO ] eth0.7: native XDP: *",
                        "[INFO ] eth0.7: inbound by generic XDP, outbound by {tc} egress; *",
                    ],
                    attacks: &[TAGGED_SCAN],
                    ..Run::PLAIN
                },
            ],
            after: "ip link del eth0.7",
        },
        Row {
            name: "frames of 9000 bytes: generic XDP before Linux 6.3",
            kernels: Kernels::BeforeTcx,
            before: "ip link set eth0 mtu 9000",
            runs: &[Run {
                says: &[
                    SOCKETS,
                    "[INFO ] eth0: native XDP: *MTU too large to enable XDP*",
                    "[INFO ] eth0: inbound by generic XDP, outbound by {tc} egress; *",
                ],
                attacks: &[SCAN, JUMBO_PINGS],
                ..Run::PLAIN
            }],
            after: "ip link set eth0 mtu 1500",
        },
        Row {
            name: "frames of 9000 bytes: native XDP",
            kernels: Kernels::SinceTcx,
            before: "ip link set eth0 mtu 9000",
            runs: &[Run {
                says: BEST,
                attacks: &[SCAN, JUMBO_PINGS],
                ..Run::PLAIN
            }],
            after: "ip link set eth0 mtu 1500",
        },
        Row {
            name: "all 65535 ports: at most three lines, and the exact count",
            kernels: Kernels::All,
            before: "",
            runs: &[Run {
                says: BEST,
                attacks: &[Attack {
                    // No faster than an emulated processor polls.
                    by: By::Attacker("hping3 -q -n -S -p ++1 -c 65535 -i u1000 {host}"),
                    signals: None,
                    alerts: &[],
                }],
                total: Some(Total {
                    rule: "port-scan",
                    measure: "distinct_ports",
                    at_most: 3,
                    last_count: 65_535,
                }),
                ..Run::PLAIN
            }],
            after: "",
        },
        Row {
            name: "IPv6 alone",
            kernels: Kernels::All,
            before: "ip -4 address flush dev eth0
ip -4 address flush dev lo
[ -z \"$(ip -4 address | grep inet)\" ]",
            runs: &[Run {
                says: BEST,
                attacks: &[Attack {
                    by: By::Attacker("nmap -6 -n -Pn -sS -p1-100 {host6}"),
                    signals: None,
                    alerts: &Expected::of_fast_scan(
                        "source.ip={attacker6} destination.ip={host6} network.type=ipv6 recon.outcomes.refused>0",
                    ),
                }],
                ..Run::PLAIN
            }],
            after: "ip address add {host}/24 dev eth0
ip route add default via {attacker}",
        },
        // This row leaves the card in a bridge, so it comes last.
        Row {
            name: "a bridged host behind: it is the destination",
            kernels: Kernels::All,
            before: behind!(
                "behind ip link set veth0 address 02:00:00:00:00:05
behind ip address add 198.51.100.3/24 dev veth0
brctl addbr br0
brctl addif br0 eth0
brctl addif br0 va
ip link set br0 address 02:00:00:00:00:01
ip address flush dev eth0
ip address add {host}/24 dev br0
ip link set br0 up
behind ping -c 1 {attacker}"
            ),
            runs: &[
                Run {
                    arguments: "-i eth0",
                    says: BEST,
                    attacks: &[BRIDGED_SCAN],
                    ..Run::PLAIN
                },
                Run {
                    says: &[
                        "[INFO ] br0: not watched: recon sees its packets on the interfaces below it",
                        SOCKETS,
                        NATIVE,
                        VETH,
                    ],
                    attacks: &[Attack {
                        signals: FORWARDED_TWICE,
                        ..BRIDGED_SCAN
                    }],
                    ..Run::PLAIN
                },
            ],
            after: END_BEHIND,
        },
    ],
};

pub(super) const SEVERAL_CARDS: Table = Table {
    machine: &machine::SEVERAL_CARDS,
    inside: "ip address add 203.0.113.1/24 dev eth1
ip address add 192.0.2.1/24 dev eth2
ip link set eth1 up",
    outside: "address add 203.0.113.2/24 dev veth1
address add 192.0.2.2/24 dev veth1
neighbor replace 203.0.113.1 lladdr 02:00:00:00:01:01 dev veth1 nud permanent
neighbor replace 192.0.2.1 lladdr 02:00:00:00:02:01 dev veth1 nud permanent
",
    rows: &[
        Row {
            name: "two cards with two queues each: a scan over each is told once",
            kernels: Kernels::All,
            // The bridge between the machines sends frames to every card until it has learned their
            // address, so each card sends one first.
            before: "[ $(ls -d /sys/class/net/eth[01]/queues/rx-* | wc -l) = 4 ]
ping -c 1 {attacker}
ping -c 1 203.0.113.2",
            runs: &[Run {
                says: &[
                    SOCKETS,
                    NATIVE,
                    "[INFO ] eth1: inbound by native XDP, outbound by {tc} egress",
                ],
                attacks: &[
                    SCAN,
                    scan(
                        "hping3 -q -n -S -p ++1 -c 100 -i u2000 -a 203.0.113.2 203.0.113.1",
                        &Expected::of_fast_scan(
                            "source.ip=203.0.113.2 destination.ip=203.0.113.1 recon.outcomes.refused>0",
                        ),
                    ),
                ],
                ..Run::PLAIN
            }],
            after: "",
        },
        Row {
            name: "a driver that refuses native XDP: generic",
            kernels: Kernels::All,
            // As above, the card sends a frame first.
            before: "ip link set eth2 up
ping -c 1 192.0.2.2",
            runs: &[
                Run {
                    arguments: "-i eth2 --xdp native",
                    says: &[
                        SOCKETS,
                        "[ERROR] can't watch eth2: no inbound hook attaches: native XDP: *; try --xdp auto",
                    ],
                    end: End::Refused,
                    ..Run::PLAIN
                },
                Run {
                    says: &[
                        SOCKETS,
                        "[INFO ] eth2: native XDP: *",
                        NATIVE,
                        "[INFO ] eth1: inbound by native XDP, outbound by {tc} egress",
                        "[INFO ] eth2: inbound by generic XDP, outbound by {tc} egress; *",
                    ],
                    attacks: &[
                        SCAN,
                        scan(
                            "hping3 -q -n -S -p ++1 -c 100 -i u2000 -a 192.0.2.2 192.0.2.1",
                            &Expected::of_fast_scan(
                                "source.ip=192.0.2.2 destination.ip=192.0.2.1 recon.outcomes.refused>0",
                            ),
                        ),
                    ],
                    ..Run::PLAIN
                },
            ],
            // Generic XDP asks the driver to stop merging packets, which this one can't: the kernel
            // says so, with a trace.
            after: "dmesg -c >/tmp/known
grep 'failed to disable' /tmp/known
[ $(grep -cE 'WARNING:|BUG:|Oops' /tmp/known) = 1 ]",
        },
    ],
};
