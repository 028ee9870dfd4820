//! The host that the mixture reaches, and where its remotes come from.
//!
//! In: draws. Out: addresses of this host and of remotes, and the kind of remote at an address.
//! The decisions held here:
//! - Each kind of remote has a range of its own, so that an alert is attributed by its address or
//!   network alone. All ranges count as public.
//! - Clients are clustered: a few networks hold many of them (Kohler and others: "Observed
//!   structure of addresses in IP traffic", 2002), such as the gateways of a mobile carrier.
//!   Sources of background radiation are spread.
//! - Four of ten users come over IPv6, each from a /64 of its own, as large services report.

use std::collections::HashMap;

use recon_common::Address;

use crate::random::Random;

pub(crate) const FTP: u16 = 21;
pub(crate) const SSH: u16 = 22;
pub(crate) const DNS: u16 = 53;
pub(crate) const HTTP: u16 = 80;
pub(crate) const HTTPS: u16 = 443;
/// The open TCP ports. Those of FTP transfers are open only while one waits.
const OPEN: [u16; 5] = [FTP, SSH, DNS, HTTP, HTTPS];

/// The addresses of this host in each family: a web server of many sites has that many.
pub(crate) const SITES: u64 = 64;

/// What closed ports do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// Refuse: no firewall.
    Refuse,
    /// Stay silent: a firewall drops what they receive.
    Drop,
}

/// Whether a TCP port of this host is open.
pub(crate) fn is_open(port: u16) -> bool {
    OPEN.contains(&port)
}

/// The address of a site, in the family of `remote`.
pub(crate) fn site_for(remote: Address, number: u64) -> Address {
    let host = (number % SITES) as u8 + 1;
    match remote.to_v4() {
        Some(_) => Address::v4([203, 0, 113, host]),
        None => v6(0xc0de, 0, u64::from(host)),
    }
}

/// Who a remote is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Client,
    Background,
    Scanner,
}

/// The first octet of the IPv4 addresses of clients and of background radiation.
const CLIENTS: u8 = 11;
const BACKGROUND: u8 = 60;
/// The first two octets of the IPv4 addresses of scanners.
const SCANNERS: [u8; 2] = [198, 18];
/// The third word of the IPv6 addresses of clients and of scanners, below 2001:db8::/32.
const CLIENTS_V6: u16 = 0xc11e;
const SCANNERS_V6: u16 = 0x5ca9;

/// The kind of remote at an address, or at the first address of a network.
pub(crate) fn kind_at(address: Address) -> Option<Kind> {
    match address.to_ip() {
        std::net::IpAddr::V4(v4) => match v4.octets() {
            [CLIENTS, ..] => Some(Kind::Client),
            [BACKGROUND, ..] => Some(Kind::Background),
            [first, second, ..] if [first, second] == SCANNERS => Some(Kind::Scanner),
            _ => None,
        },
        std::net::IpAddr::V6(v6) => match v6.segments()[2] {
            CLIENTS_V6 => Some(Kind::Client),
            SCANNERS_V6 => Some(Kind::Scanner),
            _ => None,
        },
    }
}

/// An address below 2001:db8::/32: the third word, the network and the host.
fn v6(word: u16, network: u16, host: u64) -> Address {
    let [prefix, word, network] = [0x2001_0db8_u32, word.into(), network.into()];
    let high = u64::from(prefix) << 32 | u64::from(word) << 16 | u64::from(network);
    let mut octets = [0; 16];
    octets[..8].copy_from_slice(&high.to_be_bytes());
    octets[8..].copy_from_slice(&host.to_be_bytes());
    Address::v6(octets)
}

/// The IPv4 networks of clients.
const NETWORKS: u64 = 5_000;
/// The most clients of one network.
const NETWORK_SHARE: u64 = 100;
/// The networks that the first octet leaves.
const ALL_NETWORKS: u64 = 1 << 16;
/// The part of users that come over IPv6.
const V6_SHARE: f64 = 0.4;

/// Gives each remote an address of its own.
#[derive(Debug)]
pub(crate) struct Addresses {
    random: Random,
    /// The second and third octets of the networks of clients, by rank.
    networks: Vec<[u8; 2]>,
    /// How many addresses of a network are in use.
    used: HashMap<[u8; 3], u64>,
    /// How many IPv6 networks of clients, and networks of scanners, are in use.
    users_v6: u16,
    scanners: u16,
}

impl Addresses {
    pub(crate) fn new(mut random: Random) -> Self {
        let networks = (0..NETWORKS).map(|_| middle_octets(&mut random)).collect();
        Self {
            random,
            networks,
            used: HashMap::new(),
            users_v6: 0,
            scanners: 0,
        }
    }

    /// The address of a user.
    pub(crate) fn user(&mut self) -> Address {
        if !self.random.chance(V6_SHARE) {
            return self.server();
        }
        self.users_v6 += 1;
        v6(CLIENTS_V6, self.users_v6, self.random.next())
    }

    /// The address of a client that is a server itself: it has IPv4.
    pub(crate) fn server(&mut self) -> Address {
        loop {
            let rank = self.random.rank(NETWORKS) as usize;
            let [second, third] = self.networks[rank];
            if let Some(address) = self.host_in([CLIENTS, second, third]) {
                return address;
            }
        }
    }

    pub(crate) fn background(&mut self) -> Address {
        loop {
            let [second, third] = middle_octets(&mut self.random);
            if let Some(address) = self.host_in([BACKGROUND, second, third]) {
                return address;
            }
        }
    }

    fn host_in(&mut self, network: [u8; 3]) -> Option<Address> {
        let used = self.used.entry(network).or_default();
        if *used == NETWORK_SHARE {
            return None;
        }
        *used += 1;
        let [first, second, third] = network;
        Some(Address::v4([first, second, third, *used as u8]))
    }

    /// The next network of scanners.
    pub(crate) fn scanner_network(&mut self) -> u16 {
        self.scanners += 1;
        self.scanners
    }
}

/// A member of a network of scanners.
pub(crate) fn scanner(network: u16, member: u8, is_v6: bool) -> Address {
    let [first, second] = SCANNERS;
    match is_v6 {
        true => v6(SCANNERS_V6, network, u64::from(member) + 1),
        false => Address::v4([first, second, network as u8, member + 1]),
    }
}

/// The network of scanners that an address is in.
pub(crate) fn scanner_network(address: Address) -> Option<u16> {
    if kind_at(address) != Some(Kind::Scanner) {
        return None;
    }
    Some(match address.to_ip() {
        std::net::IpAddr::V4(v4) => u16::from(v4.octets()[2]),
        std::net::IpAddr::V6(v6) => v6.segments()[3],
    })
}

fn middle_octets(random: &mut Random) -> [u8; 2] {
    (random.below(ALL_NETWORKS) as u16).to_be_bytes()
}
