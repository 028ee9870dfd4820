//! The links of socket hooks and of tracepoints.
//!
//! In: a program and its hook. Out: the link of an earlier agent with this program in it, or one
//! that this agent has attached and pinned.
//! The decision held here: the kernel swaps no program of a tracepoint. If the new program is the
//! same as the old one (its tag is, and so are the maps), the old one stays. Else both run until
//! the start has succeeded: a process that starts in these milliseconds is recorded twice, which
//! costs nothing.

use std::fs;
use std::os::unix::fs::MetadataExt;

use aya::Ebpf;
use aya::programs::links::FdLink;
use aya::programs::{Program, ProgramError, ProgramInfo};

use super::{LinkInfo, PinnedLink, Pins, Place};
use crate::hook::Cgroup;
use crate::hook::socket::{CgroupLink, attach_to_cgroup};

impl Pins {
    /// Swaps the program into the link of an earlier agent to that hook of the cgroup.
    pub(in crate::hook) fn swap_on_cgroup(
        &mut self,
        ebpf: &Ebpf,
        program: &str,
        hook: &'static str,
        cgroup: &Cgroup,
    ) -> Option<PinnedLink> {
        let loaded = ebpf.program(program)?.fd().ok()?;
        let id = fs::metadata(&cgroup.watched).ok()?.ino();
        let loaded = loaded.try_clone().ok()?;
        let new = (program, std::os::fd::AsFd::as_fd(&loaded));
        let name = cgroup_name(hook);
        let shown = cgroup.watched.display().to_string();
        // The pin itself is gone, and with it the link.
        let is_gone = !self.found.contains_key(&name) && self.programs.contains_key(program);
        if is_gone && self.is_adopted && !self.is_settled {
            self.detached.push((shown, hook));
            return None;
        }
        let place = Place {
            name: &name,
            shown,
            hook,
            number_of: LinkInfo::cgroup,
            number: id,
        };
        self.swap(place, new)
    }

    /// Pins the link of a socket hook.
    pub(in crate::hook) fn keep_on_cgroup(
        &mut self,
        program: &str,
        hook: &str,
        link: FdLink,
    ) -> Result<PinnedLink, String> {
        self.keep(&cgroup_name(hook), program, link)
    }

    /// Keeps the link of an earlier agent to that tracepoint if it runs the same program over the
    /// same maps. Returns whether it does.
    pub(in crate::hook) fn keep_tracepoint(
        &mut self,
        ebpf: &mut Ebpf,
        program: &str,
        hook: &str,
    ) -> bool {
        let name = tracepoint_name(hook);
        if !self.is_same(ebpf, program, &name) {
            return false;
        }
        self.kept.extend(self.found.remove(&name));
        if let Some(Program::TracePoint(program)) = ebpf.program_mut(program) {
            // It would only take memory.
            let _ = program.unload();
        }
        true
    }

    fn is_same(&self, ebpf: &Ebpf, program: &str, name: &str) -> bool {
        let old = self.programs.get(program).map(ProgramInfo::from_pin);
        let new = ebpf.program(program).map(|program| program.info());
        let link = self.found.get(name).map(PinnedLink::info);
        match (old, new, link) {
            (Some(Ok(old)), Some(Ok(new)), Some(Ok(link))) => {
                self.is_adopted() && link.program == old.id() && old.tag() == new.tag()
            }
            _ => false,
        }
    }

    /// Pins the link of a tracepoint.
    pub(in crate::hook) fn pin_tracepoint(
        &mut self,
        program: &str,
        hook: &str,
        link: FdLink,
    ) -> Result<(), String> {
        let link = self.keep(&tracepoint_name(hook), program, link)?;
        self.kept.push(link);
        Ok(())
    }
}

impl CgroupLink {
    /// The link itself, for a pin. `None` if the kernel has none, or it is pinned already.
    fn take(self, ebpf: &mut Ebpf, name: &str) -> Option<FdLink> {
        match (self, ebpf.program_mut(name)?) {
            (Self::SockAddr(link), Program::CgroupSockAddr(program)) => {
                program.take_link(link).ok()?.try_into().ok()
            }
            (Self::Sock(link), Program::CgroupSock(program)) => {
                program.take_link(link).ok()?.try_into().ok()
            }
            (Self::SockOps(link), Program::SockOps(program)) => {
                program.take_link(link).ok()?.try_into().ok()
            }
            _ => None,
        }
    }
}

/// Swaps the program into the link of an earlier agent, or attaches it; with pins so that it
/// outlives this process.
pub(in crate::hook) fn attach_lasting(
    ebpf: &mut Ebpf,
    pins: Option<&mut Pins>,
    program: &str,
    hook: &'static str,
    cgroup: &Cgroup,
) -> Result<CgroupLink, ProgramError> {
    let Some(pins) = pins else {
        return attach_to_cgroup(ebpf, program, cgroup);
    };
    if let Some(link) = pins.swap_on_cgroup(ebpf, program, hook, cgroup) {
        return Ok(CgroupLink::Pinned(link));
    }
    let link = attach_to_cgroup(ebpf, program, cgroup)?.take(ebpf, program);
    let kept = match link {
        Some(link) => pins.keep_on_cgroup(program, hook, link),
        None => Err("the kernel has no link for it".to_owned()),
    };
    if pins.is_settled {
        pins.pin_programs(ebpf);
    }
    match kept {
        Ok(link) => Ok(CgroupLink::Pinned(link)),
        Err(reason) => {
            tracing::warn!("{hook}: can't be pinned, and ends with this process: {reason}");
            attach_to_cgroup(ebpf, program, cgroup)
        }
    }
}

fn cgroup_name(hook: &str) -> String {
    format!("cgroup_{hook}")
}

fn tracepoint_name(hook: &str) -> String {
    format!("tracepoint_{hook}")
}
