//! What is attached, as the kernel says: somebody else may have detached a hook.
//!
//! In: an attach point. Out: which programs are there, in their order, and the link of an XDP
//! program.
//! The decision held here: recon asks the attach point and not its own link. aya does not give the
//! link's descriptor away, and to open a link by its id takes CAP_SYS_ADMIN.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use super::bpf::{call, link_info};

/// `BPF_PROG_QUERY` of enum bpf_cmd, linux/bpf.h.
const PROGRAM_QUERY: libc::c_int = 16;
/// The most programs that an attach point can have (`BPF_MPROG_MAX`, `BPF_CGROUP_MAX_PROGS`).
const MOST_PROGRAMS: usize = 64;

/// The `query` member of union bpf_attr, linux/bpf.h. All of it: whatever size is passed, Linux 6.6
/// and later write the last field.
#[repr(C)]
#[derive(Debug, Default)]
struct ProgramQuery {
    /// The index of an interface of this network namespace, or the descriptor of a cgroup's folder.
    target: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    program_ids: u64,
    count: u32,
    padding: u32,
    program_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

/// Whether the program with that id is attached to the target.
pub(super) fn is_attached(target: u32, attach_type: u32, program: u32) -> io::Result<bool> {
    Ok(list_attached(target, attach_type)?.contains(&program))
}

/// The ids of the programs that are attached to the target, in the order in which they run.
pub(super) fn list_attached(target: u32, attach_type: u32) -> io::Result<Vec<u32>> {
    let mut ids = vec![0_u32; MOST_PROGRAMS];
    let mut query = ProgramQuery {
        target,
        attach_type,
        program_ids: ids.as_mut_ptr() as u64,
        count: MOST_PROGRAMS as u32,
        ..ProgramQuery::default()
    };
    call(PROGRAM_QUERY, &mut query)?;
    ids.truncate(query.count as usize);
    Ok(ids)
}

/// The id of the link that attaches that XDP program to an interface. `None` if none does, or if
/// this process may not look: that takes CAP_SYS_ADMIN.
pub(super) fn xdp_link(interface: u32, program: u32) -> Option<u32> {
    /// Commands of enum bpf_cmd, linux/bpf.h.
    const LINK_FROM_ID: libc::c_int = 30;
    const NEXT_LINK_ID: libc::c_int = 31;
    /// `BPF_LINK_TYPE_XDP` of enum bpf_link_type, linux/bpf.h.
    const XDP: u32 = 6;
    let mut id = 0;
    loop {
        let mut next = IdAttributes {
            id,
            next: 0,
            flags: 0,
        };
        call(NEXT_LINK_ID, &mut next).ok()?;
        id = next.next;
        let mut of = IdAttributes {
            id,
            next: 0,
            flags: 0,
        };
        // A link may be gone by now.
        let Ok(link) = call(LINK_FROM_ID, &mut of) else {
            continue;
        };
        // SAFETY: the kernel has just opened the descriptor for this process.
        let link = unsafe { OwnedFd::from_raw_fd(link) };
        let info = link_info(&link).unwrap_or_default();
        if (info.kind, info.program, info.interface()) == (XDP, program, interface) {
            return Some(id);
        }
    }
}

/// The `start_id` member of union bpf_attr and what follows it, linux/bpf.h.
#[repr(C)]
struct IdAttributes {
    id: u32,
    next: u32,
    flags: u32,
}
