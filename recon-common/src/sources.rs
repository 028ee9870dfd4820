//! How many distinct sources an overflow key counts: a HyperLogLog that the kernel fills and the
//! agent reads.
//!
//! In: the hashes of addresses. Out: [`Registers`], and which bit of which register a source sets.
//! The decision held here: a register keeps a bit for every rank that was seen (Flajolet and Martin
//! 1985), of which HyperLogLog (Flajolet et al. 2007) needs only the highest. So the kernel adds a
//! source with one OR. Keeping the maximum would mean counting zeros, for which its base
//! instruction set has nothing, and comparing.

/// Registers of a sketch, a power of two.
pub const REGISTERS: usize = 1 << INDEX_BITS;
/// Bits of a hash that choose the register. The standard error of the estimate is 1.04 / sqrt(2^10)
/// = 3.25 %.
const INDEX_BITS: u32 = 10;
/// Where these bits begin in a hash: the lower ones choose a slot of [`crate::admission`].
const INDEX_SHIFT: u32 = crate::admission::ADMISSION_SLOTS.ilog2();
/// Where the bits that give the rank begin.
const RANK_SHIFT: u32 = 32;

/// Sketches of a generation, a power of two: so many targets at once have their sources counted.
pub const SKETCHES: u32 = 1 << 6;

/// A sketch in the kernel's memory. The first target that hashes to its place owns it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Sketch {
    /// Its owner ([`crate::PackedKey::sketch_place`]), 0 if it has none.
    pub tag: u32,
    /// Always 0.
    pub reserved: u32,
    /// The sources.
    pub registers: Registers,
}

/// A sketch: for every register, the ranks that were seen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Registers(pub [u32; REGISTERS]);

impl Default for Registers {
    fn default() -> Self {
        Self([0; REGISTERS])
    }
}

impl Registers {
    /// The register of a source with that hash (see [`crate::Address::hash`]), and the bit to set
    /// there.
    #[inline(always)]
    #[must_use]
    pub const fn locate(hash: u64) -> (usize, u32) {
        let index = (hash >> INDEX_SHIFT) as usize & (REGISTERS - 1);
        let rest = (hash >> RANK_SHIFT) as u32 | LAST_RANK;
        // The lowest bit that is set: each is half as likely as the one before.
        (index, rest & rest.wrapping_neg())
    }

    /// Adds the source with that hash.
    pub fn add_source(&mut self, hash: u64) {
        let (index, bit) = Self::locate(hash);
        self.0[index] |= bit;
    }
}

/// The rank of a hash without any bit.
const LAST_RANK: u32 = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_sets_one_bit_of_its_register() {
        // (hash, register, bit)
        for (hash, index, bit) in [
            (0, 0, LAST_RANK),
            (1 << RANK_SHIFT, 0, 1),
            (6 << RANK_SHIFT | 5 << INDEX_SHIFT, 5, 2),
            (u64::MAX, REGISTERS - 1, 1),
        ] {
            assert_eq!(Registers::locate(hash), (index, bit), "{hash:#x}");
            let mut registers = Registers::default();
            registers.add_source(hash);
            registers.add_source(hash);
            let set: u32 = registers
                .0
                .iter()
                .map(|register| register.count_ones())
                .sum();
            assert_eq!((registers.0[index], set), (bit, 1));
        }
    }
}
