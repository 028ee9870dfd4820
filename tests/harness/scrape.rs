//! What a scraper reads of an agent: requests by HTTP, and the samples of an answer.
//!
//! The decision held here: a client of its own, since a test also sends what no library would.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::namespace::Namespace;
use crate::{Agent, Lab, PATIENCE};

/// A pause between two looks. A client that asks all the time keeps a processor so busy that the
/// kernel ends no grace period for seconds, and polls wait for those.
pub const BETWEEN_SCRAPES: Duration = Duration::from_millis(20);

/// Where an agent serves metrics.
#[derive(Clone, Debug)]
pub enum Address {
    /// A loopback address of the agent's namespace.
    Tcp(SocketAddr),
    /// The path of a socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A connection to it.
pub trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, as they were written.
    pub head: String,
    /// The rest.
    pub body: String,
}

/// Asks an agent of a lab.
#[derive(Clone, Copy, Debug)]
pub struct Scraper<'a> {
    /// Where the agent runs.
    pub host: &'a Namespace,
    /// Where it listens.
    pub address: &'a Address,
}

impl<'a> Scraper<'a> {
    /// Asks the agent on the host of a lab.
    #[must_use]
    pub fn new(lab: &'a Lab, address: &'a Address) -> Self {
        let host = lab.host();
        Self { host, address }
    }

    /// Connects.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn connect(&self) -> Result<Box<dyn Stream>> {
        match self.address {
            Address::Tcp(_) => self.host.enter(|| self.connect_inside()),
            Address::Unix(_) => self.connect_inside(),
        }
    }

    /// Connects from a thread that is in the agent's namespace.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn connect_inside(&self) -> Result<Box<dyn Stream>> {
        match self.address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Box::new(stream))
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Box::new(stream))
            }
        }
    }

    /// The answer to a GET request with these further headers.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, path: &str, headers: &str) -> Result<Answer> {
        let mut stream = self.connect()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Ok(Answer {
            status: status.with_context(|| head.to_owned())?,
            head: head.to_owned(),
            body: body.to_owned(),
        })
    }

    /// What the agent has counted by its last poll.
    ///
    /// # Errors
    /// It does not answer.
    pub fn scrape(&self) -> Result<Samples> {
        let answer = self.get("/metrics", "")?;
        ensure!(answer.status == 200, "{}", answer.head);
        Samples::parse(&answer.body)
    }

    /// Scrapes after each poll until `condition` holds.
    ///
    /// # Errors
    /// It does not within [`PATIENCE`].
    pub fn wait_for(
        &self,
        agent: &Agent,
        what: &str,
        condition: impl Fn(&Samples) -> bool,
    ) -> Result<Samples> {
        let end = std::time::Instant::now() + PATIENCE;
        loop {
            let samples = self.scrape()?;
            if condition(&samples) {
                return Ok(samples);
            }
            ensure!(
                std::time::Instant::now() < end,
                "waiting for: {what}\n{samples}\n{}",
                agent.seen()
            );
            agent.wait_poll()?;
        }
    }
}

/// The samples of a scrape, by their series.
#[derive(Clone, Debug, Default)]
pub struct Samples(BTreeMap<String, f64>);

impl Samples {
    /// Reads OpenMetrics.
    ///
    /// # Errors
    /// A line is no sample, or the end is missing.
    pub fn parse(text: &str) -> Result<Self> {
        ensure!(text.ends_with("# EOF\n"), "no end: {text}");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.map(|line| {
            let (series, value) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
            Ok((
                series.to_owned(),
                value.parse().with_context(|| line.to_owned())?,
            ))
        });
        samples.collect::<Result<_>>().map(Self)
    }

    /// The sum of a metric over all series with these labels, each as `name="value"`. 0 if there
    /// is none.
    #[must_use]
    pub fn sum(&self, metric: &str, labels: &[&str]) -> u64 {
        let series = self.0.iter().filter(|(series, _)| {
            let (name, of) = series.split_once('{').unwrap_or((series, ""));
            name == metric && labels.iter().all(|label| of.contains(label))
        });
        series.map(|(_, value)| *value).sum::<f64>() as u64
    }

    /// Whether there is a series of that metric.
    #[must_use]
    pub fn has(&self, metric: &str) -> bool {
        let mut names = self.0.keys().map(|series| series.split('{').next());
        names.any(|name| name == Some(metric))
    }

    /// The series of all metrics.
    pub fn series(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let there = self.0.iter().filter(|(_, value)| **value != 0.0);
        there
            .into_iter()
            .try_for_each(|(series, value)| writeln!(f, "{series} {value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_named_labels() {
        let text = "# TYPE a counter\na_total{x=\"1\",y=\"2\"} 3\na_total{x=\"1\",y=\"3\"} 4\na_total{x=\"2\"} 5\nb 1.5\n# EOF\n";
        let samples = Samples::parse(text).expect("samples");
        for (metric, labels, expected) in [
            ("a_total", &[][..], 12),
            ("a_total", &["x=\"1\""], 7),
            ("a_total", &["x=\"1\"", "y=\"3\""], 4),
            ("a_total", &["x=\"9\""], 0),
            ("a", &[], 0),
            ("b", &[], 1),
        ] {
            assert_eq!(samples.sum(metric, labels), expected, "{metric} {labels:?}");
        }
        assert!(samples.has("b") && !samples.has("a"));
        Samples::parse("a 1\n").expect_err("no end");
        Samples::parse("a\n# EOF\n").expect_err("no value");
    }
}
