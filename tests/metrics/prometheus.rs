//! What Prometheus itself reads and says: its scrapes during a flood, and what its tool says of the
//! metrics and of the installed rules. Where apt-get has it, `cargo xtask test` unpacks it.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use recon_tests::lab::HOST_LINK;
use recon_tests::report::skip;
use recon_tests::scan::{PORTS, ensure_alert, scan};
use recon_tests::scrape::{Address, BETWEEN_SCRAPES, Scraper};
use recon_tests::{Lab, PATIENCE, Process};
use serde_json::Value;

use super::sums::{Flood, flood};
use super::{start, tcp};

/// Where `cargo xtask test` puts the programs, relative to this package.
const FOLDER: &str = "../target/tools/prometheus/usr/bin";
/// The rules that the package installs, relative to this package.
const RULES: &str = "../recon-user/package/metrics/recon-alerts.yml";
/// How many alerts they have.
const ALERTS: usize = 8;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// One of its programs, if it is there.
fn program(name: &str) -> Option<PathBuf> {
    let found = path(FOLDER).join(name);
    if !found.exists() {
        skip(name, "cargo xtask test unpacks it where apt-get has it");
        return None;
    }
    Some(found)
}

/// Runs promtool with that input. Returns what it says.
fn check(promtool: &Path, arguments: &[&str], input: &str) -> Result<String> {
    let mut child = Command::new(promtool)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("promtool")?;
    let mut stdin = child.stdin.take().context("piped")?;
    stdin.write_all(input.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(output.status.success(), "{arguments:?}: {said}");
    Ok(said)
}

#[test]
fn promtool_finds_nothing_wrong() -> Result<()> {
    let Some(promtool) = program("promtool") else {
        return Ok(());
    };
    let lab = Lab::new()?;
    let address = tcp();
    let agent = start(&lab, &address, "")?;
    scan(&lab, PORTS)?;
    ensure_alert(&agent)?;
    agent.wait_poll()?;
    let answer = Scraper::new(&lab, &address).get("/metrics", "Accept: text/plain\r\n")?;
    ensure!(
        answer.head.contains("text/plain; version=0.0.4"),
        "{}",
        answer.head
    );
    ensure!(
        answer.body.contains("rule=\"port-scan/distinct_ports\""),
        "{}",
        answer.body
    );
    let said = check(&promtool, &["check", "metrics"], &answer.body)?;
    ensure!(said.trim().is_empty(), "{said}");
    let rules = path(RULES).display().to_string();
    let said = check(&promtool, &["check", "rules", &rules], "")?;
    ensure!(
        said.contains(&format!("SUCCESS: {ALERTS} rules found")),
        "{said}"
    );
    Ok(())
}

/// Each alert fires on the host that it is about, and none on one that is well.
#[test]
fn each_alert_fires_where_it_should() -> Result<()> {
    let Some(promtool) = program("promtool") else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let rules = fs::read_to_string(path(RULES))?;
    // What is compared is which alerts fire: their texts may change.
    let mut bare = String::new();
    let mut is_text = false;
    for line in rules.lines() {
        let is_key = line.trim_end().ends_with("annotations:");
        is_text = is_key || (is_text && !line.trim_start().starts_with("- alert:"));
        if !is_text {
            bare += &format!("{line}\n");
        }
    }
    ensure!(bare.matches("- alert:").count() == ALERTS, "{bare}");
    fs::write(folder.path().join("rules.yml"), bare)?;
    let table = include_str!("alerts.yml");
    fs::write(folder.path().join("test.yml"), table)?;
    let test = folder.path().join("test.yml").display().to_string();
    let said = check(&promtool, &["test", "rules", &test], "")?;
    ensure!(said.contains("SUCCESS"), "{said}");
    Ok(())
}

/// A Prometheus that scrapes the agent each second. It ends with its guard.
struct Prometheus<'a> {
    lab: &'a Lab,
    address: Address,
    _process: Process,
}

impl<'a> Prometheus<'a> {
    fn start(lab: &'a Lab, program: &Path, folder: &Path, agent: &Address) -> Result<Self> {
        const PORT: u16 = 9090;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        let rules = fs::canonicalize(path(RULES))?;
        let settings = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: ['{}']\n\
             scrape_configs: [{{job_name: recon, static_configs: [{{targets: ['{agent}']}}]}}]\n",
            rules.display()
        );
        let file = folder.join("prometheus.yml");
        fs::write(&file, settings)?;
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(Self {
            lab,
            address: Address::Tcp(address),
            _process: Process::spawn(lab.host(), command)?,
        })
    }

    /// The results of a query: its labels and its value.
    fn ask(&self, query: &str) -> Result<Vec<(Value, f64)>> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let scraper = Scraper::new(self.lab, &self.address);
        let path = format!("/api/v1/query?query={encoded}");
        let answer = scraper.get(&path, "Connection: close\r\n")?;
        let answer: Value = serde_json::from_str(&answer.body).context(answer.body)?;
        let results = answer["data"]["result"].as_array().cloned();
        let results = results.with_context(|| answer.to_string())?.into_iter();
        let results = results.map(|result| {
            let value = result["value"][1].as_str().context("a value")?.parse()?;
            Ok((result["metric"].clone(), value))
        });
        results.collect()
    }

    /// Asks until the results are as they should be.
    fn wait_for(&self, query: &str, is_right: impl Fn(&[(Value, f64)]) -> bool) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            // It may not listen yet.
            let found = self.ask(query);
            if found.as_ref().is_ok_and(|found| is_right(found)) {
                return Ok(());
            }
            ensure!(Instant::now() < end, "{query}: {found:?}");
            std::thread::sleep(BETWEEN_SCRAPES);
        }
    }
}

/// What Prometheus has read after a flood is what was sent, and it hears that recon is blind.
#[test]
fn prometheus_reads_what_was_sent() -> Result<()> {
    let Some(program) = program("prometheus") else {
        return Ok(());
    };
    let lab = Lab::new()?;
    lab.attacker().set("ipv6/conf/all/disable_ipv6", 1)?;
    let folder = tempfile::tempdir()?;
    let address = tcp();
    let agent = start(&lab, &address, "")?;
    let prometheus = Prometheus::start(&lab, &program, folder.path(), &address)?;
    let is_up = |found: &[(Value, f64)]| matches!(found, [(_, value)] if *value == 1.0);
    prometheus.wait_for("up{job=\"recon\"}", is_up)?;
    let Flood { frames, expected } = flood()?;
    let sender = lab.sender()?;
    frames.iter().try_for_each(|frame| sender.send(frame))?;
    for (metric, label, number) in expected {
        let query = format!("sum({metric}{{{label}}})");
        let number = number as f64;
        prometheus.wait_for(
            &query,
            |found| matches!(found, [(_, value)] if *value == number),
        )?;
    }
    lab.host().ip(&format!("link delete {HOST_LINK}\n"))?;
    let query = "ALERTS{alertname=\"ReconBlind\",alertstate=\"firing\"}";
    prometheus.wait_for(
        query,
        |found| matches!(found, [(labels, _)] if labels["part"] == "interface"),
    )?;
    drop(prometheus);
    ensure!(agent.stop()?.status.success());
    Ok(())
}
