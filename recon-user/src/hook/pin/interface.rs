//! The links of interfaces.
//!
//! In: an interface and the hooks that `--xdp` allows on it. Out: the link or filter of an earlier
//! agent with this program in it, or one that this agent has attached and pinned.
//! The decisions held here: a link keeps its mode, so its name says which. Where `--xdp` no longer
//! allows the hook that an earlier agent took, the new hook attaches first and the old one goes
//! once the start has succeeded, which packets meanwhile count twice for; native and generic XDP
//! exclude each other, so there the old one goes first, and the packets of that moment are not
//! seen. It comes back if the start fails. The interface's own count says how many packets these
//! are at most.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsFd;
use std::path::PathBuf;

use aya::Ebpf;
use aya::programs::links::{FdLink, LinkError};
use aya::programs::tc::SchedClassifierLink;
use aya::programs::{ProgramError, SchedClassifier, TcAttachType, Xdp, XdpMode};
use aya_obj::programs::XdpAttachType;

use super::{PinnedLink, Pins, Place, Undo};
use crate::diagnostic::error_chain;
use crate::hook::attach::{
    Ingress, TcKind, XdpChoice, allows_tc, tc_name, tc_program, xdp_modes, xdp_program,
};
use crate::hook::claim::{Claim, Subject};
use crate::hook::clsact::Filter;
use crate::hook::interface::list_packets;
use crate::hook::interface_link::InterfaceLink;
use crate::hook::leftover::Leftovers;
use crate::hook::repair::hook_name;
use crate::hook::{BARE_EGRESS, Interface, TC_EGRESS, XDP};

/// The names of links by their hook.
const NATIVE: &str = "xdp_native";
const GENERIC: &str = "xdp_generic";
const INGRESS: &str = "tcx_ingress";
const EGRESS: &str = "tcx_egress";

impl Pins {
    /// Swaps the program into the outbound hook of an earlier agent.
    pub(in crate::hook) fn swap_egress(
        &mut self,
        ebpf: &mut Ebpf,
        interface: &Interface,
        leftovers: &mut Leftovers,
    ) -> Option<(TcKind, InterfaceLink)> {
        self.swap_tc(ebpf, interface, TcAttachType::Egress, leftovers)
    }

    /// Swaps the program into the inbound hook of an earlier agent, if `choice` allows that hook.
    pub(in crate::hook) fn swap_ingress(
        &mut self,
        ebpf: &mut Ebpf,
        interface: &Interface,
        choice: XdpChoice,
        leftovers: &mut Leftovers,
    ) -> Option<(Ingress, InterfaceLink)> {
        for mode in xdp_modes(choice, interface) {
            let (hook, ingress) = match mode {
                XdpMode::Driver => (NATIVE, Ingress::XdpNative),
                _ => (GENERIC, Ingress::XdpGeneric),
            };
            let program = xdp_program(ebpf).ok()?.fd().ok()?.try_clone().ok()?;
            let link = self.swap_on(interface, hook, (XDP, program.as_fd()));
            if let Some(link) = link {
                return Some((ingress, InterfaceLink::Pinned(XDP, link)));
            }
        }
        if !allows_tc(choice, interface) {
            return None;
        }
        let swapped = self.swap_tc(ebpf, interface, TcAttachType::Ingress, leftovers);
        swapped.map(|(kind, link)| (Ingress::Tc(kind), link))
    }

    fn swap_tc(
        &mut self,
        ebpf: &mut Ebpf,
        interface: &Interface,
        direction: TcAttachType,
        leftovers: &mut Leftovers,
    ) -> Option<(TcKind, InterfaceLink)> {
        let program = tc_name(interface, direction);
        let hook = match direction {
            TcAttachType::Egress => EGRESS,
            _ => INGRESS,
        };
        let loaded = tc_program(ebpf, program).ok()?;
        let fd = loaded.fd().ok()?.try_clone().ok()?;
        if let Some(link) = self.swap_on(interface, hook, (program, fd.as_fd())) {
            return Some((TcKind::Tcx, InterfaceLink::Pinned(program, link)));
        }
        let filter = leftovers.take_over(interface, direction)?;
        // Before the filter runs it, so that no other agent takes it for a leftover.
        let claimed = Subject::program(program, loaded.info().ok()?.id(), interface.index);
        let claim = Claim::bind_program(claimed, &interface.name);
        match filter.replace(loaded) {
            Ok(link) => {
                if let Some(path) = self.programs.get(program) {
                    let program = path.clone();
                    self.undo.push(Undo::Filter { filter, program });
                }
                self.attached.insert(program.to_owned());
                let link = InterfaceLink::Swapped(program, link, claim);
                Some((TcKind::Clsact, link))
            }
            Err(error) => {
                let error = error_chain(&error);
                tracing::warn!(
                    "{}: can't swap the program of a filter: {error}",
                    interface.name
                );
                None
            }
        }
    }

    fn swap_on(
        &mut self,
        interface: &Interface,
        hook: &str,
        program: (&str, std::os::fd::BorrowedFd<'_>),
    ) -> Option<PinnedLink> {
        let name = name(hook, interface);
        let place = Place {
            name: &name,
            shown: interface.name.clone(),
            hook: hook_name(program.0),
            number_of: |info| info.interface().into(),
            number: interface.index.into(),
        };
        self.swap(place, program)
    }

    /// Notes that another inbound hook takes the place of an earlier agent's, if there is one.
    pub(in crate::hook) fn begin_change(&mut self, interface: &Interface) {
        let others = [NATIVE, GENERIC, INGRESS].map(|hook| self.found.get(&name(hook, interface)));
        let is_on_it = |link: &PinnedLink| {
            let info = link.info();
            info.is_ok_and(|info| info.interface() == interface.index)
        };
        if others.into_iter().flatten().any(is_on_it) {
            self.changes.push(IngressChange {
                interface: interface.name.clone(),
                index: interface.index,
                received: received_packets(interface.index),
            });
        }
    }

    /// Ends an XDP link of an earlier agent in the other mode: only one can be there.
    pub(in crate::hook) fn make_room_for_xdp(&mut self, interface: &Interface, choice: XdpChoice) {
        if xdp_modes(choice, interface).is_empty() {
            return;
        }
        for (hook, mode) in [(NATIVE, XdpMode::Driver), (GENERIC, XdpMode::Skb)] {
            let Some(link) = self.found.remove(&name(hook, interface)) else {
                continue;
            };
            let info = link.info().ok();
            let info = info.filter(|info| info.interface() == interface.index);
            match info.map(|info| self.found_program(XDP, info.program)) {
                Some(Some(_)) => self.undo.push(Undo::Detached(DetachedXdp {
                    link: link.path().to_owned(),
                    program: self.programs.get(XDP).cloned().unwrap_or_default(),
                    interface: interface.index,
                    mode,
                })),
                Some(None) => self.undo.push(Undo::Unknown(interface.name.clone())),
                None => {}
            }
            if let Err(error) = link.remove() {
                tracing::warn!("{}: {error}", interface.name);
            }
        }
    }

    /// Pins the links that this process has attached to the interface.
    pub(in crate::hook) fn keep_on_interface(
        &mut self,
        ebpf: &mut Ebpf,
        interface: &Interface,
        ingress: Option<Ingress>,
        links: &mut Vec<InterfaceLink>,
    ) {
        for link in std::mem::take(links) {
            let link = match link {
                InterfaceLink::Xdp(id) => {
                    let hook = match ingress {
                        Some(Ingress::XdpNative) => NATIVE,
                        _ => GENERIC,
                    };
                    let taken = xdp_program(ebpf).and_then(|program| program.take_link(id));
                    let link = taken.map(FdLink::try_from);
                    self.keep_taken(interface, hook, XDP, link)
                }
                InterfaceLink::Tcx(program, id) => {
                    let hook = match program {
                        TC_EGRESS | BARE_EGRESS => EGRESS,
                        _ => INGRESS,
                    };
                    let taken = tc_program(ebpf, program).and_then(|it| it.take_link(id));
                    let link = taken.map(FdLink::try_from);
                    self.keep_taken(interface, hook, program, link)
                }
                // A filter stays by itself.
                InterfaceLink::Filter(program, ..) | InterfaceLink::Swapped(program, ..) => {
                    self.attached.insert(program.to_owned());
                    Some(link)
                }
                link @ InterfaceLink::Pinned(..) => Some(link),
            };
            links.extend(link);
        }
        if self.is_settled {
            self.pin_programs(ebpf);
        }
    }

    fn keep_taken(
        &mut self,
        interface: &Interface,
        hook: &str,
        program: &'static str,
        link: Result<Result<FdLink, LinkError>, ProgramError>,
    ) -> Option<InterfaceLink> {
        let kept = match link {
            Ok(link) => link.map_err(|error| error_chain(&error)),
            Err(error) => Err(error_chain(&error)),
        };
        match kept.and_then(|link| self.keep(&name(hook, interface), program, link)) {
            Ok(link) => Some(InterfaceLink::Pinned(program, link)),
            Err(reason) => {
                // The next look at the hooks finds that it is missing.
                tracing::error!(
                    "{}: can't pin its hook {hook}, which is attached again: {reason}",
                    interface.name
                );
                None
            }
        }
    }
}

/// An XDP program of an earlier agent that was detached.
#[derive(Debug)]
pub(super) struct DetachedXdp {
    /// Where its link was pinned, and where the program is.
    link: PathBuf,
    program: PathBuf,
    interface: u32,
    mode: XdpMode,
}

impl DetachedXdp {
    /// Attaches it again, and pins the link where the former one was.
    pub(super) fn attach_again(self) -> io::Result<()> {
        let attach = || {
            let mut program = Xdp::from_pin(&self.program, XdpAttachType::Interface)?;
            let link = program.attach_to_if_index(self.interface, self.mode)?;
            program.take_link(link)
        };
        let link = attach().map_err(io::Error::other)?;
        let link = FdLink::try_from(link).map_err(io::Error::other)?;
        link.pin(&self.link).map(drop).map_err(io::Error::other)
    }
}

/// An inbound hook whose place another one takes.
#[derive(Debug)]
pub(super) struct IngressChange {
    interface: String,
    index: u32,
    /// The packets of the interface before.
    received: Option<u64>,
}

impl IngressChange {
    /// Says what it has cost, once the other hook alone is there.
    pub(super) fn report(self) {
        let now = received_packets(self.index);
        let passed = now.zip(self.received);
        let passed = passed.map(|(now, before)| now.saturating_sub(before));
        let packets = passed.map_or("packets".to_owned(), |most| format!("up to {most} packets"));
        tracing::warn!(
            "{}: the inbound hook has changed, as --xdp asks; {packets} of that moment are missed or counted twice",
            self.interface
        );
    }
}

/// How many packets the interface has received, if the kernel says.
fn received_packets(index: u32) -> Option<u64> {
    let mut counts = list_packets().ok()?.into_iter();
    counts.find_map(|(of, [received, _])| (of == index).then_some(received))
}

impl Filter {
    /// Makes the filter run another program from the next packet on. The filter stays when the
    /// program is dropped.
    pub(super) fn replace(
        &self,
        program: &mut SchedClassifier,
    ) -> Result<ManuallyDrop<SchedClassifierLink>, ProgramError> {
        let link = self.link().map_err(ProgramError::IOError)?;
        let id = program.attach_to_link(link)?;
        program.take_link(id).map(ManuallyDrop::new)
    }
}

/// Whether a link of that name is on an interface.
pub(super) fn is_of_interface(name: &str) -> bool {
    let mut hooks = [NATIVE, GENERIC, INGRESS, EGRESS].into_iter();
    hooks.any(|hook| {
        let rest = name.strip_prefix(hook);
        rest.is_some_and(|rest| rest.starts_with('-'))
    })
}

fn name(hook: &str, interface: &Interface) -> String {
    format!("{hook}-{}", interface.index)
}
