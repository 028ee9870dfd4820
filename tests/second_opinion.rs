//! A second opinion: what recon's rules say of rows is what another engine says that runs KQL itself.
//!
//! The source's ten queries run unchanged in both, over a thousand random sets of rows and over rows that `recon run --events` has written
//! of real traffic. The two differ in what is a stream's: recon tells of a group again as it grows, and of times it knows windows, so
//! the last alert of each group counts, and columns that are times do not.

#[path = "second_opinion/engine.rs"]
mod engine;
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
use recon_user::cli::RuleOptions;
use recon_user::replay;
use recon_user::settings::{self, InForce};
use serde_json::{Map, Value};

use engine::Engine;

const SETS: u64 = 1000;
const INTERVAL: &str = "--interval 200ms";
const DEADLINE: Duration = Duration::from_secs(60);
/// Bytes of the web server's page.
const PAGE: u64 = 100;
/// What goes on while rows are counted, in this order, by the attacker or by the host itself.
const TRAFFIC: [&str; 7] = [
    "nmap -n -Pn -sS -p1-300 --max-retries 0 {host}",
    "hping3 -q -n -S -p 443 -c 800 -i u500 -a 198.51.100.20 {host}",
    "hping3 -q -n -S -p ++1 -c 60 -i u500 -a 10.0.0.9 {host}",
    "ping -q -n -c 60 -i 0.002 {host}",
    "wrk -t1 -c4 -d1s -H 'Connection: close' http://{host}/",
    "hping3 -q -n -S -p 8080 -c 60 -i u500 -a 198.51.100.21 {host}",
    "host: nmap -n -Pn -sT -p1-30 --max-retries 0 {attacker}",
];

/// The ten queries as their source has them.
const SOURCE: &str = include_str!("second_opinion/detections.kql");

fn source_file() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/second_opinion/detections.kql"
    ))
}

/// A query of the source.
struct Query {
    text: String,
    /// The columns that tell its groups apart, but for times.
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

    /// The query for the other engine. Two things that recon documents are said in KQL: rows do not count where what they are grouped
    /// by is no port of theirs, and a name that ends in `.exe` is one without that too.
    fn for_engine(&self) -> String {
        let mut text = self.text.replace("nmap.exe", "nmap");
        if self.groups.iter().any(|name| name == "LocalPort") && text.contains("| summarize") {
            text = text.replace("| summarize", "| where isnotnull(LocalPort)\n| summarize");
        }
        text
    }
}

/// What is told of a group: its columns, but for times.
type Told = BTreeMap<String, String>;

fn told(columns: &Map<String, Value>) -> Told {
    let times = ["TimeGenerated", "time_diff"];
    columns
        .iter()
        .filter(|(name, value)| !times.contains(&name.as_str()) && !value.is_null())
        .map(|(name, value)| (name.clone(), value.to_string()))
        .collect()
}

/// The source's rules, in their order.
fn in_force() -> Result<InForce> {
    let options = RuleOptions {
        rules: vec![source_file()],
        ..RuleOptions::default()
    };
    settings::in_force(&options, Vec::new).map_err(|refused| anyhow!("{refused}"))
}

/// What recon says of rows, for each rule in the order of the file: the last that was told of each group.
fn judged(rows: &[Value], queries: &[Query]) -> Result<Vec<BTreeSet<Told>>> {
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let in_force = in_force()?;
    let ids: Vec<String> = in_force
        .rules
        .iter()
        .map(|rule| rule.plan.id.clone())
        .collect();
    let mut alerts = Vec::new();
    replay::judge("rows", lines.as_bytes(), in_force, &mut alerts)?;
    told_last(&String::from_utf8(alerts)?, &ids, queries)
}

/// The last that was told of each group of each rule.
fn told_last(alerts: &str, ids: &[String], queries: &[Query]) -> Result<Vec<BTreeSet<Told>>> {
    let mut last = vec![BTreeMap::new(); queries.len()];
    for line in alerts.lines() {
        let alert: Value = serde_json::from_str(line)?;
        let id = alert.pointer("/rule/id").and_then(Value::as_str);
        let rule = ids.iter().position(|known| Some(known.as_str()) == id);
        let rule = rule.with_context(|| format!("no such rule: {line}"))?;
        let columns = alert.pointer("/recon/columns").and_then(Value::as_object);
        let told = told(columns.with_context(|| format!("no columns: {line}"))?);
        let group: Vec<_> = queries[rule]
            .groups
            .iter()
            .map(|name| told.get(name).cloned())
            .collect();
        last[rule].insert(group, told);
    }
    Ok(last
        .into_iter()
        .map(|groups| groups.into_values().collect())
        .collect())
}

/// Ensures that both say the same of some rows, and returns how many groups they tell of.
fn compare(rows: &[Value], ours: &[BTreeSet<Told>], theirs: &[BTreeSet<Told>]) -> Result<usize> {
    for ((query, ours), theirs) in Query::all().iter().zip(ours).zip(theirs) {
        ensure!(
            ours == theirs,
            "{}\nrecon says {ours:#?}\nthe other engine {theirs:#?}\nof {}",
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
    // Every query groups by the remote, and no two sets have one in common: so one question is enough for all of them.
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
            .map(|found| found.iter().filter(is_of_set).map(told).collect())
            .collect();
        groups += compare(rows, &judged(rows, &queries)?, &theirs)
            .with_context(|| format!("set {number}"))?;
    }
    // Sets of which nothing is told would agree as well.
    ensure!(groups as u64 > 5 * SETS, "{groups} groups in {SETS} sets");
    Ok(())
}

/// A scan, a flood, failures and visits, as `recon run --events` has counted them.
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
        .map(|found| found.iter().map(told).collect())
        .collect();
    let ours = judged(&rows, &queries)?;
    compare(&rows, &ours, &theirs)?;
    // All but those on DNS and SMB, which this traffic has none of.
    let firing = ours.iter().filter(|groups| !groups.is_empty()).count();
    ensure!(firing >= queries.len() - 2, "{firing} rules: {ours:#?}");
    ensure_told_as_it_ran(&stopped.seen, &ours)
}

/// What the agent has told of while it ran are the same groups.
fn ensure_told_as_it_ran(seen: &Seen, judged: &[BTreeSet<Told>]) -> Result<()> {
    for ((query, rule), judged) in Query::all().iter().zip(in_force()?.rules).zip(judged) {
        let group = |told: &Told| -> Vec<Option<String>> {
            let names = query.groups.iter();
            names.map(|name| told.get(name).cloned()).collect()
        };
        let of_rule = seen
            .alerts
            .iter()
            .filter(|alert| alert.text("rule.id").as_deref() == Some(rule.plan.id.as_str()));
        let columns = of_rule.filter_map(|alert| alert.field("recon.columns")?.as_object());
        let live: BTreeSet<_> = columns.map(|columns| group(&told(columns))).collect();
        let judged: BTreeSet<_> = judged.iter().map(group).collect();
        ensure!(
            live == judged,
            "{}\nlive {live:?}\njudged {judged:?}",
            query.text
        );
    }
    Ok(())
}

/// The rows of an agent's file, their times moved so that the first is that of a full hour.
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
