//! The registers of a HyperLogLog, and their estimate (Flajolet, Fusy, Gandouet and Meunier 2007).
//!
//! In: hashes, or a sketch that the kernel has filled. Out: the number of distinct hashes.
//! The decision held here: a register is a byte, and powers of two are exponents: `exp2` was 2.4 %
//! of a replay.

use recon_common::Registers;
use recon_common::sources::REGISTERS;
use serde::{Deserialize, Serialize};

/// The greatest rank that each register has seen, from 1. 0 for none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ranks(#[serde(with = "saved_ranks")] [u8; REGISTERS]);

impl Default for Ranks {
    fn default() -> Self {
        Self([0; REGISTERS])
    }
}

impl Ranks {
    pub(super) fn of(registers: &Registers) -> Self {
        Self(
            registers
                .0
                .map(|seen| (u32::BITS - seen.leading_zeros()) as u8),
        )
    }

    pub(super) fn add(&mut self, hash: u64) {
        let (register, bit) = Registers::locate(hash);
        let rank = bit.trailing_zeros() as u8 + 1;
        self.0[register] = self.0[register].max(rank);
    }

    pub(super) fn join(&mut self, other: &Self) {
        for (rank, more) in self.0.iter_mut().zip(&other.0) {
            *rank = (*rank).max(*more);
        }
    }

    /// The sum of two to the power of minus each rank, in parts that do not wait for one another.
    /// It is exact in any order, as long as no rank is above 42.
    fn harmonic_sum(&self) -> f64 {
        const PARTS: usize = 8;
        const _: () = assert!(REGISTERS.is_multiple_of(PARTS));
        let mut sums = [0.0; PARTS];
        for ranks in self.0.as_chunks::<PARTS>().0 {
            for (sum, &rank) in sums.iter_mut().zip(ranks) {
                *sum += two_to_minus(rank);
            }
        }
        sums.iter().sum()
    }

    /// The estimate of Flajolet et al. 2007, figure 3, with its correction for few sources. The
    /// correction for many applies to hashes of 32 bits; these have ten more.
    pub(super) fn estimate(&self) -> u64 {
        const REGISTER_COUNT: f64 = REGISTERS as f64;
        /// Corrects the bias of the harmonic mean: their formula for 128 registers and more.
        const ALPHA: f64 = 0.7213 / (1.0 + 1.079 / REGISTER_COUNT);
        /// Estimates up to this many registers are corrected.
        const FEW: f64 = 2.5 * REGISTER_COUNT;
        let sum = self.harmonic_sum();
        let raw = ALPHA * REGISTER_COUNT * REGISTER_COUNT / sum;
        let empty = self.0.iter().filter(|&&rank| rank == 0).count();
        let estimate = if raw <= FEW && empty > 0 {
            // Linear counting (Whang et al. 1990).
            REGISTER_COUNT * (REGISTER_COUNT / empty as f64).ln()
        } else {
            raw
        };
        estimate.round() as u64
    }
}

/// Two to the power of `-rank`, which is an exponent and no digits.
const fn two_to_minus(rank: u8) -> f64 {
    const ZERO: u64 = f64::MAX_EXP as u64 - 1;
    f64::from_bits((ZERO - rank as u64) << (f64::MANTISSA_DIGITS - 1))
}

/// The saved form of ranks.
mod saved_ranks {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use super::REGISTERS;

    pub(super) fn serialize<S: Serializer>(
        ranks: &[u8; REGISTERS],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(ranks)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<[u8; REGISTERS], D::Error> {
        let ranks = Vec::<u8>::deserialize(from)?;
        let length = ranks.len();
        ranks
            .try_into()
            .map_err(|_| de::Error::invalid_length(length, &"a rank for each register"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_is_that_of_the_standard_library() {
        for rank in 0..=u8::MAX {
            assert_eq!(two_to_minus(rank), (-f64::from(rank)).exp2(), "{rank}");
        }
    }
}
