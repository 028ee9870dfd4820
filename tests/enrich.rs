//! What alerts say of a remote besides what recon counts: its network and country, by databases,
//! and its name, by DNS.
//!
//! In: the databases in enrich/, a scan. Out: the fields of its alert, before and after reloads.
//! The decision held here: the agent is confined, as a service is, so that a reload reads the other
//! file under Landlock.

#[path = "enrich/names.rs"]
mod names;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use recon_tests::agent::recon;
use recon_tests::lab::{ATTACKER, ATTACKER6, HOST6};
use recon_tests::process::{Finished, run};
use recon_tests::scan::{PORTS, scan};
use recon_tests::seen::{Alert, Seen};
use recon_tests::{Agent, Lab, PATIENCE};
use serde_json::{Value, json};
use tempfile::TempDir;

const INTERVAL: &str = "--interval 100ms";

/// The folder of an agent with databases.
struct Files(TempDir);

impl Files {
    /// With both databases.
    fn new() -> Result<Self> {
        let files = Self(tempfile::tempdir()?);
        files.put("asn.mmdb", "asn.mmdb")?;
        files.put("country.mmdb", "country.mmdb")?;
        let settings = format!(
            "[enrich]\nasn = '{}'\ncountry = '{}'\n",
            files.path("asn.mmdb").display(),
            files.path("country.mmdb").display()
        );
        fs::write(files.path("recon.toml"), settings)?;
        Ok(files)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts a database of the tests in the place of another, as updates do it.
    fn put(&self, database: &str, name: &str) -> Result<()> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("enrich");
        let new = self.path("new");
        fs::copy(source.join(database), &new)?;
        fs::rename(new, self.path(name))?;
        Ok(())
    }

    fn start(&self, lab: &Lab, more: &str) -> Result<Agent> {
        let [config, socket] = ["recon.toml", "control.sock"].map(|name| self.path(name));
        let (config, socket) = (config.display(), socket.display());
        Agent::start(
            lab,
            &format!("{INTERVAL} --config {config} --control {socket} {more}"),
        )
    }

    fn ask(&self, lab: &Lab, command: &str) -> Result<Finished> {
        let line = format!(
            "{command} --control {}",
            self.path("control.sock").display()
        );
        run(lab.host(), recon(&line)?, PATIENCE)
    }
}

/// What an alert says of a remote.
fn facts(alert: &Alert, end: &str) -> [Option<Value>; 3] {
    ["as.number", "as.organization.name", "geo.country_iso_code"]
        .map(|name| alert.field(&format!("{end}.{name}")).cloned())
}

/// The last alert about a scan by that remote.
fn last_of<'a>(seen: &'a Seen, remote: &str) -> Option<&'a Alert> {
    let scans = seen.fired("port-scan", "distinct_ports");
    let of_remote = |alert: &&Alert| alert.text("source.ip").as_deref() == Some(remote);
    scans.filter(of_remote).last()
}

fn wait_facts(agent: &Agent, remote: &str) -> Result<[Option<Value>; 3]> {
    agent.wait_for("the alert about the scan", |seen| {
        last_of(seen, remote).map(|alert| facts(alert, "source"))
    })
}

fn scan6(lab: &Lab) -> Result<()> {
    lab.attacker().enter(|| {
        for port in PORTS {
            let refused = std::net::TcpStream::connect((HOST6, port));
            ensure!(refused.is_err(), "port {port} is open");
        }
        Ok(())
    })
}

#[test]
fn an_alert_says_in_whose_network_the_scanner_is() -> Result<()> {
    let lab = Lab::new()?;
    let files = Files::new()?;
    let agent = files.start(&lab, "")?;
    scan(&lab, PORTS)?;
    let found = wait_facts(&agent, &ATTACKER.to_string())?;
    let organization = "Example \u{1b}[31mNet";
    let expected = [json!(64_500), json!(organization), json!("DE")].map(Some);
    ensure!(found == expected, "{found:?}");
    scan6(&lab)?;
    let found = wait_facts(&agent, &ATTACKER6.to_string())?;
    let expected = [json!(64_502), json!("Documentation"), json!("AQ")].map(Some);
    ensure!(found == expected, "{found:?}");

    let status = files.ask(&lab, "status --json")?.success()?;
    let status: Value = serde_json::from_str(&status)?;
    let mut sources = status["sources"].as_array().context("sources")?.iter();
    let ours = json!(ATTACKER.to_string());
    let source = sources.find(|source| source["ip"] == ours);
    let source = source.with_context(|| format!("{status:#}"))?;
    ensure!(
        source["as_number"] == 64_500
            && source["as_organization"] == organization
            && source["country"] == "DE",
        "{source:#}"
    );
    let text = files.ask(&lab, "status")?.success()?;
    let shown = format!("{ATTACKER}, AS64500 Example \\u{{1b}}[31mNet DE, ");
    ensure!(text.contains(&shown), "no {shown:?} in {text}");

    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.seen);
    for text in [
        "enrich.asn: ",
        "asn.mmdb: GeoLite2-ASN of 2026-01-01T00:00:00Z",
    ] {
        ensure!(stopped.seen.has_logged(text), "{text}: {}", stopped.seen);
    }
    Ok(())
}

#[test]
fn a_reload_takes_another_database_and_refuses_a_wrong_one() -> Result<()> {
    let lab = Lab::new()?;
    let files = Files::new()?;
    // A line each time: the incidents are of one source.
    let agent = files.start(&lab, "--quiet 1s")?;
    files.put("lite.mmdb", "asn.mmdb")?;
    files.put("lite.mmdb", "country.mmdb")?;
    let said = files.ask(&lab, "reload")?.success()?;
    for name in ["asn", "country"] {
        let expected = "-> ipinfo lite.mmdb of 2026-01-01T00:00:00Z";
        let is_said = |line: &&str| line.contains(name) && line.contains(expected);
        ensure!(said.lines().any(|line| is_said(&line)), "{name}: {said}");
    }
    // What is cut off is refused, and what was in force stays: all of it, also of other settings.
    let settings = fs::read_to_string(files.path("recon.toml"))?;
    let other = format!("{settings}[rules.port-scan]\nenabled = false\n");
    fs::write(files.path("recon.toml"), other)?;
    let whole = fs::read(files.path("asn.mmdb"))?;
    fs::write(files.path("asn.mmdb"), &whole[..whole.len() / 2])?;
    let refused = files.ask(&lab, "reload")?;
    ensure!(
        refused.status.code() == Some(1)
            && refused
                .output
                .contains("this is no database in MaxMind's format"),
        "{refused:?}"
    );
    fs::remove_file(files.path("asn.mmdb"))?;
    agent.signal(Signal::SIGHUP)?;
    agent.wait_for("the reload of the signal", |seen| {
        let is_refused = seen.has_logged("asn.mmdb: error: No such file");
        is_refused.then_some(())
    })?;
    scan(&lab, PORTS)?;
    let found = wait_facts(&agent, &ATTACKER.to_string())?;
    let expected = [json!(64_503), json!("Lite"), json!("DE")].map(Some);
    ensure!(found == expected, "{found:?}");
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.seen);
    Ok(())
}

#[test]
fn a_check_names_the_databases() -> Result<()> {
    let lab = Lab::new()?;
    let files = Files::new()?;
    let check = |files: &Files| -> Result<Finished> {
        let config = files.path("recon.toml");
        let line = format!("check --json -i veth0 --config {}", config.display());
        run(lab.host(), recon(&line)?, PATIENCE)
    };
    let said = check(&files)?.output;
    for name in ["GeoLite2-ASN of 2026", "GeoLite2-Country of 2026"] {
        ensure!(said.contains(name), "no {name} in {said}");
    }
    ensure!(!said.contains("damaged"), "{said}");
    // A byte within a record: most of the file is still of use.
    let path = files.path("country.mmdb");
    let mut bytes = fs::read(&path)?;
    let place = bytes.windows(2).position(|pair| pair == b"AQ");
    let place = place.context("the code of a country")?;
    bytes[place] = 0xff;
    fs::write(&path, &bytes)?;
    let said = check(&files)?.output;
    ensure!(said.contains("damaged"), "{said}");
    Ok(())
}
