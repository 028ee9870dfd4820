//! Sets of signals.
//!
//! In: signals. Out: [`SignalSet`], one bit for each signal.
//! The decision held here: a set is bytes, not a word, since every group of a flood has one: its
//! length is what the signals need, and it needs no alignment.

use recon_common::Signal;
use serde::{Deserialize, Serialize};

/// Bytes of a set.
const BYTES: usize = Signal::ALL.len().div_ceil(u8::BITS as usize);
const _: () = assert!(BYTES <= size_of::<u64>());

/// A set of signals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalSet([u8; BYTES]);

impl SignalSet {
    /// The set of `signals`.
    #[must_use]
    pub const fn of(signals: &[Signal]) -> Self {
        let mut set = Self([0; BYTES]);
        let mut next = 0;
        while next < signals.len() {
            set.insert(signals[next]);
            next += 1;
        }
        set
    }

    /// Whether `other` contains all members of this set.
    #[must_use]
    pub const fn is_subset(self, other: Self) -> bool {
        self.bits() & !other.bits() == 0
    }

    /// Whether the set contains `signal`.
    #[must_use]
    pub const fn contains(self, signal: Signal) -> bool {
        let (byte, bit) = place(signal);
        self.0[byte] & bit != 0
    }

    /// Whether it has no member.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.bits() == 0
    }

    /// Adds `signal`.
    pub const fn insert(&mut self, signal: Signal) {
        let (byte, bit) = place(signal);
        self.0[byte] |= bit;
    }

    const fn bits(self) -> u64 {
        let mut bits = 0;
        let mut next = 0;
        while next < BYTES {
            bits |= (self.0[next] as u64) << (next as u32 * u8::BITS);
            next += 1;
        }
        bits
    }

    /// The members, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        let mut left = self.bits();
        std::iter::from_fn(move || {
            let number = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            Signal::from_number(number as u8)
        })
    }
}

/// The byte and the bit of a signal.
const fn place(signal: Signal) -> (usize, u8) {
    let number = signal as u32;
    ((number / u8::BITS) as usize, 1 << (number % u8::BITS))
}

impl FromIterator<Signal> for SignalSet {
    fn from_iter<T: IntoIterator<Item = Signal>>(signals: T) -> Self {
        let mut set = Self::default();
        signals.into_iter().for_each(|signal| set.insert(signal));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_gives_its_members_in_order() {
        let all = Signal::ALL;
        let every_third: Vec<_> = all.into_iter().step_by(3).collect();
        for members in [
            &[][..],
            &all[..1],
            &all[all.len() - 1..],
            &every_third,
            &all,
        ] {
            let reversed = members.iter().rev().copied();
            let set: SignalSet = reversed.collect();
            assert_eq!(set.iter().collect::<Vec<_>>(), members);
            assert!(members.iter().all(|&member| set.contains(member)));
        }
    }
}
