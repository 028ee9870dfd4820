//! Detaches hooks of a running agent behind its back, and freezes its maps, as `bpftool link
//! detach` and `bpftool map freeze` do.
//!
//! In: the agent's pid and the type of a link. Out: the hook is detached; the agent keeps a link
//! that holds nothing.

use std::fs;
use std::io;

use anyhow::{Context, Result, ensure};

/// Commands of enum bpf_cmd, linux/bpf.h.
const MAP_GET_FD_BY_ID: libc::c_int = 14;
const MAP_FREEZE: libc::c_int = 22;
const LINK_GET_FD_BY_ID: libc::c_int = 30;
const LINK_DETACH: libc::c_int = 34;

/// Detaches the hook whose link has that type and attach type, of which the agent has one.
///
/// # Errors
/// If the agent has no such hook, or the kernel refuses.
pub fn detach(pid: u32, kind: &str, attach_type: Option<u32>) -> Result<()> {
    detach_link(find_link(pid, kind, attach_type)?)
}

/// Detaches the link with that id.
///
/// # Errors
/// If there is none, or the kernel refuses.
pub fn detach_link(id: u32) -> Result<()> {
    let link = call(LINK_GET_FD_BY_ID, id).context("BPF_LINK_GET_FD_BY_ID")?;
    let detached = call(LINK_DETACH, link).context("BPF_LINK_DETACH");
    // SAFETY: the descriptor was opened above and nobody else has it.
    unsafe { libc::close(link.cast_signed()) };
    detached.map(drop)
}

/// Freezes the map with that id: nobody can write to it by system calls any more.
///
/// # Errors
/// If there is none, or the kernel refuses.
pub fn freeze_map(id: u32) -> Result<()> {
    let map = call(MAP_GET_FD_BY_ID, id).context("BPF_MAP_GET_FD_BY_ID")?;
    let frozen = call(MAP_FREEZE, map).context("BPF_MAP_FREEZE");
    // SAFETY: the descriptor was opened above and nobody else has it.
    unsafe { libc::close(map.cast_signed()) };
    frozen.map(drop)
}

/// The id of the attached link of that type, as the agent's descriptors show it.
fn find_link(pid: u32, kind: &str, attach_type: Option<u32>) -> Result<u32> {
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        let Ok(text) = fs::read_to_string(entry?.path()) else {
            continue;
        };
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name))?;
            value.trim().split(' ').next().map(str::to_owned)
        };
        let number = |name| field(name).and_then(|value| value.parse::<u32>().ok());
        let is_detached = number("ifindex:") == Some(0) || number("cgroup_id:") == Some(0);
        let is_it = field("link_type:").as_deref() == Some(kind)
            && attach_type.is_none_or(|wanted| number("attach_type:") == Some(wanted));
        if is_it && !is_detached {
            return number("link_id:").context("a link has an id");
        }
    }
    anyhow::bail!("process {pid} has no {kind} link of type {attach_type:?}")
}

/// bpf(2) with one number as its attributes.
fn call(command: libc::c_int, number: u32) -> Result<u32> {
    /// The `link_detach` member of union bpf_attr, and the start of others.
    #[repr(C)]
    struct Attributes {
        number: u32,
        rest: [u32; 3],
    }
    let mut attributes = Attributes {
        number,
        rest: [0; 3],
    };
    // SAFETY: the attributes have the size that is passed and outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            &raw mut attributes,
            size_of::<Attributes>(),
        )
    };
    let error = io::Error::last_os_error();
    ensure!(result >= 0, "{error}");
    Ok(u32::try_from(result)?)
}
