//! `recon explain`: what the alert of a real scan rests on, and ids that nobody knows.

use anyhow::{Context as _, Result, ensure};
use recon_tests::lab::{ATTACKER, HOST};
use serde_json::json;

use super::{PORTS, Watched};

#[test]
fn an_alert_is_explained_step_by_step() -> Result<()> {
    let watched = Watched::start("")?;
    watched.scanned()?;
    let alert = watched.alert("port-scan", "distinct_ports")?;
    let text = |field: &str| alert.text(field).with_context(|| field.to_owned());
    let id = text("event.id")?;
    let explained = watched.json(&format!("explain {id}"))?;
    let count = PORTS.count();
    for (pointer, expected) in [
        ("/event_id", json!(id)),
        ("/state", json!("open")),
        ("/rule/id", json!(text("rule.id")?)),
        ("/rule/version", json!(text("rule.version")?)),
        ("/rule/name", json!(text("rule.name")?)),
        ("/rule/threshold", json!(20)),
        ("/rule/window", json!("1h")),
        ("/rule/measure", json!("distinct_ports")),
        ("/rule/unit", json!("distinct ports")),
        ("/group", json!([["remote", ATTACKER]])),
        ("/counted/is_now", json!(true)),
        ("/counted/count", json!(count)),
        ("/counted/greatest", json!(count)),
        ("/counted/signals", json!(["syn"])),
        ("/counted/locals", json!([HOST])),
        ("/counted/lower_bound", json!(false)),
        ("/source/ip", json!(ATTACKER)),
        ("/source/verdict", json!("scanner")),
        ("/source/failures", json!(count)),
        ("/source/weight", json!(0)),
        ("/source/outcomes/refused", json!(count - 1)),
        ("/severity/now", json!(text("recon.severity")?)),
        ("/lines_written", json!(1)),
        ("/lines/0/phase", json!("began")),
        ("/lines/0/at", json!(text("@timestamp")?)),
        (
            "/lines/0/count",
            alert.field("recon.count").context("count")?.clone(),
        ),
    ] {
        ensure!(
            explained.pointer(pointer) == Some(&expected),
            "{pointer} is not {expected}: {explained:#}"
        );
    }
    let shown = watched
        .ask(&format!("explain {}", id.to_uppercase()))?
        .success()?;
    for part in [
        format!("incident     {id}, open"),
        format!(
            "counted      {count} distinct ports now, {count} at most, of 20 that are not enough"
        ),
        format!("verdict      scanner: {count} failures against 0 successes"),
        "line         began at ".to_owned(),
        "note         it is over at ".to_owned(),
    ] {
        ensure!(shown.contains(&part), "no {part:?} in {shown}");
    }
    watched.stop()
}

/// An incident that is over has its numbers as long as they are in the window.
#[test]
fn an_incident_that_is_over_is_explained() -> Result<()> {
    let watched = Watched::start("--quiet 1s --min-severity medium")?;
    watched.scanned()?;
    let alert = watched.alert("port-scan", "distinct_ports")?;
    let id = alert.text("event.id").context("event.id")?;
    let over = watched.wait_json(&format!("explain {id}"), "the end", |explained| {
        explained["state"] == "ended"
    })?;
    ensure!(over["counted"]["count"] == PORTS.count(), "{over:#}");
    let open = watched.json("status")?;
    ensure!(
        open["incidents"] == json!([]) && open["incidents_open"] == 0,
        "{open:#}"
    );
    watched.stop()
}

#[test]
fn an_unknown_id_is_an_error() -> Result<()> {
    let watched = Watched::start("")?;
    let zeros = "0".repeat(32);
    for (id, code, says) in [
        (
            zeros.as_str(),
            1,
            "no incident 00000000000000000000000000000000: ",
        ),
        (zeros.as_str(), 1, "`recon status --json` lists event_id"),
        ("0", 2, "an event.id has 32 hexadecimal digits"),
        ("port-scan", 2, "an event.id has 32 hexadecimal digits"),
        ("", 2, "required"),
    ] {
        let refused = watched.ask(&format!("explain {id}"))?;
        ensure!(refused.status.code() == Some(code), "{refused:?}");
        ensure!(refused.output.contains(says), "{id}: {refused:?}");
    }
    watched.stop()
}
