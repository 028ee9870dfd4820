//! Why the counts could not be read.
//!
//! In: what the kernel or the object says. Out: a line with the map's name, and what to do.

use std::io;

use aya::maps::MapError;
use thiserror::Error;

use crate::diagnostic::error_chain;

/// Why the counts could not be read.
///
/// Each message contains its causes, since a poll that fails is logged in one line and tried again.
#[derive(Debug, Error)]
pub enum DrainError {
    /// The kernel object lacks a map that this agent expects, or it has another type.
    #[error("the kernel object has no usable map {name}: agent and object are of different builds")]
    NoMap {
        /// The map's name.
        name: &'static str,
    },
    /// A map could not be read or written.
    #[error("map {name}: {}", error_chain(.reason))]
    Map {
        /// The map's name.
        name: &'static str,
        /// What aya says.
        reason: MapError,
    },
    /// Somebody has frozen a map that this agent writes to.
    #[error(
        "map {name} is frozen: somebody has forbidden to write to it (bpftool map freeze), and that can't be undone"
    )]
    Frozen {
        /// The map's name.
        name: &'static str,
    },
    /// The kernel refused a batch.
    #[error("draining map {name} in batches: {reason}")]
    Batch {
        /// The map's name.
        name: &'static str,
        /// What the kernel says.
        reason: io::Error,
    },
    /// The grace period could not be waited for.
    #[error("membarrier: {0}")]
    Grace(io::Error),
    /// There is no thread that waits for the grace period.
    #[error(
        "can't start the thread that waits for programs (recon-grace): {0}; raise the limit on processes: `ulimit -u` in the shell that starts recon, or TasksMax in its systemd unit"
    )]
    GraceThread(io::Error),
    /// The kernel does not share the memory of a map.
    #[error("map {name} can't be mapped into memory: {reason}")]
    Shared {
        /// The map's name.
        name: &'static str,
        /// What the kernel says.
        reason: io::Error,
    },
    /// The ring of started programs can't be waited for.
    #[error("can't wait for the ring of started programs: {0}")]
    Ring(io::Error),
}

/// Makes aya's error one about the map of that name.
pub(super) fn map_error(name: &'static str) -> impl FnOnce(MapError) -> DrainError {
    move |reason| DrainError::Map { name, reason }
}
