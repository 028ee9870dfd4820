//! The secrets that addresses are hashed with, in the kernel and in the agent.
//!
//! In: the system's random source, pinned maps or a saved state. Out: numbers that are the same for
//! this process and its kernel programs, so that sketches from the kernel can be merged with the
//! agent's; and the keys of hash tables.
//! The decisions held here: nobody outside knows them, so nobody can choose addresses that collide.
//! They outlive a process where its windows do, in a file that only its user can read.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use recon_common::HashSecrets;

/// Secret hash keys: random in each process, and unknown outside it.
pub(crate) type Secrets = foldhash::quality::RandomState;

/// The standard library seeds its hashes from the system's random source, which saves a dependency.
fn random_secrets() -> HashSecrets {
    let random = RandomState::new();
    HashSecrets(std::array::from_fn(|number| random.hash_one(number)))
}

static HASH_SECRETS: OnceLock<HashSecrets> = OnceLock::new();

/// The secrets of this process for addresses, flows and keys.
#[must_use]
pub(crate) fn hash_secrets() -> &'static HashSecrets {
    HASH_SECRETS.get_or_init(random_secrets)
}

/// Goes on with the secrets of an earlier process, whose hashes are saved or in pinned maps.
/// Returns whether they are those of this process now: it may have used others before.
pub(crate) fn adopt_secrets(secrets: HashSecrets) -> bool {
    HASH_SECRETS.get_or_init(|| secrets).0 == secrets.0
}

/// A number that nobody can foresee.
#[must_use]
pub(crate) fn random_number() -> u64 {
    RandomState::new().hash_one(0)
}
