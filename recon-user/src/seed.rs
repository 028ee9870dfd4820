//! The number that addresses are hashed with, in the kernel and here.
//!
//! In: the system's random source. Out: one number for this process, so that sketches that the kernel has filled can be joined with those of
//! the agent. The decision held here: nobody outside knows it, so nobody can choose addresses that collide.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

/// The standard library seeds its hashes from the system's random source, which spares a dependency here.
static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0));

/// The seed of this process.
#[must_use]
pub(crate) fn seed() -> u64 {
    *SEED
}
