//! The mixture: one hour of a web and DNS server, of which is known who is who.
//!
//! In: a seed, and what the host's closed ports do. Out: the rows of each poll, the sources of each
//! category, and which scanner is at an address.
//!
//! | file | holds |
//! |---|---|
//! | `host` | this host, the ranges of addresses, clusters of clients |
//! | `traffic` | rows of a connection, a datagram, a query, a ping, a probe |
//! | `source` | one remote: what it does, in words |
//! | `clients`, `strays` | legitimate clients; those that reach many ports, or closed ones |
//! | `background` | sources that pass by |
//! | `scanners` | the twenty that should be found |
//!
//! The decisions held here:
//! - The mixture describes traffic, never the detector. Its figures come from what is published,
//!   as each file names it, and else from what programs and protocols do. Its author had not
//!   looked at a rule or a threshold. The lists of habits and of scanners, with sizes such as 15,
//!   18 and 21 ports, were given by others, who may know the thresholds. A change of a rule is no
//!   reason to change the mixture. What it lacks is added, with a source or a reason; what recon
//!   handles badly stays.
//! - Habits that are rare on a real server, such as a mail program's guesses, are as frequent as it
//!   takes to count mistakes: each such category has some dozens of sources in 10,000 clients. The
//!   share of clients that are named is therefore an upper estimate for such habits.
//! - Time is compressed: background radiation of a day meets the traffic of an hour.
//! - Each category, and each source in it, draws from a stream of its own, so that a change of one
//!   leaves what the others do as it was.
//!
//! What the mixture does not have: floods, forged sources, backscatter, traffic that this host
//! begins, and lost events. Other tests and benchmarks have those.

mod background;
mod clients;
mod host;
mod scanners;
mod source;
mod strays;
mod traffic;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use recon_common::Address;

use crate::random::Random;
use host::{Addresses, scanner_network};
pub(crate) use host::{Closed, Kind, kind_at};
pub(crate) use scanners::SCANNERS;
use source::Source;
use traffic::Traffic;
pub(crate) use traffic::{Counted, POLLS, Tally};

/// Where the sources of a category have their addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Clients, of whom a part comes over IPv6.
    Users,
    /// Clients that are servers themselves.
    Servers,
    Background,
}

/// Sources of one kind.
struct Category {
    name: &'static str,
    sources: u64,
    origin: Origin,
    act: fn(&mut Source<'_>),
}

const fn category(
    name: &'static str,
    sources: u64,
    origin: Origin,
    act: fn(&mut Source<'_>),
) -> Category {
    Category {
        name,
        sources,
        origin,
        act,
    }
}

/// The legitimate clients.
#[cfg(test)]
const CLIENTS: u64 = 10_000;
/// The sources of background radiation.
#[cfg(test)]
const BACKGROUND: u64 = 1_000;

const CATEGORIES: [Category; 21] = [
    category("browsers", 7_730, Origin::Users, clients::browser),
    category(
        "gateways of 200 users",
        40,
        Origin::Servers,
        clients::gateway,
    ),
    category("crawlers", 30, Origin::Servers, clients::crawler),
    category("monitors", 40, Origin::Servers, clients::monitor),
    category(
        "monitors of closed ports",
        10,
        Origin::Servers,
        clients::monitor_of_closed,
    ),
    category("health checks", 20, Origin::Servers, clients::health_check),
    category("API clients", 200, Origin::Servers, clients::api_client),
    category("resolvers", 1_000, Origin::Servers, clients::resolver),
    category("ping monitors", 30, Origin::Servers, clients::pinger),
    category("lossy links", 200, Origin::Users, clients::lossy),
    category(
        "abandoned handshakes",
        200,
        Origin::Users,
        clients::abandoning,
    ),
    category(
        "ssh administrators",
        30,
        Origin::Users,
        clients::administrator,
    ),
    category("git and ansible", 30, Origin::Servers, clients::automation),
    category("mail programs", 120, Origin::Users, strays::mail_program),
    category(
        "users of closed panels",
        80,
        Origin::Users,
        strays::panel_user,
    ),
    category("mistyped ports", 120, Origin::Users, strays::mistyper),
    category("passive FTP", 40, Origin::Users, strays::ftp_client),
    category("video calls", 80, Origin::Users, strays::caller),
    category(
        "background, one port",
        700,
        Origin::Background,
        background::one_port,
    ),
    category(
        "background, 2 to 5 ports",
        260,
        Origin::Background,
        background::few_ports,
    ),
    category(
        "background, 6 to 10 ports",
        40,
        Origin::Background,
        background::several_ports,
    ),
];

/// The traffic of the hour.
#[derive(Debug)]
pub(crate) struct Mixture {
    /// What each key counted in each poll, in the order of the polls.
    pub(crate) rows: Vec<Counted>,
    /// What each category and each scanner did.
    pub(crate) tallies: Vec<(&'static str, Tally)>,
    /// The category of each source that is not a scanner.
    categories: HashMap<Address, &'static str>,
    /// The scanner in each network of scanners.
    scanners: HashMap<u16, usize>,
}

impl Mixture {
    pub(crate) fn new(seed: u64, closed: Closed) -> Self {
        let mut parts = 0..;
        let mut part = || Random::part(seed, parts.next().unwrap_or_default());
        let mut traffic = Traffic::new(closed);
        let mut addresses = Addresses::new(part());
        let mut tallies = Vec::new();
        let mut categories = HashMap::new();
        for category in &CATEGORIES {
            let mut random = part();
            for number in 0..category.sources {
                let remote = match category.origin {
                    Origin::Users => addresses.user(),
                    Origin::Servers => addresses.server(),
                    Origin::Background => addresses.background(),
                };
                categories.insert(remote, category.name);
                let mut source = Source::new(&mut traffic, random.fork(), remote, number);
                (category.act)(&mut source);
            }
            tallies.push((category.name, traffic.take_tally()));
        }
        let mut scanners = HashMap::new();
        for (index, scanner) in SCANNERS.iter().enumerate() {
            let mut random = part();
            let network = addresses.scanner_network();
            scanners.insert(network, index);
            for member in 0..scanner.members {
                let remote = host::scanner(network, member, scanner.is_v6);
                let number = u64::from(member);
                let mut source = Source::new(&mut traffic, random.fork(), remote, number);
                (scanner.act)(&mut source);
            }
            tallies.push((scanner.name, traffic.take_tally()));
        }
        Self {
            rows: traffic.into_rows(),
            tallies,
            categories,
            scanners,
        }
    }

    /// The category of a client or of a source of background radiation.
    pub(crate) fn category_of(&self, remote: Address) -> Option<&'static str> {
        self.categories.get(&remote).copied()
    }

    /// The scanner that has the address, or is in the network that begins with it.
    pub(crate) fn scanner_at(&self, address: Address) -> Option<usize> {
        self.scanners.get(&scanner_network(address)?).copied()
    }
}
