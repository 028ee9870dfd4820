//! Which kernel runs, and the first kernel with a feature.
//!
//! In: /proc. Out: a [`Linux`], to compare.
//! The decision held here: tests run on older kernels too and expect there what the documentation
//! says of them; no row is skipped for a kernel's age.

use std::fmt;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::program::PYTHON;

/// A version of Linux: its first two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Linux(pub u32, pub u32);

/// TC programs attach by links; on older kernels, as filters of clsact.
pub const TCX: Linux = Linux(6, 6);
/// TC programs may ask for the current process, which sends on packet sockets.
pub const PACKET_SENDERS: Linux = Linux(6, 10);
/// IPv6 takes only so many extension headers. Linux 6.18 takes all, 7.2 does not. No
/// kernel between them is tested.
pub const FEW_EXTENSION_HEADERS: Linux = Linux(7, 0);
/// A test run of a TC program may have an interface that the packet came in on. No kernel between
/// 5.10, which refuses it, and 6.1 is tested.
pub const TEST_RUN_INGRESS: Linux = Linux(5, 17);
/// XDP programs may see frames that fill several buffers.
pub const XDP_FRAGS: Linux = Linux(5, 18);
/// The hooks on sockets know network namespaces.
pub const NAMESPACES: Linux = Linux(5, 15);

/// What the agent says that a kernel lacks, and the first kernel that has it.
const FEATURES: [(&str, Linux); 5] = [
    ("network namespaces of sockets", NAMESPACES),
    ("current process in TC", PACKET_SENDERS),
    ("XDP on frames in several buffers", XDP_FRAGS),
    ("TCX", TCX),
    ("coarse clock", Linux(5, 11)),
];

/// The verifier's limit of processed instructions (`BPF_COMPLEXITY_LIMIT_INSNS` of linux/bpf.h).
pub const MOST_INSTRUCTIONS: u64 = 1_000_000;
/// The verifier's limit of stack, in bytes (`MAX_BPF_STACK` of linux/filter.h).
pub const MOST_STACK: u64 = 512;

impl Linux {
    /// The running kernel.
    ///
    /// # Errors
    /// If its name is not one such as `6.1.0-56-cloud-amd64`.
    pub fn running() -> Result<Self> {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        Self::parse_release(&release).context(release)
    }

    /// The lines in which the agent must name what this kernel lacks, with a `*` for their ends.
    #[must_use]
    pub fn lacks(self) -> Vec<String> {
        let missing = FEATURES.iter().filter(|&&(_, since)| self < since);
        missing
            .map(|(name, since)| format!("[INFO ] this kernel lacks {name} (Linux {since}): *"))
            .collect()
    }

    fn parse_release(release: &str) -> Option<Self> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        let mut next = || numbers.next()?.parse().ok();
        Some(Self(next()?, next()?))
    }
}

/// Whether this machine's processor is emulated in software, twenty times slower than a real one.
///
/// # Errors
/// Without /proc.
pub fn is_emulated() -> Result<bool> {
    /// qemu's names of the processors that it emulates.
    const EMULATED: &str = "QEMU TCG CPU";
    const QEMU_DEFAULT: &str = "QEMU Virtual CPU";
    /// The root of the device tree of qemu's arm64 machine, whose processors have real names.
    const DEVICE_TREE: &str = "/proc/device-tree/compatible";
    const VIRT: &str = "linux,dummy-virt";
    let processors = fs::read_to_string("/proc/cpuinfo")?;
    let is_virt = fs::read_to_string(DEVICE_TREE).is_ok_and(|names| names.contains(VIRT));
    Ok(is_virt || processors.contains(EMULATED) || processors.contains(QEMU_DEFAULT))
}

impl fmt::Display for Linux {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// The command on a kernel whose bpf(2) has no links, as long before [`TCX`]: TC programs attach
/// under clsact, and XDP and the hooks of cgroups do not. It keeps its process id.
#[must_use]
pub fn without_links(command: &Command) -> Command {
    const SCRIPT: &str = include_str!("no_links.py");
    let mut under = Command::new(PYTHON);
    under
        .args(["-I", "-S", "-c", SCRIPT])
        .arg(command.get_program())
        .args(command.get_args());
    under
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_parsed_and_ordered() {
        for (release, expected) in [
            ("6.1.0-56-cloud-amd64", Some(Linux(6, 1))),
            ("6.12.95+deb12-cloud-amd64", Some(Linux(6, 12))),
            ("7.0-rc1", Some(Linux(7, 0))),
            ("7", None),
            ("", None),
        ] {
            assert_eq!(Linux::parse_release(release), expected, "{release}");
        }
        assert!(Linux(6, 6) < PACKET_SENDERS && PACKET_SENDERS < Linux(7, 0));
    }
}
