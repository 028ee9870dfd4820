//! Names, patterns and exclusions on interfaces of every kind.

use super::*;
use crate::hook::LinkHeader;

fn interface(index: u32, name: &str) -> Interface {
    Interface {
        name: name.to_owned(),
        index,
        is_up: true,
        header: LinkHeader::Ethernet,
        ..Interface::default()
    }
}

/// A host with a bridge for containers, a bridge without members, a VLAN, a tunnel, a card that is
/// down with a VLAN above, and a CAN bus.
fn host() -> Vec<Interface> {
    vec![
        Interface {
            is_loopback: true,
            ..interface(1, "lo")
        },
        Interface {
            altnames: vec!["enp1s0".to_owned(), "uplink".to_owned()],
            ..interface(2, "eth0")
        },
        Interface {
            is_up: false,
            ..interface(3, "eth1")
        },
        interface(4, "docker0"),
        Interface {
            controller: Some(4),
            ..interface(5, "veth5a")
        },
        Interface {
            controller: Some(4),
            ..interface(6, "veth6b")
        },
        Interface {
            lower: Some(2),
            ..interface(7, "eth0.7")
        },
        Interface {
            lower: Some(3),
            ..interface(8, "eth1.7")
        },
        interface(9, "virbr0"),
        Interface {
            header: LinkHeader::Missing,
            ..interface(10, "wg0")
        },
        Interface {
            header: LinkHeader::Unreadable,
            ..interface(11, "can0")
        },
    ]
}

fn select(terms: &[&str]) -> Selection {
    let terms = terms.iter().map(|term| term.parse().expect(term));
    Selection::new(&terms.collect::<Vec<_>>())
}

/// The names of what is chosen, or the error.
fn chosen(all: &[Interface], terms: &[&str]) -> String {
    let selection = select(terms);
    if let Err(error) = selection.check(all) {
        return format!("error: {error}");
    }
    let nothing = HashSet::new();
    let watch = selection.choose(all, &nothing, &nothing).watch;
    let names: Vec<_> = watch.iter().map(|of| of.name.as_str()).collect();
    names.join(" ")
}

#[test]
fn names_patterns_and_exclusions_choose() {
    let all = host();
    for (terms, expected) in [
        (&[][..], "eth0 veth5a veth6b eth1.7 virbr0 wg0"),
        (&["eth0"], "eth0"),
        (&["eth0", "eth0"], "eth0"),
        (&["wg0", "eth0"], "wg0 eth0"),
        (&["eth1"], "eth1"),
        (&["lo"], "lo"),
        (&["uplink"], "eth0"),
        (&["enp1s0", "eth0"], "eth0"),
        (&["docker0"], "docker0"),
        (&["eth0", "eth0.7"], "eth0 eth0.7"),
        (&["eth*"], "eth0 eth1.7"),
        (&["eth?"], "eth0"),
        (&["eth0.*"], "eth0.7"),
        (&["enp*"], "eth0"),
        (&["veth[0-9]*"], "veth5a veth6b"),
        (&["veth[5]*", "wg?"], "veth5a wg0"),
        (&["veth[!5]*"], "veth6b"),
        (&["*"], "eth0 veth5a veth6b eth1.7 virbr0 wg0"),
        (&["docker*"], "docker0"),
        (&["docker0", "veth*"], "docker0 veth5a veth6b"),
        (&["nosuch*"], ""),
        (&["!docker0"], "eth0 veth5a veth6b eth1.7 virbr0 wg0"),
        (&["!veth*"], "eth0 docker0 eth1.7 virbr0 wg0"),
        (&["!veth*", "!docker0"], "eth0 eth1.7 virbr0 wg0"),
        (&["!uplink"], "veth5a veth6b eth0.7 eth1.7 virbr0 wg0"),
        (&["eth*", "!eth0"], "eth0.7 eth1.7"),
        (&["eth*", "!*.7"], "eth0"),
        (&["eth0", "!eth*"], "eth0"),
        (&["*", "!nosuch0"], "eth0 veth5a veth6b eth1.7 virbr0 wg0"),
        (
            &["!*"],
            "error: no interface to watch is up (there are: lo, eth0, eth1, docker0, veth5a, veth6b, eth0.7, eth1.7, virbr0, wg0, can0); name one with -i",
        ),
        (
            &["eth9"],
            "error: no interface is named `eth9`; there are: lo, eth0, eth1, docker0, veth5a, veth6b, eth0.7, eth1.7, virbr0, wg0, can0",
        ),
        (
            &["can0"],
            "error: the packets of can0 start neither with Ethernet's header nor with IP's, and recon reads no others; leave it out, or exclude it with -i '!can0'",
        ),
    ] {
        assert_eq!(chosen(&all, terms), expected, "{terms:?}");
    }
}

#[test]
fn wrong_terms_are_refused() {
    for (term, expected) in [
        ("!", "no name; name an interface ('!docker0')"),
        ("eth[0", "invalid range pattern (at character 4)"),
        ("!veth[", "invalid range pattern (at character 5)"),
        ("eth***", "wildcards are either regular"),
        ("eth**", "recursive wildcards must form"),
    ] {
        let error = term.parse::<InterfaceTerm>().expect_err(term);
        assert!(error.contains(expected), "{term:?}: {error}");
    }
}

#[test]
fn patterns_that_wait_are_named() {
    let selection = select(&["eth*", "tun*", "!wg*", "!ppp*", "eth0"]);
    let idle = selection.idle_patterns(&host());
    let idle: Vec<_> = idle.iter().map(ToString::to_string).collect();
    assert_eq!(idle, ["tun*"]);
}

/// What is chosen after a change, of a host that was watched before it.
#[test]
fn each_change_is_chosen_again() {
    let change = |change: fn(&mut Vec<Interface>)| {
        let mut all = host();
        change(&mut all);
        all
    };
    for (what, terms, all, expected) in [
        (
            "an interface goes down",
            &[][..],
            change(|all| all[1].is_up = false),
            "eth0 veth5a veth6b eth1.7 virbr0 wg0",
        ),
        (
            "a card comes up below a VLAN",
            &[],
            change(|all| all[2].is_up = true),
            "eth0 eth1 veth5a veth6b virbr0 wg0",
        ),
        (
            "a bridge gets its first member",
            &[],
            change(|all| all[9].controller = Some(9)),
            "eth0 veth5a veth6b eth1.7 wg0",
        ),
        (
            "a bridge gets a member that is down",
            &[],
            change(|all| all[2].controller = Some(9)),
            "eth0 veth5a veth6b eth1.7 virbr0 wg0",
        ),
        (
            "a bridge loses its members",
            &[],
            change(|all| all.retain(|of| of.controller.is_none())),
            "eth0 docker0 eth1.7 virbr0 wg0",
        ),
        (
            "a tap appears",
            &[],
            change(|all| all.push(interface(12, "tap0"))),
            "eth0 veth5a veth6b eth1.7 virbr0 wg0 tap0",
        ),
        (
            "one that is named gets another name",
            &["eth0"],
            change(|all| all[1].name = "lan0".to_owned()),
            "lan0",
        ),
        (
            "one gets a name that a pattern leaves out",
            &["eth*"],
            change(|all| (all[1].name, all[1].altnames) = ("lan0".to_owned(), Vec::new())),
            "eth0.7 eth1.7",
        ),
        (
            "one gets a name that is excluded",
            &["!lan*"],
            change(|all| all[1].name = "lan0".to_owned()),
            "veth5a veth6b eth0.7 eth1.7 virbr0 wg0",
        ),
    ] {
        let selection = select(terms);
        let (before, nothing) = (host(), HashSet::new());
        let watched = selection.choose(&before, &nothing, &nothing).watch;
        let named = watched
            .iter()
            .filter(|interface| selection.names(interface));
        let named = named.map(|interface| interface.index).collect();
        let watched = watched.iter().map(|interface| interface.index).collect();
        let now = selection.choose(&all, &named, &watched).watch;
        let names: Vec<_> = now.iter().map(|of| of.name.as_str()).collect();
        assert_eq!(names.join(" "), expected, "{what}");
    }
}
