//! The keyed hash of addresses, flows and keys, for the kernel and the agent.
//!
//! In: words of 64 bits, and numbers that an outsider can't know. Out: a hash.
//! The decision held here: a sum of products, `offset + (s1 + w)(s2 + w / 2^32) + ...` modulo 2^64,
//! with two secrets of 64 bits for each word. This is MULTILINEAR-HM (Lemire and Kaser, Strongly
//! universal string hashing is fast, 2014) over words of 32 bits: for any two inputs, whatever
//! their difference, the upper 33 bits of their sums are independent and uniform over the secrets.
//! So nobody can choose inputs that collide more often than random ones. (There, `w / 2^32` is not
//! part of the first factor. Here it adds what does not depend on `s1`, and the proof goes by
//! `s1`.) A chain of `(hash ^ word) * constant`, however seeded, lets differences of the upper bits
//! of two words cancel. BPF has no product of 128 bits. SipHash-1-3 takes six rounds of 26
//! instructions for an address; this takes three products, of which two wait for nothing.

/// Words that are hashed: those of a key, or of a flow.
pub const WORDS: usize = 5;
/// Secrets: two for each word, and the offset.
pub const SECRETS: usize = 1 + 2 * WORDS;

/// An odd constant with well spread bits: 2^64 divided by the golden ratio (Knuth, TAOCP 3, 6.4).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The secret numbers. They come from a random source, once for each agent.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct HashSecrets(pub [u64; SECRETS]);

impl HashSecrets {
    /// Secrets that a test can repeat (SplitMix64, Steele et al. 2014). An agent takes random ones.
    #[must_use]
    pub const fn from_seed(seed: u64) -> Self {
        let mut secrets = [0; SECRETS];
        let mut state = seed;
        let mut next = 0;
        while next < secrets.len() {
            state = state.wrapping_add(SPREAD);
            let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            secrets[next] = mixed ^ mixed >> 31;
            next += 1;
        }
        Self(secrets)
    }

    /// The product of the word at that place.
    #[inline(always)]
    pub(crate) const fn multiply<const AT: usize>(&self, word: u64) -> u64 {
        const { assert!(AT < WORDS) };
        let first = self.0[1 + 2 * AT].wrapping_add(word);
        first.wrapping_mul(self.0[2 + 2 * AT].wrapping_add(word >> u32::BITS))
    }

    /// The products of the first address, a key's or flow's remote one.
    #[inline(always)]
    pub(crate) const fn sum_remote(&self, [one, other]: [u64; 2]) -> u64 {
        self.multiply::<0>(one)
            .wrapping_add(self.multiply::<1>(other))
    }

    /// The products of everything else: the local address, and the last word.
    #[inline(always)]
    pub(crate) const fn sum_rest(&self, [one, other]: [u64; 2], last: u64) -> u64 {
        self.multiply::<2>(one)
            .wrapping_add(self.multiply::<3>(other))
            .wrapping_add(self.multiply::<4>(last))
    }

    /// The hash of a sum of products. All its bits are good, while of the sum only the upper ones
    /// are, and a run of consecutive inputs is a run of sums. Different sums have different hashes.
    #[inline(always)]
    pub(crate) const fn finish(&self, sum: u64) -> u64 {
        let sum = self.0[0].wrapping_add(sum);
        // The good bits go down, then up, then down again.
        let mixed = (sum ^ sum >> u32::BITS).wrapping_mul(SPREAD);
        mixed ^ mixed >> u32::BITS
    }
}

impl core::fmt::Debug for HashSecrets {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("HashSecrets")
    }
}

#[cfg(test)]
pub(crate) mod tests;
