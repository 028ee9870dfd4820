//! Names: what an alert calls an interface, and which of two that show a packet is watched.

use anyhow::{Result, ensure};
use recon_tests::process::{run, shell};
use recon_tests::scan::PORTS;
use recon_tests::{Alert, Lab, PATIENCE, Seen};
use serde_json::{Value, json};

use super::link::{BRIDGE, FAR, FAR_END, Kind, Link, NEAR};
use super::{INTERVAL, answers, count, scan, scan_ports, start, stop, wait_logged};

/// What the alerts on the scan say of their interface: the only one, and the list.
fn interfaces(seen: &Seen) -> Vec<[Value; 2]> {
    let fields = ["observer.ingress.interface.name", "recon.interfaces"];
    let of = |alert: &Alert| fields.map(|field| alert.field(field).cloned().unwrap_or_default());
    seen.fired("port-scan", "distinct_ports").map(of).collect()
}

/// The alert at the end of the scan has seen it under two names.
#[test]
fn an_interface_that_is_renamed_has_one_name() -> Result<()> {
    for arguments in ["--xdp auto", "-i t0", "-i t* -i lan?"] {
        let lab = Lab::new()?;
        let link = Link::create(Kind::Veth, &lab, "t0")?;
        let agent = start(&lab, &format!("{INTERVAL} {arguments}"))?;
        scan(&lab)?;
        agent.wait_for("the alert", |seen| {
            seen.fired("port-scan", "distinct_ports").next().map(drop)
        })?;
        lab.host()
            .ip("link set t0 down\nlink set t0 name lan0\nlink set lan0 up\n")?;
        wait_logged(&agent, "t0: is now named lan0", 1)?;
        scan_ports(&lab, PORTS.end..PORTS.end + 5)?;
        agent.wait_poll()?;
        let stopped = stop(agent)?;
        let found = interfaces(&stopped.seen);
        let expected = [[json!("t0"), Value::Null], [json!("lan0"), Value::Null]];
        ensure!(
            found == expected,
            "{arguments}: {found:?}\n{}",
            stopped.seen
        );
        link.remove(&lab, "lan0")?;
    }
    Ok(())
}

/// Whoever renames a bridge out of the pattern hides its packets as if it were deleted.
#[test]
fn an_interface_that_is_renamed_out_of_the_pattern_is_missed() -> Result<()> {
    let lab = Lab::new()?;
    lab.host()
        .ip("link add t-bridge type bridge\nlink set t-bridge up\n")?;
    let agent = start(&lab, &format!("{INTERVAL} -i t*"))?;
    let rename = |before: &str, after: &str| {
        lab.host().ip(&format!(
            "link set {before} down\nlink set {before} name {after}\nlink set {after} up\n"
        ))
    };
    rename("t-bridge", "other")?;
    let alert = agent.wait_for("the alert", |seen| {
        let blind = |alert: &&Alert| alert.text("rule.category").as_deref() == Some("recon-blind");
        seen.alerts.iter().find(blind).cloned()
    })?;
    let says = alert.text("message").unwrap_or_default();
    ensure!(says.contains("t-bridge"), "{alert}");
    wait_logged(&agent, "-i leaves out the name that it has now", 1)?;
    rename("other", "t-bridge")?;
    wait_logged(&agent, "is back: t-bridge: inbound by ", 1)?;
    stop(agent).map(drop)
}

/// A network of containers that ends leaves no blindness behind, unless somebody named its bridge.
#[test]
fn a_bridge_that_is_deleted_is_missed_if_it_was_named() -> Result<()> {
    for (arguments, is_missed) in [("-i t*", false), ("-i t-bridge", true)] {
        let lab = Lab::new()?;
        lab.host()
            .ip("link add t-bridge type bridge\nlink set t-bridge up\n")?;
        let agent = start(&lab, &format!("{INTERVAL} {arguments}"))?;
        lab.host().ip("link delete t-bridge\n")?;
        wait_logged(&agent, "t-bridge: is gone", 1)?;
        // What is missed for two polls is an alert.
        for _ in 0..3 {
            agent.wait_poll()?;
        }
        let stopped = stop(agent)?;
        let blind = |alert: &Alert| alert.text("rule.category").as_deref() == Some("recon-blind");
        let found = stopped.seen.alerts.iter().any(blind);
        ensure!(found == is_missed, "{arguments}: {}", stopped.seen);
    }
    Ok(())
}

/// The first member of a bridge that is watched takes its place, and the last one gives it back.
#[test]
fn a_bridge_is_watched_while_it_has_no_member() -> Result<()> {
    let lab = Lab::new()?;
    let folder = tempfile::tempdir()?;
    let events = folder.path().join("rows");
    let host = lab.host();
    host.ip(&format!(
        "link add {BRIDGE} type bridge\nlink set {BRIDGE} up\n"
    ))?;
    let agent = start(&lab, &format!("{INTERVAL} --events {}", events.display()))?;
    ensure!(
        agent.seen().has_logged("br0: inbound by "),
        "{}",
        agent.seen()
    );
    for round in 1..=2 {
        let link = Link::create(Kind::BridgedVeth, &lab, "t0")?;
        wait_logged(&agent, "is new: t0: inbound by ", round)?;
        wait_logged(&agent, "br0: is no longer watched", round)?;
        answers(&lab)?;
        scan(&lab)?;
        agent.wait_poll()?;
        link.remove(&lab, "t0")?;
        wait_logged(&agent, "is new: br0: inbound by ", round)?;
    }
    let stopped = stop(agent)?;
    let counted = ["t0", "br0"].map(|interface| count(&events, "SYN", interface));
    let [member, bridge] = counted;
    let expected = 2 * PORTS.len() as u64;
    let found = (member?, bridge?);
    ensure!(found == (expected, 0), "{found:?}\n{}", stopped.seen);
    Ok(())
}

/// It leaves this network namespace and comes back, and comes back under other hooks.
#[test]
fn an_interface_that_is_moved_is_let_go_and_comes_back() -> Result<()> {
    let lab = Lab::new()?;
    let other = recon_tests::namespace::Namespace::create("other")?;
    let folder = tempfile::tempdir()?;
    let events = folder.path().join("rows");
    let _link = Link::create(Kind::Veth, &lab, "t0")?;
    let arguments = format!(
        "{INTERVAL} -i t0 --xdp native --events {}",
        events.display()
    );
    let agent = start(&lab, &arguments)?;
    for round in 1..=2 {
        lab.host()
            .ip(&format!("link set t0 netns {}\n", other.name()))?;
        wait_logged(&agent, "t0: is gone", round)?;
        let command = format!("link set t0 netns {}\n", lab.host().name());
        other.ip(&command)?;
        wait_logged(&agent, "is back: t0: inbound by native XDP", round)?;
        let mac = recon_tests::lab::ATTACKER_MAC;
        lab.host().ip(&format!(
            "address replace {NEAR}/24 dev t0\nlink set t0 up\n\
             neighbor replace {FAR} lladdr {mac} dev t0 nud permanent\n"
        ))?;
        lab.attacker().ip(&format!("link set {FAR_END} up\n"))?;
        answers(&lab)?;
        scan(&lab)?;
        agent.wait_poll()?;
    }
    let stopped = stop(agent)?;
    let counted = count(&events, "SYN", "t0")?;
    ensure!(
        counted == 2 * PORTS.len() as u64,
        "{counted}\n{}",
        stopped.seen
    );
    Ok(())
}

/// A name that is not the first one selects, and a pattern waits.
#[test]
fn other_names_and_patterns_select() -> Result<()> {
    let lab = Lab::new()?;
    lab.host()
        .ip("link property add dev veth0 altname uplink\n")?;
    let agent = start(&lab, &format!("{INTERVAL} -i uplink -i t*"))?;
    ensure!(
        agent.seen().has_logged("veth0: inbound by "),
        "{}",
        agent.seen()
    );
    wait_logged(&agent, "t*: no interface has such a name yet", 1)?;
    let link = Link::create(Kind::Veth, &lab, "t0")?;
    wait_logged(&agent, "is new: t0: inbound by ", 1)?;
    lab.host()
        .ip("link add x0 type veth peer name x1\nlink set x0 up\n")?;
    // It gets a name that the pattern matches.
    lab.host()
        .ip("link property add dev x1 altname t1\nlink set x1 up\n")?;
    wait_logged(&agent, "is new: x1: inbound by ", 1)?;
    ensure!(!agent.seen().has_logged("x0: "), "{}", agent.seen());
    link.remove(&lab, "t0")?;
    stop(agent).map(drop)
}

/// Another XDP program comes before recon's hooks, and goes.
#[test]
fn another_xdp_program_costs_no_count() -> Result<()> {
    let lab = Lab::new()?;
    let folder = tempfile::tempdir()?;
    let events = folder.path().join("rows");
    let _link = Link::create(Kind::Veth, &lab, "t0")?;
    let agent = start(
        &lab,
        &format!("{INTERVAL} --xdp off --events {}", events.display()),
    )?;
    for _ in 0..2 {
        let other = start(&lab, "-i t0 --xdp native")?;
        answers(&lab)?;
        scan(&lab)?;
        stop(other)?;
        answers(&lab)?;
        scan(&lab)?;
    }
    agent.wait_poll()?;
    let stopped = stop(agent)?;
    let counted = count(&events, "SYN", "t0")?;
    ensure!(
        counted == 4 * PORTS.len() as u64,
        "{counted}\n{}",
        stopped.seen
    );
    Ok(())
}

/// The kernel takes any bytes but blanks, slashes and colons. One that is no UTF-8 must not hide
/// the others, neither at the start nor later.
#[test]
fn odd_names_hide_nothing() -> Result<()> {
    const NAMES: [&str; 7] = ["-t", "t[0]", "t\"q", "t\\", "a*b", "t\u{fc}n", "!y"];
    /// Written by printf(1).
    const NO_UTF8: &str =
        "n=$(printf 't\\377'); ip link add name $n type bridge; ip link set dev $n up";
    let lab = Lab::new()?;
    let odd = || run(lab.host(), shell(NO_UTF8), PATIENCE)?.success();
    let agent = start(&lab, &format!("{INTERVAL} -i * -i !x*"))?;
    odd()?;
    for name in NAMES.into_iter().chain(["x0"]) {
        let name = name.replace('\\', "\\\\").replace('"', "\\\"");
        let commands =
            format!("ip link add name \"{name}\" type bridge; ip link set dev \"{name}\" up");
        run(lab.host(), shell(&commands), PATIENCE)?.success()?;
    }
    for name in NAMES {
        wait_logged(&agent, &format!("is new: {name}: inbound by "), 1)?;
    }
    ensure!(!agent.seen().has_logged("x0: "), "{}", agent.seen());
    stop(agent)?;
    let agent = start(&lab, &format!("{INTERVAL} -i * -i !x*"))?;
    for name in NAMES {
        wait_logged(&agent, &format!("] {name}: inbound by "), 1)?;
    }
    stop(agent).map(drop)
}
