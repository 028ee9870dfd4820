//! The techniques, and the tests that show what recon sees of them.

use super::Seen::{InPart, No, Yes};
use super::{Proof, Seen, Technique};

const TOOLS: &str = "tools.rs";
const ATTACKS: &str = "clients.rs";
const FRAMES: &str = "program_runs.rs";
const OUTBOUND: &str = "outbound.rs";
const PROCESSES: &str = "processes.rs";
const LINES: &str = "hostile_lines.rs";
const FLOWS: &str = "hostile_flows.rs";
const BLIND: &str = "hostile_blind.rs";

const fn row(name: &'static str, seen: Seen, proofs: &'static [Proof]) -> Technique {
    Technique { name, seen, proofs }
}

pub(super) const TECHNIQUES: &[Technique] = &[
    row(
        "SYN scan",
        Yes,
        &[(TOOLS, "nmap -sS"), (TOOLS, "nmap -6"), (TOOLS, "masscan")],
    ),
    row("connect scan", Yes, &[(TOOLS, "nmap -sT")]),
    row("UDP scan", Yes, &[(TOOLS, "nmap -sU")]),
    row(
        "FIN, NULL, Xmas and Maimon scan",
        Yes,
        &[
            (TOOLS, "nmap -sF"),
            (TOOLS, "nmap -sN"),
            (TOOLS, "nmap -sX"),
            (TOOLS, "nmap -sM"),
        ],
    ),
    row(
        "ACK, window, FIN+PSH+ACK and FIN+URG+ACK scan",
        InPart("by this host's resets: nothing where a firewall drops the probes"),
        &[
            (ATTACKS, "nmap -sA, which only resets show"),
            (ATTACKS, "nmap -sW"),
            (ATTACKS, "FIN+PSH+ACK to thirty ports"),
        ],
    ),
    row(
        "fragmented scan",
        Yes,
        &[
            (TOOLS, "nmap -f"),
            (TOOLS, "nmap -ff, fragments that show the flags"),
        ],
    ),
    row(
        "idle scan (`nmap -sI`)",
        No("its probes bear the address of an innocent third party, whom recon names"),
        &[],
    ),
    row(
        "SYN-ACK scan",
        InPart("informational: backscatter of a flood in this host's name looks alike"),
        &[(TOOLS, "nmap, SYN-ACK")],
    ),
    row(
        "scan of IP protocols (`nmap -sO`)",
        Yes,
        &[(TOOLS, "nmap, IP protocols")],
    ),
    row(
        "SCTP scan",
        Yes,
        &[
            (TOOLS, "nmap, SCTP INIT"),
            (TOOLS, "nmap, SCTP COOKIE-ECHO"),
        ],
    ),
    row(
        "sweep of the local link (ARP, neighbour discovery)",
        Yes,
        &[
            (TOOLS, "scapy, ARP requests"),
            (TOOLS, "scapy, neighbour solicitations"),
        ],
    ),
    row(
        "guess of the system (`nmap -O`)",
        Yes,
        &[(ATTACKS, "nmap -O of two ports")],
    ),
    row(
        "search for services that amplify",
        Yes,
        &[(ATTACKS, "a search for five services that amplify")],
    ),
    row(
        "scan among decoys (`nmap -D`)",
        Yes,
        &[
            (TOOLS, "nmap -D"),
            (LINES, "a_scanner_among_decoys_is_named"),
        ],
    ),
    row(
        "scan of few or common ports",
        Yes,
        &[(ATTACKS, "nmap -F"), (ATTACKS, "fifteen common ports")],
    ),
    row(
        "scan split among neighbours",
        Yes,
        &[
            (TOOLS, "hping3 from three neighbours, seven ports each"),
            (ATTACKS, "four neighbours, which share a hundred ports"),
            (LINES, "forged_neighbours_hide_no_split_scan"),
        ],
    ),
    row(
        "scan split among networks of one owner",
        InPart("IPv6 up to a /48; neighbours beyond a /24 of IPv4 have nothing in common"),
        &[(LINES, "networks_of_one_owner_that_share_a_scan_are_named")],
    ),
    row(
        "sweep of this host's addresses",
        Yes,
        &[
            (TOOLS, "nmap -sn over 64 addresses"),
            (TOOLS, "zmap of one port over 64 addresses"),
            (ATTACKS, "one port of 64 addresses"),
        ],
    ),
    row(
        "scan under VLAN tags",
        Yes,
        &[
            (TOOLS, "masscan under a VLAN tag"),
            (FRAMES, "a frame full of tags"),
        ],
    ),
    row(
        "probe behind IPv6 extension headers",
        Yes,
        &[(FRAMES, "a frame full of extension headers")],
    ),
    row(
        "scan inside of a spoofed flood",
        Yes,
        &[(
            "spoofed.rs",
            "a_scanner_inside_of_a_spoofed_flood_is_reported",
        )],
    ),
    row(
        "guesses of SSH passwords",
        InPart(
            "on port 22; a connection may carry six guesses, and sessions of a few kilobytes without a program look alike",
        ),
        &[
            (ATTACKS, "thirty guesses of a password"),
            (ATTACKS, "a few guesses of each of six neighbours"),
        ],
    ),
    row(
        "use of what a scan found",
        Yes,
        &[(ATTACKS, "nmap -sS, and then curl at the open port")],
    ),
    row(
        "SYN flood, to one port and to many",
        Yes,
        &[
            (
                TOOLS,
                "hping3, more SYNs of any sources than a server should get",
            ),
            (TOOLS, "hping3, SYNs of any sources to ever-new ports"),
            (ATTACKS, "hping3: six hundred SYNs to one closed port"),
        ],
    ),
    row(
        "flood of segments without a connection",
        InPart("by this host's resets: nothing where a firewall drops them"),
        &[
            (TOOLS, "hping3, ACKs to a closed port"),
            (TOOLS, "hping3, ACKs to an open port without a connection"),
            (
                TOOLS,
                "hping3, FIN+PSH+ACK to an open port without a connection",
            ),
            (TOOLS, "hping3, FINs to an open port"),
        ],
    ),
    row(
        "reflected flood, backscatter",
        Yes,
        &[
            (TOOLS, "hping3, SYN-ACKs of any sources"),
            (TOOLS, "hping3, resets of any sources"),
        ],
    ),
    row(
        "flood of other ICMP, other protocols, later fragments",
        Yes,
        &[
            (TOOLS, "hping3, timestamp requests of any sources"),
            (TOOLS, "hping3, GRE of any sources"),
            (TOOLS, "hping3, later fragments of any sources"),
        ],
    ),
    row(
        "flood of datagrams by one source",
        InPart("informational: a tunnel sends as many"),
        &[
            (FLOWS, "a service that answers"),
            (FLOWS, "a service that never answers"),
        ],
    ),
    row(
        "flood of datagrams, pings and DNS queries",
        Yes,
        &[
            (TOOLS, "hping3, datagrams of any sources"),
            (TOOLS, "hping3, pings of any sources"),
            (TOOLS, "hping3, DNS queries of any sources"),
        ],
    ),
    row(
        "scan by a known tool on this host",
        Yes,
        &[
            (PROCESSES, "nmap -sS"),
            (PROCESSES, "masscan"),
            (PROCESSES, "nmap through the dynamic loader"),
            (
                ATTACKS,
                "an outbound nmap -sA, which looks like packets of connections",
            ),
        ],
    ),
    row(
        "scan by any program on this host",
        Yes,
        &[
            (PROCESSES, "nmap -sT under another name"),
            (PROCESSES, "a connect loop in Python"),
            (OUTBOUND, "remotes on two ports"),
            (OUTBOUND, "a program for each port"),
            (OUTBOUND, "name servers that do not answer"),
            (OUTBOUND, "ten ports of each remote"),
            (OUTBOUND, "a ping for each remote"),
            (ATTACKS, "an outbound nmap -sW under another name"),
        ],
    ),
    row(
        "frames past the traffic control layer (`PACKET_QDISC_BYPASS`, AF_XDP)",
        No("no hook sees them leave; what answers them counts as stray"),
        &[],
    ),
    row(
        "scan from a container with a network of its own",
        InPart("raw sockets have no process there"),
        &[(
            PROCESSES,
            "nmap -sT in a container with a network of its own",
        )],
    ),
    row(
        "traffic forged in another network namespace",
        Yes,
        &[(
            "hostile_netns.rs",
            "what_an_unprivileged_user_forges_names_nobody",
        )],
    ),
    row(
        "a hook detached, a map changed, a table filled",
        InPart("of the maps, only table, counters and generation"),
        &[
            (BLIND, "a_detached_hook_is_an_alert_and_is_attached_again"),
            (
                BLIND,
                "a_program_in_front_is_an_alert_and_recon_goes_before_it",
            ),
            (
                BLIND,
                "changed_maps_are_an_alert_and_the_next_scan_is_counted",
            ),
            (BLIND, "a_frozen_map_is_an_alert_and_ends_recon"),
            (BLIND, "a_full_table_is_an_alert_and_so_is_its_end"),
        ],
    ),
];
