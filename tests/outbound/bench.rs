//! The means to make the outbound test's events: processes of the host, and remotes of the
//! attacker's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Result, ensure};
use recon_tests::lab::{ATTACKER_LINK, HOST, HOST6};
use recon_tests::{Lab, TestProcess};

/// The port of the host's web server.
pub(super) const HTTP: u16 = 80;

/// One of three remotes, or of three groups of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place {
    First,
    Second,
    Private,
}

/// One of the host's two processes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Actor {
    One,
    Other,
}

/// A remote and a process, counted on their own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Group {
    pub(super) place: Place,
    pub(super) actor: Actor,
}

impl Group {
    /// The group that crosses the threshold, and three that must not count with it.
    pub(super) const ALL: [Self; 4] = [
        Self::of(Place::First, Actor::One),
        Self::of(Place::First, Actor::Other),
        Self::of(Place::Second, Actor::One),
        Self::of(Place::Private, Actor::One),
    ];

    const fn of(place: Place, actor: Actor) -> Self {
        Self { place, actor }
    }
}

impl Place {
    const ALL: [Self; 3] = [Self::First, Self::Second, Self::Private];

    /// An address of the attacker's.
    pub(super) const fn remote(self) -> IpAddr {
        IpAddr::V4(match self {
            Self::First => Ipv4Addr::new(203, 0, 113, 10),
            Self::Second => Ipv4Addr::new(203, 0, 113, 11),
            Self::Private => Ipv4Addr::new(10, 0, 0, 9),
        })
    }

    /// The same for IPv6.
    pub(super) const fn remote6(self) -> IpAddr {
        IpAddr::V6(match self {
            Self::First => Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x10),
            Self::Second => Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x11),
            Self::Private => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9),
        })
    }

    /// One of many addresses that the attacker answers for, private for [`Place::Private`].
    pub(super) const fn of_many(self, number: u16) -> IpAddr {
        let [high, low] = number.to_be_bytes();
        IpAddr::V4(match self {
            Self::First | Self::Second => Ipv4Addr::new(198, 19, high, low),
            Self::Private => Ipv4Addr::new(10, 19, high, low),
        })
    }
}

/// The test processes. All but the client are the host's.
pub(super) struct Bench {
    one: TestProcess,
    other: TestProcess,
    /// Accepts on port 80.
    pub(super) server: TestProcess,
    /// The attacker's process.
    client: TestProcess,
}

impl Bench {
    pub(super) fn new(lab: &Lab, [one, other]: [&str; 2], routes: &str) -> Result<Self> {
        /// The networks of [`Place::of_many`].
        const MANY: [&str; 2] = ["198.19.0.0/16", "10.19.0.0/16"];
        let remotes = Place::ALL.map(|place| {
            let (remote, remote6) = (place.remote(), place.remote6());
            format!(
                "address add {remote}/32 dev {ATTACKER_LINK}\naddress add {remote6}/128 dev {ATTACKER_LINK} nodad\n"
            )
        });
        let many = MANY.map(|range| format!("route add local {range} dev lo\n"));
        lab.attacker().ip(&(remotes.concat() + &many.concat()))?;
        lab.host().ip(routes)?;
        let bench = Self {
            one: TestProcess::start(lab.host(), one)?,
            other: TestProcess::start(lab.host(), other)?,
            server: TestProcess::start(lab.host(), "server")?,
            client: TestProcess::start(lab.attacker(), "client")?,
        };
        bench.server.listen(HOST, HTTP)?;
        bench.server.listen(HOST6, HTTP)?;
        Ok(bench)
    }

    pub(super) fn actor(&self, actor: Actor) -> &TestProcess {
        match actor {
            Actor::One => &self.one,
            Actor::Other => &self.other,
        }
    }

    /// Connects from the group's process, and expects `outcome`.
    pub(super) fn connect(&self, actor: Actor, to: IpAddr, port: u16, outcome: &str) -> Result<()> {
        let found = self.actor(actor).connect(to, port)?;
        ensure!(found == outcome, "{to} port {port}: {found}");
        Ok(())
    }

    /// Connects from the attacker to the host's web server.
    pub(super) fn visit(&self, from: IpAddr) -> Result<()> {
        let host = match from {
            IpAddr::V4(_) => IpAddr::V4(HOST),
            IpAddr::V6(_) => IpAddr::V6(HOST6),
        };
        let found = self.client.connect_from(from, host, HTTP)?;
        ensure!(found == "connected", "from {from}: {found}");
        Ok(())
    }
}
