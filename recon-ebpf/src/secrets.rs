//! The secrets of all hashes of flows, addresses and keys.
//!
//! In: what the agent sets before it loads the programs. Out: [`HashSecrets`], read in place.
//! The decision held here: read-only data, which the verifier knows and which no map look-up costs.
//! A [`aya_ebpf::Global`] would copy all of it to the stack at each use.

use core::arch::asm;

use recon_common::HashSecrets;
use recon_common::keyed_hash::SECRETS as SECRET_COUNT;

/// The agent sets it before it loads the programs.
#[unsafe(no_mangle)]
static SECRETS: HashSecrets = HashSecrets([0; SECRET_COUNT]);

/// The secrets.
#[inline(always)]
pub(crate) fn secrets() -> &'static HashSecrets {
    let mut place = &raw const SECRETS;
    // SAFETY: the assembly is empty. It keeps the compiler from computing with the zeros above. The
    // reference is the static's.
    unsafe {
        asm!("/* {place} */", place = inout(reg) place, options(pure, readonly, nostack));
        &*place
    }
}
