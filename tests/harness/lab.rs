//! Two namespaces joined by a veth pair: the watched host and the attacker, with addresses, routes
//! and neighbours.
//!
//! The decisions held here: all addresses are from ranges reserved for documentation and benchmarks
//! (RFC 5737, 2544, 3849), which count as public. The host's default route leads to the attacker,
//! so that its answers to any source cross the pair. Neighbours are permanent and link-local
//! addresses are off, so that no frame crosses that a test did not cause.

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::PATIENCE;
use crate::namespace::Namespace;
use crate::process::run;
use crate::sender::Sender;

/// The host's end of the pair, which the agent watches.
pub const HOST_LINK: &str = "veth0";
/// The attacker's end.
pub const ATTACKER_LINK: &str = "veth1";

/// The host's address.
pub const HOST: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// The attacker's address.
pub const ATTACKER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// The host's IPv6 address.
pub const HOST6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
/// The attacker's IPv6 address.
pub const ATTACKER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2);

/// Further addresses of the host. They are routed, so nobody asks for them by ARP.
pub const SPARES: &str = "198.18.0.0/26";
/// The number of these addresses.
pub const SPARE_COUNT: u8 = 64;

/// One of the host's further addresses, from 0 to [`SPARE_COUNT`] - 1.
#[must_use]
pub fn spare(number: u8) -> IpAddr {
    assert!(number < SPARE_COUNT, "no spare address {number}");
    Ipv4Addr::new(198, 18, 0, number).into()
}

/// A hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

/// The host's address, with the bit for locally administered ones.
pub const HOST_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
/// The attacker's.
pub const ATTACKER_MAC: Mac = Mac([2, 0, 0, 0, 0, 2]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, last] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{last:02x}")
    }
}

/// The address of [`Lab::add_guest`].
pub const GUEST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// The two namespaces. Dropping it removes them and all that is in them.
#[derive(Debug)]
pub struct Lab {
    host: Namespace,
    attacker: Namespace,
}

impl Lab {
    /// Builds the lab.
    ///
    /// # Errors
    /// Without root, iproute2, or a kernel with veth.
    pub fn new() -> Result<Self> {
        let host = Namespace::create("host")?.with_cgroup()?;
        let attacker = Namespace::create("attacker")?;
        for namespace in [&host, &attacker] {
            silence(namespace)?;
        }
        host.ip(&format!(
            "link set lo up\nroute add local {SPARES} dev lo\n"
        ))?;
        let lab = Self { host, attacker };
        lab.join()?;
        Ok(lab)
    }

    /// Joins the two by a new veth pair, which replaces one that was deleted.
    ///
    /// # Errors
    /// If there still is one.
    pub fn join(&self) -> Result<()> {
        let Self { host, attacker } = self;
        host.ip(&format!(
            "link add {HOST_LINK} address {HOST_MAC} type veth peer name {ATTACKER_LINK} address {ATTACKER_MAC} netns {}\n",
            attacker.name()
        ))?;
        host.ip(&format!(
            "address add {HOST}/24 dev {HOST_LINK}\n\
             address add {HOST6}/64 dev {HOST_LINK} nodad\n\
             link set {HOST_LINK} up\n\
             neighbor replace {ATTACKER} lladdr {ATTACKER_MAC} dev {HOST_LINK} nud permanent\n\
             neighbor replace {ATTACKER6} lladdr {ATTACKER_MAC} dev {HOST_LINK} nud permanent\n"
        ))?;
        configure_attacker(attacker)?;
        // Set last: a route needs a reachable next hop.
        host.ip(&format!(
            "route add default via {ATTACKER}\nroute add ::/0 via {ATTACKER6}\n"
        ))
    }

    /// The lab inside of a guest: the host is the guest itself, and the attacker gets the network
    /// card after the host's own.
    ///
    /// # Errors
    /// If that card is missing.
    pub fn in_guest(cards: usize) -> Result<Self> {
        let host = Namespace::current();
        let attacker = Namespace::create("attacker")?;
        silence(&attacker)?;
        host.ip(&format!(
            "link set eth{cards} netns {} name {ATTACKER_LINK}\n",
            attacker.name()
        ))?;
        configure_attacker(&attacker)?;
        Ok(Self { host, attacker })
    }

    /// Adds a network namespace behind the host, at [`GUEST`], with a cgroup below the host's: a
    /// container.
    ///
    /// # Errors
    /// As [`Lab::new`].
    pub fn add_guest(&self) -> Result<Namespace> {
        const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
        let guest = Namespace::create("guest")?.with_cgroup_below(&self.host)?;
        silence(&guest)?;
        self.host.ip(&format!(
            "link add guests type veth peer name uplink netns {}\n\
             address add {GATEWAY}/24 dev guests\nlink set guests up\n",
            guest.name()
        ))?;
        guest.ip(&format!(
            "address add {GUEST}/24 dev uplink\nlink set uplink up\nroute add default via {GATEWAY}\n"
        ))?;
        self.host.set("ipv4/conf/all/forwarding", 1)?;
        self.attacker
            .ip(&format!("route add {GUEST}/32 via {HOST}\n"))?;
        Ok(guest)
    }

    /// Where the agent runs.
    #[must_use]
    pub fn host(&self) -> &Namespace {
        &self.host
    }

    /// The arguments that restrict the agent to the sockets of the host's processes.
    #[must_use]
    pub fn watched_sockets(&self) -> Vec<OsString> {
        let cgroup = self.host.cgroup().map(|cgroup| cgroup.path().into());
        cgroup.map_or_else(Vec::new, |path| vec!["--cgroup".into(), path])
    }

    /// Where the tools run.
    #[must_use]
    pub fn attacker(&self) -> &Namespace {
        &self.attacker
    }

    /// A socket that sends frames from the attacker's end of the pair.
    ///
    /// # Errors
    /// When the kernel offers no packet sockets.
    pub fn sender(&self) -> Result<Sender> {
        Sender::open(&self.attacker, ATTACKER_LINK)
    }

    /// Sets the MTU of both ends.
    ///
    /// # Errors
    /// When veth refuses this MTU.
    pub fn set_mtu(&self, mtu: u16) -> Result<()> {
        for (namespace, link) in [(&self.host, HOST_LINK), (&self.attacker, ATTACKER_LINK)] {
            namespace.ip(&format!("link set {link} mtu {mtu}\n"))?;
        }
        Ok(())
    }

    /// The output of `ip -json -statistics link show` for an interface.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn link(&self, namespace: &Namespace, interface: &str) -> Result<Value> {
        let mut command = Command::new("ip");
        command.args([
            "-json",
            "-details",
            "-statistics",
            "link",
            "show",
            "dev",
            interface,
        ]);
        let output = run(namespace, command, PATIENCE)?.success()?;
        let links: Value = serde_json::from_str(&output).with_context(|| output.clone())?;
        let link = links.get(0).cloned().unwrap_or_default();
        ensure!(link.is_object(), "{interface}: {output}");
        Ok(link)
    }
}

/// Gives the attacker's link its addresses, neighbours and routes. It drops what the host answers
/// to made-up IPv6 sources: without a route it would complain by ICMPv6.
fn configure_attacker(attacker: &Namespace) -> Result<()> {
    attacker.ip(&format!(
        "link set lo up\n\
         address add {ATTACKER}/24 dev {ATTACKER_LINK}\n\
         address add {ATTACKER6}/64 dev {ATTACKER_LINK} nodad\n\
         link set {ATTACKER_LINK} up\n\
         neighbor replace {HOST} lladdr {HOST_MAC} dev {ATTACKER_LINK} nud permanent\n\
         neighbor replace {HOST6} lladdr {HOST_MAC} dev {ATTACKER_LINK} nud permanent\n\
         route add {SPARES} via {HOST}\n\
         route replace blackhole ::/0\n"
    ))
}

/// Prevents a namespace from sending packets of its own, and from dropping packets with unexpected
/// sources.
fn silence(namespace: &Namespace) -> Result<()> {
    /// 'none' of the kernel's enum in6_addr_gen_mode.
    const NO_ADDRESS: u32 = 1;
    for (parameter, value) in [
        ("ipv6/conf/default/addr_gen_mode", NO_ADDRESS),
        ("ipv6/conf/default/accept_ra", 0),
        ("ipv4/conf/all/rp_filter", 0),
        ("ipv4/conf/default/rp_filter", 0),
    ] {
        namespace.set(parameter, value)?;
    }
    Ok(())
}
