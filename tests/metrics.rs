//! What a scraper reads of an agent under a known flood, among hostile clients, and when the agent
//! hangs or is blind.

#[path = "metrics/clients.rs"]
mod clients;
#[path = "metrics/health.rs"]
mod health;
#[path = "metrics/prometheus.rs"]
mod prometheus;
#[path = "metrics/series.rs"]
mod series;
#[path = "metrics/sums.rs"]
mod sums;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Result;
use recon_tests::scrape::Address;
use recon_tests::{Agent, Lab};

const INTERVAL: &str = "--interval 100ms";

/// A loopback address: each lab has a loopback interface of its own.
fn tcp() -> Address {
    const PORT: u16 = 9753;
    Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)))
}

/// A socket in that folder.
fn unix(folder: &Path) -> Address {
    Address::Unix(folder.join("metrics.sock"))
}

/// An agent that serves metrics there.
fn start(lab: &Lab, address: &Address, arguments: &str) -> Result<Agent> {
    Agent::start(lab, &format!("{INTERVAL} --metrics {address} {arguments}"))
}
