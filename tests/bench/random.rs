//! Reproducible draws.
//!
//! In: a seed. Out: numbers, and choices from lists.
//! The decision held here: the generator is splitmix64 (Steele, Lea, Flood: "Fast splittable
//! pseudorandom number generators", 2014). It is ten lines, so a change of a crate's version never
//! changes the mixture.

use std::ops::RangeInclusive;

/// The step of the state: 2^64 divided by the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
/// The bits that an `f64` holds exactly.
const EXACT_BITS: u32 = f64::MANTISSA_DIGITS;

/// A stream of draws.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

#[allow(dead_code, reason = "shared by benchmarks")]
impl Random {
    /// A stream of its own for the part with that number.
    pub(crate) fn part(seed: u64, number: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(STEP) ^ number);
        Self(random.next())
    }

    /// A stream that shares nothing with this one.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number from 0 up to, but without, 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        let scale = (1_u64 << EXACT_BITS) as f64;
        (self.next() >> (u64::BITS - EXACT_BITS)) as f64 / scale
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> u64::BITS) as u64
    }

    pub(crate) fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.below(range.end() - range.start() + 1)
    }

    pub(crate) fn chance(&mut self, share: f64) -> bool {
        self.fraction() < share
    }

    /// A whole number from 1 to `most` with a heavy tail: a share of n^-shape is above n.
    pub(crate) fn pareto(&mut self, shape: f64, most: u64) -> u64 {
        let drawn = (1.0 - self.fraction()).powf(-1.0 / shape);
        // The conversion saturates.
        (drawn as u64).clamp(1, most)
    }

    /// A number below `count`, each in proportion to 1 / (number + 1), roughly: Zipf's law.
    pub(crate) fn rank(&mut self, count: u64) -> u64 {
        let drawn = (count as f64).powf(self.fraction());
        (drawn as u64).clamp(1, count) - 1
    }

    /// The time until the next of events that come at random, `mean` apart.
    pub(crate) fn gap(&mut self, mean: u64) -> u64 {
        (-(1.0 - self.fraction()).ln() * mean as f64) as u64
    }

    pub(crate) fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }

    /// One of the list, each in proportion to its weight.
    pub(crate) fn weighted<T: Copy>(&mut self, list: &[(T, u64)]) -> T {
        let total = list.iter().map(|(_, weight)| weight).sum();
        let mut drawn = self.below(total);
        for &(item, weight) in list {
            match drawn.checked_sub(weight) {
                Some(rest) => drawn = rest,
                None => return item,
            }
        }
        list[0].0
    }

    /// `count` of the list, or all of it, in random order.
    pub(crate) fn some_of<T: Copy>(&mut self, list: &[T], count: u64) -> Vec<T> {
        let mut rest = list.to_vec();
        let count = rest.len().min(count as usize);
        for place in 0..count {
            let other = place + self.below((rest.len() - place) as u64) as usize;
            rest.swap(place, other);
        }
        rest.truncate(count);
        rest
    }
}
