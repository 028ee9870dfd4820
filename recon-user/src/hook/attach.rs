//! Attaching to one interface, with the fallbacks.
//!
//! In: a loaded object, an interface, the operator's choice. Out: the hooks that attached.
//! The decisions held here: inbound, XDP in the driver, else generic XDP, else TC. On an interface
//! with another XDP program recon takes TC, since replacing that program would break what it does.
//! An interface without a link layer (a tunnel) has TC alone: what comes in has passed a stack that
//! decrypts or unwraps it, so XDP would spare nothing.
//! TC attaches as TCX, or under clsact before Linux 6.6: inbound as the first program, so that no
//! other one takes packets away unseen; outbound as the last, since others may change packets.

use std::fmt;

use aya::Ebpf;
use aya::programs::tc::{NlOptions, TcAttachOptions};
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType, Xdp, XdpMode};
use clap::ValueEnum;

use super::attached::xdp_link;
use super::claim::{Claim, Subject};
use super::clsact;
use super::interface_link::InterfaceLink;
use super::leftover::Leftovers;
use super::{
    BARE_EGRESS, BARE_INGRESS, HookError, Interface, LinkHeader, TC_EGRESS, TC_INGRESS, XDP,
};
use crate::diagnostic::error_chain;

/// What `--xdp` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum XdpChoice {
    /// In the driver, else generic, else TC ingress; TC ingress on a veth pair, which gives up
    /// segmentation offload for XDP
    Auto,
    /// In the driver, before the stack
    Native,
    /// In the stack, before anything else in it
    Generic,
    /// Not at all: TC ingress
    Off,
}

/// The hook that sees inbound packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ingress {
    /// XDP in the driver.
    XdpNative,
    /// XDP in the stack.
    XdpGeneric,
    /// TC ingress.
    Tc(TcKind),
}

/// The hook that sees outbound packets, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Egress {
    /// TC egress.
    Tc(TcKind),
    /// The kernel refused: recon sees nothing of what this host sends, and can't tell an answer
    /// from an unsolicited datagram.
    Missing(String),
}

/// How a TC program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TcKind {
    /// By a link (Linux 6.6 and later).
    Tcx,
    /// As a filter of the clsact qdisc.
    Clsact,
}

/// The hooks on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AttachedHooks {
    /// Name of the interface.
    pub(crate) interface: String,
    /// The hook that sees inbound packets.
    pub(crate) ingress: Ingress,
    /// The hook that sees outbound packets.
    pub(crate) egress: Egress,
}

impl fmt::Display for TcKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcx => "TCX",
            Self::Clsact => "clsact",
        })
    }
}

impl Ingress {
    /// What it costs that this hook is not the first to see a frame.
    const fn costs(self) -> Option<&'static str> {
        match self {
            Self::XdpNative => None,
            Self::XdpGeneric => Some(
                "a frame becomes a socket buffer before recon sees it, so a flood costs more CPU",
            ),
            Self::Tc(_) => Some(
                "recon sees a frame after XDP and the stack's first steps, so a flood costs more CPU, and what an XDP program drops is not counted",
            ),
        }
    }
}

impl fmt::Display for AttachedHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: inbound by ", self.interface)?;
        match self.ingress {
            Ingress::XdpNative => f.write_str("native XDP")?,
            Ingress::XdpGeneric => f.write_str("generic XDP")?,
            Ingress::Tc(kind) => write!(f, "{kind} ingress")?,
        }
        match &self.egress {
            Egress::Tc(kind) => write!(f, ", outbound by {kind} egress")?,
            Egress::Missing(reason) => write!(
                f,
                ", outbound by nothing ({reason}): answers and traffic of this host are not counted, nor are UDP hits"
            )?,
        }
        // The short form is for the hundredth interface of a kind.
        match self.ingress.costs().filter(|_| !f.alternate()) {
            Some(costs) => write!(f, "; {costs}"),
            None => Ok(()),
        }
    }
}

/// Fails before anything is attached if attaching would fail halfway.
///
/// # Errors
/// [`HookError::XdpTaken`].
pub(crate) fn check_xdp(interfaces: &[Interface], choice: XdpChoice) -> Result<(), HookError> {
    for interface in interfaces {
        if let XdpChoice::Native | XdpChoice::Generic = choice
            && let Some(program) = interface.xdp_program
            && interface.header == LinkHeader::Ethernet
        {
            return Err(HookError::XdpTaken {
                interface: interface.name.clone(),
                program,
                link: xdp_link(interface.index, program),
            });
        }
    }
    Ok(())
}

/// Warns of what recon will not see.
pub(super) fn warn_of_limits(interfaces: &[Interface], choice: XdpChoice) {
    for interface in interfaces {
        if !interface.is_up {
            tracing::warn!(
                "{}: is down; recon counts its packets once it is up",
                interface.name
            );
        }
        if let (XdpChoice::Auto, Some(program)) = (choice, interface.xdp_program)
            && interface.header == LinkHeader::Ethernet
        {
            tracing::warn!(
                "{}: another XDP program is attached (id {program}): recon uses TC ingress and does not see what that program drops",
                interface.name
            );
        }
    }
}

/// Attaches the outbound program, or says why it can't.
pub(super) fn attach_egress(
    ebpf: &mut Ebpf,
    interface: &Interface,
    links: &mut Vec<InterfaceLink>,
    leftovers: &mut Leftovers,
) -> Egress {
    match attach_tc(ebpf, interface, TcAttachType::Egress, leftovers) {
        Ok((kind, link)) => {
            links.push(link);
            Egress::Tc(kind)
        }
        Err(error) => Egress::Missing(error_chain(&error)),
    }
}

/// Attaches the best inbound program that `choice` allows, and logs why a better one does not
/// attach.
pub(super) fn attach_ingress(
    ebpf: &mut Ebpf,
    interface: &Interface,
    choice: XdpChoice,
    links: &mut Vec<InterfaceLink>,
    leftovers: &mut Leftovers,
) -> Result<Ingress, HookError> {
    let mut reasons = Vec::new();
    match attach_first_possible(ebpf, interface, choice, leftovers, &mut reasons) {
        Some((ingress, link)) => {
            links.push(link);
            for reason in reasons {
                tracing::info!("{}: {reason}", interface.name);
            }
            Ok(ingress)
        }
        None => {
            if matches!(choice, XdpChoice::Native | XdpChoice::Generic) {
                reasons.push("try --xdp auto".to_owned());
            }
            Err(HookError::NoIngress {
                interface: interface.name.clone(),
                reasons: reasons.join("; "),
            })
        }
    }
}

fn attach_first_possible(
    ebpf: &mut Ebpf,
    interface: &Interface,
    choice: XdpChoice,
    leftovers: &mut Leftovers,
    reasons: &mut Vec<String>,
) -> Option<(Ingress, InterfaceLink)> {
    for &mode in xdp_modes(choice, interface) {
        match attach_xdp(ebpf, interface, mode) {
            Ok(link) if mode == XdpMode::Driver => return Some((Ingress::XdpNative, link)),
            Ok(link) => return Some((Ingress::XdpGeneric, link)),
            Err(error) => reasons.push(format!("{} XDP: {}", mode_name(mode), error_chain(&error))),
        }
    }
    if allows_tc(choice, interface) {
        match attach_tc(ebpf, interface, TcAttachType::Ingress, leftovers) {
            Ok((kind, link)) => return Some((Ingress::Tc(kind), link)),
            Err(error) => reasons.push(format!("TC: {}", error_chain(&error))),
        }
    }
    None
}

/// The modes of XDP to try, the best one first.
pub(super) const fn xdp_modes(choice: XdpChoice, interface: &Interface) -> &'static [XdpMode] {
    match choice {
        _ if !matches!(interface.header, LinkHeader::Ethernet) => &[],
        XdpChoice::Auto if interface.xdp_program.is_some() || interface.is_veth => &[],
        XdpChoice::Auto => &[XdpMode::Driver, XdpMode::Skb],
        XdpChoice::Native => &[XdpMode::Driver],
        XdpChoice::Generic => &[XdpMode::Skb],
        XdpChoice::Off => &[],
    }
}

/// Whether TC ingress will do where XDP does not attach.
pub(super) const fn allows_tc(choice: XdpChoice, interface: &Interface) -> bool {
    let has_frames = matches!(interface.header, LinkHeader::Ethernet);
    !has_frames || matches!(choice, XdpChoice::Auto | XdpChoice::Off)
}

/// The TC program for the packets of that interface.
pub(super) const fn tc_name(interface: &Interface, direction: TcAttachType) -> &'static str {
    match (interface.header, direction) {
        (LinkHeader::Missing, TcAttachType::Egress) => BARE_EGRESS,
        (LinkHeader::Missing, _) => BARE_INGRESS,
        (_, TcAttachType::Egress) => TC_EGRESS,
        _ => TC_INGRESS,
    }
}

fn mode_name(mode: XdpMode) -> &'static str {
    match mode {
        XdpMode::Driver => "native",
        _ => "generic",
    }
}

pub(super) fn attach_xdp(
    ebpf: &mut Ebpf,
    interface: &Interface,
    mode: XdpMode,
) -> Result<InterfaceLink, ProgramError> {
    let link = xdp_program(ebpf)?.attach_to_if_index(interface.index, mode)?;
    Ok(InterfaceLink::Xdp(link))
}

/// The kernel chooses a priority before that of other filters whose priority it has chosen.
const AUTOMATIC: u16 = 0;

/// Attaches the program of that direction. Under clsact the leftovers of that direction go first.
pub(super) fn attach_tc(
    ebpf: &mut Ebpf,
    interface: &Interface,
    direction: TcAttachType,
    leftovers: &mut Leftovers,
) -> Result<(TcKind, InterfaceLink), ProgramError> {
    let name = tc_name(interface, direction);
    let program = tc_program(ebpf, name)?;
    let order = match direction {
        TcAttachType::Ingress => LinkOrder::first(),
        _ => LinkOrder::last(),
    };
    let tcx = TcAttachOptions::TcxOrder(order);
    match program.attach_with_options(&interface.name, direction, tcx) {
        Ok(link) => return Ok((TcKind::Tcx, InterfaceLink::Tcx(name, link))),
        Err(error) => tracing::debug!(
            "{}: no TCX, trying clsact: {}",
            interface.name,
            error_chain(&error)
        ),
    }
    clsact::prepare_qdisc(interface)?;
    leftovers.remove(interface, direction);
    // Before the filter is there, so that no other agent takes it for a leftover.
    let claimed = Subject::program(name, program.info()?.id(), interface.index);
    let claim = Claim::bind_program(claimed, &interface.name);
    let mut attach = |priority| {
        let options = NlOptions {
            priority,
            ..NlOptions::default()
        };
        let clsact = TcAttachOptions::Netlink(options);
        program.attach_with_options(&interface.name, direction, clsact)
    };
    // A filter of another kind or protocol may have the first priority for itself.
    let link = match clsact::front_priority(interface, direction) {
        Some(priority) => attach(priority).or_else(|_| attach(AUTOMATIC))?,
        None => attach(AUTOMATIC)?,
    };
    Ok((TcKind::Clsact, InterfaceLink::Filter(name, link, claim)))
}

pub(super) fn xdp_program(ebpf: &mut Ebpf) -> Result<&mut Xdp, ProgramError> {
    ebpf.program_mut(XDP)
        .ok_or(ProgramError::UnexpectedProgramType)?
        .try_into()
}

/// The program of that name, which is loaded if it is not yet.
pub(super) fn tc_program<'a>(
    ebpf: &'a mut Ebpf,
    name: &str,
) -> Result<&'a mut SchedClassifier, ProgramError> {
    let program: &mut SchedClassifier = ebpf
        .program_mut(name)
        .ok_or(ProgramError::UnexpectedProgramType)?
        .try_into()?;
    match program.load() {
        Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(program),
        Err(error) => Err(error),
    }
}
