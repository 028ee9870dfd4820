//! Routes that are not symmetric: what this host asks leaves by an interface that recon does not
//! watch, and the answers come in by the one that it does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Result, bail, ensure};
use recon_tests::dns::Responder;
use recon_tests::frame::Path;
use recon_tests::lab::{HOST, HOST6};
use recon_tests::{Agent, Lab, TestProcess};

const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 53);
const SERVER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x53);
const DNS: u16 = 53;
/// More ports than `port-scan` needs.
const ASKED: u16 = 30;
/// The first closed port of the host that the server tries.
const CLOSED: u16 = 2000;
/// The other end of the way out.
const AWAY_MAC: &str = "02:00:00:00:00:0a";

/// The lab with another way out, to the servers.
fn asymmetric_lab() -> Result<Lab> {
    let lab = Lab::new()?;
    lab.host().ip(&format!(
        "link add away0 type veth peer name away1 address {AWAY_MAC} netns {}\n\
         link set away0 up\n",
        lab.attacker().name()
    ))?;
    lab.attacker().ip(&format!(
        "link set away1 up\naddress add {SERVER}/32 dev lo\naddress add {SERVER6}/128 dev lo nodad\n"
    ))?;
    lab.host().ip(&format!(
        "neighbor replace {SERVER} lladdr {AWAY_MAC} dev away0 nud permanent\n\
         neighbor replace {SERVER6} lladdr {AWAY_MAC} dev away0 nud permanent\n\
         route add {SERVER}/32 dev away0 src {HOST}\n\
         route add {SERVER6}/128 dev away0 src {HOST6}\n"
    ))?;
    Ok(lab)
}

/// Asks so often, each time from another port, and then sees who is blamed for what else comes.
fn alerts_after(
    asked: u16,
    server: impl Into<IpAddr>,
    way: &str,
    probes: u16,
) -> Result<Vec<String>> {
    let lab = asymmetric_lab()?;
    let (server, host): (IpAddr, IpAddr) = match server.into() {
        server @ IpAddr::V4(_) => (server, HOST.into()),
        server @ IpAddr::V6(_) => (server, HOST6.into()),
    };
    let _responder = Responder::start(lab.attacker(), server)?;
    let resolver = TestProcess::start(lab.host(), "resolver")?;
    let agent = Agent::start(&lab, "--interval 100ms --profile outcomes")?;
    for _ in 0..asked {
        resolver.order(&format!("ask {server} {DNS} {way}"))?;
    }
    let sender = lab.sender()?;
    for number in 0..probes {
        sender.send(&Path::new(server, host).udp([DNS, CLOSED + number], b"x")?)?;
    }
    // The end of the agent settles what still waits.
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    let totals = stopped.totals()?;
    ensure!(totals.frames_in >= u64::from(asked + probes), "{totals:?}");
    Ok(stopped
        .seen
        .alerts
        .iter()
        .map(|alert| alert.fired().0)
        .collect())
}

#[test]
fn a_name_server_whose_questions_go_unseen_is_no_scanner() -> Result<()> {
    for server in [IpAddr::from(SERVER), SERVER6.into()] {
        for way in ["unconnected", "connected"] {
            let alerts = alerts_after(ASKED, server, way, 0)?;
            ensure!(alerts.is_empty(), "{server}, {way}: {alerts:?}");
        }
    }
    Ok(())
}

#[test]
fn a_name_server_that_was_asked_may_not_scan() -> Result<()> {
    for asked in [1, 0] {
        let alerts = alerts_after(asked, SERVER, "unconnected", ASKED)?;
        if !alerts.iter().any(|rule| rule == "port-scan") {
            bail!("asked {asked} times: {alerts:?}");
        }
    }
    Ok(())
}
