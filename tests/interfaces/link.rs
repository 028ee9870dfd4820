//! A link of some kind between the host and the attacker.
//!
//! In: a kind. Out: a [`Link`] with an address at each end. The decision held here: the kernel
//! itself says whether it has a kind, so that a test skips what is missing and no more.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use recon_tests::lab::{self, ATTACKER, ATTACKER_LINK, HOST, HOST_LINK, Mac};
use recon_tests::namespace::Namespace;
use recon_tests::process::{Process, run, shell};
use recon_tests::wire::{Layer, Wire};
use recon_tests::{Lab, PATIENCE};

/// The host's address on the link.
pub(super) const NEAR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// The attacker's.
pub(super) const FAR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
/// The attacker's device.
pub(super) const FAR_END: &str = "far0";
/// The bridge of [`Kind::BridgedVeth`], to be created before.
pub(super) const BRIDGE: &str = "br0";
/// The member of [`Kind::Bond`].
pub(super) const MEMBER: &str = "m0";

/// The keys of both ends of a WireGuard tunnel, which protect nothing here.
const KEYS: [&str; 2] = [
    "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
    "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=",
];
const WIREGUARD_PORT: u16 = 51_820;
/// The device of a PPP channel.
const PPP: &str = "/dev/ppp";

/// The kinds of links. The second half is not in every kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Veth,
    Tap,
    Tun,
    /// A veth that is a port of a bridge, which has the address.
    BridgedVeth,
    /// Above the veth pair of the lab, as the next ones that need another link.
    MacVlan,
    Vlan,
    /// With [`MEMBER`], one end of a veth pair.
    Bond,
    WireGuard,
    Gre,
    Ipip,
    /// For IPv4 too.
    Sit,
    /// Over a pseudo-terminal.
    Ppp,
}

impl Kind {
    /// The kind's name to ip-link(8), if a device of it is created at each end.
    const fn device(self) -> Option<&'static str> {
        Some(match self {
            Self::MacVlan => "macvlan",
            Self::Vlan => "vlan",
            Self::Bond => "bond",
            Self::WireGuard => "wireguard",
            Self::Gre => "gre",
            Self::Ipip => "ipip",
            Self::Sit => "sit",
            Self::Veth | Self::Tap | Self::Tun | Self::BridgedVeth | Self::Ppp => return None,
        })
    }

    /// The parameters of that device, of which another interface is below.
    fn parameters(self, [this, other]: [Ipv4Addr; 2]) -> String {
        let ends = format!("local {this} remote {other} ttl 64");
        match self {
            Self::MacVlan => "mode bridge".to_owned(),
            Self::Vlan => "id 7".to_owned(),
            Self::Bond => "mode active-backup miimon 20".to_owned(),
            Self::Gre | Self::Ipip => ends,
            Self::Sit => format!("mode any {ends}"),
            _ => String::new(),
        }
    }

    /// Why this kernel has no such link, if so.
    pub(super) fn is_missing(self) -> Result<Option<String>> {
        /// What ip-link(8) says of a kind that the kernel does not know.
        const UNKNOWN: [&str; 2] = ["Unknown device type", "not supported"];
        if self == Self::Ppp {
            let is_there = std::path::Path::new(PPP).exists();
            return Ok((!is_there).then(|| format!("this kernel has no PPP ({PPP})")));
        }
        let Some(device) = self.device() else {
            return Ok(None);
        };
        // Without parameters it may be refused for another reason.
        let probe = format!("ip link add probe type {device}");
        let tried = run(&Namespace::create("probe")?, shell(&probe), PATIENCE)?;
        let is_unknown = UNKNOWN.iter().any(|text| tried.output.contains(text));
        Ok(is_unknown.then(|| format!("this kernel has no {device}")))
    }

    /// Whether its packets have an Ethernet header.
    const fn has_ethernet(self) -> bool {
        !matches!(
            self,
            Self::Tun | Self::WireGuard | Self::Gre | Self::Ipip | Self::Sit | Self::Ppp
        )
    }

    /// The hardware addresses of both ends. A macvlan can't have that of its lower interface.
    const fn macs(self) -> [Mac; 2] {
        match self {
            Self::MacVlan => [Mac([2, 0, 0, 0, 9, 1]), Mac([2, 0, 0, 0, 9, 2])],
            _ => [lab::HOST_MAC, lab::ATTACKER_MAC],
        }
    }
}

/// A link.
#[derive(Debug)]
pub(super) struct Link {
    kind: Kind,
    /// What keeps it there, if not the kernel.
    _holder: Option<Holder>,
}

#[derive(Debug)]
enum Holder {
    Wire(#[expect(dead_code, reason = "dropped with the link")] Wire),
    Process(#[expect(dead_code, reason = "dropped with the link")] Process),
}

impl Link {
    /// Creates one whose near end has that name, with addresses, and sets it up.
    pub(super) fn create(kind: Kind, lab: &Lab, name: &str) -> Result<Self> {
        let (host, attacker) = (lab.host(), lab.attacker());
        let ends = [(host, name), (attacker, FAR_END)];
        let holder = match kind {
            Kind::Tun => Some(Holder::Wire(Wire::join(Layer::Ip, ends)?)),
            Kind::Tap => Some(Holder::Wire(Wire::join(Layer::Ethernet, ends)?)),
            Kind::Ppp => Some(Holder::Process(dial(lab, name)?)),
            Kind::Veth | Kind::BridgedVeth => {
                add_pair(lab, name)?;
                None
            }
            Kind::Bond => {
                add_device(kind, ends[0], [HOST, ATTACKER], HOST_LINK)?;
                add_pair(lab, MEMBER)?;
                host.ip(&format!("link set {MEMBER} master {name}\n"))?;
                None
            }
            _ => {
                add_device(kind, ends[0], [HOST, ATTACKER], HOST_LINK)?;
                add_device(kind, ends[1], [ATTACKER, HOST], ATTACKER_LINK)?;
                None
            }
        };
        if kind == Kind::WireGuard {
            let [near, far] = KEYS;
            share_keys(ends[0], [near, far], ATTACKER)?;
            share_keys(ends[1], [far, near], HOST)?;
        }
        let near = match kind {
            Kind::BridgedVeth => {
                host.ip(&format!("link set {name} master {BRIDGE} up\n"))?;
                BRIDGE
            }
            _ => name,
        };
        let [near_mac, far_mac] = kind.macs();
        if kind.has_ethernet() {
            host.ip(&format!("link set {near} address {near_mac}\n"))?;
            attacker.ip(&format!("link set {FAR_END} address {far_mac}\n"))?;
        }
        host.ip(&format!(
            "address replace {NEAR}/24 dev {near}\nlink set {near} up\n"
        ))?;
        attacker.ip(&format!(
            "address replace {FAR}/24 dev {FAR_END}\nlink set {FAR_END} up\n"
        ))?;
        // Nobody asks for an address, so that what crosses the link is what a test sends.
        if kind.has_ethernet() {
            host.ip(&format!(
                "neighbor replace {FAR} lladdr {far_mac} dev {near} nud permanent\n"
            ))?;
            attacker.ip(&format!(
                "neighbor replace {NEAR} lladdr {near_mac} dev {FAR_END} nud permanent\n"
            ))?;
        }
        Ok(Self {
            kind,
            _holder: holder,
        })
    }

    /// Removes it. `name` is what its near end is called by now.
    pub(super) fn remove(self, lab: &Lab, name: &str) -> Result<()> {
        let remove =
            |namespace: &Namespace, name: &str| namespace.ip(&format!("link delete {name}\n"));
        match self.kind {
            Kind::Tun | Kind::Tap => {}
            Kind::Ppp => {
                drop(self);
                wait_gone(lab)?;
            }
            Kind::Veth | Kind::BridgedVeth => remove(lab.host(), name)?,
            Kind::Bond => {
                remove(lab.host(), name)?;
                remove(lab.host(), MEMBER)?;
            }
            _ => {
                remove(lab.host(), name)?;
                remove(lab.attacker(), FAR_END)?;
            }
        }
        Ok(())
    }
}

/// A veth pair.
fn add_pair(lab: &Lab, name: &str) -> Result<()> {
    lab.host().ip(&format!(
        "link add {name} type veth peer name {FAR_END} netns {}\n",
        lab.attacker().name()
    ))
}

/// A device of that kind: above `lower`, or between these addresses.
fn add_device(
    kind: Kind,
    (namespace, name): (&Namespace, &str),
    addresses: [Ipv4Addr; 2],
    lower: &str,
) -> Result<()> {
    let device = kind.device().context("no device of ip-link(8)")?;
    let above = match kind {
        Kind::MacVlan | Kind::Vlan => format!("link {lower}"),
        _ => String::new(),
    };
    namespace.ip(&format!(
        "link add {above} name {name} type {device} {}\n",
        kind.parameters(addresses)
    ))
}

/// Gives an end of a WireGuard tunnel its key, and the key and the address of the other end.
fn share_keys(
    (namespace, name): (&Namespace, &str),
    [own, other]: [&str; 2],
    address: Ipv4Addr,
) -> Result<()> {
    let command = format!(
        "echo {own} | wg set {name} private-key /dev/stdin listen-port {WIREGUARD_PORT} \
         peer $(echo {other} | wg pubkey) allowed-ips 0.0.0.0/0,::/0 \
         endpoint {address}:{WIREGUARD_PORT}"
    );
    run(namespace, shell(&command), PATIENCE)?
        .success()
        .map(drop)
}

/// A PPP connection: one pppd, and another one in the attacker's namespace behind its
/// pseudo-terminal. Returns once both ends have their addresses.
fn dial(lab: &Lab, name: &str) -> Result<Process> {
    const OPTIONS: &str = "nodetach noauth local nocrtscts noipv6 nolock nodefaultroute";
    let attacker = lab.attacker().name();
    let far = format!(
        "nsenter --net=/run/netns/{attacker} pppd {OPTIONS} notty {FAR}:{NEAR} ifname {FAR_END}"
    );
    let near = format!("exec pppd {OPTIONS} {NEAR}:{FAR} ifname {name} pty '{far}'");
    let process = Process::spawn(lab.host(), shell(&near))?;
    for (namespace, name) in [(lab.host(), name), (lab.attacker(), FAR_END)] {
        let ready = format!("until ip -4 address show dev {name} | grep -q inet; do :; done");
        run(namespace, shell(&ready), PATIENCE)?.success()?;
    }
    Ok(process)
}

/// Waits until the far end of a connection is gone.
fn wait_gone(lab: &Lab) -> Result<()> {
    let gone = format!("while ip link show dev {FAR_END}; do :; done");
    run(lab.attacker(), shell(&gone), PATIENCE)?
        .success()
        .map(drop)
}
