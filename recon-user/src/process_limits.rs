//! Limits on this process that would end it halfway.
//!
//! In: the limits and the umask that a shell or a service manager has set. Out: an error before
//! anything begins.
//! The decisions held here: a stack or an address space that is too small ends a program without a
//! word, and under a flood rather than at the start. A file that has reached its limit is an error
//! of writing, and no signal that ends recon.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::stat::{Mode, umask};
use thiserror::Error;

/// The least stack: a poll takes over 64 KiB of it.
const LEAST_STACK: u64 = 256 << 10;
/// What recon takes beside the memory that its settings allow: code, maps, buffers.
const BESIDE_SETTINGS: u64 = 64 << 20;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// A limit that is too low.
#[derive(Debug, Error)]
pub enum LimitError {
    /// The stack.
    #[error(
        "the stack may have {} KiB, and recon needs {}: type `ulimit -s 8192` in the shell that starts recon, or remove LimitSTACK from its systemd unit", .0 / KIB, LEAST_STACK / KIB
    )]
    Stack(u64),
    /// The memory.
    #[error(
        "recon may have {} MiB of {what}, and may need {} ({} of them by `limits.memory`{}): type `ulimit {flag} unlimited` in the shell that starts recon, remove {unit} from its systemd unit, or lower `limits.memory`", .limit / MIB, .needed / MIB, .settings / MIB, by_databases(*.databases)
    )]
    Memory {
        /// What is limited.
        what: &'static str,
        /// How a shell names the limit.
        flag: &'static str,
        /// How systemd names the limit.
        unit: &'static str,
        /// The limit, in bytes.
        limit: u64,
        /// What recon may need.
        needed: u64,
        /// What the settings allow.
        settings: u64,
        /// What the databases that they name take.
        databases: u64,
    },
}

/// What an error says of databases, if there are any.
fn by_databases(bytes: u64) -> String {
    match bytes.div_ceil(MIB) {
        0 => String::new(),
        mib => format!(", and twice {mib} by the databases of `[enrich]`"),
    }
}

/// Checks the stack.
///
/// # Errors
/// [`LimitError::Stack`].
pub fn check_stack() -> Result<(), LimitError> {
    match getrlimit(Resource::RLIMIT_STACK) {
        Ok((stack, _)) if stack < LEAST_STACK => Err(LimitError::Stack(stack)),
        _ => Ok(()),
    }
}

/// Makes a file that has reached its limit an error, in place of a signal that ends this process.
pub fn survive_full_files() {
    // SAFETY: no handler is installed, so none can run.
    let _ = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) };
}

/// Keeps the umask from taking recon's own files from recon, which gives up the privilege to open
/// them nevertheless.
pub(crate) fn let_owner_use_new_files() {
    let others = Mode::S_IRWXG | Mode::S_IRWXO;
    let set = umask(others);
    umask(set & others);
}

/// Raises the limits on memory as far as they may be, and checks that they allow what the settings
/// do, and the databases twice: a reload holds the old ones and the new ones.
///
/// # Errors
/// [`LimitError::Memory`].
pub(crate) fn check_memory(settings: u64, databases: u64) -> Result<(), LimitError> {
    let databases_twice = databases.saturating_mul(2);
    let needed = settings
        .saturating_add(BESIDE_SETTINGS)
        .saturating_add(databases_twice);
    for (resource, what, flag, unit) in [
        (Resource::RLIMIT_AS, "address space", "-v", "LimitAS"),
        (Resource::RLIMIT_DATA, "data", "-d", "LimitDATA"),
    ] {
        let Ok((soft, hard)) = getrlimit(resource) else {
            continue;
        };
        let is_raised = soft < needed && setrlimit(resource, hard, hard).is_ok();
        let limit = if is_raised { hard } else { soft };
        if limit < needed {
            return Err(LimitError::Memory {
                what,
                flag,
                unit,
                limit,
                needed,
                settings,
                databases,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_takes_the_memory() {
        for (databases, expected) in [
            (0, "may need 320 (256 of them by `limits.memory`): type"),
            (
                1,
                "(256 of them by `limits.memory`, and twice 1 by the databases of `[enrich]`): type",
            ),
            (128 * MIB, ", and twice 128 by the databases of `[enrich]`"),
        ] {
            let error = LimitError::Memory {
                what: "data",
                flag: "-d",
                unit: "LimitDATA",
                limit: MIB,
                needed: 320 * MIB,
                settings: 256 * MIB,
                databases,
            };
            let says = error.to_string();
            assert!(says.contains(expected), "{says}");
        }
    }
}
