//! The secrets that addresses are hashed with, in the kernel and in the agent.
//!
//! In: the system's random source. Out: one number for this process, so that sketches from the
//! kernel can be merged with the agent's; and the keys of hash tables.
//! The decision held here: nobody outside knows it, so nobody can choose addresses that collide.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

/// Secret hash keys: random in each process, and unknown outside it.
pub(crate) type Secrets = foldhash::quality::RandomState;

/// The standard library seeds its hashes from the system's random source, which saves a dependency.
static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0));

/// The seed of this process.
#[must_use]
pub(crate) fn seed() -> u64 {
    *SEED
}
