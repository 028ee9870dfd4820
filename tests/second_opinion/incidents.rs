//! Whether a person who has the lines alone finds one incident as one group.
//!
//! DuckDB groups the lines of real traffic by `event.id`, and runs the queries for SIEMs over them.
//! Each group is one rule's measure of one source, begins once and ends at most once; no two groups
//! are of the same incident; and some have several lines. Between its lines the agent is killed and
//! goes on with its state. The rows of that traffic, with more of the same later, are judged again:
//! in real time, an incident grows after a minute at the earliest.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use nix::sys::signal::Signal;
use recon_tests::program::open_folder;
use recon_tests::seen::{Alert, Seen};
use recon_tests::{Agent, Lab, Server};
use recon_user::alert::LineFormat;
use recon_user::judge;
use recon_user::rule::{Profile, defaults};
use recon_user::settings;
use serde_json::Value;

use super::engine::script;
use super::{INTERVAL, PAGE, make_traffic};

/// There are no fewer incidents: of the two scans, the floods and the host's own scan.
const LEAST: usize = 8;
/// The queries for SIEMs.
const SIEM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../recon-user/package/siem");
/// How much later there is more of the same, and how much more.
const LATER: SignedDuration = SignedDuration::from_mins(2);
const TIMES: u64 = 20;

#[test]
fn each_incident_is_one_group_of_lines() -> Result<()> {
    let lab = Lab::new()?;
    let _server = Server::web(lab.host(), PAGE)?;
    let folder = open_folder()?;
    let [state, rows] = ["state", "rows.jsonl"].map(|name| folder.path().join(name));
    let arguments = format!(
        "{INTERVAL} --quiet 1s --state {} --events {}",
        state.display(),
        rows.display()
    );
    let first = Agent::start(&lab, &arguments)?;
    make_traffic(&lab)?;
    first.wait_poll()?;
    first.signal(Signal::SIGKILL)?;
    let killed = first.wait()?.seen;
    let second = Agent::start(&lab, &arguments)?;
    make_traffic(&lab)?;
    second.wait_for("the end of an incident", |seen| {
        let mut alerts = seen.alerts.iter();
        alerts.find_map(|alert| is(alert, "event.action", "ended").then_some(()))
    })?;
    let stopped = second.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.seen);
    for seen in [&killed, &stopped.seen] {
        ensure_numbered(seen)?;
    }
    let alerts = killed.alerts.iter().chain(&stopped.seen.alerts);
    let lines = alerts.map(|alert| alert.fields().to_string());
    ensure_incidents(&lines.collect::<Vec<_>>(), &["began", "ended"])?;
    ensure_incidents(&judge_more(&rows)?, &["began", "grew", "ended"])
}

fn is(alert: &Alert, field: &str, expected: &str) -> bool {
    alert.text(field).as_deref() == Some(expected)
}

/// The lines of a process are numbered without a gap.
fn ensure_numbered(seen: &Seen) -> Result<()> {
    let numbers = seen
        .alerts
        .iter()
        .map(|alert| alert.field("event.sequence"));
    let numbers: Vec<_> = numbers
        .map(|number| number.and_then(Value::as_u64))
        .collect();
    let expected: Vec<_> = (1..).map(Some).take(numbers.len()).collect();
    ensure!(numbers == expected, "{numbers:?}");
    Ok(())
}

/// The lines of the rows of a file, and of more of the same.
fn judge_more(path: &Path) -> Result<Vec<String>> {
    let rows = fs::read_to_string(path)?;
    let mut more = String::new();
    for line in rows.lines() {
        let mut row: Value = serde_json::from_str(line)?;
        for name in ["TimeGenerated", "Timestamp"] {
            let time: Timestamp = row[name].as_str().context("rows have a time")?.parse()?;
            row[name] = time.checked_add(LATER)?.to_string().into();
        }
        if let Some(count) = row["Count"].as_u64() {
            row["Count"] = (count * TIMES).into();
        }
        more.push_str(&format!("{row}\n"));
    }
    let rules = settings::in_force(&Default::default(), |_| defaults(Profile::Source))?;
    let mut lines = Vec::new();
    let rows = rows + &more;
    judge::judge("rows", rows.as_bytes(), rules, LineFormat::Ecs, &mut lines)?;
    let lines = String::from_utf8(lines)?;
    Ok(lines.lines().map(str::to_owned).collect())
}

/// Each incident is one group of these lines, and together they go through these phases.
fn ensure_incidents(lines: &[String], phases: &[&str]) -> Result<()> {
    let found = group(&lines.join("\n"))?;
    let rows = |name: &str| found[name].as_array().cloned().unwrap_or_default();
    let groups = rows("groups");
    let mut known = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut directions = BTreeSet::new();
    for group in &groups {
        let texts = |name: &str| texts(group, name);
        let [rules, sources, destinations, processes] =
            ["rules", "sources", "destinations", "processes"].map(texts);
        ensure!(
            rules.len() == 1 && sources.len() <= 1 && destinations.len() == 1,
            "lines of several incidents: {group}"
        );
        let actions = texts("actions");
        ensure_course(&actions).with_context(|| format!("no course of one incident: {group}"))?;
        ensure!(
            group["is_ordered"] == true,
            "an end before its start: {group}"
        );
        directions.extend(texts("directions"));
        seen.extend(actions);
        let incident = (rules, sources, destinations, processes);
        ensure!(
            known.insert(incident),
            "one incident in two groups: {group}"
        );
    }
    ensure!(
        phases.iter().all(|phase| seen.contains(phase)),
        "{phases:?} of {seen:?}"
    );
    ensure!(directions.len() == 2, "{directions:?}");
    ensure!(groups.len() >= LEAST, "{}", Value::from(groups.clone()));
    // A line about suppressed findings has the id of the first of them.
    let sentinel = rows("sentinel");
    let ids: BTreeSet<_> = sentinel
        .iter()
        .filter_map(|row| row["EventId"].as_str())
        .collect();
    ensure!(ids.len() == sentinel.len(), "an id twice: {sentinel:?}");
    ensure!(
        groups
            .iter()
            .all(|group| group["id"].as_str().is_some_and(|id| ids.contains(id))),
        "{sentinel:?}"
    );
    // One row of each, with the message of its last line.
    let messages = |of: &str, id: &str, message: &str| {
        let rows = rows(of);
        let pairs = rows
            .iter()
            .map(|row| (row[id].clone(), row[message].clone()));
        let mut pairs: Vec<_> = pairs.map(|pair| format!("{pair:?}")).collect();
        pairs.sort_unstable();
        pairs
    };
    let expected = messages("last", "id", "message");
    for (file, found) in [
        ("incidents.esql", messages("elastic", "id", "message")),
        ("incidents.kql", messages("sentinel", "EventId", "Message")),
    ] {
        ensure!(found == expected, "{file}: {found:#?}, not {expected:#?}");
    }
    Ok(())
}

/// An incident begins once, and ends at most once, with its last line.
fn ensure_course(actions: &[&str]) -> Result<()> {
    let number = |wanted| actions.iter().filter(|&&action| action == wanted).count();
    ensure!(actions.first() == Some(&"began") && number("began") == 1);
    ensure!(number("ended") == 0 || number("ended") == 1 && actions.last() == Some(&"ended"));
    Ok(())
}

fn texts<'a>(group: &'a Value, name: &str) -> Vec<&'a str> {
    let texts = group[name].as_array().into_iter().flatten();
    texts.filter_map(Value::as_str).collect()
}

/// What `incidents.py` says of the lines.
fn group(lines: &str) -> Result<Value> {
    let mut engine = script("incidents.py")
        .arg(SIEM)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("DuckDB does not start: cargo xtask test installs it")?;
    let mut stdin = engine.stdin.take().context("piped")?;
    writeln!(stdin, "{lines}")?;
    drop(stdin);
    let output = engine.wait_with_output()?;
    ensure!(output.status.success(), "DuckDB: {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}
