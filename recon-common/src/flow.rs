//! Who talks to whom: addresses of both families in one shape, and the flow that a packet belongs
//! to.
//!
//! In: header bytes. Out: [`Flow`], seen from this host (remote and local, not source and
//! destination), and its fingerprint.
//! The decision held here: a flow is remembered as a 32-bit fingerprint in a direct-mapped array,
//! not as an entry of an LRU hash. A newer flow overwrites an older one in the same slot, so the
//! memory is bounded, a write costs the same when full or empty, and takes no lock. An insert into
//! a full LRU of this size costs 325 to 850 ns, which a flood of answers would make recon pay.

use crate::FragmentPlace;
use crate::keyed_hash::HashSecrets;
use crate::protocol::ip_protocol;

/// An IPv6 address, or an IPv4 address mapped into IPv6 (`::ffff:a.b.c.d`): 16 bytes in network
/// byte order.
///
/// Stored as four words, so that the kernel programs copy words and not bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(transparent)]
pub struct Address([u32; 4]);

impl Address {
    /// The third word of a mapped IPv4 address; the first two are 0 (RFC 4291, 2.5.5.2).
    const V4_MAPPED: u32 = 0xffff_u32.to_be();

    /// No address (`::`): what a key has when the local end is unknown.
    pub const UNSPECIFIED: Self = Self([0; 4]);

    /// The address whose four bytes are `octets`.
    #[inline(always)]
    #[must_use]
    pub const fn v4(octets: [u8; 4]) -> Self {
        Self::from_v4_word(u32::from_ne_bytes(octets))
    }

    /// The address whose sixteen bytes are `octets`.
    #[inline(always)]
    #[must_use]
    pub const fn v6(octets: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = octets;
        Self([
            u32::from_ne_bytes([a, b, c, d]),
            u32::from_ne_bytes([e, f, g, h]),
            u32::from_ne_bytes([i, j, k, l]),
            u32::from_ne_bytes([m, n, o, p]),
        ])
    }

    /// The IPv4 address in that word, which is in network byte order.
    #[inline(always)]
    #[must_use]
    pub const fn from_v4_word(word: u32) -> Self {
        Self([0, 0, Self::V4_MAPPED, word])
    }

    /// The address in these four words, each in network byte order, as the kernel's structures hold
    /// them.
    #[inline(always)]
    #[must_use]
    pub const fn from_words(words: [u32; 4]) -> Self {
        Self(words)
    }

    /// The word of an IPv4 address, or `None` for an IPv6 one.
    #[inline(always)]
    #[must_use]
    pub const fn to_v4(self) -> Option<u32> {
        match self.0 {
            [0, 0, Self::V4_MAPPED, word] => Some(word),
            _ => None,
        }
    }

    /// Whether a packet of IPv6 can be from or to it: not `::`, and no mapped IPv4 address.
    #[inline(always)]
    #[must_use]
    pub(crate) const fn is_host_of_ipv6(self) -> bool {
        !matches!(self.0, [0, 0, Self::V4_MAPPED, _] | [0, 0, 0, 0])
    }

    /// The four words, each in network byte order, as the kernel's structures hold them.
    #[inline(always)]
    #[must_use]
    pub const fn words(self) -> [u32; 4] {
        self.0
    }

    /// Its words in pairs, as the memory of a little-endian machine holds them.
    #[inline(always)]
    #[must_use]
    pub(crate) const fn pairs(self) -> [u64; 2] {
        let [a, b, c, d] = self.0;
        [pair_words(a, b), pair_words(c, d)]
    }

    /// A hash under secrets that an outsider can't know, so that nobody can choose addresses that
    /// share a slot or a register.
    #[inline(always)]
    #[must_use]
    pub const fn hash(self, secrets: &HashSecrets) -> u64 {
        secrets.finish(secrets.sum_remote(self.pairs()))
    }

    /// Its bytes, in network byte order.
    pub(crate) fn octets(self) -> [u8; 16] {
        let mut octets = [0; 16];
        for (bytes, word) in octets.chunks_exact_mut(4).zip(self.0) {
            bytes.copy_from_slice(&word.to_ne_bytes());
        }
        octets
    }

    /// The address as the standard library has it: IPv4 if it is mapped.
    #[must_use]
    pub fn to_ip(self) -> core::net::IpAddr {
        core::net::Ipv6Addr::from(self.octets()).to_canonical()
    }
}

impl From<core::net::IpAddr> for Address {
    fn from(ip: core::net::IpAddr) -> Self {
        match ip {
            core::net::IpAddr::V4(v4) => Self::v4(v4.octets()),
            core::net::IpAddr::V6(v6) => Self::v6(v6.octets()),
        }
    }
}

/// Both ends of what a packet belongs to, as this host sees them. A port is 0 if the protocol has
/// none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The other end's address.
    pub remote: Address,
    /// The address of this host, or of a guest that it forwards to.
    pub local: Address,
    /// The other end's port.
    pub remote_port: u16,
    /// This host's port.
    pub local_port: u16,
    /// The protocol above IP, an IANA number.
    pub protocol: u8,
}

/// The first port that Linux gives to clients by default (`net.ipv4.ip_local_port_range`).
const FIRST_EPHEMERAL: u16 = 32_768;

/// Slots of the array of flows, a power of two. Eight bytes each: 8 MiB hold the flows of a busy
/// resolver for minutes.
pub const FLOW_SLOTS: u32 = 1 << 20;

/// The slot beside a flow's in which its fingerprint says that a guest accepted the connection: a
/// hash of its own would keep the flow's words on the stack of a program that has little.
#[inline(always)]
#[must_use]
pub const fn accepted_slot(slot: u32) -> u32 {
    slot ^ FLOW_SLOTS >> 1
}

/// The slot beside that of a [`Flow::remote_end`] in which its fingerprint says that this host has
/// sent there from that port of its own.
#[inline(always)]
#[must_use]
pub const fn sender_slot(slot: u32, port: u16) -> u32 {
    (slot + port as u32) & (FLOW_SLOTS - 1)
}

/// The bit in which the slots of media and of their control packets differ. A replay keeps
/// connections in fewer slots, and needs the bit there, too: two connections with one fingerprint
/// must never share a slot.
pub const MEDIA_BIT: u32 = 1 << 16;

/// The slot of the media of a flow which [`Flow::may_control_media`], or that of the control
/// packets of media. Both have the same fingerprint.
#[inline(always)]
#[must_use]
pub const fn media_slot(slot: u32) -> u32 {
    slot ^ MEDIA_BIT
}

/// The bit beside a fingerprint that says that this host has answered the flow.
pub const ANSWERED: u32 = 1 << 31;

#[inline(always)]
const fn pair_words(first: u32, second: u32) -> u64 {
    (second as u64) << u32::BITS | first as u64
}

impl Flow {
    /// Whether the remote's port is a service's, and the local one a client's. The peers of this
    /// host and of guests behind its address end connections that recon may not know, such as those
    /// from before its start; scanners look for services.
    #[inline(always)]
    #[must_use]
    pub const fn looks_like_answer(&self) -> bool {
        self.local_port >= FIRST_EPHEMERAL && self.remote_port < FIRST_EPHEMERAL
    }

    /// The flow as which it is remembered that a fragment may follow there. The flow of a packet
    /// with that protocol number has 0 and the number as its ports.
    #[inline(always)]
    #[must_use]
    pub const fn fragment(&self, place: FragmentPlace) -> Self {
        let [remote_port, local_port] = place.parts();
        Self {
            remote_port,
            local_port,
            protocol: ip_protocol::FRAGMENT,
            ..*self
        }
    }

    /// The flow as which it is remembered that the remote sent from this port, to whatever address.
    #[inline(always)]
    #[must_use]
    pub const fn remote_end(&self) -> Self {
        Self {
            local: Address::UNSPECIFIED,
            local_port: 0,
            ..*self
        }
    }

    /// Whether it may carry the control packets (RTCP) of media (RTP): media go from an even port
    /// to an even one, and their control packets between the next ones (RFC 3550, 11).
    #[inline(always)]
    #[must_use]
    pub const fn may_control_media(&self) -> bool {
        self.remote_port & self.local_port & 1 != 0
    }

    /// Slot and fingerprint of the flow under secrets that an outsider can't know, so that nobody
    /// can choose flows that share a slot. The fingerprint is never 0, which marks an empty slot,
    /// and leaves the highest bit for [`ANSWERED`]. A flow between odd ports has the hash of the
    /// one between the ports before, and a slot of its own beside it: another hash would keep both
    /// flows' words on the stack of a program that has little.
    #[inline(always)]
    #[must_use]
    pub const fn fingerprint(&self, secrets: &HashSecrets) -> (u32, u32) {
        let controls = self.may_control_media() as u16;
        let [remote_port, local_port] = [self.remote_port - controls, self.local_port - controls];
        let ports = (remote_port as u32) << u16::BITS | local_port as u32;
        let last = pair_words(ports, self.protocol as u32);
        let sum = secrets
            .sum_remote(self.remote.pairs())
            .wrapping_add(secrets.sum_rest(self.local.pairs(), last));
        let hash = secrets.finish(sum);
        let fingerprint = (hash >> 32) as u32 & !ANSWERED;
        let slot = hash as u32 & (FLOW_SLOTS - 1);
        (
            if controls == 0 {
                slot
            } else {
                media_slot(slot)
            },
            if fingerprint == 0 { 1 } else { fingerprint },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyed_hash::tests::SECRETS;
    use crate::protocol::ip_protocol;
    use std::collections::HashSet;
    use std::net::IpAddr;

    #[test]
    fn addresses_round_trip() {
        for text in ["198.51.100.7", "2001:db8::1", "::", "0.0.0.0"] {
            let ip: IpAddr = text.parse().expect("an address");
            assert_eq!(Address::from(ip).to_ip(), ip);
            assert_eq!(Address::from(ip).to_v4().is_some(), ip.is_ipv4(), "{text}");
        }
    }

    #[test]
    fn control_packets_go_between_the_ports_after_those_of_media() {
        let flow = |(remote_port, local_port)| Flow {
            remote: Address::v4([198, 51, 100, 7]),
            local: Address::v4([203, 0, 113, 1]),
            remote_port,
            local_port,
            protocol: ip_protocol::UDP,
        };
        for (ports, media) in [
            ((30_001, 16_385), Some((30_000, 16_384))),
            ((u16::MAX, 1), Some((u16::MAX - 1, 0))),
            ((30_000, 16_385), None),
            ((30_001, 16_384), None),
            ((0, 0), None),
        ] {
            assert_eq!(flow(ports).may_control_media(), media.is_some());
            let (slot, fingerprint) = flow(ports).fingerprint(&SECRETS);
            assert_ne!(slot, media_slot(slot));
            if let Some(media) = media {
                let expected = (media_slot(slot), fingerprint);
                assert_eq!(flow(media).fingerprint(&SECRETS), expected, "{ports:?}");
            }
        }
    }

    #[test]
    fn neighbouring_flows_differ_in_slot_and_fingerprint() {
        let flow = |port, last| Flow {
            remote: Address::v4([198, 51, 100, last]),
            local: Address::v4([203, 0, 113, 1]),
            remote_port: 53,
            local_port: port,
            protocol: ip_protocol::UDP,
        };
        let flows = || (0..100u16).flat_map(|port| (0..100u8).map(move |last| flow(port, last)));
        let slots: HashSet<u32> = flows().map(|flow| flow.fingerprint(&SECRETS).0).collect();
        let marks: HashSet<u32> = flows().map(|flow| flow.fingerprint(&SECRETS).1).collect();
        // 10,000 flows over 2^20 slots: about 48 pairs share a slot by chance, and one pair of
        // fingerprints in 10^2 runs is equal.
        assert!(slots.len() > 9_850, "{} slots", slots.len());
        assert!(marks.len() > 9_990, "{} fingerprints", marks.len());
        let other = HashSecrets(SECRETS.0.map(|secret| !secret));
        assert_ne!(
            flow(1, 1).fingerprint(&SECRETS),
            flow(1, 1).fingerprint(&other)
        );
    }

    #[test]
    fn what_is_remembered_of_a_flow_in_addition_has_marks_of_its_own() {
        let flow = Flow {
            remote: Address::v4([198, 51, 100, 7]),
            local: Address::v4([203, 0, 113, 1]),
            remote_port: 40_000,
            local_port: 22,
            protocol: ip_protocol::TCP,
        };
        let own = flow.fingerprint(&SECRETS);
        let end = flow.remote_end().fingerprint(&SECRETS);
        let marks = [
            own,
            (accepted_slot(own.0), own.1),
            (media_slot(own.0), own.1),
            (accepted_slot(media_slot(own.0)), own.1),
            end,
            (sender_slot(end.0, 22), end.1),
            (sender_slot(end.0, u16::MAX), end.1),
        ];
        let different: HashSet<_> = marks.into_iter().collect();
        assert_eq!(different.len(), marks.len());
        let elsewhere = Flow {
            local: Address::v4([203, 0, 113, 2]),
            local_port: 80,
            ..flow
        };
        assert_eq!(elsewhere.remote_end(), flow.remote_end());
        for slot in 0..FLOW_SLOTS {
            let beside = [
                accepted_slot(slot),
                media_slot(slot),
                sender_slot(slot, u16::MAX),
            ];
            assert!(beside.into_iter().all(|slot| slot < FLOW_SLOTS));
        }
    }
}
