//! Privileges: whether this process may load and attach programs, checked before it tries.
//!
//! In: the effective capabilities in `/proc/self/status`. Out: the names of the missing ones, and
//! whether /proc shows other users' processes and network namespaces.

use std::fs;

/// Bit numbers of linux/capability.h.
const CAP_DAC_OVERRIDE: u32 = 1;
const CAP_DAC_READ_SEARCH: u32 = 2;
const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_PTRACE: u32 = 19;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// The required capabilities that are missing. CAP_SYS_ADMIN includes the two for BPF.
pub(super) fn missing_capabilities() -> Vec<&'static str> {
    // Without /proc, the kernel's own answer decides.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    parse_effective(&status).map_or_else(Vec::new, missing_from)
}

/// What /proc shows of processes of other users, or with more capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessSight {
    /// Which program runs, and what a descriptor is: CAP_SYS_PTRACE.
    pub(crate) programs: bool,
    /// The list of descriptors: CAP_DAC_READ_SEARCH.
    pub(crate) descriptors: bool,
    /// Which network namespace a process is in: CAP_SYS_ADMIN.
    pub(crate) namespaces: bool,
}

impl ProcessSight {
    /// That of this process.
    pub(crate) fn of_agent() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self::of(parse_effective(&status).unwrap_or(u64::MAX))
    }

    fn of(capabilities: u64) -> Self {
        let has = |capability: u32| capabilities & 1 << capability != 0;
        Self {
            programs: has(CAP_SYS_PTRACE),
            descriptors: has(CAP_DAC_READ_SEARCH) || has(CAP_DAC_OVERRIDE),
            namespaces: has(CAP_SYS_ADMIN),
        }
    }
}

fn parse_effective(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn missing_from(capabilities: u64) -> Vec<&'static str> {
    let has = |capability: u32| capabilities & 1 << capability != 0;
    let has_bpf = |capability| has(capability) || has(CAP_SYS_ADMIN);
    [
        (has(CAP_NET_ADMIN), "CAP_NET_ADMIN"),
        (has_bpf(CAP_BPF), "CAP_BPF"),
        (has_bpf(CAP_PERFMON), "CAP_PERFMON"),
    ]
    .into_iter()
    .filter_map(|(present, name)| (!present).then_some(name))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_capabilities_are_named() {
        for (status, expected) in [
            ("Name:\tx\nCapEff:\t000001ffffffffff\n", ""),
            (
                "CapEff:\t0000000000000000\n",
                "CAP_NET_ADMIN CAP_BPF CAP_PERFMON",
            ),
            ("CapEff:\t0000000000201000\n", ""),
            ("CapEff:\t000000c000000000\n", "CAP_NET_ADMIN"),
            ("CapEff:\t0000008000001000\n", "CAP_PERFMON"),
        ] {
            let missing = parse_effective(status)
                .map(missing_from)
                .expect("a CapEff line");
            assert_eq!(missing.join(" "), expected, "{status}");
        }
        assert_eq!(parse_effective("Name: x\n"), None);
    }

    #[test]
    fn the_sight_of_processes_has_three_parts() {
        for (capabilities, programs, descriptors, namespaces) in [
            (u64::MAX, true, true, true),
            (1 << CAP_SYS_PTRACE, true, false, false),
            (1 << CAP_DAC_READ_SEARCH, false, true, false),
            (1 << CAP_DAC_OVERRIDE, false, true, false),
            (1 << CAP_SYS_ADMIN, false, false, true),
        ] {
            let expected = ProcessSight {
                programs,
                descriptors,
                namespaces,
            };
            assert_eq!(ProcessSight::of(capabilities), expected);
        }
    }
}
