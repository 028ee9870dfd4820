//! A key as the words that it is in memory: what the kernel programs work with.
//!
//! In: a [`Key`]. Out: [`PackedKey`], and what is computed from it for every packet that counts.
//! The decision held here: five words are compared and hashed as words. The compiler would call
//! functions for each field of a key.

use crate::keyed_hash::HashSecrets;
use crate::recent::RECENT_SLOTS;
use crate::sources::SKETCHES;
use crate::{Address, Key, Signal};

/// A key's words, in the order of its fields on a little-endian machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct PackedKey(pub [u64; 5]);

/// Where the last word holds the port, the signal and the tool.
const PORT_SHIFT: u32 = u32::BITS;
const SIGNAL_SHIFT: u32 = PORT_SHIFT + u16::BITS;
const TOOL_SHIFT: u32 = SIGNAL_SHIFT + u8::BITS;
/// The last word without the tool.
const WITHOUT_TOOL: u64 = (1 << TOOL_SHIFT) - 1;

/// The bit of each signal that is an answer of this host.
const ANSWERS: u64 = {
    let mut bits = 0;
    let mut next = 0;
    while next < Signal::ALL.len() {
        if Signal::ALL[next].is_answer() {
            bits |= 1 << next;
        }
        next += 1;
    }
    bits
};

impl From<&Key> for PackedKey {
    #[inline(always)]
    fn from(key: &Key) -> Self {
        let [a, b] = key.remote.pairs();
        let [c, d] = key.local.pairs();
        let last = u64::from(key.detail)
            | u64::from(key.port) << PORT_SHIFT
            | u64::from(key.signal) << SIGNAL_SHIFT
            | u64::from(key.tool) << TOOL_SHIFT;
        Self([a, b, c, d, last])
    }
}

impl From<PackedKey> for Key {
    fn from(PackedKey([a, b, c, d, last]): PackedKey) -> Self {
        let address = |one: u64, other: u64| {
            let words = [one, one >> u32::BITS, other, other >> u32::BITS];
            Address::from_words(words.map(|word| word as u32))
        };
        Self {
            remote: address(a, b),
            local: address(c, d),
            detail: last as u32,
            port: (last >> PORT_SHIFT) as u16,
            signal: (last >> SIGNAL_SHIFT) as u8,
            tool: (last >> TOOL_SHIFT) as u8,
        }
    }
}

impl PackedKey {
    /// Whether both keys are equal.
    #[inline(always)]
    #[must_use]
    pub const fn equals(&self, other: &Self) -> bool {
        let [a, b, c, d, e] = self.0;
        let [f, g, h, i, j] = other.0;
        (a ^ f) | (b ^ g) | (c ^ h) | (d ^ i) | (e ^ j) == 0
    }

    /// The overflow key: counts packets whose sources get no key of their own, by target and
    /// interface, whatever the tool.
    #[inline(always)]
    #[must_use]
    pub const fn overflow_key(&self) -> Self {
        let [_, _, c, d, e] = self.0;
        Self([0, 0, c, d, e & WITHOUT_TOOL])
    }

    /// Whether it is an overflow key; see [`Key::is_overflow`].
    #[inline(always)]
    #[must_use]
    pub const fn is_overflow(&self) -> bool {
        let [a, b, ..] = self.0;
        a | b == 0
    }

    /// Whether its signal is an answer of this host; see [`Signal::is_answer`].
    #[inline(always)]
    #[must_use]
    pub const fn is_answer(&self) -> bool {
        let signal = (self.0[4] >> SIGNAL_SHIFT) as u32 & (u64::BITS - 1);
        ANSWERS >> signal & 1 != 0
    }

    /// The hash of the remote address, [`Address::hash`].
    #[inline(always)]
    #[must_use]
    pub const fn remote_hash(&self, secrets: &HashSecrets) -> u64 {
        let [a, b, ..] = self.0;
        secrets.finish(secrets.sum_remote([a, b]))
    }

    /// The hash of the remote address and the signal: a remote's packets of one signal.
    #[inline(always)]
    #[must_use]
    pub const fn signal_hash(&self, secrets: &HashSecrets) -> u64 {
        /// Odd, so that each signal changes the bits of the slot and of the fingerprint (2^64 by
        /// the golden ratio).
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        let signal = self.0[4] >> SIGNAL_SHIFT & u8::MAX as u64;
        self.remote_hash(secrets)
            .wrapping_add(signal.wrapping_mul(SPREAD))
    }

    /// Which sketch of a generation belongs to this key's target and interface, and the tag of both
    /// there, which is never 0.
    #[inline(always)]
    #[must_use]
    pub const fn sketch_place(&self, secrets: &HashSecrets) -> (u32, u32) {
        let [_, _, c, d, e] = self.0;
        let hash = secrets.finish(secrets.sum_rest([c, d], e & WITHOUT_TOOL));
        (hash as u32 & (SKETCHES - 1), (hash >> u32::BITS) as u32 | 1)
    }

    /// The slot among a processor's recent keys, under secrets that an outsider can't know, so that
    /// nobody can choose keys that evict each other.
    #[inline(always)]
    #[must_use]
    pub const fn recent_slot(&self, secrets: &HashSecrets) -> u32 {
        let [a, b, c, d, e] = self.0;
        let sum = secrets
            .sum_remote([a, b])
            .wrapping_add(secrets.sum_rest([c, d], e));
        (secrets.finish(sum) >> (u64::BITS - RECENT_SLOTS.ilog2())) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tool;
    use crate::admission::AdmissionSlot;
    use crate::keyed_hash::tests::SECRETS;
    use std::collections::HashSet;

    fn key(last: u8, port: u16, signal: Signal) -> Key {
        Key {
            remote: Address::v4([198, 51, 100, last]),
            local: Address::v6([0x20, 1, 0xd, 0xb8, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]),
            detail: 0x0102_0304,
            port,
            signal: signal as u8,
            tool: 0,
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn words_are_the_keys_memory() {
        let key = Key {
            tool: Tool::Zmap as u8,
            ..key(7, 443, Signal::HttpGet)
        };
        // SAFETY: a key has no padding, and any bytes are words.
        let words: [u64; 5] = unsafe { core::mem::transmute(key) };
        let packed = PackedKey::from(&key);
        assert_eq!(packed, PackedKey(words));
        assert_eq!(Key::from(packed), key);
        assert_eq!(packed.remote_hash(&SECRETS), key.remote.hash(&SECRETS));
    }

    #[test]
    fn an_overflow_key_has_the_target_and_the_interface() {
        let syn = key(1, 80, Signal::Syn);
        let [eth0, eth1] = [2, 3];
        // (remote, tool, interface)
        for (last, tool, detail) in [
            (1, 0, eth0),
            (2, 0, eth0),
            (2, Tool::Hping as u8, eth0),
            (2, 0, eth1),
            (3, Tool::Zmap as u8, eth1),
        ] {
            let expected = Key {
                remote: Address::UNSPECIFIED,
                detail,
                ..syn
            };
            let one = PackedKey::from(&Key {
                tool,
                detail,
                ..key(last, 80, Signal::Syn)
            });
            let many = Key::from(one.overflow_key());
            assert!(many.is_overflow());
            assert_eq!(many, expected);
            assert_eq!(
                one.sketch_place(&SECRETS),
                PackedKey::from(&expected).sketch_place(&SECRETS),
                "one target has one sketch for each interface"
            );
        }
    }

    #[test]
    fn answers_are_recognised() {
        for signal in Signal::ALL {
            let packed = PackedKey::from(&key(1, 1, signal));
            assert_eq!(packed.is_answer(), signal.is_answer(), "{}", signal.name());
            assert!(packed.equals(&packed));
            assert!(!packed.equals(&PackedKey::from(&key(2, 1, signal))));
        }
    }

    #[test]
    fn a_remote_has_a_hash_for_each_signal() {
        let hash =
            |last, port, signal| PackedKey::from(&key(last, port, signal)).signal_hash(&SECRETS);
        let slot = |signal| AdmissionSlot::index(hash(1, 80, signal));
        let slots: HashSet<u32> = Signal::ALL.into_iter().map(slot).collect();
        assert_eq!(slots.len(), Signal::ALL.len());
        assert_eq!(hash(1, 80, Signal::Syn), hash(1, 81, Signal::Syn));
        assert_ne!(hash(1, 80, Signal::Syn), hash(2, 80, Signal::Syn));
    }

    #[test]
    fn a_scan_and_a_flood_use_most_slots() {
        let slot =
            |last, port| PackedKey::from(&key(last, port, Signal::Syn)).recent_slot(&SECRETS);
        let scan: HashSet<u32> = (0..1024).map(|port| slot(1, port)).collect();
        let sources = (0..4).flat_map(|port| (0..=255).map(move |last| (last, port)));
        let flood: HashSet<u32> = sources.map(|(last, port)| slot(last, port)).collect();
        // 1024 keys leave one slot in 55 (e^-4) of 256 free by chance.
        for used in [scan, flood] {
            assert!(used.len() > 235, "{} slots", used.len());
            assert!(used.iter().all(|&slot| slot < RECENT_SLOTS));
        }
    }
}
