//! The built-in rules on processes of this host that reach for many remotes in vain, alone or
//! together: N stay quiet, N + 1 fire.

use super::*;
use crate::process::Process;

const LOCAL_ADDRESS: Address = Address::v4(LOCAL);
/// The process that starts others, and their unit.
const PARENT: u32 = 500;
const UNIT: &str = "shop.service";

/// What a process of this host reached for, and whether somebody answered.
#[derive(Clone, Copy)]
struct Attempt {
    signal: Signal,
    remote: Address,
    port: u16,
    pid: u32,
    parent: u32,
    unit: Option<&'static str>,
    is_answered: bool,
}

const ATTEMPT: Attempt = Attempt {
    signal: Signal::SynSent,
    remote: REMOTE,
    port: 443,
    pid: PROCESS,
    parent: PARENT,
    unit: None,
    is_answered: false,
};

/// A name, a number of attempts, and the attempt with each number.
type Case = (&'static str, u16, fn(u16) -> Attempt);

fn remote(number: u16) -> Address {
    let [high, low] = number.to_be_bytes();
    Address::v4([198, 19, high, low])
}

impl Attempt {
    /// From a process of its own, as a shell's loop starts them.
    const fn by_child(number: u16) -> Self {
        Self {
            pid: PROCESS + number as u32,
            ..ATTEMPT
        }
    }

    /// From a process whose parent is gone, as a daemon's.
    const fn by_orphan(number: u16) -> Self {
        Self {
            parent: 1 + number as u32 % 2,
            unit: Some(UNIT),
            ..Self::by_child(number)
        }
    }

    fn observe(self, pipeline: &mut Pipeline, poll: Interval) {
        let process = Process {
            pid: self.pid,
            parent: Some(self.parent),
            unit: self.unit.map(str::to_owned),
            ..Process::default()
        };
        let answer = match self.signal {
            Signal::SynSent => Signal::SynAckReceived,
            _ => Signal::ReplyReceived,
        };
        let sent = (self.signal, self.pid);
        let rows = [sent, (answer, 0)];
        let rows = if self.is_answered {
            &rows[..]
        } else {
            &rows[..1]
        };
        for &(signal, pid) in rows {
            let key = key(signal, self.remote, LOCAL_ADDRESS, self.port, pid);
            let row = Row {
                device: "web1",
                process: (pid != 0).then_some(&process),
                ..Row::bare(RowKey::unpack(&key).expect("a signal"), 1, poll.to)
            };
            pipeline.push(&row, poll);
        }
    }
}

/// The names of the outbound rules that fire on so many attempts.
fn fired(count: u16, attempt: fn(u16) -> Attempt) -> Vec<String> {
    let plans = defaults(Profile::Outcomes);
    let mut pipeline = Pipeline::new(settings(plain(plans)));
    for number in 0..count {
        attempt(number).observe(&mut pipeline, at(Duration::from_secs(7200)));
    }
    let polls = 7200..7203;
    let found = polls
        .flat_map(|second| pipeline.end_poll_unlimited(at(Duration::from_secs(second)), false));
    found
        .map(|finding| finding.query.plan().name.clone())
        .collect()
}

#[test]
fn failures_are_counted_over_ports_children_and_units() {
    const FEW_PORTS: &str = "Many remotes reached for in vain on a few ports by one process";
    const SWEEP: &str = "Many remotes reached for in vain on one port by one process";
    const CHILDREN_SPREAD: &str =
        "Many ports of several remotes reached for in vain by several children of one process";
    const DNS: &str = "Many remotes reached for on port 53 by one process, most of them in vain";
    const CHILDREN: &str =
        "Many ports of one remote reached for in vain by several children of one process";
    const UNITS: &str =
        "Many ports of one remote reached for in vain by several processes of one unit";
    const CHILDREN_SWEEP: &str = "Many remotes reached for on one port by several children of one process, most of them in vain";
    const UNITS_SWEEP: &str = "Many remotes reached for on one port by several processes of one unit, most of them in vain";
    let rows: &[Case] = &[
        (FEW_PORTS, 100, |number| Attempt {
            remote: remote(number),
            port: 20 + number % 4,
            ..ATTEMPT
        }),
        (SWEEP, 100, |number| Attempt {
            remote: remote(number),
            ..ATTEMPT
        }),
        (CHILDREN_SPREAD, 100, |number| Attempt {
            remote: remote(number % 5),
            port: 2000 + number,
            ..Attempt::by_child(number)
        }),
        (DNS, 100, |number| Attempt {
            signal: Signal::DnsSentUdp,
            remote: remote(number),
            port: 53,
            ..ATTEMPT
        }),
        (DNS, 100, |number| Attempt {
            remote: remote(number),
            port: 53,
            ..ATTEMPT
        }),
        (CHILDREN, 20, |number| Attempt {
            port: 2000 + number,
            ..Attempt::by_child(number)
        }),
        (UNITS, 20, |number| Attempt {
            port: 2000 + number,
            ..Attempt::by_orphan(number)
        }),
        (CHILDREN_SWEEP, 100, |number| Attempt {
            remote: remote(number),
            ..Attempt::by_child(number)
        }),
        (UNITS_SWEEP, 100, |number| Attempt {
            remote: remote(number),
            ..Attempt::by_orphan(number)
        }),
    ];
    for &(name, threshold, attempt) in rows {
        assert_eq!(fired(threshold, attempt), [""; 0], "{name}");
        let mut names = fired(threshold + 1, attempt);
        // Half of the orphans have one and the same parent, besides process 1.
        names.retain(|found| found == name);
        assert_eq!(names, [name]);
    }
}

#[test]
fn programs_that_reach_many_remotes_are_no_scanners() {
    let rows: &[Case] = &[
        (
            "a resolver, of whose name servers a third is dead",
            900,
            |number| Attempt {
                signal: Signal::DnsSentUdp,
                remote: remote(number),
                port: 53,
                is_answered: number % 3 != 0,
                ..ATTEMPT
            },
        ),
        (
            "a mail server with a child for each message",
            900,
            |number| Attempt {
                remote: remote(number),
                port: 25,
                is_answered: number % 3 != 0,
                ..Attempt::by_child(number)
            },
        ),
        (
            "the same, whose children have many parents",
            900,
            |number| Attempt {
                remote: remote(number),
                port: 25,
                is_answered: number % 3 != 0,
                ..Attempt::by_orphan(number)
            },
        ),
        (
            "a program with peers, most of which are gone",
            400,
            |number| Attempt {
                remote: remote(number),
                port: 20_000 + number,
                ..ATTEMPT
            },
        ),
        ("a proxy, of whose remotes some are dead", 900, |number| {
            Attempt {
                remote: remote(number),
                is_answered: number % 7 != 0,
                ..ATTEMPT
            }
        }),
        (
            "a browser that IPv6 fails, and IPv4 does not",
            900,
            |number| Attempt {
                remote: remote(number),
                is_answered: number % 2 == 0,
                ..ATTEMPT
            },
        ),
        ("a crawler", 900, |number| Attempt {
            remote: remote(number),
            port: if number % 2 == 0 { 80 } else { 443 },
            is_answered: number % 10 != 0,
            ..ATTEMPT
        }),
        ("services that process 1 has started", 300, |number| {
            Attempt {
                remote: remote(number % 100),
                port: 2000 + number,
                parent: 1,
                ..Attempt::by_child(number)
            }
        }),
    ];
    for &(name, count, attempt) in rows {
        assert_eq!(fired(count, attempt), [""; 0], "{name}");
    }
}
