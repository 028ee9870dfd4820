//! The techniques, and the tests that show what recon sees of them.

use super::Seen::{InPart, No, Yes};
use super::{Proof, Seen, Technique};

const TOOLS: &str = "tools.rs";
const ATTACKS: &str = "clients.rs";
const FRAMES: &str = "program_runs.rs";
const OUTBOUND: &str = "outbound.rs";
const PROCESSES: &str = "processes.rs";

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
        "scan among decoys (`nmap -D`)",
        Yes,
        &[
            (TOOLS, "nmap -D"),
            ("hostile_lines.rs", "a_scanner_among_decoys_is_named"),
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
        ],
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
        InPart("short sessions of `internal-sftp` look alike"),
        &[(ATTACKS, "thirty guesses of a password")],
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
        ],
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
];
