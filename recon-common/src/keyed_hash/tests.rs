//! Sets of inputs that an attacker would choose: they hash as random inputs do, whatever the
//! secrets.

use std::collections::HashSet;
use std::vec::Vec;

use super::*;
use crate::admission::{ADMISSION_SLOTS, AdmissionSlot};
use crate::flow::FLOW_SLOTS;
use crate::protocol::ip_protocol;
use crate::recent::RECENT_SLOTS;
use crate::sources::REGISTERS;
use crate::{Address, Flow, Key, PackedKey, Registers, Signal};

/// Some secrets.
pub(crate) const SECRETS: HashSecrets = HashSecrets::from_seed(7);

const SEEDS: [u64; 4] = [0, 1, 0x5eed, u64::MAX];
const BASE: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9];
/// The octets of a mapped IPv4 address, which an attacker of IPv4 chooses.
const V4_OCTETS: core::ops::Range<usize> = 12..16;

/// Addresses that differ from `base` by these octets.
fn differing(base: [u8; 16], changes: impl IntoIterator<Item = [u8; 16]>) -> Vec<[u8; 16]> {
    let change = |change: [u8; 16]| core::array::from_fn(|octet| base[octet] ^ change[octet]);
    changes.into_iter().map(change).collect()
}

/// Every pattern of one bit in each of 16 places, from `place`.
fn patterns(place: impl Fn(usize) -> (usize, u8)) -> impl Iterator<Item = [u8; 16]> {
    (0..=u16::MAX).map(move |pattern| {
        let mut change = [0; 16];
        for bit in (0..16).filter(|bit| pattern >> bit & 1 != 0) {
            let (octet, mask) = place(bit);
            change[octet] ^= mask;
        }
        change
    })
}

/// Every single bit, and every pair of bits.
fn one_or_two_bits() -> impl Iterator<Item = [u8; 16]> {
    let places = || (0..128).map(|bit| (bit / 8, 1 << (bit % 8)));
    places().flat_map(move |(octet, mask)| {
        places().map(move |(other, other_mask): (usize, u8)| {
            let mut change = [0; 16];
            change[octet] |= mask;
            change[other] |= other_mask;
            change
        })
    })
}

/// One octet, and two that change together: what cancels in a chain of products.
fn tied_octets(octets: core::ops::Range<usize>) -> Vec<Vec<[u8; 16]>> {
    const STEP: usize = 0x10;
    let values = || (0..=u8::MAX).step_by(STEP);
    let tied = |[one, two, three]: [usize; 3]| {
        let change = move |(free, both): (u8, u8)| {
            let mut change = [0; 16];
            change[one] = free;
            change[two] = both;
            change[three] ^= both;
            change
        };
        let both = values().flat_map(|free| values().map(move |both| (free, both)));
        both.map(change).collect()
    };
    let mut sets = Vec::new();
    for one in octets.clone() {
        for two in octets.clone().filter(|&two| two != one) {
            for three in (two..octets.end).filter(|&three| three != one && three != two) {
                sets.push(tied([one, two, three]));
            }
        }
    }
    sets
}

/// Sets of addresses, each without repetitions.
fn chosen_sets() -> Vec<Vec<[u8; 16]>> {
    let v4 = |change| differing(Address::v4([198, 18, 0, 1]).octets(), change);
    let mut sets = std::vec![
        differing(BASE, patterns(|bit| (bit, 0x80))),
        differing(BASE, patterns(|bit| (bit, 1))),
        // The upper bits of each word, in both orders of its octets, and the lower ones.
        differing(BASE, patterns(|bit| (bit / 4 * 4, 0x80 >> (bit % 4)))),
        differing(BASE, patterns(|bit| (bit / 4 * 4 + 3, 0x80 >> (bit % 4)))),
        differing(BASE, patterns(|bit| (bit / 4 * 4, 1 << (bit % 4)))),
        differing(BASE, patterns(|bit| (bit / 4 * 4 + 3, 1 << (bit % 4)))),
        differing(BASE, one_or_two_bits()),
        v4(patterns(|bit| (12 + bit / 8, 1 << (bit % 8))).collect::<Vec<_>>()),
        v4(patterns(|bit| (14 + bit / 8, 1 << (bit % 8))).collect()),
        v4(patterns(|bit| (12 + bit / 4, 1 << (bit % 4))).collect()),
        v4(patterns(|bit| (12 + bit / 4, 0x10 << (bit % 4))).collect()),
        v4(patterns(|bit| (12 + bit / 8 * 3, 1 << (bit % 8))).collect()),
    ];
    for set in tied_octets(0..16) {
        sets.push(differing(BASE, set));
    }
    for set in tied_octets(V4_OCTETS) {
        sets.push(v4(set));
    }
    for set in &mut sets {
        let different: HashSet<_> = set.iter().copied().collect();
        *set = different.into_iter().collect();
    }
    sets
}

/// The fewest of `bins` that as many random values use: six standard deviations below the mean.
fn fewest_used(values: usize, bins: u32) -> usize {
    let (values, bins) = (values as f64, f64::from(bins));
    let mean = bins * (1.0 - (-values / bins).exp());
    let deviation = (values * values / (2.0 * bins)).min(bins / 4.0).sqrt();
    (mean - 6.0 * deviation - 4.0).max(0.0) as usize
}

fn assert_spread(what: &str, values: impl Iterator<Item = u32>, count: usize, bins: u32) {
    let mut is_used = std::vec![false; bins as usize];
    let used = values
        .filter(|&bin| !core::mem::replace(&mut is_used[bin as usize], true))
        .count();
    let fewest = fewest_used(count, bins);
    assert!(
        used >= fewest,
        "{what}: {count} values use {used} of {bins}, random ones at least {fewest}"
    );
}

#[test]
fn chosen_addresses_hash_as_random_ones() {
    for set in chosen_sets() {
        for seed in SEEDS {
            let secrets = HashSecrets::from_seed(seed);
            let hashes = || set.iter().map(|&octets| Address::v6(octets).hash(&secrets));
            let different: HashSet<u64> = hashes().collect();
            assert_eq!(different.len(), set.len(), "seed {seed:#x}");
            let slots = hashes().map(AdmissionSlot::index);
            assert_spread("slots", slots, set.len(), ADMISSION_SLOTS);
            let registers = hashes().map(|hash| Registers::locate(hash).0 as u32);
            assert_spread("registers", registers, set.len(), REGISTERS as u32);
        }
    }
}

/// Flows whose ends, ports and both together differ as an attacker would have them.
fn chosen_flows() -> Vec<Vec<Flow>> {
    let flow = |remote, local, ports: [u16; 2]| Flow {
        remote: Address::v6(remote),
        local: Address::v6(local),
        remote_port: ports[0],
        local_port: ports[1],
        protocol: ip_protocol::UDP,
    };
    let mut sets: Vec<Vec<Flow>> = chosen_sets()
        .iter()
        .step_by(5)
        .flat_map(|set| {
            let remotes = set.iter().map(|&remote| flow(remote, BASE, [53, 53]));
            let both = set.iter().map(|&end| flow(end, end, [53, 53]));
            let with_port = set.iter().map(|&end| {
                let port = u16::from_be_bytes([end[11], end[15]]);
                flow(end, BASE, [port, port])
            });
            [remotes.collect(), both.collect(), with_port.collect()]
        })
        .collect();
    sets.push(
        (0..=u16::MAX)
            .map(|port| flow(BASE, BASE, [53, port]))
            .collect(),
    );
    sets.push(
        (0..=u16::MAX)
            .map(|port| flow(BASE, BASE, [port, port]))
            .collect(),
    );
    sets
}

#[test]
fn chosen_flows_and_keys_spread_as_random_ones() {
    for set in chosen_flows() {
        for seed in SEEDS {
            let secrets = HashSecrets::from_seed(seed);
            let marks = || set.iter().map(|flow| flow.fingerprint(&secrets));
            let different: HashSet<(u32, u32)> = marks().collect();
            assert_eq!(different.len(), set.len(), "seed {seed:#x}");
            assert_spread(
                "flows",
                marks().map(|(slot, _)| slot),
                set.len(),
                FLOW_SLOTS,
            );
            // More keys than slots use all of them.
            let few = || set.iter().take(RECENT_SLOTS as usize);
            let key = |flow| PackedKey::from(&Key::for_flow(flow, Signal::Datagram, 0));
            let slots = few().map(|flow| key(flow).recent_slot(&secrets));
            assert_spread("keys", slots, few().count(), RECENT_SLOTS);
        }
    }
}
