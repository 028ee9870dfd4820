//! What attaches a program to an interface.
//!
//! In: a link of this agent. Out: where the kernel has its program, and its end.

use std::io;
use std::mem::ManuallyDrop;

use aya::Ebpf;
use aya::programs::links::Link as _;
use aya::programs::tc::{SchedClassifierLink, SchedClassifierLinkId};
use aya::programs::xdp::XdpLinkId;
use aya::programs::{ProgramError, TcAttachType};

use super::attach::{tc_program, xdp_program};
use super::attached::list_attached;
use super::claim::Claim;
use super::clsact;
use super::pin::PinnedLink;
use super::{BARE_EGRESS, BARE_INGRESS, Interface, TC_EGRESS, TC_INGRESS, XDP};

/// What attaches a program to an interface, to be detached again.
#[derive(Debug)]
pub(super) enum InterfaceLink {
    /// The XDP program.
    Xdp(XdpLinkId),
    /// A TC program, by its name.
    Tcx(&'static str, SchedClassifierLinkId),
    /// A TC program, by its name, as a filter of clsact. With the claim on it, if there could be
    /// one.
    Filter(&'static str, SchedClassifierLinkId, Option<Claim>),
    /// A filter of an earlier agent that runs this program now. It outlives this process, also
    /// where the start fails and the filter runs the earlier program again.
    Swapped(
        &'static str,
        ManuallyDrop<SchedClassifierLink>,
        Option<Claim>,
    ),
    /// A program, by its name, whose link outlives this process.
    Pinned(&'static str, PinnedLink),
}

impl InterfaceLink {
    /// Detaches the program. The kernel has already done so if the interface is gone.
    pub(super) fn detach(self, ebpf: &mut Ebpf) -> Result<(), ProgramError> {
        match self {
            Self::Xdp(link) => xdp_program(ebpf)?.detach(link),
            Self::Tcx(name, link) | Self::Filter(name, link, _) => {
                tc_program(ebpf, name)?.detach(link)
            }
            Self::Swapped(_, link, _) => ManuallyDrop::into_inner(link).detach(),
            Self::Pinned(_, link) => link.remove().map_err(ProgramError::IOError),
        }
    }

    /// Lets go of a program that is no longer attached. What else is in the place of a filter by
    /// now stays.
    pub(super) fn let_go(self, ebpf: &mut Ebpf) -> Result<(), ProgramError> {
        match self {
            Self::Filter(name, link, _) => {
                std::mem::forget(tc_program(ebpf, name)?.take_link(link)?);
                Ok(())
            }
            Self::Swapped(..) => Ok(()),
            link => link.detach(ebpf),
        }
    }

    /// Leaves the program where it is when this process ends.
    pub(super) fn leave(self, ebpf: &mut Ebpf) -> Result<(), ProgramError> {
        match self {
            Self::Xdp(link) => std::mem::forget(xdp_program(ebpf)?.take_link(link)?),
            Self::Tcx(name, link) => std::mem::forget(tc_program(ebpf, name)?.take_link(link)?),
            Self::Filter(name, link, claim) => {
                std::mem::forget(tc_program(ebpf, name)?.take_link(link)?);
                // Held until the process ends.
                std::mem::forget(claim);
            }
            Self::Swapped(.., claim) => std::mem::forget(claim),
            Self::Pinned(..) => {}
        }
        Ok(())
    }

    /// The program that is attached.
    pub(super) const fn program(&self) -> &'static str {
        match self {
            Self::Xdp(_) => XDP,
            Self::Tcx(name, _)
            | Self::Filter(name, ..)
            | Self::Swapped(name, ..)
            | Self::Pinned(name, _) => name,
        }
    }

    /// The link, if it outlives this process.
    pub(super) const fn pinned(&self) -> Option<&PinnedLink> {
        match self {
            Self::Pinned(_, link) => Some(link),
            _ => None,
        }
    }

    /// Where the kernel has the program, whose id is `program`, on the interface.
    ///
    /// # Errors
    /// The kernel does not say.
    pub(super) fn place(&self, interface: &Interface, program: u32) -> io::Result<Place> {
        /// `BPF_TCX_INGRESS` and `BPF_TCX_EGRESS` of enum bpf_attach_type, linux/bpf.h.
        const TCX: [u32; 2] = [46, 47];
        let [ingress, egress] = TCX;
        let (direction, hook) = match self.program() {
            TC_EGRESS | BARE_EGRESS => (TcAttachType::Egress, egress),
            _ => (TcAttachType::Ingress, ingress),
        };
        let programs = match self {
            Self::Xdp(_) | Self::Pinned(XDP, _) => interface.xdp_program.into_iter().collect(),
            Self::Tcx(..) | Self::Pinned(..) => list_attached(interface.index, hook)?,
            Self::Filter(..) | Self::Swapped(..) => clsact::list_programs(interface, direction)?,
        };
        Ok(match programs.iter().position(|&id| id == program) {
            None => Place::Gone,
            Some(place) => Place::After(programs[..place].to_vec()),
        })
    }

    /// Whether it is to be the first program of its hook: one before it could take packets away
    /// unseen. Outbound programs are to be the last, since those before them may change packets.
    pub(super) fn is_to_be_first(&self) -> bool {
        matches!(self.program(), TC_INGRESS | BARE_INGRESS)
    }
}

/// Where a program is among those of its hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is not attached.
    Gone,
    /// These run before it: their ids, 0 of what is no BPF program.
    After(Vec<u32>),
}
