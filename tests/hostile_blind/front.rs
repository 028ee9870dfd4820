//! Another program takes a place before recon's, or the place itself.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use recon_tests::detach::detach;
use recon_tests::foreign::{self, Foreign};
use recon_tests::hooks::program_ids;
use recon_tests::kernel::{self, Linux};
use recon_tests::lab::HOST_LINK;
use recon_tests::pins::Bpffs;
use recon_tests::process::run;
use recon_tests::scan::{PORTS, ensure_alert, scan};
use recon_tests::{Agent, Lab, PATIENCE, rows};

use super::tampered;

/// A program that is there until this is dropped.
enum Place {
    Link(#[expect(dead_code, reason = "it ends with its guard")] OwnedFd),
    /// The filter ends with the lab.
    Filter,
}

/// Puts a program before recon's inbound TC program. Before Linux 6.6 that is a filter.
fn go_first(lab: &Lab, bpffs: &Bpffs, program: &OwnedFd) -> Result<Place> {
    if Linux::running()? >= kernel::TCX {
        return foreign::go_first(lab, program).map(Place::Link);
    }
    let path = bpffs.path().join("foreign");
    if !path.exists() {
        foreign::pin(program, &path)?;
    }
    tc(lab, &path, "10")?;
    Ok(Place::Filter)
}

fn tc(lab: &Lab, pinned: &Path, priority: &str) -> Result<()> {
    let mut command = Command::new("tc");
    command.args(["filter", "add", "dev", HOST_LINK, "ingress"]);
    command.args(["prio", priority, "protocol", "all", "bpf", "direct-action"]);
    command.arg("object-pinned").arg(pinned);
    run(lab.host(), command, PATIENCE)?.success().map(drop)
}

/// The first program on TCX ingress.
fn first_program(lab: &Lab) -> Result<Option<u32>> {
    let ids = program_ids(lab)?;
    let mut ingress = ids.iter().filter(|(hook, _)| *hook == "tcx ingress");
    Ok(ingress.next().map(|(_, id)| *id))
}

/// A program that ends the chain takes the first place once. recon says so, goes before it, and
/// sees the next scan, which it would not from behind.
#[test]
fn a_program_in_front_is_an_alert_and_recon_goes_before_it() {
    rows::check(
        &["", "--pins"],
        |options| options,
        |options| {
            let lab = Lab::new()?;
            let bpffs = Bpffs::mount()?;
            let pins = match *options {
                "" => String::new(),
                option => format!("{option} {}", bpffs.pins().display()),
            };
            let options = format!("--xdp off --interval 100ms --quiet 1s {pins}");
            let agent = Agent::start(&lab, &options)?;
            let own = first_program(&lab)?;
            let program = Foreign::TcOk.load()?;
            let _place = go_first(&lab, &bpffs, &program)?;
            let part = "overtaken";
            let began = agent.wait_for("the alert", |seen| tampered(seen, part, "began"))?;
            let says = began.text("message").unwrap_or_default();
            let expected = "another program runs before the hook TC ingress of veth0";
            ensure!(says.contains(expected), "{began}");
            let hook = began.text("recon.blind.hook");
            ensure!(hook.as_deref() == Some("TC ingress"), "{began}");
            agent.wait_for("its end", |seen| tampered(seen, part, "ended"))?;
            ensure!(first_program(&lab)? == own, "{:?}", program_ids(&lab)?);
            scan(&lab, PORTS)?;
            ensure_alert(&agent)?;
            let stopped = agent.stop()?;
            ensure!(stopped.status.success(), "{}", stopped.status);
            Ok(()) as Result<()>
        },
    );
}

/// A program that insists on the first place, as those of container networks do, makes one alert
/// and not one for each time.
#[test]
fn a_program_that_insists_is_one_alert() -> Result<()> {
    /// How often it goes back to the front.
    const TIMES: usize = 8;
    if Linux::running()? < kernel::TCX {
        // A filter keeps its place, so nobody can insist.
        return Ok(());
    }
    let lab = Lab::new()?;
    let agent = Agent::start(&lab, "--xdp off --interval 100ms --quiet 3s")?;
    let own = first_program(&lab)?;
    let program = Foreign::TcOk.load()?;
    let mut place = foreign::go_first(&lab, &program)?;
    let mut returned = 0;
    agent.wait_within(
        PATIENCE * 4,
        "the program to be back in front often enough",
        |_| {
            if first_program(&lab).ok()? == own && returned < TIMES {
                let (old, new) = (place.try_clone().ok()?, Foreign::TcOk.load().ok()?);
                place = foreign::go_first(&lab, &new).ok()?;
                drop(old);
                returned += 1;
            }
            // The pauses of recon grow: 2 s, 4 s, 8 s.
            (returned >= 3).then_some(())
        },
    )?;
    drop(place);
    let ended = agent.wait_for("its end", |seen| tampered(seen, "overtaken", "ended"))?;
    let alerts = agent.seen().alerts;
    let about = alerts
        .iter()
        .filter(|alert| alert.text("recon.blind.part").as_deref() == Some("overtaken"));
    ensure!(about.count() == 2, "more than a beginning and an end");
    let log = agent.seen().log;
    let lines = log
        .iter()
        .filter(|line| line.contains("runs before"))
        .count();
    // One for each time that recon goes in front, and one for each time that it waits.
    ensure!(
        lines <= 2 * (returned + 1),
        "{lines} lines, {returned} times"
    );
    ensure!(
        ended.text("recon.severity").as_deref() == Some("high"),
        "{ended}"
    );
    scan(&lab, PORTS)?;
    ensure_alert(&agent)?;
    ensure!(agent.stop()?.status.success());
    Ok(())
}

/// A program on egress hides all that this host sends. recon can't tell it from one that changes
/// addresses, but in the next two minutes no hook sees a packet of those that the interface has
/// sent.
#[test]
#[ignore = "takes three minutes"]
fn what_no_hook_sees_in_two_minutes_is_an_alert() -> Result<()> {
    /// Three comparisons, each a minute after the one before, and a poll.
    const LONGEST: Duration = Duration::from_secs(210);
    if Linux::running()? < kernel::TCX {
        return Ok(());
    }
    let lab = Lab::new()?;
    let agent = Agent::start(&lab, "--interval 500ms --quiet 1s")?;
    agent.wait_poll()?;
    let program = Foreign::TcOk.load()?;
    let place = foreign::go_first_outbound(&lab, &program)?;
    // Each connection is answered by a reset.
    let mut ports = (3000_u16..4000).step_by(10).cycle();
    agent.wait_within(LONGEST, "the alert", |seen| {
        if let Some(port) = ports.next() {
            scan(&lab, port..port + 10).ok()?;
        }
        tampered(seen, "silence_out", "began")
    })?;
    drop(place);
    agent.wait_for("its end", |seen| tampered(seen, "silence_out", "ended"))?;
    scan(&lab, PORTS)?;
    ensure_alert(&agent)?;
    ensure!(agent.stop()?.status.success());
    Ok(())
}

/// How an XDP program comes before recon's hook.
struct Xdp {
    what: &'static str,
    options: &'static str,
    /// Whether recon's own XDP program is detached first.
    detaches: bool,
    /// Whether it comes by rtnetlink, as by `ip link set dev X xdp`, and not by a link.
    by_netlink: bool,
    part: &'static str,
}

const XDPS: &[Xdp] = &[
    Xdp {
        what: "before TC ingress",
        options: "--xdp off",
        detaches: false,
        by_netlink: false,
        part: "overtaken",
    },
    Xdp {
        what: "before TC ingress, by ip link",
        options: "--xdp off",
        detaches: false,
        by_netlink: true,
        part: "overtaken",
    },
    Xdp {
        what: "in the place of native XDP",
        options: "--xdp native",
        detaches: true,
        by_netlink: false,
        part: "hook",
    },
    Xdp {
        what: "in the place of generic XDP, by ip link",
        options: "--xdp generic",
        detaches: true,
        by_netlink: true,
        part: "hook",
    },
];

/// Another XDP program comes, and drops everything. recon replaces no other program, so it says so
/// until that one is gone, and sees the next scan.
#[test]
fn an_xdp_program_in_front_is_an_alert_until_it_is_gone() {
    rows::check(
        XDPS,
        |row| row.what,
        |row| {
            let lab = Lab::new()?;
            let bpffs = Bpffs::mount()?;
            let options = format!("{} --interval 500ms --quiet 1s", row.options);
            let agent = Agent::start(&lab, &options)?;
            let program = Foreign::XdpDrop.load()?;
            let pinned = bpffs.path().join("foreign");
            foreign::pin(&program, &pinned)?;
            let place = || match row.by_netlink {
                true => {
                    set_xdp(&lab, &["pinned", pinned.to_str().context("a path")?]).map(|()| None)
                }
                false => foreign::take_xdp(&lab, &program).map(Some),
            };
            let link = match row.detaches {
                true => take_place(&agent, place)?,
                false => place()?,
            };
            let began = agent.wait_for("the alert", |seen| tampered(seen, row.part, "began"))?;
            agent.wait_poll()?;
            agent.wait_poll()?;
            agent.wait_poll()?;
            ensure!(
                tampered(&agent.seen(), row.part, "ended").is_none(),
                "{began}: it is still there"
            );
            match link {
                Some(link) => drop(link),
                None => set_xdp(&lab, &["off"])?,
            }
            agent.wait_for("its end", |seen| tampered(seen, row.part, "ended"))?;
            scan(&lab, PORTS)?;
            ensure_alert(&agent)?;
            ensure!(agent.stop()?.status.success());
            Ok(()) as Result<()>
        },
    );
}

/// Detaches recon's XDP program, and takes its place before recon does.
fn take_place<T>(agent: &Agent, place: impl Fn() -> Result<T>) -> Result<T> {
    const TRIES: usize = 5;
    for _ in 1..TRIES {
        agent.wait_poll()?;
        detach(agent.pid(), "xdp", None)?;
        if let Ok(taken) = place() {
            return Ok(taken);
        }
    }
    place()
}

fn set_xdp(lab: &Lab, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(["link", "set", "dev", HOST_LINK, "xdp"]);
    command.args(arguments);
    run(lab.host(), command, PATIENCE)?.success().map(drop)
}
