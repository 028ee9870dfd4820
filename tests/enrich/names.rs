//! Names of remotes by DNS: a real client asks a server beside the attacker, and the alert about a
//! scan has the name that was asked for. What nobody has asked for names nobody.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use recon_tests::dns::{self, Record, Responder, kind};
use recon_tests::lab::{ATTACKER, ATTACKER6, HOST, Lab};
use recon_tests::process::{run, shell};
use recon_tests::scan::{PORTS, scan};
use recon_tests::scrape::{Address, Scraper};
use recon_tests::{Agent, PATIENCE, rows};
use serde_json::json;

use super::{INTERVAL, last_of, scan6};

const LOST: &str = "recon_lost_dns_messages_total";
const NAMES: &str = "[enrich]\nnames = true\n";

/// What the server knows.
fn records() -> Vec<Record> {
    vec![
        ("www.example", kind::CNAME, dns::name("edge.cdn")),
        ("edge.cdn", kind::A, ATTACKER.octets().to_vec()),
        ("edge.cdn", kind::AAAA, ATTACKER6.octets().to_vec()),
        (
            "2.100.51.198.in-addr.arpa",
            kind::PTR,
            dns::name("Mail.Bank.example"),
        ),
    ]
}

/// An agent that learns names, and what its alert says of the attacker.
struct Watched {
    lab: Lab,
    agent: Agent,
    _server: Responder,
    _folder: tempfile::TempDir,
}

impl Watched {
    fn start(more: &str) -> Result<Self> {
        let lab = Lab::new()?;
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("recon.toml");
        std::fs::write(&config, NAMES)?;
        let server = Responder::with_records(lab.attacker(), ATTACKER, records())?;
        let agent = Agent::start(&lab, &format!("--config {} {more}", config.display()))?;
        Ok(Self {
            lab,
            agent,
            _server: server,
            _folder: folder,
        })
    }

    /// Asks the server as an administrator would.
    fn dig(&self, question: &str) -> Result<String> {
        let line = format!("dig @{ATTACKER} +tries=1 +time=5 {question}");
        run(self.lab.host(), shell(&line), PATIENCE)?.success()
    }

    /// The name of the remote in the alert about its scan, and who says so.
    fn named(&self, remote: IpAddr) -> Result<[Option<serde_json::Value>; 2]> {
        self.agent.wait_for("the alert about the scan", |seen| {
            let alert = last_of(seen, &remote.to_string())?;
            Some(["source.domain", "recon.domain_by"].map(|name| alert.field(name).cloned()))
        })
    }
}

struct Row {
    name: &'static str,
    mode: &'static str,
    question: &'static str,
    /// The name and who says so.
    expected: Option<[&'static str; 2]>,
}

const ROWS: &[Row] = &[
    Row {
        name: "an address by way of another name, XDP",
        mode: "",
        question: "www.example A",
        expected: Some(["www.example", "address"]),
    },
    Row {
        name: "the same at TC",
        mode: "--xdp off",
        question: "WWW.example A",
        expected: Some(["www.example", "address"]),
    },
    Row {
        name: "a pointer",
        mode: "",
        question: "-x 198.51.100.2",
        expected: Some(["mail.bank.example", "pointer"]),
    },
    Row {
        name: "over TCP, which is not read",
        mode: "",
        question: "+tcp www.example A",
        expected: None,
    },
    Row {
        name: "no such name",
        mode: "",
        question: "none.example A",
        expected: None,
    },
];

#[test]
fn an_alert_has_the_name_that_was_asked_for() {
    rows::check(
        ROWS,
        |row| row.name,
        |row| {
            let watched = Watched::start(&format!("{INTERVAL} {}", row.mode))?;
            watched.dig(row.question)?;
            scan(&watched.lab, PORTS)?;
            let found = watched.named(ATTACKER.into())?;
            let expected = match row.expected {
                Some(texts) => texts.map(|text| Some(json!(text))),
                None => [None, None],
            };
            ensure!(found == expected, "{found:?}");
            let stopped = watched.agent.stop()?;
            ensure!(stopped.status.success(), "{}", stopped.seen);
            Ok(())
        },
    );
}

#[test]
fn an_address_of_ipv6_has_a_name_too() -> Result<()> {
    let watched = Watched::start(INTERVAL)?;
    watched.dig("www.example AAAA")?;
    scan6(&watched.lab)?;
    let found = watched.named(ATTACKER6.into())?;
    ensure!(
        found == [Some(json!("www.example")), Some(json!("address"))],
        "{found:?}"
    );
    Ok(())
}

/// An answer that the server sends unasked, or to a port from which something else was asked, or
/// with another number, names nobody. Neither does a flood of them, after which names still work.
#[test]
fn what_nobody_has_asked_for_names_nobody() -> Result<()> {
    const FLOOD: u16 = 20_000;
    let folder = tempfile::tempdir()?;
    let metrics = Address::Unix(folder.path().join("metrics.sock"));
    // A poll can't read all that comes in a second.
    let watched = Watched::start(&format!("--interval 1s --metrics {metrics}"))?;
    let asker = watched
        .lab
        .host()
        .enter(|| Ok(UdpSocket::bind((HOST, 0))?))?;
    // A query whose answer the server has no record for: the flow is one that this host began.
    asker.connect((ATTACKER, dns::PORT))?;
    asker.send(dns::QUERY)?;
    asker.set_read_timeout(Some(Duration::from_secs(5)))?;
    asker.recv(&mut [0; 512]).context("the server's answer")?;
    let port = asker.local_addr()?.port();
    // The first one repeats the question, which has its answer by then.
    let forged = |number: u16| {
        let name = if number == 1 {
            "a.example"
        } else {
            "evil.example"
        };
        dns::forged_answer(number, name, ATTACKER.octets())
    };
    // Another socket at the server's port: it answers whom it likes.
    let liar = watched.lab.sender()?;
    let path = recon_tests::frame::Path::new(ATTACKER, HOST);
    for number in 0..FLOOD {
        liar.send(&path.udp([dns::PORT, port], &forged(number))?)?;
    }
    liar.send(&path.udp([dns::PORT, 40_000], &forged(2))?)?;
    watched.agent.wait_poll()?;
    scan(&watched.lab, PORTS)?;
    let found = watched.named(ATTACKER.into())?;
    ensure!(found == [None, None], "{found:?}");
    watched.agent.wait_poll()?;
    watched.dig("www.example AAAA")?;
    scan6(&watched.lab)?;
    let found = watched.named(ATTACKER6.into())?;
    ensure!(found[0] == Some(json!("www.example")), "{found:?}");
    let scraper = Scraper::new(&watched.lab, &metrics);
    let lost = scraper
        .wait_for(&watched.agent, "lost messages", |samples| {
            samples.sum(LOST, &[]) > 0
        })?
        .sum(LOST, &[]);
    let stopped = watched.agent.stop()?;
    let text = "DNS messages came faster than polls read them";
    let said = stopped.seen.log.iter().filter(|line| line.contains(text));
    let numbers = said.filter_map(|line| {
        let (_, after) = line.split_once("enrich.names: ")?;
        after.split(' ').next()?.parse::<u64>().ok()
    });
    let said: u64 = numbers.sum();
    ensure!(lost == said, "{lost} by the metric: {}", stopped.seen);
    ensure!(
        stopped
            .seen
            .has_logged("enrich.names: 1 addresses have a name"),
        "{}",
        stopped.seen
    );
    Ok(())
}
