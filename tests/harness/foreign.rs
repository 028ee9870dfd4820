//! Another program than recon's on a hook of the host's end of the pair.
//!
//! In: the kind of program, and what it says of each packet. Out: a loaded program, and its places
//! on hooks, which end with their guards.
//! The decision held here: two instructions are enough to take packets away from whoever comes
//! later, so no compiler is needed.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::net::if_::if_nametoindex;

use crate::lab::{HOST_LINK, Lab};

/// Commands of enum bpf_cmd, linux/bpf.h.
const PROG_LOAD: libc::c_int = 5;
const OBJ_PIN: libc::c_int = 6;
const LINK_CREATE: libc::c_int = 28;

/// `BPF_TCX_INGRESS`, `BPF_TCX_EGRESS` and `BPF_XDP` of enum bpf_attach_type, linux/bpf.h.
const TCX_INGRESS: u32 = 46;
const TCX_EGRESS: u32 = 47;
const XDP: u32 = 37;
/// `BPF_F_BEFORE` of linux/bpf.h: before all others, if none is named.
const BEFORE: u32 = 1 << 3;

/// What a program is, and what it says of each packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// `TC_ACT_OK`: the packet goes on, and no later TC program sees it.
    TcOk,
    /// `XDP_PASS`.
    XdpPass,
    /// `XDP_DROP`.
    XdpDrop,
}

impl Foreign {
    /// `BPF_PROG_TYPE_*` of linux/bpf.h, and what the program returns.
    const fn kind_and_verdict(self) -> (u32, u64) {
        match self {
            Self::TcOk => (3, 0),
            Self::XdpPass => (6, 2),
            Self::XdpDrop => (6, 1),
        }
    }

    /// Loads it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn load(self) -> Result<OwnedFd> {
        /// The start of the `prog_load` member of union bpf_attr, linux/bpf.h.
        #[repr(C)]
        struct Load {
            kind: u32,
            count: u32,
            instructions: u64,
            license: u64,
            log_level: u32,
            log_size: u32,
            log: u64,
            kernel_version: u32,
            flags: u32,
            name: [u8; 16],
        }
        let (kind, verdict) = self.kind_and_verdict();
        // `r0 = VERDICT` and `exit`, as a little-endian machine has them.
        let program: [u64; 2] = [verdict << 32 | 0xb7, 0x95];
        let mut load = Load {
            kind,
            count: program.len() as u32,
            instructions: program.as_ptr() as u64,
            license: c"GPL".as_ptr() as u64,
            log_level: 0,
            log_size: 0,
            log: 0,
            kernel_version: 0,
            flags: 0,
            name: *b"foreign\0\0\0\0\0\0\0\0\0",
        };
        open(PROG_LOAD, &mut load).context("BPF_PROG_LOAD")
    }
}

/// Puts the program before all others on the host's TCX ingress. Dropping the link ends that.
///
/// # Errors
/// When the kernel refuses.
pub fn go_first(lab: &Lab, program: &OwnedFd) -> Result<OwnedFd> {
    create_link(lab, program, TCX_INGRESS, BEFORE)
}

/// The same on TCX egress.
///
/// # Errors
/// When the kernel refuses.
pub fn go_first_outbound(lab: &Lab, program: &OwnedFd) -> Result<OwnedFd> {
    create_link(lab, program, TCX_EGRESS, BEFORE)
}

/// Attaches the XDP program to the host's end of the pair.
///
/// # Errors
/// When another one is there, or the kernel refuses.
pub fn take_xdp(lab: &Lab, program: &OwnedFd) -> Result<OwnedFd> {
    create_link(lab, program, XDP, 0)
}

/// Pins the program, for `ip` and `tc`.
///
/// # Errors
/// When the kernel refuses.
pub fn pin(program: &OwnedFd, path: &Path) -> Result<()> {
    #[repr(C)]
    struct Pin {
        path: u64,
        descriptor: u32,
        flags: u32,
    }
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut pin = Pin {
        path: path.as_ptr() as u64,
        descriptor: program.as_raw_fd().cast_unsigned(),
        flags: 0,
    };
    call(OBJ_PIN, &mut pin).map(drop).context("BPF_OBJ_PIN")
}

fn create_link(lab: &Lab, program: &OwnedFd, attach_type: u32, flags: u32) -> Result<OwnedFd> {
    /// The `link_create` member of union bpf_attr, linux/bpf.h.
    #[repr(C)]
    struct Link {
        program: u32,
        interface: u32,
        attach_type: u32,
        flags: u32,
        /// No program or link that it is to be before.
        relative: u64,
        revision: u64,
    }
    let name = CString::new(HOST_LINK)?;
    lab.host().enter(|| {
        let mut link = Link {
            program: program.as_raw_fd().cast_unsigned(),
            interface: if_nametoindex(name.as_c_str())?,
            attach_type,
            flags,
            relative: 0,
            revision: 0,
        };
        open(LINK_CREATE, &mut link).context("BPF_LINK_CREATE")
    })
}

fn open<T>(command: libc::c_int, attributes: &mut T) -> Result<OwnedFd> {
    let opened = call(command, attributes)?;
    // SAFETY: the kernel has just opened the descriptor for this process, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(opened) })
}

/// bpf(2). Returns its result if that is no error.
fn call<T>(command: libc::c_int, attributes: &mut T) -> Result<RawFd> {
    // SAFETY: the attributes have the size that is passed and outlive the call, and so does what
    // they point to.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    };
    let error = io::Error::last_os_error();
    ensure!(result >= 0, "{error}");
    Ok(RawFd::try_from(result)?)
}
