//! Why the hooks can't be loaded or attached.
//!
//! In: what aya and the kernel return. Out: a [`HookError`] whose message names the thing, what its
//! failure costs and what to do; the cause is its source.
//! The decision held here: a variant says what was found, not what it may come from. Advice about a
//! cause depends on the error number that the kernel returned.

use std::io;

use aya::maps::MapError;
use aya::programs::ProgramError;
use aya::{BtfError, EbpfError};
use thiserror::Error;

use super::PinError;
use crate::drain::DrainError;

/// Any error as the cause of another.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why the hooks can't be loaded or attached.
#[derive(Debug, Error)]
pub enum HookError {
    /// rtnetlink did not answer.
    #[error("can't list the network interfaces")]
    ListInterfaces(#[source] io::Error),
    /// It is both to be watched and not to be.
    #[error("`-i {term}` and `-i '!{term}'` contradict each other; remove one of them")]
    BothWays {
        /// The name or the pattern.
        term: String,
    },
    /// A name that no interface has.
    #[error("no interface is named `{name}`; there are: {known}")]
    NoSuchInterface {
        /// The name asked for.
        name: String,
        /// The names of all interfaces.
        known: String,
    },
    /// An interface whose packets the parser can't read.
    #[error(
        "the packets of {name} start neither with Ethernet's header nor with IP's, and recon reads no others; leave it out, or exclude it with -i '!{name}'"
    )]
    Unreadable {
        /// The interface.
        name: String,
    },
    /// No interface but loopback is up.
    #[error("no interface to watch is up (there are: {known}); name one with -i")]
    NothingToWatch {
        /// The names of all interfaces.
        known: String,
    },
    /// The process lacks capabilities.
    #[error(
        "loading programs into the kernel needs {missing}: run recon as root (sudo recon run ...) or grant these capabilities"
    )]
    NoPrivilege {
        /// The capabilities that are missing.
        missing: String,
    },
    /// The kernel object in this binary does not parse.
    #[error(
        "the kernel object in this binary does not parse, so recon can't load any program; install recon again or rebuild it"
    )]
    ParseObject {
        /// What is wrong with it.
        source: Cause,
    },
    /// The kernel object in this binary does not fit its own maps or functions.
    #[error(
        "the kernel object in this binary can't be relocated, so recon can't load any program; install recon again or rebuild it"
    )]
    RelocateObject {
        /// What could not be relocated.
        source: Cause,
    },
    /// The kernel refused a map.
    #[error("the kernel refuses to create the map {map}, so recon can't count; {}", advice(.source))]
    CreateMap {
        /// Name of the map.
        map: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// A map could not be set up for another reason.
    #[error("the maps of the kernel programs can't be set up, so recon can't count")]
    SetUpMaps {
        /// What aya says.
        source: MapError,
    },
    /// The verifier rejected a program.
    #[error(
        "the kernel's verifier rejects the program {program}, so recon can't watch any packet; please report this with the output of `uname -r`; the verifier's log ends with: {log}"
    )]
    VerifierRejects {
        /// Name of the program.
        program: &'static str,
        /// The last lines of the verifier's log.
        log: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// The kernel refused a program before or without verifying it.
    #[error("the kernel refuses to load the program {program}, so recon can't watch any packet; {}", advice(.source))]
    RefuseProgram {
        /// Name of the program.
        program: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
    /// A program could not be given to the kernel.
    #[error("the program {program} can't be loaded, so recon can't watch any packet")]
    LoadProgram {
        /// Name of the program.
        program: &'static str,
        /// What aya says.
        source: ProgramError,
    },
    /// The kernel object could not be loaded for a reason that has no variant of its own.
    #[error("the kernel object in this binary can't be loaded")]
    LoadObject {
        /// What aya says.
        source: EbpfError,
    },
    /// Another XDP program is attached to the interface and `--xdp` allows no other hook.
    #[error(
        "{interface} already has an XDP program (id {program}); {}, or let recon take TC ingress with --xdp auto or --xdp off", detaching(.interface, *.link)
    )]
    XdpTaken {
        /// The interface.
        interface: String,
        /// Id of the program that is attached.
        program: u32,
        /// Id of the link that attaches it, if it is known to be one.
        link: Option<u32>,
    },
    /// A folder that can't be looked at.
    #[error("can't watch the sockets of {folder}")]
    ReadCgroup {
        /// The folder asked for.
        folder: String,
        /// What the system says.
        source: io::Error,
    },
    /// A folder that is not a cgroup.
    #[error("can't watch the sockets of {folder}: it is not a cgroup of version 2; {hint}")]
    NotCgroup2 {
        /// The folder asked for.
        folder: String,
        /// Where cgroups of version 2 are.
        hint: String,
    },
    /// The folder of pins can't be used.
    #[error(transparent)]
    Pins(#[from] PinError),
    /// The maps can't be drained.
    #[error(transparent)]
    Drain(#[from] DrainError),
    /// No hook that sees inbound packets could be attached.
    #[error("can't watch {interface}: no inbound hook attaches: {reasons}")]
    NoIngress {
        /// The interface.
        interface: String,
        /// What was tried, and what the kernel said.
        reasons: String,
    },
}

impl From<EbpfError> for HookError {
    fn from(error: EbpfError) -> Self {
        match error {
            EbpfError::ParseError(source) => Self::ParseObject {
                source: source.into(),
            },
            EbpfError::RelocationError(source) => Self::RelocateObject {
                source: source.into(),
            },
            EbpfError::BtfRelocationError(source) => Self::RelocateObject {
                source: source.into(),
            },
            EbpfError::BtfError(source @ BtfError::LoadError { .. }) => Self::LoadObject {
                source: EbpfError::BtfError(source),
            },
            EbpfError::BtfError(source) => Self::ParseObject {
                source: source.into(),
            },
            EbpfError::MapError(MapError::CreateError { name, io_error }) => Self::CreateMap {
                map: name,
                source: io_error,
            },
            EbpfError::MapError(source) => Self::SetUpMaps { source },
            source => Self::LoadObject { source },
        }
    }
}

impl HookError {
    /// Why the kernel did not load that program.
    pub(super) fn of_program(program: &'static str, error: ProgramError) -> Self {
        match error {
            ProgramError::LoadError {
                io_error,
                verifier_log,
            } if io_error.kind() != io::ErrorKind::WouldBlock
                && !verifier_log.to_string().trim().is_empty() =>
            {
                Self::VerifierRejects {
                    program,
                    log: last_lines(&verifier_log.to_string()),
                    source: io_error,
                }
            }
            ProgramError::LoadError { io_error, .. } => Self::RefuseProgram {
                program,
                source: io_error,
            },
            source => Self::LoadProgram { program, source },
        }
    }
}

/// How to detach an XDP program. `ip` does not detach one that a link attaches.
fn detaching(interface: &str, link: Option<u32>) -> String {
    match link {
        Some(link) => {
            format!("end the process that attached it, or type `bpftool link detach id {link}`")
        }
        None => format!("detach it with `ip link set dev {interface} xdp off`"),
    }
}

/// What to do about a map or a program that the kernel refuses, by its error number.
fn advice(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOMEM | libc::E2BIG) => "try a smaller --table-entries, or free memory",
        Some(libc::EMFILE) => {
            "raise the limit on open files: type `ulimit -n 8192` in the shell that starts recon"
        }
        Some(libc::EAGAIN) => "a signal has interrupted the verifier: start recon again",
        Some(libc::ENOSYS) => "use a kernel that is built with CONFIG_BPF_SYSCALL",
        Some(libc::EPERM | libc::EACCES) => {
            "run recon outside of a user namespace (a rootless container), allow bpf(2) in the container or seccomp profile, boot without kernel lockdown for confidentiality, and before Linux 5.11 raise the limit on locked memory (ulimit -l unlimited)"
        }
        _ => "please report this with the output of `uname -r`",
    }
}

/// What the verifier writes after its verdict.
const STATISTICS: [&str; 3] = ["verification time ", "stack depth ", "processed "];

/// The lines of a verifier's log that say something, without its statistics.
fn verdict_lines(log: &str) -> impl DoubleEndedIterator<Item = &str> {
    log.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !STATISTICS.iter().any(|start| line.starts_with(start)))
}

/// The end of a verifier's log in one line.
fn last_lines(log: &str) -> String {
    const SHOWN: usize = 3;
    let mut lines: Vec<&str> = verdict_lines(log).rev().take(SHOWN).collect();
    lines.reverse();
    lines.join(" | ")
}

/// The first line of a reason and, of a verifier's log, the line that says what is wrong: the last
/// one before its statistics.
pub(super) fn summarise_reason(reason: &str) -> String {
    let (first, rest) = reason.split_once('\n').unwrap_or((reason, ""));
    let first = first.trim();
    match verdict_lines(rest).next_back() {
        Some(last) => format!("{first} ... {last}"),
        None => first.to_owned(),
    }
}

#[cfg(test)]
mod tests;
