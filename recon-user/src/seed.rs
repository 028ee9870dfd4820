//! The secrets that addresses are hashed with, in the kernel and in the agent.
//!
//! In: the system's random source. Out: numbers that are the same for this process and its kernel
//! programs, so that sketches from the kernel can be merged with the agent's; and the keys of hash
//! tables.
//! The decision held here: nobody outside knows them, so nobody can choose addresses that collide.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use recon_common::HashSecrets;

/// Secret hash keys: random in each process, and unknown outside it.
pub(crate) type Secrets = foldhash::quality::RandomState;

/// The standard library seeds its hashes from the system's random source, which saves a dependency.
static HASH_SECRETS: LazyLock<HashSecrets> = LazyLock::new(|| {
    let random = RandomState::new();
    HashSecrets(std::array::from_fn(|number| random.hash_one(number)))
});

/// The secrets of this process for addresses, flows and keys.
#[must_use]
pub(crate) fn hash_secrets() -> &'static HashSecrets {
    &HASH_SECRETS
}
