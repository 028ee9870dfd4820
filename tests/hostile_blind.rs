//! Whoever blinds recon gets an alert for it, and another when recon sees again.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Result, ensure};
use recon_tests::frame::{Path, syn};
use recon_tests::{Agent, Alert, Lab, Seen};

/// Sources, each of which sends twice: the second packet needs a key.
const SOURCES: u32 = 20_000;
const FIRST: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 0);
const PORT: u16 = 2000;
/// An address that the host forwards to but does not have.
const TARGET: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 200));

/// The alert about a part of recon in a phase.
fn blind(seen: &Seen, part: &str, phase: &str) -> Option<Alert> {
    let mut alerts = seen.alerts.iter();
    let is_it = |alert: &&Alert| {
        alert.text("rule.id").as_deref() == Some("recon-blind")
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
