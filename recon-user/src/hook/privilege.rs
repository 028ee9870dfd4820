//! Privileges: whether this process may load and attach programs, checked before it tries.
//!
//! In: the effective capabilities in `/proc/self/status`. Out: the names of the missing ones, and
//! whether /proc shows other users' processes and network namespaces.

use super::{Capabilities, Capability};

/// The required capabilities that are missing. CAP_SYS_ADMIN includes the two for BPF.
pub(crate) fn missing_capabilities() -> Vec<&'static str> {
    missing_from(Capabilities::held())
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
        Self::of(Capabilities::held())
    }

    fn of(held: Capabilities) -> Self {
        Self {
            programs: held.has(Capability::SysPtrace),
            descriptors: held.has(Capability::DacReadSearch) || held.has(Capability::DacOverride),
            namespaces: held.has(Capability::SysAdmin),
        }
    }
}

fn missing_from(held: Capabilities) -> Vec<&'static str> {
    let has_bpf = |capability| held.has(capability) || held.has(Capability::SysAdmin);
    [
        (held.has(Capability::NetAdmin), Capability::NetAdmin),
        (has_bpf(Capability::Bpf), Capability::Bpf),
        (has_bpf(Capability::Perfmon), Capability::Perfmon),
    ]
    .into_iter()
    .filter_map(|(present, capability)| (!present).then_some(capability.name()))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Capability::{Bpf, DacOverride, DacReadSearch, NetAdmin, SysAdmin, SysPtrace};

    #[test]
    fn missing_capabilities_are_named() {
        for (held, expected) in [
            (&[NetAdmin, Bpf, Capability::Perfmon][..], ""),
            (&[], "CAP_NET_ADMIN CAP_BPF CAP_PERFMON"),
            (&[NetAdmin, SysAdmin], ""),
            (&[Bpf, Capability::Perfmon], "CAP_NET_ADMIN"),
            (&[Bpf, NetAdmin], "CAP_PERFMON"),
        ] {
            let missing = missing_from(Capabilities::of(held));
            assert_eq!(missing.join(" "), expected, "{held:?}");
        }
    }

    #[test]
    fn the_sight_of_processes_has_three_parts() {
        for (held, programs, descriptors, namespaces) in [
            (&[SysPtrace, DacReadSearch, SysAdmin][..], true, true, true),
            (&[SysPtrace], true, false, false),
            (&[DacReadSearch], false, true, false),
            (&[DacOverride], false, true, false),
            (&[SysAdmin], false, false, true),
        ] {
            let expected = ProcessSight {
                programs,
                descriptors,
                namespaces,
            };
            assert_eq!(ProcessSight::of(Capabilities::of(held)), expected);
        }
    }
}
