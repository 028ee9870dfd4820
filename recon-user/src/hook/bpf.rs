//! bpf(2), as far as aya does not offer it.
//!
//! In: descriptors and paths. Out: what the kernel says of links, and the changes that aya keeps to
//! itself: it hides the descriptor of a link, and swaps programs of XDP and TC links only.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aya_obj::generated::bpf_prog_info;

/// Commands of enum bpf_cmd, linux/bpf.h.
const MAP_CREATE: libc::c_int = 0;
const OBJECT_PIN: libc::c_int = 6;
const OBJECT_GET: libc::c_int = 7;
const PROGRAM_BY_ID: libc::c_int = 13;
const OBJECT_INFO: libc::c_int = 15;
const MAP_FREEZE: libc::c_int = 22;
const LINK_UPDATE: libc::c_int = 29;
const LINK_DETACH: libc::c_int = 34;

/// `BPF_MAP_TYPE_ARRAY` of enum bpf_map_type, linux/bpf.h.
const ARRAY: u32 = 2;
/// Bytes of a map's name, with its end.
const NAME_BYTES: usize = 16;

/// The start of the `map_create` member of union bpf_attr, linux/bpf.h.
#[repr(C)]
struct CreateAttributes {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map: u32,
    numa_node: u32,
    name: [u8; NAME_BYTES],
}

/// The `pathname` member of union bpf_attr and what follows it.
#[repr(C)]
struct ObjectAttributes {
    path: u64,
    descriptor: u32,
    flags: u32,
}

/// The `info` member of union bpf_attr, linux/bpf.h.
#[repr(C)]
struct InfoAttributes {
    descriptor: u32,
    length: u32,
    info: u64,
}

/// The `link_update` member of union bpf_attr, linux/bpf.h.
#[repr(C)]
struct UpdateAttributes {
    link: u32,
    new_program: u32,
    flags: u32,
    old_program: u32,
}

/// The start of struct bpf_link_info, linux/bpf.h.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LinkInfo {
    pub(super) kind: u32,
    pub(super) id: u32,
    pub(super) program: u32,
    padding: u32,
    place: [u32; 4],
}

impl LinkInfo {
    /// Of a link to an interface, its index: 0 once the interface is gone, or the link detached.
    pub(super) const fn interface(&self) -> u32 {
        self.place[0]
    }

    /// Of a link to a cgroup, its id: 0 once the cgroup is gone, or the link detached.
    pub(super) const fn cgroup(&self) -> u64 {
        let [low, high] = if cfg!(target_endian = "little") {
            [self.place[0], self.place[1]]
        } else {
            [self.place[1], self.place[0]]
        };
        (high as u64) << u32::BITS | low as u64
    }
}

/// The start of struct bpf_prog_info, linux/bpf.h.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ProgramDescription {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    lengths: [u32; 2],
    instructions: [u64; 2],
    load_time: u64,
    created_by: u32,
    map_count: u32,
    map_ids: u64,
    name: [u8; NAME_BYTES],
}

impl ProgramDescription {
    /// A description of a program that is in no kernel.
    #[cfg(test)]
    pub(super) fn of(tag: u64, name: &[u8]) -> Self {
        let mut described = Self {
            tag: tag.to_be_bytes(),
            ..Self::default()
        };
        described.name[..name.len()].copy_from_slice(name);
        described
    }

    /// A hash of its instructions.
    pub(super) const fn tag(&self) -> u64 {
        u64::from_be_bytes(self.tag)
    }

    /// The user who has loaded it.
    pub(super) const fn created_by(&self) -> u32 {
        self.created_by
    }

    /// Its name, if it has one.
    pub(super) fn name(&self) -> Option<&str> {
        let name = self.name.split(|&byte| byte == 0).next()?;
        std::str::from_utf8(name)
            .ok()
            .filter(|name| !name.is_empty())
    }
}

/// What the kernel says of the program with that id. It takes CAP_SYS_ADMIN.
pub(super) fn describe_program(id: u32) -> io::Result<ProgramDescription> {
    /// The `prog_id` member of union bpf_attr and what follows it, linux/bpf.h.
    #[repr(C)]
    struct Ask {
        program: u32,
        next: u32,
        flags: u32,
    }
    let mut ask = Ask {
        program: id,
        next: 0,
        flags: 0,
    };
    let opened = call(PROGRAM_BY_ID, &mut ask)?;
    // SAFETY: the kernel has just opened the descriptor for this process.
    let program = unsafe { OwnedFd::from_raw_fd(opened) };
    let mut info = ProgramDescription::default();
    let mut of = InfoAttributes {
        descriptor: number(program.as_fd()),
        length: size_of::<ProgramDescription>() as u32,
        info: &raw mut info as u64,
    };
    call(OBJECT_INFO, &mut of)?;
    Ok(info)
}

/// How often a program has run, and for how many nanoseconds, while somebody had the kernel count
/// that.
pub(super) fn program_runs(program: impl AsFd) -> io::Result<(u64, u64)> {
    // SAFETY: all bytes of it may be 0. An older kernel, which knows less of it, asks for that.
    let mut info: bpf_prog_info = unsafe { std::mem::zeroed() };
    let mut of = InfoAttributes {
        descriptor: number(program.as_fd()),
        length: size_of::<bpf_prog_info>() as u32,
        info: &raw mut info as u64,
    };
    call(OBJECT_INFO, &mut of)?;
    Ok((info.run_cnt, info.run_time_ns))
}

/// What the kernel says of a link.
pub(super) fn link_info(link: impl AsFd) -> io::Result<LinkInfo> {
    let mut info = LinkInfo::default();
    let mut of = InfoAttributes {
        descriptor: number(link.as_fd()),
        length: size_of::<LinkInfo>() as u32,
        info: &raw mut info as u64,
    };
    call(OBJECT_INFO, &mut of)?;
    Ok(info)
}

/// The id of a map, a program or a link: what the kernel says of each begins with its kind and its
/// id.
pub(super) fn object_id(object: impl AsFd) -> io::Result<u32> {
    link_info(object).map(|info| info.id)
}

/// Makes a link run another program, atomically.
pub(super) fn update_link(link: impl AsFd, program: impl AsFd) -> io::Result<()> {
    let mut update = UpdateAttributes {
        link: number(link.as_fd()),
        new_program: number(program.as_fd()),
        flags: 0,
        old_program: 0,
    };
    call(LINK_UPDATE, &mut update).map(drop)
}

/// Opens what is pinned there: a map, a program or a link.
pub(super) fn open_pinned(path: &Path) -> io::Result<OwnedFd> {
    let name = c_path(path)?;
    let mut of = ObjectAttributes {
        path: name.as_ptr() as u64,
        descriptor: 0,
        flags: 0,
    };
    let opened = call(OBJECT_GET, &mut of)?;
    // SAFETY: the kernel has just opened the descriptor for this process.
    Ok(unsafe { OwnedFd::from_raw_fd(opened) })
}

/// Pins a map, a program or a link there.
pub(super) fn pin(object: impl AsFd, path: &Path) -> io::Result<()> {
    let name = c_path(path)?;
    let mut of = ObjectAttributes {
        path: name.as_ptr() as u64,
        descriptor: number(object.as_fd()),
        flags: 0,
    };
    call(OBJECT_PIN, &mut of).map(drop)
}

/// Creates an array of numbers of 8 bytes.
pub(super) fn create_array(name: &str, entries: u32, flags: u32) -> io::Result<OwnedFd> {
    let mut create = CreateAttributes {
        map_type: ARRAY,
        key_size: size_of::<u32>() as u32,
        value_size: size_of::<u64>() as u32,
        max_entries: entries,
        map_flags: flags,
        inner_map: 0,
        numa_node: 0,
        name: [0; NAME_BYTES],
    };
    let bytes = name.as_bytes();
    let length = bytes.len().min(NAME_BYTES - 1);
    create.name[..length].copy_from_slice(&bytes[..length]);
    let created = call(MAP_CREATE, &mut create)?;
    // SAFETY: the kernel has just opened the descriptor for this process.
    Ok(unsafe { OwnedFd::from_raw_fd(created) })
}

/// Lets no process write to a map from now on.
pub(super) fn freeze_map(map: impl AsFd) -> io::Result<()> {
    call(MAP_FREEZE, &mut number(map.as_fd())).map(drop)
}

/// Detaches a link at once. Without this the kernel does so some time after its last descriptor and
/// its pin are gone.
pub(super) fn detach_link(link: impl AsFd) -> io::Result<()> {
    call(LINK_DETACH, &mut number(link.as_fd())).map(drop)
}

fn number(descriptor: BorrowedFd<'_>) -> u32 {
    descriptor.as_raw_fd().cast_unsigned()
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

/// bpf(2). Returns its result if that is no error.
pub(super) fn call<T>(command: libc::c_int, attributes: &mut T) -> io::Result<libc::c_int> {
    // SAFETY: the attributes have the size that is passed and outlive the call; what they point to
    // does too.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    };
    match libc::c_int::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}
