//! What this kernel lacks of what recon uses when it is there.
//!
//! In: the running kernel. Out: [`KernelFeatures`]: each feature, tried once.
//! The decision held here: recon tries a feature and does not compare versions, since
//! distributions carry features back to older kernels. A feature that can't be tried counts as
//! missing: its fallback works on every kernel.

use std::fmt;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::OnceLock;

use aya::programs::ProgramType;
use aya::sys::{BpfHelper, is_helper_supported};

use super::attached::is_attached;
use super::bpf::call;
use super::socket::netns_cookie;

/// What a kernel may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Programs attach to TC by links.
    Tcx,
    /// A TC program may ask for the current process.
    TcProcess,
    /// XDP programs that accept frames in several buffers, and the helper that reads those.
    XdpFrags,
    /// A socket's network namespace is known to its hooks, and the agent knows its own.
    Namespaces,
    /// The clock that only advances with the kernel's tick.
    CoarseClock,
}

impl Feature {
    /// All of them, those whose absence costs most first.
    pub const ALL: [Self; 5] = [
        Self::Namespaces,
        Self::TcProcess,
        Self::XdpFrags,
        Self::Tcx,
        Self::CoarseClock,
    ];

    /// Its name in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcx => "TCX",
            Self::TcProcess => "current process in TC",
            Self::XdpFrags => "XDP on frames in several buffers",
            Self::Namespaces => "network namespaces of sockets",
            Self::CoarseClock => "coarse clock",
        }
    }

    /// The first kernel of kernel.org that has it.
    #[must_use]
    pub const fn since(self) -> &'static str {
        match self {
            Self::Tcx => "6.6",
            Self::TcProcess => "6.10",
            Self::XdpFrags => "5.18",
            Self::Namespaces => "5.15",
            Self::CoarseClock => "5.11",
        }
    }

    /// What recon does without it, and what that costs.
    #[must_use]
    pub const fn costs(self) -> &'static str {
        match self {
            Self::Tcx => {
                "recon attaches under clsact, whose filters stay until the next start if recon is killed"
            }
            Self::TcProcess => {
                "the process that sends through a packet socket (masscan) is unknown"
            }
            Self::XdpFrags => {
                "an interface whose MTU is larger than a page gets generic XDP or TC ingress instead of native XDP, and `enrich.names` learns nothing from answers at XDP"
            }
            Self::Namespaces => {
                "sockets of containers count as this host's own, and their calls have no process"
            }
            Self::CoarseClock => {
                "the end of a connection takes some more nanoseconds; nothing is lost"
            }
        }
    }

    /// Tries it.
    fn is_supported(self) -> io::Result<bool> {
        let helper = |kind, helper| is_helper_supported(kind, helper).map_err(io::Error::other);
        match self {
            Self::Tcx => has_tcx(),
            Self::TcProcess => helper(
                ProgramType::SchedClassifier,
                BpfHelper::BPF_FUNC_get_current_pid_tgid,
            ),
            Self::XdpFrags => has_xdp_frags(),
            Self::Namespaces => {
                let cookie = BpfHelper::BPF_FUNC_get_netns_cookie;
                Ok(netns_cookie().is_ok()
                    && helper(ProgramType::CgroupSockAddr, cookie)?
                    && helper(ProgramType::SockOps, cookie)?)
            }
            Self::CoarseClock => helper(
                ProgramType::SockOps,
                BpfHelper::BPF_FUNC_ktime_get_coarse_ns,
            ),
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, since, costs) = (self.name(), self.since(), self.costs());
        write!(f, "this kernel lacks {name} (Linux {since}): {costs}")
    }
}

/// `BPF_F_XDP_HAS_FRAGS` of linux/bpf.h.
const BPF_F_XDP_HAS_FRAGS: u32 = 1 << 5;

/// Whether an interface can have TCX programs: the kernel answers for one that exists everywhere.
fn has_tcx() -> io::Result<bool> {
    /// The index of the loopback interface of every network namespace.
    const LOOPBACK: u32 = 1;
    /// `BPF_TCX_INGRESS` of enum bpf_attach_type, linux/bpf.h.
    const TCX_INGRESS: u32 = 46;
    const NO_PROGRAM: u32 = 0;
    match is_attached(LOOPBACK, TCX_INGRESS, NO_PROGRAM) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        // No program is there.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(true),
        asked => asked.map(|_| true),
    }
}

/// The `prog_load` member of union bpf_attr, linux/bpf.h, up to its flags.
#[repr(C)]
#[derive(Debug, Default)]
struct ProgramLoad {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// Whether the kernel takes an XDP program that accepts frames in several buffers.
fn has_xdp_frags() -> io::Result<bool> {
    /// `BPF_PROG_LOAD` of enum bpf_cmd and `BPF_PROG_TYPE_XDP` of enum bpf_prog_type, linux/bpf.h.
    const PROGRAM_LOAD: libc::c_int = 5;
    const XDP: u32 = 6;
    /// `r0 = XDP_PASS` and `exit`, as a little-endian machine has them.
    const PROGRAM: [u64; 2] = [0x0000_0002_0000_00b7, 0x95];
    let mut load = ProgramLoad {
        kind: XDP,
        instruction_count: PROGRAM.len() as u32,
        instructions: PROGRAM.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        flags: BPF_F_XDP_HAS_FRAGS,
        ..ProgramLoad::default()
    };
    match call(PROGRAM_LOAD, &mut load) {
        // SAFETY: the kernel has just opened the descriptor for this process.
        Ok(program) => drop(unsafe { OwnedFd::from_raw_fd(program) }),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(false),
        Err(error) => return Err(error),
    }
    Ok(true)
}

/// Which features this kernel has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelFeatures {
    missing: Vec<Feature>,
}

impl KernelFeatures {
    /// Tries each feature, once in a process.
    pub fn of_kernel() -> &'static Self {
        static FEATURES: OnceLock<KernelFeatures> = OnceLock::new();
        FEATURES.get_or_init(|| {
            let is_missing = |feature: &Feature| match feature.is_supported() {
                Ok(is_supported) => !is_supported,
                Err(error) => {
                    tracing::debug!("can't try {}: {error}", feature.name());
                    true
                }
            };
            Self {
                missing: Feature::ALL.into_iter().filter(is_missing).collect(),
            }
        })
    }

    /// Whether the kernel has that one.
    #[must_use]
    pub fn has(&self, feature: Feature) -> bool {
        !self.missing.contains(&feature)
    }

    /// Those that it lacks.
    #[must_use]
    pub fn missing(&self) -> &[Feature] {
        &self.missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_feature_is_named_with_its_version_and_its_cost() {
        for feature in Feature::ALL {
            let line = feature.to_string();
            for part in [feature.name(), feature.since(), feature.costs()] {
                assert!(!part.is_empty() && line.contains(part), "{line}");
            }
        }
    }
}
