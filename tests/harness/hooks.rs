//! What is attached to an interface and to a cgroup, as the kernel reports it, not the agent.
//!
//! In: a lab. Out: names of the hooks that hold programs. bpftool before 7.3 does not know TCX, so
//! bpf(2) answers for TCX and tc for clsact.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::net::if_::if_nametoindex;

use crate::PATIENCE;
use crate::kernel::{self, Linux};
use crate::lab::{HOST_LINK, Lab};
use crate::process::run;

/// The hooks with programs on the host's end of the pair.
///
/// # Errors
/// If the kernel does not answer.
pub fn attached(lab: &Lab) -> Result<Vec<&'static str>> {
    let mut hooks = Vec::new();
    if lab.link(lab.host(), HOST_LINK)?.get("xdp").is_some() {
        hooks.push("xdp");
    }
    if Linux::running()? < kernel::TCX {
        for (hook, direction) in CLSACT {
            if has_filter(lab, direction)? {
                hooks.push(hook);
            }
        }
        return Ok(hooks);
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

/// Whether clsact has a filter in that direction. Without the qdisc there is none.
fn has_filter(lab: &Lab, direction: &str) -> Result<bool> {
    let mut command = Command::new("tc");
    command.args(["filter", "show", "dev", HOST_LINK, direction]);
    let output = run(lab.host(), command, PATIENCE)?.success()?;
    Ok(output.contains("filter"))
}

/// The hooks with programs on the host's cgroup.
///
/// # Errors
/// If the kernel does not answer.
pub fn attached_to_cgroup(lab: &Lab) -> Result<Vec<&'static str>> {
    let cgroup = lab.host().cgroup().context("the host has a cgroup")?;
    let folder = File::open(cgroup.path())?;
    let mut hooks = Vec::new();
    for (hook, number) in CGROUP {
        let target = folder.as_raw_fd().cast_unsigned();
        if count_programs(target, number).context(hook)? > 0 {
            hooks.push(hook);
        }
    }
    Ok(hooks)
}

/// `BPF_CGROUP_INET4_CONNECT` and so on of enum bpf_attach_type, linux/bpf.h.
const CGROUP: [(&str, u32); 6] = [
    ("connect4", 10),
    ("connect6", 11),
    ("sendmsg4", 14),
    ("sendmsg6", 15),
    ("sock_create", 2),
    ("sock_ops", 3),
];

/// `BPF_TCX_INGRESS` and `BPF_TCX_EGRESS` of enum bpf_attach_type, linux/bpf.h.
const TCX: [(&str, u32); 2] = [("tcx ingress", 46), ("tcx egress", 47)];

/// The hooks of clsact, and tc's names for them.
const CLSACT: [(&str, &str); 2] = [("clsact ingress", "ingress"), ("clsact egress", "egress")];

/// The `query` member of union bpf_attr, linux/bpf.h, up to the last field that is used here.
#[repr(C)]
#[derive(Debug, Default)]
struct Query {
    /// An interface of this thread's network namespace, or a descriptor of a cgroup's folder.
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

/// The ids of the programs on each hook of the host's end of the pair and of its cgroup, except
/// under clsact.
///
/// # Errors
/// If the kernel does not answer.
pub fn program_ids(lab: &Lab) -> Result<Vec<(&'static str, u32)>> {
    let mut ids = Vec::new();
    let xdp = lab.link(lab.host(), HOST_LINK)?;
    let xdp = xdp.pointer("/xdp/prog/id").and_then(|id| id.as_u64());
    ids.extend(xdp.map(|id| ("xdp", id as u32)));
    let name = CString::new(HOST_LINK)?;
    let of_link = lab.host().enter(|| {
        let index = if_nametoindex(name.as_c_str())?;
        list_programs(index, &TCX)
    })?;
    let cgroup = lab.host().cgroup().context("the host has a cgroup")?;
    let folder = File::open(cgroup.path())?;
    ids.extend(of_link);
    ids.extend(list_programs(folder.as_raw_fd().cast_unsigned(), &CGROUP)?);
    Ok(ids)
}

/// The most programs that one of these hooks has.
///
/// # Errors
/// As [`program_ids`].
pub fn most_programs(lab: &Lab) -> Result<usize> {
    let ids = program_ids(lab)?;
    let of = |hook: &str| ids.iter().filter(|(other, _)| *other == hook).count();
    Ok(ids.iter().map(|(hook, _)| of(hook)).max().unwrap_or(0))
}

fn list_programs(target: u32, hooks: &[(&'static str, u32)]) -> Result<Vec<(&'static str, u32)>> {
    let mut ids = Vec::new();
    for &(hook, number) in hooks {
        let found = query_programs(target, number).context(hook)?;
        ids.extend(found.into_iter().map(|id| (hook, id)));
    }
    Ok(ids)
}

/// Number of programs on a hook of an interface or a cgroup.
fn count_programs(target: u32, attach_type: u32) -> Result<u32> {
    Ok(u32::try_from(query_programs(target, attach_type)?.len())?)
}

/// The programs on a hook of an interface or a cgroup.
fn query_programs(target: u32, attach_type: u32) -> Result<Vec<u32>> {
    /// The most that a hook can have.
    const MOST: u32 = 64;
    let mut ids = vec![0_u32; MOST as usize];
    /// `BPF_PROG_QUERY` of enum bpf_cmd, linux/bpf.h.
    const PROGRAM_QUERY: libc::c_int = 16;
    let mut query = Query {
        target,
        attach_type,
        program_ids: ids.as_mut_ptr() as u64,
        count: MOST,
        ..Query::default()
    };
    // SAFETY: the attributes have the size that is passed and outlive the call, and so does the
    // buffer, of `count` places.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            PROGRAM_QUERY,
            &raw mut query,
            size_of::<Query>(),
        )
    };
    let error = io::Error::last_os_error();
    ensure!(result == 0, "BPF_PROG_QUERY: {error}");
    ids.truncate(query.count as usize);
    Ok(ids)
}
