//! A second opinion: recon's rules report the same of rows as another engine that runs KQL itself.
//!
//! The source's ten queries run unchanged in both engines, over a thousand random sets of rows and
//! over rows that `recon run --events` has written from real traffic. The two differ where recon
//! works on a stream: recon reports a group again as it grows and when it is over, and its times
//! are windows. So the last alert of each group counts, incidents are over with the last row, and
//! columns with times do not count.

#[path = "second_opinion/engine.rs"]
mod engine;
#[path = "second_opinion/incidents.rs"]
mod incidents;
#[path = "second_opinion/random.rs"]
mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use jiff::{SignedDuration, Timestamp};
use recon_tests::lab::{ATTACKER, HOST};
use recon_tests::process::{run, shell};
use recon_tests::program::open_folder;
use recon_tests::seen::Seen;
use recon_tests::server::Server;
use recon_tests::{Agent, Lab};
use recon_user::alert::LineFormat;
use recon_user::judge;
use recon_user::settings::{self, InForce, RuleOptions};
use serde_json::{Map, Value};

use engine::Engine;

const SETS: u64 = 1000;
const INTERVAL: &str = "--interval 200ms";
const DEADLINE: Duration = Duration::from_secs(60);
/// The size of the web server's page in bytes.
const PAGE: u64 = 100;
/// The traffic while rows are counted, in this order, from the attacker or from the host itself.
const TRAFFIC: [&str; 7] = [
    "nmap -n -Pn -sS -p1-300 --max-retries 0 {host}",
    "hping3 -q -n -S -p 443 -c 800 -i u500 -a 198.51.100.20 {host}",
    "hping3 -q -n -S -p ++1 -c 60 -i u500 -a 10.0.0.9 {host}",
    "ping -q -n -c 60 -i 0.002 {host}",
    "wrk -t1 -c4 -d1s -H 'Connection: close' http://{host}/",
    "hping3 -q -n -S -p 8080 -c 60 -i u500 -a 198.51.100.21 {host}",
    "host: nmap -n -Pn -sT -p1-30 --max-retries 0 {attacker}",
];

/// The ten queries, unchanged from their source.
const SOURCE: &str = include_str!("second_opinion/detections.kql");

/// A file of this test.
fn file(name: &str) -> PathBuf {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/second_opinion"));
    folder.join(name)
}

fn source_file() -> PathBuf {
    file("detections.kql")
}

/// A query of the source.
struct Query {
    text: String,
    /// The columns that identify its groups, without times.
    groups: Vec<String>,
}

impl Query {
    fn all() -> Vec<Self> {
        SOURCE
            .split("\n\n")
            .filter(|text| text.contains("\nDeviceNetworkEvents\n"))
            .map(Self::new)
            .collect()
    }

    fn new(text: &str) -> Self {
        let listed = text
            .lines()
            .find_map(|line| {
                line.split_once(" by ")
                    .filter(|_| line.contains("summarize"))
            })
            .or_else(|| text.lines().find_map(|line| line.split_once("| project ")));
        let groups = listed
            .map_or("", |(_, list)| list)
            .split(',')
            .map(str::trim);
        Self {
            text: text.to_owned(),
            groups: groups
                .filter(|name| !name.contains("Generated") && !name.ends_with(')') && *name != "1h")
                .map(str::to_owned)
                .collect(),
        }
    }

    /// The query for the other engine. Two documented properties of recon are added in KQL: rows do
    /// not count if the column that they are grouped by is not a port of theirs, and a name that
    /// ends in `.exe` also matches without it.
    fn for_engine(&self) -> String {
        let mut text = self.text.replace("nmap.exe", "nmap");
        if self.groups.iter().any(|name| name == "LocalPort") && text.contains("| summarize") {
            text = text.replace("| summarize", "| where isnotnull(LocalPort)\n| summarize");
        }
        text
    }
}

/// The reported columns of a group, without times.
type Report = BTreeMap<String, String>;

fn reported_columns(columns: &Map<String, Value>) -> Report {
    let times = ["TimeGenerated", "time_diff"];
    columns
        .iter()
        .filter(|(name, value)| !times.contains(&name.as_str()) && !value.is_null())
        .map(|(name, value)| (name.clone(), value.to_string()))
        .collect()
}

/// The source's rules, in order.
fn in_force() -> Result<InForce> {
    let options = RuleOptions {
        rules: vec![source_file()],
        config: Some(file("recon.toml")),
        ..RuleOptions::default()
    };
    settings::in_force(&options, |_| Vec::new()).map_err(|refused| anyhow!("{refused}"))
}

/// recon's result for rows: for each rule in the order of the file, the last report of each group.
fn judged(rows: &[Value], queries: &[Query]) -> Result<Vec<BTreeSet<Report>>> {
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let in_force = in_force()?;
    let ids: Vec<String> = in_force
        .rules
        .iter()
        .map(|rule| rule.plan.id.clone())
        .collect();
    let mut alerts = Vec::new();
    judge::judge(
        "rows",
        lines.as_bytes(),
        in_force,
        LineFormat::Ecs,
        &mut alerts,
    )?;
    last_reports(&String::from_utf8(alerts)?, &ids, queries)
}

/// The last report of each group of each rule.
fn last_reports(alerts: &str, ids: &[String], queries: &[Query]) -> Result<Vec<BTreeSet<Report>>> {
    let mut last = vec![BTreeMap::new(); queries.len()];
    for line in alerts.lines() {
        let alert: Value = serde_json::from_str(line)?;
        // The digest is no report of a rule.
        if alert["event"]["kind"] == "metric" {
            continue;
        }
        let id = alert.pointer("/rule/category").and_then(Value::as_str);
        let rule = ids.iter().position(|known| Some(known.as_str()) == id);
        let rule = rule.with_context(|| format!("unknown rule in {line}"))?;
        let columns = alert.pointer("/recon/columns").and_then(Value::as_object);
        let report = reported_columns(columns.with_context(|| format!("no columns: {line}"))?);
        let group: Vec<_> = queries[rule]
            .groups
            .iter()
            .map(|name| report.get(name).cloned())
            .collect();
        last[rule].insert(group, report);
    }
    Ok(last
        .into_iter()
        .map(|groups| groups.into_values().collect())
        .collect())
}

/// Checks that both engines agree on some rows, and returns the number of reported groups.
fn compare(
    rows: &[Value],
    ours: &[BTreeSet<Report>],
    theirs: &[BTreeSet<Report>],
) -> Result<usize> {
    for ((query, ours), theirs) in Query::all().iter().zip(ours).zip(theirs) {
        ensure!(
            ours == theirs,
            "{}\nrecon reports {ours:#?}\nthe other engine {theirs:#?}\nfor {}",
            query.text,
            Value::from(rows.to_vec())
        );
    }
    Ok(ours.iter().map(BTreeSet::len).sum())
}

fn remote(columns: &Value) -> Option<&str> {
    columns.get("RemoteIP").and_then(Value::as_str)
}

#[test]
fn random_rows() -> Result<()> {
    let queries = Query::all();
    ensure!((queries.len(), in_force()?.rules.len()) == (10, 10));
    let sets: Vec<Vec<Value>> = (0..SETS).map(random::rows).collect();
    // Every query groups by the remote, and no two sets share one: so one call serves all sets.
    let mut engine = Engine::start(queries.iter().map(Query::for_engine))?;
    let theirs = engine.ask(&sets.concat())?;
    let mut groups = 0;
    for (number, rows) in sets.iter().enumerate() {
        let remotes: BTreeSet<_> = rows.iter().filter_map(remote).collect();
        let is_of_set = |columns: &&Map<String, Value>| {
            let remote = columns.get("RemoteIP").and_then(Value::as_str);
            remote.is_some_and(|remote| remotes.contains(remote))
        };
        let theirs: Vec<_> = theirs
            .iter()
            .map(|found| {
                found
                    .iter()
                    .filter(is_of_set)
                    .map(reported_columns)
                    .collect()
            })
            .collect();
        groups += compare(rows, &judged(rows, &queries)?, &theirs)
            .with_context(|| format!("set {number}"))?;
    }
    // Sets without reports would agree as well.
    ensure!(groups as u64 > 5 * SETS, "{groups} groups in {SETS} sets");
    Ok(())
}

/// A scan, a flood, failures and visits, as counted by `recon run --events`.
#[test]
fn rows_of_real_traffic() -> Result<()> {
    let lab = Lab::new()?;
    let _server = Server::web(lab.host(), PAGE)?;
    let folder = open_folder()?;
    let events = folder.path().join("events.jsonl");
    let agent = Agent::start(
        &lab,
        &format!(
            "{INTERVAL} --events {} --rules {}",
            events.display(),
            source_file().display()
        ),
    )?;
    make_traffic(&lab)?;
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.seen);
    let signals = stopped.totals()?.signals;
    let rows = rows_of_an_hour(&fs::read_to_string(&events)?)?;
    let counted = rows.iter().filter_map(|row| row["Count"].as_u64());
    ensure!(counted.sum::<u64>() == signals, "{}", stopped.seen);

    let queries = Query::all();
    let mut engine = Engine::start(queries.iter().map(Query::for_engine))?;
    let theirs: Vec<_> = engine.ask(&rows)?;
    let theirs: Vec<_> = theirs
        .iter()
        .map(|found| found.iter().map(reported_columns).collect())
        .collect();
    let ours = judged(&rows, &queries)?;
    compare(&rows, &ours, &theirs)?;
    // All rules except those on DNS and SMB, which this traffic lacks.
    let firing = ours.iter().filter(|groups| !groups.is_empty()).count();
    ensure!(firing >= queries.len() - 2, "{firing} rules: {ours:#?}");
    ensure_reported_live(&stopped.seen, &ours)
}

/// Sends all of [`TRAFFIC`].
fn make_traffic(lab: &Lab) -> Result<()> {
    for line in TRAFFIC {
        let line = line
            .replace("{host}", &HOST.to_string())
            .replace("{attacker}", &ATTACKER.to_string());
        let from = match line.strip_prefix("host: ") {
            Some(_) => lab.host(),
            None => lab.attacker(),
        };
        let line = line.trim_start_matches("host: ");
        run(from, shell(line), DEADLINE).with_context(|| line.to_owned())?;
    }
    Ok(())
}

/// The agent's reports while it ran are about the same groups.
fn ensure_reported_live(seen: &Seen, judged: &[BTreeSet<Report>]) -> Result<()> {
    for ((query, rule), judged) in Query::all().iter().zip(in_force()?.rules).zip(judged) {
        let group = |report: &Report| -> Vec<Option<String>> {
            let names = query.groups.iter();
            names.map(|name| report.get(name).cloned()).collect()
        };
        let of_rule = seen
            .alerts
            .iter()
            .filter(|alert| alert.text("rule.category").as_deref() == Some(rule.plan.id.as_str()));
        let columns = of_rule.filter_map(|alert| alert.field("recon.columns")?.as_object());
        let live: BTreeSet<_> = columns
            .map(|columns| group(&reported_columns(columns)))
            .collect();
        let judged: BTreeSet<_> = judged.iter().map(group).collect();
        ensure!(
            live == judged,
            "{}\nlive {live:?}\njudged {judged:?}",
            query.text
        );
    }
    Ok(())
}

/// The rows of an agent's file, with their times shifted so that the first is at a full hour.
fn rows_of_an_hour(lines: &str) -> Result<Vec<Value>> {
    const HOUR: i64 = 3600;
    let mut rows: Vec<Value> = lines
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let time = |row: &Value| -> Result<Timestamp> {
        let text = row["TimeGenerated"].as_str().context("rows have a time")?;
        Ok(text.parse()?)
    };
    let first = time(rows.first().context("no rows")?)?;
    let moved = SignedDuration::from_secs(first.as_second().rem_euclid(HOUR))
        + SignedDuration::from_nanos(i64::from(first.subsec_nanosecond()));
    for row in &mut rows {
        let time = time(row)?.checked_sub(moved)?;
        row["TimeGenerated"] = time.to_string().into();
        row["Timestamp"] = time.to_string().into();
    }
    Ok(rows)
}
