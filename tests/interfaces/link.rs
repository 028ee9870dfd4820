//! A link of some kind between the host and the attacker.

use std::net::Ipv4Addr;

use anyhow::Result;
use recon_tests::wire::{Layer, Wire};
use recon_tests::{Lab, lab};

/// The host's address on the link.
pub(super) const NEAR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// The attacker's.
pub(super) const FAR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
/// The attacker's device.
pub(super) const FAR_END: &str = "far0";

/// The kinds of links that every kernel has. Tests in virtual machines have others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Veth,
    Tap,
    Tun,
    /// A veth that is a port of a bridge, which has the address.
    BridgedVeth,
}

/// A link. Dropping it removes it if it is a tun or tap.
#[derive(Debug)]
pub(super) struct Link(Option<Wire>);

impl Link {
    /// Creates one whose near end has that name, with addresses, and sets it up.
    pub(super) fn create(kind: Kind, lab: &Lab, name: &str) -> Result<Self> {
        let (host, attacker) = (lab.host(), lab.attacker());
        let ends = [(host, name), (attacker, FAR_END)];
        let wire = match kind {
            Kind::Tun => Some(Wire::join(Layer::Ip, ends)?),
            Kind::Tap => Some(Wire::join(Layer::Ethernet, ends)?),
            Kind::Veth | Kind::BridgedVeth => {
                host.ip(&format!(
                    "link add {name} type veth peer name {FAR_END} netns {}\n",
                    attacker.name()
                ))?;
                None
            }
        };
        let near = match kind {
            Kind::BridgedVeth => {
                host.ip(&format!("link set {name} master {BRIDGE} up\n"))?;
                BRIDGE
            }
            _ => name,
        };
        if kind != Kind::Tun {
            host.ip(&format!("link set {near} address {}\n", lab::HOST_MAC))?;
            attacker.ip(&format!(
                "link set {FAR_END} address {}\n",
                lab::ATTACKER_MAC
            ))?;
        }
        host.ip(&format!(
            "address replace {NEAR}/24 dev {near}\nlink set {near} up\n"
        ))?;
        attacker.ip(&format!(
            "address add {FAR}/24 dev {FAR_END}\nlink set {FAR_END} up\n"
        ))?;
        // Nobody asks for an address, so that what crosses the link is what a test sends.
        if kind != Kind::Tun {
            host.ip(&format!(
                "neighbor replace {FAR} lladdr {} dev {near} nud permanent\n",
                lab::ATTACKER_MAC
            ))?;
            attacker.ip(&format!(
                "neighbor replace {NEAR} lladdr {} dev {FAR_END} nud permanent\n",
                lab::HOST_MAC
            ))?;
        }
        Ok(Self(wire))
    }

    /// Removes it. `name` is what its near end is called by now.
    pub(super) fn remove(self, lab: &Lab, name: &str) -> Result<()> {
        let Self(wire) = self;
        match wire {
            Some(wire) => drop(wire),
            None => lab.host().ip(&format!("link delete {name}\n"))?,
        }
        Ok(())
    }
}

/// The bridge of [`Kind::BridgedVeth`], to be created before.
pub(super) const BRIDGE: &str = "br0";
