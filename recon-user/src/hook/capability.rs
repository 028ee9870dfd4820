//! Capabilities: which this process holds, and which a running agent needs.
//!
//! In: /proc/self/status. Out: a set of [`Capability`]s; a thread that holds no others.
//! The decision held here: the crate `caps` sets one set after the other and allocates, which a
//! signal handler may not. So the kernel is called here.

use std::{fmt, fs};

/// A capability that recon uses: its number in linux/capability.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Capability {
    /// Passes over the permissions of files.
    DacOverride = 1,
    /// Reads any file and folder.
    DacReadSearch = 2,
    /// Attaches to interfaces.
    NetAdmin = 12,
    /// Looks into other users' processes.
    SysPtrace = 19,
    /// Enters network namespaces, mounts.
    SysAdmin = 21,
    /// Raises limits beyond the hard ones.
    SysResource = 24,
    /// Loads programs that read kernel memory, opens tracepoints.
    Perfmon = 38,
    /// Creates maps, loads programs.
    Bpf = 39,
}

impl Capability {
    const ALL: [Self; 8] = [
        Self::Bpf,
        Self::NetAdmin,
        Self::Perfmon,
        Self::SysPtrace,
        Self::DacReadSearch,
        Self::SysAdmin,
        Self::DacOverride,
        Self::SysResource,
    ];

    /// Its name, as setpriv and systemd know it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::DacOverride => "CAP_DAC_OVERRIDE",
            Self::DacReadSearch => "CAP_DAC_READ_SEARCH",
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::SysResource => "CAP_SYS_RESOURCE",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        }
    }
}

/// A set of capabilities, as the kernel's bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Capabilities(u64);

impl Capabilities {
    /// None of them.
    pub(crate) const NONE: Self = Self(0);

    /// What a running agent uses, each for what docs/operation.md says. CAP_PERFMON is for loading
    /// programs and opening tracepoints, which is over by then.
    pub(crate) const NEEDED: Self = Self::of(&[
        Capability::Bpf,
        Capability::NetAdmin,
        Capability::SysPtrace,
        Capability::DacReadSearch,
        Capability::SysAdmin,
    ]);

    pub(crate) const fn of(capabilities: &[Capability]) -> Self {
        let mut bits = 0;
        let mut next = 0;
        while next < capabilities.len() {
            bits |= 1 << capabilities[next] as u32;
            next += 1;
        }
        Self(bits)
    }

    /// Takes all others from this thread. Makes one system call; returns what that does.
    pub(crate) fn keep(self) -> libc::c_long {
        /// `_LINUX_CAPABILITY_VERSION_3` of linux/capability.h: 64 bits in two halves.
        const VERSION: u32 = 0x2008_0522;
        #[repr(C)]
        struct Header {
            version: u32,
            pid: libc::c_int,
        }
        #[repr(C)]
        struct Half {
            effective: u32,
            permitted: u32,
            inheritable: u32,
        }
        let header = Header {
            version: VERSION,
            pid: 0,
        };
        let half = |bits: u64| Half {
            // The low half of each.
            effective: bits as u32,
            permitted: bits as u32,
            inheritable: 0,
        };
        let sets = [half(self.0), half(self.0 >> u32::BITS)];
        // SAFETY: the kernel reads the header and, by its version, two halves.
        unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) }
    }

    /// Those in force for this thread. Without /proc none are known, and all are assumed.
    pub(crate) fn held() -> Self {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        Self(parse_effective(&status).unwrap_or(u64::MAX))
    }

    /// Those in both sets.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The kernel's bits.
    #[cfg(test)]
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// Whether `capability` is in the set.
    pub(crate) const fn has(self, capability: Capability) -> bool {
        self.0 & 1 << capability as u32 != 0
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = Capability::ALL.into_iter().filter(|&it| self.has(it));
        let names: Vec<_> = held.map(Capability::name).collect();
        match &names[..] {
            [] => f.write_str("no capability"),
            names => f.write_str(&names.join(", ")),
        }
    }
}

fn parse_effective(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_in_force_is_parsed_and_named() {
        for (status, expected) in [
            ("Name:\tx\nCapEff:\t0000000000000000\n", "no capability"),
            ("CapEff:\t0000000000001000\n", "CAP_NET_ADMIN"),
            (
                "CapPrm:\t0\nCapEff:\t000000c000081000\n",
                "CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON, CAP_SYS_PTRACE",
            ),
        ] {
            let set = parse_effective(status).map(Capabilities);
            assert_eq!(set.map(|set| set.to_string()).as_deref(), Some(expected));
        }
        assert_eq!(parse_effective("Name: x\n"), None);
    }

    #[test]
    fn only_what_is_held_is_kept() {
        let held = Capabilities::of(&[Capability::NetAdmin, Capability::Perfmon]);
        assert_eq!(held.and(Capabilities::NEEDED).to_string(), "CAP_NET_ADMIN");
    }
}
