//! Hooks: the kernel programs, loaded and attached.
//!
//! In: the kernel object built into this binary, the interfaces and the cgroup to watch. Out:
//! programs on their hooks; [`AttachedHooks`] for each interface and [`SocketHooks`] for the host's
//! own processes, which say which hooks are available; [`LinkEvents`] for interfaces that change.
//! The decisions held here: everything that can be checked beforehand (names, privileges, BPF, a
//! taken XDP hook) is reported before anything is attached. A hook that still can't attach costs
//! only its own signals. Socket hooks attach first and inbound hooks last: a sender is recorded
//! before its packet is seen, and answers to what leaves in between are not taken for unsolicited
//! datagrams.

mod attach;
mod attached;
mod capability;
mod cgroup;
mod clsact;
mod error;
mod interface;
mod link_events;
mod privilege;
mod repair;
mod rtnetlink;
mod socket;
mod trial;

use std::collections::HashMap;
use std::os::unix::net::UnixDatagram;

use aya::programs::{Program, ProgramError};
use aya::util::KernelVersion;
use aya::{Ebpf, EbpfLoader};
use clap::ValueEnum;
use serde::Serialize;

use crate::diagnostic::{Wrong, error_chain};
use crate::drain::{ImageNumbers, recent_slot_count};
use crate::seed::hash_secrets;

use attach::InterfaceLink;
pub use attach::XdpChoice;
pub(crate) use attach::{AttachedHooks, Egress, TcKind};
pub(crate) use capability::{Capabilities, Capability};
pub(crate) use cgroup::Cgroup;
pub use error::HookError;
pub(crate) use interface::Interface;
pub(crate) use link_events::{LinkChange, LinkEvents};
pub(crate) use privilege::{ProcessSight, missing_capabilities};
pub(crate) use repair::DetachedHook;
use repair::OnCgroup;
pub(crate) use rtnetlink::is_local;
pub(crate) use socket::{SocketHooks, netns_cookie};
pub(crate) use trial::{Trial, expected_ingress, has_another_agent};

const XDP: &str = "recon_xdp";
const TC_INGRESS: &str = "recon_ingress";
const TC_EGRESS: &str = "recon_egress";
/// The programs without which recon can't watch anything. The others are loaded when they are
/// attached.
const PROGRAMS: [&str; 3] = [XDP, TC_INGRESS, TC_EGRESS];

/// The first kernel that lets TC programs ask for the current process.
const TC_KNOWS_PROCESS_SINCE: KernelVersion = KernelVersion::new(6, 10, 0);

/// The kernel object that build.rs has built.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/recon-ebpf"));

/// The network namespaces whose sockets count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Netns {
    /// recon's own, and others as far as this host forwards their packets.
    #[default]
    Watched,
    /// All of this host. Whoever may make a namespace can forge connections there.
    All,
}

impl Netns {
    /// Reads a name in any case, or returns what is wrong and a hint.
    pub(crate) fn parse(text: &str) -> Result<Self, Wrong> {
        Self::from_str(text, true).map_err(|_| {
            let hint = "use watched or all";
            (format!("no choice `{text}`"), Some(hint.to_owned()))
        })
    }
}

/// The loaded kernel object. Dropping it detaches and unloads its programs in any order; see
/// [`Hooks::detach`].
#[derive(Debug)]
pub struct Hooks {
    ebpf: Ebpf,
    /// What is attached to each interface, by its index.
    on_interfaces: HashMap<u32, OnInterface>,
    /// What is attached to the cgroup.
    on_cgroup: Option<OnCgroup>,
}

/// What this agent holds of an interface.
#[derive(Debug, Default)]
struct OnInterface {
    links: Vec<InterfaceLink>,
    /// Programs that somebody has detached and that did not attach again.
    missing: Vec<&'static str>,
    /// Tells other agents that this one watches the interface.
    claim: Option<UnixDatagram>,
}

impl Hooks {
    /// Loads the packet programs, so that the kernel verifies them, without attaching any.
    ///
    /// # Errors
    /// [`HookError`] if capabilities are missing, the object is broken, or the kernel refuses a map
    /// or a program.
    pub fn load(table_entries: u32, netns: Netns) -> Result<Self, HookError> {
        let missing = privilege::missing_capabilities();
        if !missing.is_empty() {
            return Err(HookError::NoPrivilege {
                missing: missing.join(", "),
            });
        }
        let knows_process = u32::from(
            KernelVersion::current().is_ok_and(|kernel| kernel >= TC_KNOWS_PROCESS_SINCE),
        );
        let mut ebpf = EbpfLoader::new()
            .override_global("SECRETS", hash_secrets().0.as_slice(), true)
            .override_global("TABLE_ROOM", &table_entries, true)
            .override_global("TC_KNOWS_PROCESS", &knows_process, true)
            .override_global("OWN_NETNS", &netns_cookie().unwrap_or(0), true)
            .override_global("ALL_NETNS", &u32::from(netns == Netns::All), true)
            .map_max_entries("COUNTS_0", table_entries)
            .map_max_entries("COUNTS_1", table_entries)
            .map_max_entries("IMAGES", ImageNumbers::entries())
            .map_max_entries("RECENT", recent_slot_count(processors()))
            .load(OBJECT)?;
        for name in PROGRAMS {
            let loaded = match ebpf.program_mut(name) {
                Some(Program::Xdp(program)) => program.load(),
                Some(Program::SchedClassifier(program)) => program.load(),
                _ => Err(ProgramError::UnexpectedProgramType),
            };
            loaded.map_err(|error| HookError::of_program(name, error))?;
        }
        Ok(Self {
            ebpf,
            on_interfaces: HashMap::new(),
            on_cgroup: None,
        })
    }

    /// The kernel object in this binary, an ELF file.
    #[must_use]
    pub fn object() -> &'static [u8] {
        OBJECT
    }

    /// The loaded object, from which the drain takes the maps.
    pub fn ebpf(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    /// Attaches the available socket hooks to a cgroup, and the hook on started programs. To be
    /// called before [`Hooks::attach_interfaces`].
    pub(crate) fn attach_sockets(&mut self, cgroup: Option<&Cgroup>) -> SocketHooks {
        let (sockets, hooks) = socket::attach_socket_hooks(&mut self.ebpf, cgroup);
        self.on_cgroup = cgroup.and_then(|cgroup| {
            Some(OnCgroup {
                cgroup: cgroup.clone(),
                folder: cgroup.open().ok()?,
                hooks,
            })
        });
        sockets
    }

    /// Attaches to every interface, outbound hooks first.
    ///
    /// # Errors
    /// [`HookError::NoIngress`] if an interface can't be watched at all.
    pub(crate) fn attach_interfaces(
        &mut self,
        interfaces: &[Interface],
        choice: XdpChoice,
    ) -> Result<Vec<AttachedHooks>, HookError> {
        let Self {
            ebpf,
            on_interfaces,
            ..
        } = self;
        let mut egress = Vec::with_capacity(interfaces.len());
        for interface in interfaces {
            let on_interface = on_interfaces.entry(interface.index).or_default();
            on_interface.claim = claim(interface);
            let links = &mut on_interface.links;
            egress.push(attach::attach_egress(ebpf, interface, links));
        }
        let mut attached = Vec::with_capacity(interfaces.len());
        for (interface, egress) in interfaces.iter().zip(egress) {
            let links = &mut on_interfaces.entry(interface.index).or_default().links;
            attached.push(AttachedHooks {
                interface: interface.name.clone(),
                ingress: attach::attach_ingress(ebpf, interface, choice, links)?,
                egress,
            });
        }
        Ok(attached)
    }

    /// Releases what is held of an interface that is gone, or that can't be watched.
    pub(crate) fn release_interface(&mut self, index: u32) {
        let on_interface = self.on_interfaces.remove(&index).unwrap_or_default();
        for link in on_interface.links {
            if let Err(error) = link.detach(&mut self.ebpf) {
                log::debug!("interface {index}: {}", error_chain(&error));
            }
        }
    }

    /// Detaches and unloads all programs, in an order in which no pending connect is left that
    /// looks failed.
    pub(crate) fn detach(mut self) {
        socket::detach_connects(&mut self.ebpf);
    }
}

/// Selects the interfaces to watch: those of `names`, or by default every interface that is up,
/// except loopback and those that show another one's packets again.
///
/// # Errors
/// [`HookError`] if a name is wrong, an interface can't be watched, none is left, or one has
/// another XDP program and `choice` allows no other hook.
pub(crate) fn select_interfaces(
    names: &[String],
    choice: XdpChoice,
) -> Result<Vec<Interface>, HookError> {
    let interfaces = interface::find_selected(names)?;
    attach::check_conflicts(&interfaces, choice)?;
    Ok(interfaces)
}

/// All interfaces of this network namespace.
///
/// # Errors
/// [`HookError::ListInterfaces`].
pub(crate) fn list_interfaces() -> Result<Vec<Interface>, HookError> {
    interface::list_interfaces().map_err(HookError::ListInterfaces)
}

/// The claim of an agent on an interface.
const AGENT: &str = "agent";

/// Claims the interface for this agent, and warns if another one has it.
fn claim(interface: &Interface) -> Option<UnixDatagram> {
    match clsact::claim_interface(interface, AGENT) {
        Ok(Some(claim)) => Some(claim),
        Ok(None) => {
            log::warn!(
                "{}: another recon watches it: each alert about its packets is written twice, and its packets cost twice the time; end one of the two",
                interface.name
            );
            None
        }
        Err(error) => {
            log::debug!("{}: can't look for another recon: {error}", interface.name);
            None
        }
    }
}

/// The highest number of processors that this kernel can have.
fn processors() -> u32 {
    aya::util::nr_cpus().map_or(1, |processors| u32::try_from(processors).unwrap_or(1))
}
