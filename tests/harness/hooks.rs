//! What is attached to an interface, asked of the kernel and not of the agent.
//!
//! In: a lab. Out: names of the hooks that hold programs. bpftool before 7.3 does not know TCX, so the question is put by bpf(2).

use std::ffi::CString;
use std::io;

use anyhow::{Context, Result, ensure};
use nix::net::if_::if_nametoindex;

use crate::lab::{HOST_LINK, Lab};

/// The hooks of the host's end of the pair on which programs are.
///
/// # Errors
/// When the kernel does not answer.
pub fn attached(lab: &Lab) -> Result<Vec<&'static str>> {
    let mut hooks = Vec::new();
    if lab.link(lab.host(), HOST_LINK)?.get("xdp").is_some() {
        hooks.push("xdp");
    }
    let name = CString::new(HOST_LINK)?;
    lab.host().enter(|| {
        let index = if_nametoindex(name.as_c_str())?;
        for (hook, number) in TCX {
            if count_programs(index, number).context(hook)? > 0 {
                hooks.push(hook);
            }
        }
        Ok(hooks)
    })
}

/// `BPF_TCX_INGRESS` and `BPF_TCX_EGRESS` of enum bpf_attach_type, linux/bpf.h.
const TCX: [(&str, u32); 2] = [("tcx ingress", 46), ("tcx egress", 47)];

/// The `query` member of union bpf_attr, linux/bpf.h, up to the last field that is used here.
#[repr(C)]
#[derive(Debug, Default)]
struct Query {
    target_ifindex: u32,
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

/// How many programs a hook of this thread's network namespace has.
fn count_programs(interface: u32, attach_type: u32) -> Result<u32> {
    /// `BPF_PROG_QUERY` of enum bpf_cmd, linux/bpf.h.
    const PROGRAM_QUERY: libc::c_int = 16;
    let mut query = Query {
        target_ifindex: interface,
        attach_type,
        ..Query::default()
    };
    // SAFETY: the attributes are as long as is said and outlive the call; without a buffer the kernel writes the count alone.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            PROGRAM_QUERY,
            &raw mut query,
            size_of::<Query>(),
        )
    };
    let error = io::Error::last_os_error();
    // Before Linux 6.6 there is no such hook.
    let unknown = result < 0 && error.raw_os_error() == Some(libc::EINVAL);
    ensure!(result == 0 || unknown, "BPF_PROG_QUERY: {error}");
    Ok(query.count)
}
