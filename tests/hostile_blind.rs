//! Whoever blinds recon gets an alert for it, and another when recon sees again.

#[path = "hostile_blind/front.rs"]
mod front;
#[path = "hostile_blind/frozen.rs"]
mod frozen;
#[path = "hostile_blind/maps.rs"]
mod maps;
#[path = "hostile_blind/wakers.rs"]
mod wakers;

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use recon_tests::detach::detach;
use recon_tests::frame::{Path, syn};
use recon_tests::hooks::{attached, attached_to_cgroup};
use recon_tests::kernel::{self, Linux};
use recon_tests::lab::HOST;
use recon_tests::process::{Process, run, shell};
use recon_tests::scan::{PORTS, ensure_alert, scan};
use recon_tests::{Agent, Alert, Lab, Seen, Server, rows};

const DEADLINE: Duration = Duration::from_secs(120);

/// Sources, each of which sends twice: the second packet needs a key.
const SOURCES: u32 = 20_000;
const FIRST: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 0);
const PORT: u16 = 2000;
/// An address that the host forwards to but does not have.
const TARGET: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 200));

/// The alert about a part of recon in a phase.
fn blind(seen: &Seen, part: &str, phase: &str) -> Option<Alert> {
    own_alert(seen, "recon-blind", part, phase)
}

/// The alert about what somebody does to a part of recon.
fn tampered(seen: &Seen, part: &str, phase: &str) -> Option<Alert> {
    own_alert(seen, "recon-tampered", part, phase)
}

fn own_alert(seen: &Seen, rule: &str, part: &str, phase: &str) -> Option<Alert> {
    let mut alerts = seen.alerts.iter();
    let is_it = |alert: &&Alert| {
        alert.text("rule.category").as_deref() == Some(rule)
            && alert.text("recon.blind.part").as_deref() == Some(part)
            && alert.text("recon.phase").as_deref() == Some(phase)
    };
    alerts.find(is_it).cloned()
}

#[test]
fn a_full_table_is_an_alert_and_so_is_its_end() -> Result<()> {
    let lab = Lab::new()?;
    let sender = lab.sender()?;
    let agent = Agent::start(&lab, "--interval 500ms --table-entries 1024 --quiet 2s")?;
    for number in 0..SOURCES {
        let source = IpAddr::V4(Ipv4Addr::from(u32::from(FIRST) + number));
        let frame = Path::new(source, TARGET).tcp(syn(PORT), &[])?;
        sender.send(&frame)?;
        sender.send(&frame)?;
    }
    let began = agent.wait_for("the table's alert", |seen| blind(seen, "table", "began"))?;
    let ended = agent.wait_for("its end", |seen| blind(seen, "table", "ended"))?;
    let [first, last] = [&began, &ended].map(|alert| alert.field("recon.blind.lost"));
    let [first, last] = [first, last].map(|lost| lost.and_then(|lost| lost.as_u64()));
    ensure!(first > Some(0) && last >= first, "{began} {ended}");
    ensure!(
        began.field("event.id") == ended.field("event.id"),
        "{ended}"
    );
    let totals = agent.stop()?.totals()?;
    let lost = totals.lost + totals.sketched;
    ensure!(last <= Some(lost), "{ended}: {totals:?}");
    Ok(())
}

/// Processes of an unprivileged user, each of which holds many descriptors. Its stdout ends the
/// line when all of them do.
const HOLDERS: &str = r#"
import os, resource, signal
HOLDERS, DESCRIPTORS = 60, 19000
resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
ready, done = os.pipe()
for _ in range(HOLDERS):
    if os.fork() == 0:
        os.setgid(65534)
        os.setuid(65534)
        for _ in range(DESCRIPTORS):
            os.dup(0)
        os.write(done, b"1")
        signal.pause()
for _ in range(HOLDERS):
    os.read(ready, 1)
print("ready", flush=True)
signal.pause()
"#;

#[test]
fn descriptors_of_any_user_delay_no_poll() -> Result<()> {
    let lab = Lab::new()?;
    let _web = Server::web(lab.host(), 0)?;
    let mut command = Command::new("python3");
    command.args(["-c", HOLDERS]).stdout(Stdio::piped());
    let mut holders = Process::spawn(lab.host(), command)?;
    let stdout = holders.take_stdout().context("a pipe")?;
    let ready = BufReader::new(stdout).lines().next().transpose()?;
    ensure!(ready.as_deref() == Some("ready"), "{ready:?}");
    let agent = Agent::start(&lab, "")?;
    let visits = format!("for i in $(seq 130); do curl -s -o /dev/null http://{HOST}/; done");
    run(lab.attacker(), shell(&visits), DEADLINE)?.success()?;
    agent.wait_for("the alert", |seen| {
        let mut alerts = seen.fired("http-flood", "count");
        alerts.next().map(drop)
    })?;
    agent.wait_poll()?;
    let stopped = agent.stop()?;
    let totals = stopped.seen.log.last().context("no totals")?;
    ensure!(totals.contains(" missed_polls=0 "), "{totals}");
    Ok(())
}

/// A hook: the options with which recon takes it, its link in fdinfo, and its name in alerts.
struct Hook {
    options: &'static str,
    link: (&'static str, Option<u32>),
    part: &'static str,
}

const HOOKS: &[Hook] = &[
    Hook {
        options: "--xdp native",
        link: ("xdp", None),
        part: "the hook XDP of veth0 is gone",
    },
    Hook {
        options: "--xdp generic",
        link: ("xdp", None),
        part: "the hook XDP of veth0 is gone",
    },
    Hook {
        options: "--xdp off",
        link: ("tcx", Some(46)),
        part: "the hook TC ingress of veth0 is gone",
    },
    Hook {
        options: "--xdp native",
        link: ("tcx", Some(47)),
        part: "the hook TC egress of veth0 is gone",
    },
    Hook {
        options: "",
        link: ("cgroup", Some(10)),
        part: "the hook connect4 of ",
    },
    Hook {
        options: "",
        link: ("cgroup", Some(11)),
        part: "the hook connect6 of ",
    },
    Hook {
        options: "",
        link: ("cgroup", Some(14)),
        part: "the hook sendmsg4 of ",
    },
    Hook {
        options: "",
        link: ("cgroup", Some(15)),
        part: "the hook sendmsg6 of ",
    },
    Hook {
        options: "",
        link: ("cgroup", Some(2)),
        part: "the hook sock_create of ",
    },
    Hook {
        options: "",
        link: ("cgroup", Some(3)),
        part: "the hook sock_ops of ",
    },
];

/// Somebody detaches a hook behind recon's back. recon says so, attaches it again, and sees the
/// next scan.
#[test]
fn a_detached_hook_is_an_alert_and_is_attached_again() {
    rows::check(
        HOOKS,
        |hook| hook.part,
        |hook| {
            // Before Linux 6.6 there is no TCX, and no link to detach.
            if hook.link.0 == "tcx" && Linux::running()? < kernel::TCX {
                return Ok(());
            }
            let lab = Lab::new()?;
            let options = format!("--interval 100ms --quiet 1s {}", hook.options);
            let agent = Agent::start(&lab, &options)?;
            let before = [attached(&lab)?, attached_to_cgroup(&lab)?];
            let (kind, attach_type) = hook.link;
            detach(agent.pid(), kind, attach_type)?;
            let began =
                agent.wait_for("the hook's alert", |seen| tampered(seen, "hook", "began"))?;
            let says = began.text("message").unwrap_or_default();
            ensure!(says.contains(hook.part), "{began}");
            let ended = agent.wait_for("its end", |seen| tampered(seen, "hook", "ended"))?;
            ensure!(
                began.field("event.id") == ended.field("event.id"),
                "{ended}"
            );
            let after = [attached(&lab)?, attached_to_cgroup(&lab)?];
            ensure!(after == before, "{after:?}");
            scan(&lab, PORTS)?;
            ensure_alert(&agent)?;
            let stopped = agent.stop()?;
            ensure!(stopped.status.success(), "{}", stopped.status);
            let left = [attached(&lab)?, attached_to_cgroup(&lab)?].concat();
            ensure!(left.is_empty(), "still attached: {left:?}");
            Ok(()) as Result<()>
        },
    );
}

/// What somebody does to the maps of the agent with that pid, and the part that the alert names.
struct Change {
    what: &'static str,
    make: fn(u32) -> Result<()>,
    part: &'static str,
}

/// How often a change is tried.
const MOST_ROUNDS: u32 = 10;

const CHANGES: &[Change] = &[
    Change {
        what: "the table is emptied",
        make: |pid| maps::empty_tables(pid).map(drop),
        part: "counts",
    },
    Change {
        what: "keys are deleted, and their number is lowered",
        make: maps::hide_keys,
        part: "counts",
    },
    Change {
        what: "a key is added",
        make: maps::add_key,
        part: "counts",
    },
    Change {
        what: "the counters are set to 0",
        make: maps::clear_counters,
        part: "counts",
    },
    Change {
        what: "the generation is moved",
        make: maps::move_generation,
        part: "generation",
    },
];

/// Somebody changes recon's maps behind its back. recon says so, and counts the next scan exactly.
#[test]
fn changed_maps_are_an_alert_and_the_next_scan_is_counted() {
    rows::check(
        CHANGES,
        |change| change.what,
        |change| {
            let lab = Lab::new()?;
            let agent = Agent::start(&lab, "--interval 2s --quiet 1s")?;
            // Keys are there before a poll, and counters have grown after one. A poll may also come
            // between the packets and the change.
            for round in 0..MOST_ROUNDS {
                scan(&lab, 3000..3100)?;
                if round % 2 == 1 {
                    agent.wait_poll()?;
                }
                (change.make)(agent.pid())?;
                agent.wait_poll()?;
                if tampered(&agent.seen(), change.part, "began").is_some() {
                    break;
                }
            }
            agent.wait_for("its end", |seen| tampered(seen, change.part, "ended"))?;
            scan(&lab, PORTS)?;
            ensure_alert(&agent)?;
            let stopped = agent.stop()?;
            ensure!(stopped.status.success(), "{}", stopped.status);
            Ok(()) as Result<()>
        },
    );
}
