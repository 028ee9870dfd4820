//! The boundary of every detection on real packets: N events raise no alert, one more does.
//!
//! One row for each rule and measure, and one for each query of the rules' source, which runs
//! unchanged. The frames cross a real hook; the refusals and queries are this kernel's own. Other
//! rules may fire on the same frames: a row checks only its own rule and measure.

#[path = "boundary/source.rs"]
mod source;
#[path = "boundary/table.rs"]
mod table;

use std::cell::OnceCell;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};
use recon_tests::dns;
use recon_tests::frame::{CLIENT_PORT, Path, data, syn};
use recon_tests::lab::HOST;
use recon_tests::server::Server;
use recon_tests::{Agent, Alert, Lab, Sender, TestProcess, kernel, report, rows};

use table::ROWS;

const INTERVAL: &str = "--interval 100ms";

/// Two public remotes and a private one, of each family.
const REMOTES: [Ipv4Addr; 3] = [
    Ipv4Addr::new(203, 0, 113, 10),
    Ipv4Addr::new(203, 0, 113, 11),
    Ipv4Addr::new(10, 0, 0, 9),
];
const REMOTES6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x10),
    Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x11),
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9),
];

struct Row {
    name: &'static str,
    rule: &'static str,
    measure: &'static str,
    /// N, the last quiet number of events.
    threshold: u64,
    window: &'static str,
    /// Makes the event with this number for the remote.
    event: fn(&Bench<'_>, IpAddr, u16) -> Result<()>,
    /// Signals of an event: one, or two where the host's refusal is one too.
    signals: u64,
    /// The same for events with an odd number, if these cause others.
    odd_signals: Option<u64>,
    /// What the alert names in addition to the remote.
    host: Option<IpAddr>,
    port: Option<u16>,
    direction: &'static str,
    family: Family,
    counts_private: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Family {
    V4,
    V6,
}

/// The means to make events.
struct Bench<'a> {
    sender: Sender,
    /// A socket of the host that sends queries.
    resolver: UdpSocket,
    /// Receives queries and never answers, so that the host refuses none.
    _nameserver: UdpSocket,
    /// What a row needs in addition, once it has asked for it.
    extra: OnceCell<Extra>,
    lab: &'a Lab,
}

/// The needs of few rows.
enum Extra {
    /// A program of the host with a scanner's name.
    Scanner(TestProcess),
    /// A web server of the host, open to remotes as long as this value lives.
    Web { _server: Server },
}

impl<'a> Bench<'a> {
    fn new(lab: &'a Lab) -> Result<Self> {
        const ANY_PORT: u16 = 0;
        // The mask of ICMP types that the kernel limits, here none. Otherwise it would send 'port
        // unreachable' only 50 times.
        lab.host().set("ipv4/icmp_ratemask", 0)?;
        let bind = |port| lab.host().enter(|| Ok(UdpSocket::bind((HOST, port))?));
        Ok(Self {
            sender: lab.sender()?,
            resolver: bind(ANY_PORT)?,
            _nameserver: bind(dns::PORT)?,
            extra: OnceCell::new(),
            lab,
        })
    }

    fn segment(&self, remote: IpAddr, host: impl Into<IpAddr>, port: u16) -> Result<()> {
        self.sender
            .send(&Path::new(remote, host).tcp(syn(port), &[])?)
    }

    fn payload(&self, remote: IpAddr, port: u16, payload: &[u8]) -> Result<()> {
        self.sender
            .send(&Path::new(remote, HOST).tcp(data(port), payload)?)
    }

    fn datagram(&self, remote: IpAddr, port: u16, payload: &[u8]) -> Result<()> {
        self.sender
            .send(&Path::new(remote, HOST).udp([CLIENT_PORT, port], payload)?)
    }

    fn echo(&self, remote: IpAddr, host: impl Into<IpAddr>, number: u16) -> Result<()> {
        self.sender.send(&Path::new(remote, host).echo(number)?)
    }

    /// Makes the events with these numbers, and returns how many signals they cause.
    fn make(&self, row: &Row, remote: IpAddr, numbers: Range<u64>) -> Result<u64> {
        let mut signals = 0;
        for number in numbers {
            (row.event)(self, remote, u16::try_from(number)?)?;
            let odd = row.odd_signals.filter(|_| number % 2 == 1);
            signals += odd.unwrap_or(row.signals);
        }
        Ok(signals)
    }
}

impl Row {
    fn remotes(&self) -> [IpAddr; 3] {
        match self.family {
            Family::V4 => REMOTES.map(IpAddr::V4),
            Family::V6 => REMOTES6.map(IpAddr::V6),
        }
    }

    /// The source and the destination in an alert about `remote`.
    fn ends(&self, remote: IpAddr) -> [Option<String>; 2] {
        let (remote, host) = (Some(remote.to_string()), self.host.map(|ip| ip.to_string()));
        match self.direction {
            "egress" => [host, remote],
            _ => [remote, host],
        }
    }

    /// The row's own alerts about `remote`.
    fn about<'a>(&'a self, remote: IpAddr, alerts: &'a [Alert]) -> impl Iterator<Item = &'a Alert> {
        let end = match self.direction {
            "egress" => "destination.ip",
            _ => "source.ip",
        };
        alerts.iter().filter(move |alert| {
            alert.is(self.rule, self.measure) && alert.text(end) == Some(remote.to_string())
        })
    }

    /// Fails if there is an alert at the threshold.
    fn ensure_quiet(&self, remote: IpAddr, alerts: &[Alert]) -> Result<()> {
        match self.about(remote, alerts).next() {
            Some(early) => bail!("{} events of {remote}: {early}", self.threshold),
            None => Ok(()),
        }
    }

    fn check_alert(&self, alert: &Alert, remote: IpAddr) -> Result<()> {
        let [source, destination] = self.ends(remote);
        let text = |value: &str| Some(value.to_owned());
        for (field, expected) in [
            ("event.kind", text("alert")),
            ("source.ip", source),
            ("destination.ip", destination),
            ("destination.port", self.port.map(|port| port.to_string())),
            ("network.direction", text(self.direction)),
            ("recon.count", Some((self.threshold + 1).to_string())),
            ("recon.threshold", Some(self.threshold.to_string())),
            ("recon.window", text(self.window)),
            ("recon.lower_bound", text("false")),
        ] {
            let found = alert.text(field);
            ensure!(
                found == expected,
                "{field} is {found:?}, not {expected:?}: {alert}"
            );
        }
        Ok(())
    }

    /// Makes one more event for a remote with N, after `signals` in all, and expects an alert from
    /// the poll that drains it.
    fn cross(&self, bench: &Bench<'_>, agent: &Agent, remote: IpAddr, signals: u64) -> Result<u64> {
        let more = bench.make(self, remote, self.threshold..self.threshold + 1)?;
        let what = format!("an alert about {remote}");
        let alert = agent.wait_alert(&what, signals + more, |seen| {
            self.about(remote, &seen.alerts).next().cloned()
        })?;
        self.check_alert(&alert, remote)?;
        Ok(more)
    }
}

fn sources_are_counted_apart(row: &Row, lab: &Lab, bench: &Bench<'_>, options: &str) -> Result<()> {
    let [first, second, private] = row.remotes();
    let agent = Agent::start(lab, &format!("{INTERVAL} {options}"))?;
    let mut signals = bench.make(row, first, 0..row.threshold)?;
    signals += bench.make(row, second, 0..row.threshold)?;
    signals += bench.make(row, private, 0..row.threshold + 1)?;
    agent.wait_drained(signals)?;
    let alerts = agent.seen().alerts;
    row.ensure_quiet(first, &alerts)?;
    row.ensure_quiet(second, &alerts)?;

    signals += row.cross(bench, &agent, first, signals)?;
    agent.wait_drained(signals)?;
    let stopped = agent.stop()?;
    let totals = stopped.totals()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    ensure!(
        (totals.signals, totals.lost) == (signals, 0),
        "{signals} signals, not {totals:?}"
    );
    let private_alerts = usize::from(row.counts_private);
    for (remote, expected) in [(first, 1), (second, 0), (private, private_alerts)] {
        let count = row.about(remote, &stopped.seen.alerts).count();
        ensure!(
            count == expected,
            "{count} alerts about {remote}, not {expected}\n{}",
            stopped.seen
        );
    }
    if let Some(alert) = row.about(private, &stopped.seen.alerts).next() {
        row.check_alert(alert, private)?;
    }
    Ok(())
}

fn private_sources_count_on_demand(
    row: &Row,
    lab: &Lab,
    bench: &Bench<'_>,
    options: &str,
) -> Result<()> {
    let [.., private] = row.remotes();
    let agent = Agent::start(lab, &format!("{INTERVAL} --include-private {options}"))?;
    let signals = bench.make(row, private, 0..row.threshold)?;
    agent.wait_drained(signals)?;
    row.ensure_quiet(private, &agent.seen().alerts)?;
    row.cross(bench, &agent, private, signals)?;
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    Ok(())
}

fn check(row: &Row, options: &str) -> Result<()> {
    let lab = Lab::new()?;
    let bench = Bench::new(&lab)?;
    sources_are_counted_apart(row, &lab, &bench, options).context("public sources")?;
    private_sources_count_on_demand(row, &lab, &bench, options).context("with --include-private")
}

#[test]
fn one_more_than_the_threshold_alerts() {
    rows::check(
        ROWS,
        |row| row.name,
        |row| report::detections([(row.rule, row.measure)], check(row, "")),
    );
}

#[test]
fn the_queries_of_the_source_run_unchanged() -> Result<()> {
    if kernel::is_emulated()? {
        // They take minutes there, and their results do not depend on the kernel.
        report::skip("the queries of the source", "the processor is emulated");
        return Ok(());
    }
    let mut file = tempfile::Builder::new().suffix(".kql").tempfile()?;
    file.write_all(source::QUERIES)?;
    let options = format!("--rules {}", file.path().display());
    rows::check(source::ROWS, |row| row.name, |row| check(row, &options));
    Ok(())
}
