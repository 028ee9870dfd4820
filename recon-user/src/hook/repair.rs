//! Hooks that somebody has detached: found, and attached again.
//!
//! In: what this agent has attached, and what the kernel says is attached. Out: the hooks that were
//! gone, and why those that still are could not be attached again.
//! The decision held here: whoever may detach a program may end recon, too, so this is no defence
//! against root. It is for the script or the other tool that clears an interface, and for the
//! service whose cgroup is removed with it and created again.

use std::fs::File;

use super::attach::Egress;
use super::interface::find_interface;
use super::socket::CgroupHook;
use super::{
    BARE_EGRESS, BARE_INGRESS, Cgroup, Hooks, Interface, OnInterface, TC_EGRESS, TC_INGRESS, XDP,
    XdpChoice,
};
use crate::diagnostic::error_chain;

/// A hook that was gone.
#[derive(Debug)]
pub(crate) struct DetachedHook {
    /// Its name, as alerts show it.
    pub(crate) hook: &'static str,
    /// Why it could not be attached again, if it could not.
    pub(crate) refusal: Option<String>,
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
    pub(crate) fn repair_sockets(&mut self) -> Vec<DetachedHook> {
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
            detached.push(DetachedHook {
                hook: hook.hook,
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
    pub(crate) fn repair_interface(&mut self, index: u32, choice: XdpChoice) -> Vec<DetachedHook> {
        let has_hooks = self
            .on_interfaces
            .get(&index)
            .is_some_and(|on| !on.links.is_empty() || !on.missing.is_empty());
        // An interface that is gone is announced, and its hooks are released then.
        let interface = has_hooks.then(|| find_interface(index));
        let Some(Ok(interface)) = interface else {
            return Vec::new();
        };
        let gone = self.release_detached(&interface);
        let mut detached = Vec::with_capacity(gone.len());
        for program in gone {
            let refusal = self.attach_again(program, &interface, choice).err();
            if refusal.is_some()
                && let Some(on) = self.on_interfaces.get_mut(&index)
            {
                on.missing.push(program);
            }
            detached.push(DetachedHook {
                hook: hook_name(program),
                refusal,
            });
        }
        detached
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
                Some(Ok(info)) => link.is_attached(interface, info.id()).unwrap_or(true),
                // Unknown is no reason to attach a second time.
                _ => true,
            };
            if is_attached {
                links.push(link);
                continue;
            }
            gone.push(link.program());
            // It holds nothing any more, except under clsact, where the filter is gone.
            let _ = link.detach(ebpf);
        }
        gone
    }

    fn attach_again(
        &mut self,
        program: &'static str,
        interface: &Interface,
        choice: XdpChoice,
    ) -> Result<(), String> {
        if matches!(program, TC_EGRESS | BARE_EGRESS) {
            return match self.attach_egress(interface) {
                Egress::Tc(_) => Ok(()),
                Egress::Missing(reason) => Err(reason),
            };
        }
        let attached = self.attach_ingress(interface, choice);
        attached.map(drop).map_err(|error| error_chain(&error))
    }
}

/// The name of a program's hook.
fn hook_name(program: &str) -> &'static str {
    match program {
        XDP => "XDP",
        TC_INGRESS | BARE_INGRESS => "TC ingress",
        _ => "TC egress",
    }
}
