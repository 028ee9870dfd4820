//! Hooks that somebody has detached or put another program before: found, and mended.
//!
//! In: what this agent has attached, and what the kernel says is attached. Out: what was found, and
//! why it could not be mended.
//! The decisions held here:
//! - Whoever may detach a program may end recon, too, so this is no defence against root. It is for
//!   the script or the other tool that clears an interface, and for the service whose cgroup is
//!   removed with it and created again.
//! - A hook is recon's if the program there has the id of the one that this agent has loaded. The
//!   kernel lets nobody change a loaded program, nor give it other maps, so its tag and the ids of
//!   its maps would say the same once more.

use std::fs::File;
use std::time::Instant;

use super::attach::{AttachedHooks, Egress};
use super::interface::find_interface;
use super::interface_link::{InterfaceLink, Place};
use super::socket::CgroupHook;
use super::{
    BARE_EGRESS, BARE_INGRESS, Cgroup, Hooks, Interface, LinkHeader, OnInterface, TC_EGRESS,
    TC_INGRESS, XDP, XdpChoice,
};
use crate::diagnostic::error_chain;

/// What somebody has done to a hook.
#[derive(Debug)]
pub(crate) struct HookFinding {
    /// Its name, as alerts show it.
    pub(crate) hook: &'static str,
    pub(crate) what: Tampering,
    /// Why it could not be mended, if it could not.
    pub(crate) refusal: Option<String>,
}

/// What somebody has done.
#[derive(Debug)]
pub(crate) enum Tampering {
    /// Detached it.
    Detached,
    /// Put this one before it.
    Overtaken(String),
    /// Taken that one away again.
    GaveWay,
}

/// The hooks of the cgroup.
#[derive(Debug)]
pub(super) struct OnCgroup {
    pub(super) cgroup: Cgroup,
    pub(super) folder: File,
    pub(super) hooks: Vec<CgroupHook>,
}

impl Hooks {
    /// The folder of the cgroup, as alerts show it.
    pub(crate) fn cgroup_name(&self) -> String {
        let folder = self
            .on_cgroup
            .as_ref()
            .map(|on| on.cgroup.watched.display());
        folder.map_or_else(String::new, |folder| folder.to_string())
    }

    /// Looks after the hooks of the cgroup.
    pub(crate) fn repair_sockets(&mut self) -> Vec<HookFinding> {
        let Self {
            pins,
            ebpf,
            on_cgroup,
            ..
        } = self;
        let Some(OnCgroup {
            cgroup,
            folder,
            hooks,
        }) = on_cgroup
        else {
            return Vec::new();
        };
        let mut detached = Vec::new();
        for hook in hooks {
            if hook.is_attached(ebpf, folder) {
                continue;
            }
            let again = hook.attach_again(ebpf, pins.as_mut(), cgroup);
            detached.push(HookFinding {
                hook: hook.hook,
                what: Tampering::Detached,
                refusal: again.err().map(|error| error_chain(&error)),
            });
        }
        // The cgroup of that name may be another one by now.
        if !detached.is_empty()
            && let Ok(opened) = cgroup.open()
        {
            *folder = opened;
        }
        detached
    }

    /// Looks after the hooks of the interface with that index.
    pub(crate) fn repair_interface(&mut self, index: u32, choice: XdpChoice) -> Vec<HookFinding> {
        let has_hooks = self
            .on_interfaces
            .get(&index)
            .is_some_and(|on| !on.links.is_empty() || !on.missing.is_empty());
        // An interface that is gone is announced, and its hooks are released then.
        let interface = has_hooks.then(|| find_interface(index));
        let Some(Ok(interface)) = interface else {
            return Vec::new();
        };
        let mut found = self.look_in_front(&interface, choice);
        for program in self.release_detached(&interface) {
            let refusal = self.attach_again(program, &interface, choice).err();
            if refusal.is_some()
                && let Some(on) = self.on_interfaces.get_mut(&index)
            {
                on.missing.push(program);
            }
            found.push(HookFinding {
                hook: hook_name(program),
                what: Tampering::Detached,
                refusal,
            });
        }
        found
    }

    /// Goes in front of what runs before the inbound program, if there is something.
    fn look_in_front(&mut self, interface: &Interface, choice: XdpChoice) -> Vec<HookFinding> {
        let other = self.find_in_front(interface);
        let Some(on) = self.on_interfaces.get_mut(&interface.index) else {
            return Vec::new();
        };
        let was_overtaken = std::mem::replace(&mut on.is_overtaken, other.is_some());
        let now = Instant::now();
        let (what, refusal) = match other {
            None if was_overtaken => (Tampering::GaveWay, None),
            None => return Vec::new(),
            Some(Other::Xdp(id)) => (
                Tampering::Overtaken(format!("XDP program {id}")),
                Some("recon replaces no other XDP program".to_owned()),
            ),
            Some(Other::Tc(name)) if on.contest.try_again(now) => {
                let refusal = self.go_in_front(interface, choice).err();
                if refusal.is_none()
                    && let Some(on) = self.on_interfaces.get_mut(&interface.index)
                {
                    on.is_overtaken = false;
                }
                (Tampering::Overtaken(name), refusal)
            }
            Some(Other::Tc(name)) => {
                let wait = on.contest.wait(now).as_secs() + 1;
                let refusal = format!("it came back to the front, so recon waits for {wait} s");
                (Tampering::Overtaken(name), Some(refusal))
            }
        };
        vec![HookFinding {
            hook: hook_name(TC_INGRESS),
            what,
            refusal,
        }]
    }

    /// What runs before the inbound TC program.
    fn find_in_front(&mut self, interface: &Interface) -> Option<Other> {
        let Self {
            ebpf,
            on_interfaces,
            known_programs,
            ..
        } = self;
        let on = on_interfaces.get(&interface.index)?;
        let link = on.links.iter().find(|link| link.is_to_be_first())?;
        let info = ebpf.program(link.program())?.info().ok()?;
        match link.place(interface, info.id()) {
            Ok(Place::After(programs)) if !programs.is_empty() => {
                let other = known_programs.find_other(&programs, info.tag());
                other.map(Other::Tc)
            }
            // An XDP program may have come since recon attached.
            Ok(Place::After(_)) => {
                let id = interface.xdp_program.filter(|_| !on.had_xdp)?;
                let has_frames = interface.header == LinkHeader::Ethernet;
                let own = ebpf.program(XDP)?.info().ok()?.tag();
                let is_other = has_frames && known_programs.find_other(&[id], own).is_some();
                is_other.then_some(Other::Xdp(id))
            }
            _ => None,
        }
    }

    /// Attaches the inbound TC program anew. The kernel does not move it, nor attach it twice.
    fn go_in_front(&mut self, interface: &Interface, choice: XdpChoice) -> Result<(), String> {
        let Some(on) = self.on_interfaces.get_mut(&interface.index) else {
            return Ok(());
        };
        let Some(at) = on.links.iter().position(InterfaceLink::is_to_be_first) else {
            return Ok(());
        };
        let link = on.links.swap_remove(at);
        let program = link.program();
        // A detach that fails may have ended the link and left its pin: the program is missing
        // then.
        let detached = link.detach(&mut self.ebpf);
        detached
            .map_err(|error| error_chain(&error))
            .and_then(|()| self.attach_again(program, interface, choice))
            .inspect_err(|_| {
                if let Some(on) = self.on_interfaces.get_mut(&interface.index) {
                    on.missing.push(program);
                }
            })
    }

    /// Releases what is no longer attached to the interface. Returns these programs, and those that
    /// could not be attached again before.
    fn release_detached(&mut self, interface: &Interface) -> Vec<&'static str> {
        let Self {
            ebpf,
            on_interfaces,
            ..
        } = self;
        let Some(OnInterface { links, missing, .. }) = on_interfaces.get_mut(&interface.index)
        else {
            return Vec::new();
        };
        let mut gone = std::mem::take(missing);
        for link in std::mem::take(links) {
            let id = ebpf.program(link.program()).map(|it| it.info());
            let is_attached = match id {
                Some(Ok(info)) => !matches!(link.place(interface, info.id()), Ok(Place::Gone)),
                // Unknown is no reason to attach a second time.
                _ => true,
            };
            if is_attached {
                links.push(link);
                continue;
            }
            gone.push(link.program());
            // It holds nothing any more.
            let _ = link.let_go(ebpf);
        }
        gone
    }

    fn attach_again(
        &mut self,
        program: &'static str,
        interface: &Interface,
        choice: XdpChoice,
    ) -> Result<(), String> {
        let mut leftovers = self.find_leftovers(std::slice::from_ref(interface));
        if matches!(program, TC_EGRESS | BARE_EGRESS) {
            let egress = self.attach_egress(interface, &mut leftovers);
            if let Egress::Missing(reason) = egress {
                return Err(reason);
            }
            self.note_attached(interface, |attached| attached.egress = egress);
            return Ok(());
        }
        let attached = self.attach_ingress(interface, choice, &mut leftovers);
        let ingress = attached.map_err(|error| error_chain(&error))?;
        self.note_attached(interface, |attached| attached.ingress = ingress);
        Ok(())
    }

    fn note_attached(&mut self, interface: &Interface, note: impl FnOnce(&mut AttachedHooks)) {
        let on = self.on_interfaces.get_mut(&interface.index);
        if let Some(attached) = on.and_then(|on| on.attached.as_mut()) {
            note(attached);
        }
    }

    /// Whether an inbound and an outbound hook is attached to the interface with that index.
    pub(crate) fn directions(&self, index: u32) -> [bool; 2] {
        let links = self.on_interfaces.get(&index).map(|on| &on.links);
        let programs = || links.into_iter().flatten().map(InterfaceLink::program);
        let is_outbound = |program| matches!(program, TC_EGRESS | BARE_EGRESS);
        [
            programs().any(|program| !is_outbound(program)),
            programs().any(is_outbound),
        ]
    }

    /// What is attached now to the interface with that index, which has that name.
    pub(crate) fn describe_interface(&self, index: u32, name: &str) -> Option<String> {
        let on = self.on_interfaces.get(&index)?;
        let attached = AttachedHooks {
            interface: name.to_owned(),
            ..on.attached.clone()?
        };
        let mut missing: Vec<&str> = on.missing.iter().map(|of| hook_name(of)).collect();
        missing.dedup();
        Some(match missing.is_empty() {
            true => attached.to_string(),
            false => format!(
                "{attached}; somebody has detached {}, and it does not attach again",
                missing.join(", ")
            ),
        })
    }
}

/// What runs before recon's inbound TC program.
enum Other {
    /// A TC program, or a filter, in words.
    Tc(String),
    /// An XDP program, by its id.
    Xdp(u32),
}

/// The name of a program's hook.
pub(super) fn hook_name(program: &str) -> &'static str {
    match program {
        XDP => "XDP",
        TC_INGRESS | BARE_INGRESS => "TC ingress",
        _ => "TC egress",
    }
}
