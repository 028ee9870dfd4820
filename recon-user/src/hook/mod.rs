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
mod bpf;
mod capability;
mod cgroup;
mod claim;
mod claim_list;
mod clsact;
mod counted;
mod error;
mod front;
mod interface;
mod interface_link;
mod leftover;
mod link_events;
mod listed;
mod load;
mod netlink;
mod object;
mod on_interface;
mod other_agents;
mod pin;
mod privilege;
mod probe;
mod repair;
mod rtnetlink;
mod selection;
mod service_user;
mod socket;
mod tracepoint;
mod trial;
mod unix_diag;
mod unix_names;

use std::borrow::Cow;
use std::collections::HashMap;

use aya::Ebpf;
use aya::programs::{Program, ProgramError};

use crate::diagnostic::error_chain;
use crate::drain::{Commit, Drain, Grace};

pub use attach::XdpChoice;
pub(crate) use attach::{AttachedHooks, Egress, TcKind, check_xdp};
pub(crate) use capability::{Capabilities, Capability};
pub(crate) use cgroup::Cgroup;
use claim_list::ClaimList;
pub(crate) use claim_list::listing_threads;
pub(crate) use counted::{HookCount, ProgramRuns};
pub use error::HookError;
use front::KnownPrograms;
pub(crate) use front::is_recon_xdp;
pub(crate) use interface::{Interface, LinkHeader};
use interface_link::InterfaceLink;
pub(crate) use link_events::{LinkChange, LinkEvents};
pub(crate) use listed::{
    check_conflicts, find_interface, list_interfaces, list_packets, select_interfaces,
};
pub(crate) use load::look_at_pins;
pub use load::{Netns, ProgramOptions, open_pins};
use load::{check_privileges, load_object, load_programs};
pub(crate) use netlink::SOCK_DIAG_BY_FAMILY;
use on_interface::OnInterface;
use other_agents::OtherAgents;
pub(crate) use other_agents::watched_by_agents;
pub use pin::{PinError, Pins, Removed, remove_pins};
pub(crate) use pin::{RemovedPins, SeenPins, SeenSet};
pub(crate) use privilege::{ProcessSight, missing_capabilities};
pub use probe::{Feature, KernelFeatures};
use repair::OnCgroup;
pub(crate) use repair::{HookFinding, Tampering};
pub(crate) use rtnetlink::is_local;
pub use selection::InterfaceTerm;
pub(crate) use selection::{Chosen, Selection};
use service_user::look_up_service_user;
use socket::CgroupHook;
pub(crate) use socket::{SocketHooks, netns_cookie};
pub(crate) use trial::{Trial, expected_ingress};

const XDP: &str = "recon_xdp";
const TC_INGRESS: &str = "recon_ingress";
const TC_EGRESS: &str = "recon_egress";
/// The same for interfaces whose packets start with IP. Loaded where such may be watched.
const BARE_INGRESS: &str = "recon_ip_in";
const BARE_EGRESS: &str = "recon_ip_out";
/// The programs without which recon can't watch anything. The others are loaded when they are
/// attached.
const PROGRAMS: [&str; 3] = [XDP, TC_INGRESS, TC_EGRESS];

/// The loaded kernel object. Dropping it detaches and unloads its programs in any order; see
/// [`Hooks::detach`].
#[derive(Debug)]
pub struct Hooks {
    /// Where links and maps are pinned. Dropped first: it puts back what a start that fails has
    /// swapped.
    pins: Option<Pins>,
    ebpf: Ebpf,
    /// What is attached to each interface, by its index.
    on_interfaces: HashMap<u32, OnInterface>,
    /// What is attached to the cgroup.
    on_cgroup: Option<OnCgroup>,
    known_programs: KnownPrograms,
    others: OtherAgents,
    /// For claims on filters.
    claims: ClaimList,
}

impl Hooks {
    /// Loads the packet programs, so that the kernel verifies them, without attaching any.
    ///
    /// # Errors
    /// [`HookError`] if capabilities are missing, the object is broken, or the kernel refuses a map
    /// or a program.
    pub fn load(table_entries: u32, netns: Netns) -> Result<Self, HookError> {
        let options = ProgramOptions {
            table_entries,
            netns,
            kernel_log: false,
            dns_names: false,
            record: None,
        };
        Self::load_pinned(options, None)
    }

    /// The same with the maps of an earlier agent, if `pins` has some. All programs are loaded
    /// then, so that nothing is left to fail when the first one is swapped.
    ///
    /// # Errors
    /// As [`Hooks::load`].
    pub fn load_pinned(options: ProgramOptions, mut pins: Option<Pins>) -> Result<Self, HookError> {
        check_privileges()?;
        // A failure is logged, and answers are unknown then.
        let _ = look_up_service_user();
        let ebpf = load_object(options, pins.as_ref())?;
        let mut hooks = Self::of_object(ebpf);
        for name in PROGRAMS {
            let loaded = match hooks.ebpf.program_mut(name) {
                Some(Program::Xdp(program)) => program.load(),
                Some(Program::SchedClassifier(program)) => program.load(),
                _ => Err(ProgramError::UnexpectedProgramType),
            };
            loaded.map_err(|error| HookError::of_program(name, error))?;
        }
        if let Some(pins) = &mut pins {
            load_programs(&mut hooks.ebpf);
            pins.create_set(&hooks.ebpf)?;
        }
        hooks.pins = pins;
        Ok(hooks)
    }

    /// Creates the maps, without loading any program.
    ///
    /// # Errors
    /// [`HookError`] if capabilities are missing, the object is broken, or the kernel refuses a
    /// map.
    pub fn create_maps(options: ProgramOptions) -> Result<Self, HookError> {
        check_privileges()?;
        let ebpf = load_object(options, None)?;
        Ok(Self::of_object(ebpf))
    }

    fn of_object(ebpf: Ebpf) -> Self {
        Self {
            pins: None,
            ebpf,
            on_interfaces: HashMap::new(),
            on_cgroup: None,
            known_programs: KnownPrograms::default(),
            others: OtherAgents::default(),
            claims: ClaimList::default(),
        }
    }

    /// Opens the drain of the loaded maps. `committed` is what a journal knows of its last commit
    /// to pinned maps.
    ///
    /// # Errors
    /// [`HookError::Pins`] or [`HookError::Drain`] where the kernel refuses.
    pub fn open_drain(
        &mut self,
        grace: Grace,
        committed: Option<&Commit>,
    ) -> Result<Drain, HookError> {
        let record = self.pins.as_ref().map(Pins::record).transpose()?.flatten();
        let drain = match record {
            Some(record) => Drain::open_pinned(&mut self.ebpf, grace, record, committed),
            None => Drain::open(&mut self.ebpf, grace),
        };
        Ok(drain?)
    }

    /// Loads the programs for interfaces whose packets start with IP. Where a sandbox follows, none
    /// can be loaded later.
    pub(crate) fn load_bare(&mut self) {
        for (name, reason) in self.try_bare() {
            tracing::warn!(
                "{name}: {reason}: interfaces without Ethernet header (tunnels) are not watched"
            );
        }
    }

    /// The same. Returns those that the kernel refuses, and why.
    pub(crate) fn try_bare(&mut self) -> Vec<(&'static str, String)> {
        let mut refused = Vec::new();
        for name in [BARE_INGRESS, BARE_EGRESS] {
            if let Err(error) = attach::tc_program(&mut self.ebpf, name).map(drop) {
                refused.push((name, error_chain(&error)));
            }
        }
        refused
    }

    /// The kernel object in this binary as this kernel takes it, an ELF file.
    #[must_use]
    pub fn object() -> Cow<'static, [u8]> {
        object::object_for(KernelFeatures::of_kernel())
    }

    /// The loaded object, from which the drain takes the maps.
    pub fn ebpf(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    /// Attaches the available socket hooks to a cgroup, and the hook on started programs. To be
    /// called before [`Hooks::attach_interfaces`].
    pub(crate) fn attach_sockets(&mut self, cgroup: Option<&Cgroup>) -> SocketHooks {
        let pins = self.pins.as_mut();
        let (sockets, hooks) = socket::attach_socket_hooks(&mut self.ebpf, pins, cgroup);
        self.on_cgroup = cgroup.and_then(|cgroup| {
            Some(OnCgroup {
                cgroup: cgroup.clone(),
                folder: cgroup.open().ok()?,
                hooks,
            })
        });
        sockets
    }

    /// Ends the start: what an earlier agent left and no hook needs is removed. Returns how many
    /// signals are lost with that.
    pub(crate) fn settle(&mut self) -> u64 {
        let pins = self.pins.as_mut();
        let lost = pins.map_or(0, |pins| pins.settle(&self.ebpf, &mut self.claims));
        self.claims.begin_polling();
        lost
    }

    /// Pins again what somebody has removed. At most polls a look at the folder will do.
    pub(crate) fn repair_pins(&mut self, is_thorough: bool) -> Option<RemovedPins> {
        let on_interfaces = self.on_interfaces.values().flat_map(|on| &on.links);
        let on_interfaces = on_interfaces.filter_map(InterfaceLink::pinned);
        let on_cgroup = self.on_cgroup.iter().flat_map(|on| &on.hooks);
        let on_cgroup = on_cgroup.filter_map(CgroupHook::pinned);
        let links = on_interfaces.chain(on_cgroup);
        let pins = self.pins.as_mut()?;
        pins.repair(&self.ebpf, links, is_thorough)
    }

    /// What somebody had done to the hooks of an earlier agent before this start, which has
    /// attached them again: on what, and what.
    pub(crate) fn take_found_detached(&mut self) -> Vec<(String, HookFinding)> {
        let detached = self.pins.as_mut().map(Pins::take_detached);
        let detached = detached.unwrap_or_default().into_iter();
        let finding = |hook| HookFinding {
            hook,
            what: Tampering::Detached,
            refusal: None,
        };
        detached.map(|(on, hook)| (on, finding(hook))).collect()
    }

    /// Whether hooks and maps stay when this process ends.
    pub(crate) const fn is_pinned(&self) -> bool {
        self.pins.is_some()
    }

    /// Leaves the hooks, which go on counting. The returned pins lock out other agents.
    pub(crate) fn leave(mut self) -> Option<Pins> {
        for (index, on_interface) in self.on_interfaces.drain() {
            for link in on_interface.links {
                if let Err(error) = link.leave(&mut self.ebpf) {
                    tracing::warn!(
                        "interface {index}: {}; this hook ends with recon, and what happens until the next start is not counted",
                        error_chain(&error)
                    );
                }
            }
        }
        self.pins
    }

    /// Detaches and unloads all programs, in an order in which no pending connect is left that
    /// looks failed.
    pub(crate) fn detach(mut self) {
        socket::detach_connects(&mut self.ebpf);
    }
}
