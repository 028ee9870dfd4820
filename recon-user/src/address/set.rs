//! Sets of networks of any size.
//!
//! In: networks. Out: [`NetworkSet`], which says whether one of them contains an address.
//! The decision held here: sorted ranges without overlaps, searched by halves: 8 bytes for each
//! network of IPv4, 32 of IPv6, in arrays that a search reads without following pointers. A trie
//! (prefix-trie, ip_network_table) answers which network it was, which nobody asks here, for ten
//! times the memory.

use std::net::IpAddr;

use super::Network;

/// The addresses of any number of networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NetworkSet {
    networks: usize,
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

/// Ranges in order, with a gap between any two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ranges<T> {
    firsts: Vec<T>,
    lasts: Vec<T>,
}

impl NetworkSet {
    /// Whether a network of the set contains the address.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => self.v4.contains(address.to_bits()),
            IpAddr::V6(address) => self.v6.contains(address.to_bits()),
        }
    }

    /// The number of networks that it was made of.
    pub(crate) fn networks(&self) -> usize {
        self.networks
    }

    /// The families of which it has all addresses.
    pub(crate) fn complete_families(&self) -> impl Iterator<Item = &'static str> {
        let families = [
            ("IPv4", self.v4.contains_all(0, u32::MAX)),
            ("IPv6", self.v6.contains_all(0, u128::MAX)),
        ];
        let complete = families.into_iter().filter(|(_, is_complete)| *is_complete);
        complete.map(|(family, _)| family)
    }
}

impl FromIterator<Network> for NetworkSet {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match network.ends() {
                (IpAddr::V4(first), IpAddr::V4(last)) => {
                    v4.push((first.to_bits(), last.to_bits()));
                }
                (IpAddr::V6(first), IpAddr::V6(last)) => {
                    v6.push((first.to_bits(), last.to_bits()));
                }
                // The ends of a network are of one family.
                _ => {}
            }
        }
        Self {
            networks: v4.len() + v6.len(),
            v4: Ranges::merge(v4, |last| last.checked_add(1)),
            v6: Ranges::merge(v6, |last| last.checked_add(1)),
        }
    }
}

impl<T: Copy + Ord> Ranges<T> {
    /// Merges ranges that overlap or touch. `next` is the address after another, if there is one.
    fn merge(mut ranges: Vec<(T, T)>, next: impl Fn(T) -> Option<T>) -> Self {
        ranges.sort_unstable();
        // One that the one before it overlaps or touches is added to that.
        ranges.dedup_by(|(first, last), before| {
            let is_apart = next(before.1).is_some_and(|next| *first > next);
            if !is_apart {
                before.1 = before.1.max(*last);
            }
            !is_apart
        });
        let (mut firsts, mut lasts) = (Vec::new(), Vec::new());
        firsts.reserve_exact(ranges.len());
        lasts.reserve_exact(ranges.len());
        for (first, last) in ranges {
            firsts.push(first);
            lasts.push(last);
        }
        Self { firsts, lasts }
    }

    fn contains(&self, address: T) -> bool {
        let after = self.firsts.partition_point(|first| *first <= address);
        let range = after.checked_sub(1);
        range.is_some_and(|range| address <= self.lasts[range])
    }

    fn contains_all(&self, first: T, last: T) -> bool {
        (&*self.firsts, &*self.lasts) == (&[first], &[last])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn networks(texts: &[&str]) -> Vec<Network> {
        let networks = texts.iter();
        let networks = networks.map(|text| text.parse().expect("a network"));
        networks.collect()
    }

    #[test]
    fn ranges_are_merged_and_searched() {
        for (texts, inside, outside, ranges) in [
            (&[][..], &[][..], &["192.0.2.1", "::1"][..], (0, 0)),
            (
                &["192.0.2.0/25", "192.0.2.128/25", "192.0.2.7"],
                &["192.0.2.0", "192.0.2.255", "::ffff:192.0.2.8"],
                &["192.0.1.255", "192.0.3.0", "2001:db8::1"],
                (1, 0),
            ),
            (
                &["198.51.100.3", "198.51.100.1", "198.51.100.1"],
                &["198.51.100.1", "198.51.100.3"],
                &["198.51.100.0", "198.51.100.2", "198.51.100.4"],
                (2, 0),
            ),
            (
                &["0.0.0.0/1", "128.0.0.0/1", "255.255.255.255"],
                &["0.0.0.0", "255.255.255.255"],
                &["::"],
                (1, 0),
            ),
            (
                &["::/0", "ffff::", "::1"],
                &["::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
                &["192.0.2.1"],
                (0, 1),
            ),
        ] {
            let set: NetworkSet = networks(texts).into_iter().collect();
            assert_eq!(set.networks(), texts.len());
            assert_eq!(
                (set.v4.firsts.len(), set.v6.firsts.len()),
                ranges,
                "{texts:?}"
            );
            for (addresses, expected) in [(inside, true), (outside, false)] {
                for text in addresses {
                    let address = text.parse().expect("an address");
                    assert_eq!(set.contains(address), expected, "{texts:?} {text}");
                }
            }
        }
    }

    #[test]
    fn complete_families_are_known() {
        for (texts, expected) in [
            (&["0.0.0.0/0"][..], &["IPv4"][..]),
            (&["0.0.0.0/1", "128.0.0.0/1", "::/1"], &["IPv4"]),
            (&["::/1", "8000::/1"], &["IPv6"]),
            (&["192.0.2.0/24"], &[]),
        ] {
            let set: NetworkSet = networks(texts).into_iter().collect();
            let complete: Vec<_> = set.complete_families().collect();
            assert_eq!(complete, expected, "{texts:?}");
        }
    }

    proptest! {
        /// A set contains what one of its networks contains.
        #[test]
        fn sets_agree_with_their_networks(
            made_of in proptest::collection::vec((any::<u16>(), 16_u8..=32), 0..40),
            asked in proptest::collection::vec(any::<u32>(), 40),
        ) {
            let text = |(high, length): (u16, u8)| {
                // Few enough addresses that ranges meet.
                let address = u32::from(high & 0xff) << 18;
                let kept = u32::MAX << (32 - u32::from(length));
                format!("{}/{length}", std::net::Ipv4Addr::from_bits(address & kept))
            };
            let list: Vec<Network> =
                made_of.into_iter().map(|of| text(of).parse().expect("a network")).collect();
            let set: NetworkSet = list.iter().copied().collect();
            for address in asked {
                let address = IpAddr::V4((address & 0x03ff_ffff).into());
                let expected = list.iter().any(|network| network.contains(address));
                prop_assert_eq!(set.contains(address), expected, "{}", address);
            }
        }
    }
}
