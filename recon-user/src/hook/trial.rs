//! Hooks tried out, for `recon check`.
//!
//! In: loaded programs. Out: which hooks of an interface this kernel offers.
//! The decision held here: attaching to a watched interface could reset its queues and would run
//! for its packets. So the programs attach to the loopback of a network namespace that is made for
//! the trial and ends with its thread: nobody sends a packet there.

use std::io;
use std::thread;

use aya::programs::XdpMode;
use nix::sched::{CloneFlags, unshare};

use super::attach::{TcKind, attach_tc, attach_xdp};
use super::leftover::Leftovers;
use super::{Hooks, Interface, LinkHeader, XdpChoice};
use crate::diagnostic::error_chain;

/// What came of it.
#[derive(Debug)]
pub(crate) struct Trial {
    /// XDP in the stack, or why it does not attach.
    pub(crate) xdp: Result<(), String>,
    /// How TC programs attach, or why they don't.
    pub(crate) tc: Result<TcKind, String>,
}

impl Hooks {
    /// Attaches to a loopback of its own and detaches again.
    ///
    /// # Errors
    /// There may be no new network namespace.
    pub(crate) fn try_hooks(&mut self) -> io::Result<Trial> {
        let ebpf = &mut self.ebpf;
        let attempt = move || {
            unshare(CloneFlags::CLONE_NEWNET)?;
            let mut loopback = Interface::default();
            loopback.name.push_str("lo");
            // The first interface of each namespace.
            loopback.index = 1;
            let xdp = attach_xdp(ebpf, &loopback, XdpMode::Skb);
            let xdp = xdp.and_then(|link| link.detach(ebpf));
            let egress = aya::programs::TcAttachType::Egress;
            let tc = attach_tc(ebpf, &loopback, egress, &mut Leftovers::default());
            let tc = tc.and_then(|(kind, link)| link.detach(ebpf).map(|()| kind));
            Ok(Trial {
                xdp: xdp.map_err(|error| error_chain(&error)),
                tc: tc.map_err(|error| error_chain(&error)),
            })
        };
        thread::scope(|scope| {
            let inside = thread::Builder::new().spawn_scoped(scope, attempt)?;
            let joined = inside.join();
            joined.unwrap_or_else(|_| Err(io::Error::other("the thread that attaches panicked")))
        })
    }
}

/// What the agent would take for inbound packets of an interface, as far as that is known without
/// attaching.
pub(crate) fn expected_ingress(interface: &Interface, choice: XdpChoice) -> &'static str {
    if interface.header == LinkHeader::Missing {
        return "TC ingress";
    }
    match (choice, interface.is_veth || interface.xdp_program.is_some()) {
        (XdpChoice::Off, _) | (XdpChoice::Auto, true) => "TC ingress",
        (XdpChoice::Auto, false) => {
            "XDP in its driver, else in the stack, else TC ingress; not tried, since some cards reset their queues for that"
        }
        (XdpChoice::Native, _) => {
            "XDP in its driver; not tried, since some cards reset their queues for that"
        }
        (XdpChoice::Generic, _) => "XDP in the stack",
    }
}
