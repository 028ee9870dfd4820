//! The hooks of interfaces: attached in their order, and released.
//!
//! In: interfaces, and the hooks that earlier agents left there. Out: what is attached.
//! The decision held here: what earlier agents left is looked for on all of these interfaces before
//! the first hook attaches, so that the claims of others are listed once.

use super::attach::{self, Ingress};
use super::claim::Claim;
use super::front::Contest;
use super::interface_link::InterfaceLink;
use super::leftover::{KnownIds, Leftovers};
use super::{AttachedHooks, Egress, HookError, Hooks, Interface, XdpChoice};
use crate::diagnostic::error_chain;

/// What this agent holds of an interface.
#[derive(Debug, Default)]
pub(super) struct OnInterface {
    pub(super) links: Vec<InterfaceLink>,
    /// What they are, in words.
    pub(super) attached: Option<AttachedHooks>,
    /// Programs that somebody has detached and that did not attach again.
    pub(super) missing: Vec<&'static str>,
    /// Whether another XDP program was there when recon attached, and said so.
    pub(super) had_xdp: bool,
    /// Whether another program ran before the inbound one at the last look.
    pub(super) is_overtaken: bool,
    pub(super) contest: Contest,
    /// Tells other agents that this one watches the interface.
    claim: Option<Claim>,
}

impl Hooks {
    /// Attaches to every interface, outbound hooks first. Returns what is attached to each, in
    /// their order, or [`HookError::NoIngress`]: what is held of such an interface is to be
    /// released.
    pub(crate) fn attach_interfaces(
        &mut self,
        interfaces: &[Interface],
        choice: XdpChoice,
    ) -> Vec<Result<AttachedHooks, HookError>> {
        let mut leftovers = self.find_leftovers(interfaces);
        let mut egress = Vec::with_capacity(interfaces.len());
        for interface in interfaces {
            let on_interface = self.on_interfaces.entry(interface.index).or_default();
            on_interface.claim = self.others.claim(interface);
            on_interface.had_xdp = interface.xdp_program.is_some();
            egress.push(self.attach_egress(interface, &mut leftovers));
        }
        let attach = |(interface, egress): (&Interface, Egress)| {
            let attached = AttachedHooks {
                interface: interface.name.clone(),
                ingress: self.attach_ingress(interface, choice, &mut leftovers)?,
                egress,
            };
            let on_interface = self.on_interfaces.entry(interface.index).or_default();
            Ok(on_interface.attached.insert(attached).clone())
        };
        interfaces.iter().zip(egress).map(attach).collect()
    }

    /// Filters that earlier agents have left on these interfaces.
    pub(super) fn find_leftovers(&mut self, interfaces: &[Interface]) -> Leftovers {
        let Self {
            pins, ebpf, claims, ..
        } = self;
        let known = || KnownIds::of(ebpf, pins.as_ref());
        Leftovers::find(interfaces, known, claims)
    }

    pub(super) fn attach_egress(
        &mut self,
        interface: &Interface,
        leftovers: &mut Leftovers,
    ) -> Egress {
        let Self {
            pins,
            ebpf,
            on_interfaces,
            ..
        } = self;
        let links = &mut on_interfaces.entry(interface.index).or_default().links;
        let Some(pins) = pins else {
            return attach::attach_egress(ebpf, interface, links, leftovers);
        };
        if let Some((kind, link)) = pins.swap_egress(ebpf, interface, leftovers) {
            links.push(link);
            return Egress::Tc(kind);
        }
        let egress = attach::attach_egress(ebpf, interface, links, leftovers);
        pins.keep_on_interface(ebpf, interface, None, links);
        egress
    }

    pub(super) fn attach_ingress(
        &mut self,
        interface: &Interface,
        choice: XdpChoice,
        leftovers: &mut Leftovers,
    ) -> Result<Ingress, HookError> {
        let Self {
            pins,
            ebpf,
            on_interfaces,
            ..
        } = self;
        let links = &mut on_interfaces.entry(interface.index).or_default().links;
        let Some(pins) = pins else {
            let ingress = attach::attach_ingress(ebpf, interface, choice, links, leftovers)?;
            // A killed agent may have left filters where this one takes another hook.
            leftovers.remove_on(interface);
            return Ok(ingress);
        };
        if let Some((ingress, link)) = pins.swap_ingress(ebpf, interface, choice, leftovers) {
            links.push(link);
            return Ok(ingress);
        }
        pins.begin_change(interface);
        pins.make_room_for_xdp(interface, choice);
        let ingress = attach::attach_ingress(ebpf, interface, choice, links, leftovers)?;
        pins.keep_on_interface(ebpf, interface, Some(ingress), links);
        Ok(ingress)
    }

    /// Looks for other agents on the interfaces that have been attached to, at the end of the
    /// start.
    pub(crate) fn look_for_agents_at_start(&mut self) {
        self.others.look_at_start();
    }

    /// The same at a poll.
    pub(crate) fn look_for_agents(&mut self) {
        self.others.look_at_poll();
    }

    /// Releases what is held of an interface that is gone, or that can't be watched.
    pub(crate) fn release_interface(&mut self, index: u32) {
        self.others.forget(index);
        let on_interface = self.on_interfaces.remove(&index).unwrap_or_default();
        for link in on_interface.links {
            if let Err(error) = link.detach(&mut self.ebpf) {
                tracing::warn!(
                    "interface {index}: {}; if this hook counts on, its packets count twice once recon watches the interface again",
                    error_chain(&error)
                );
            }
        }
    }
}
