//! The number that addresses are hashed with, in the kernel and in the agent.
//!
//! In: the system's random source. Out: one number for this process, so that sketches from the
//! kernel can be merged with the agent's.
//! The decision held here: nobody outside knows it, so nobody can choose addresses that collide.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

/// The standard library seeds its hashes from the system's random source, which saves a dependency.
static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0));

/// The seed of this process.
#[must_use]
pub(crate) fn seed() -> u64 {
    *SEED
}
