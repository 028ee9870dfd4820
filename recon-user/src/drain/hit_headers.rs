//! The headers of packets that count, as the kernel programs hand them over.
//!
//! In: the kernel's ring. Out: each [`ReadHeader`] once; how many the ring had no room for.

use std::mem::offset_of;
use std::time::Duration;

use aya::Ebpf;
use recon_common::hit_header::{CAPTURED, HitHeader, LOST, RING, RING_BYTES};
use recon_common::{FrameOrigin, Key, PackedKey};

use super::DrainError;
use super::frame_ring::{FrameRing, captured, word};

/// A packet that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReadHeader<'a> {
    /// When it was seen, since the boot.
    pub(crate) since_boot: Duration,
    /// The key under which it counts.
    pub(crate) key: Key,
    pub(crate) origin: FrameOrigin,
    /// The index of its interface.
    pub(crate) interface: u32,
    /// How long it is.
    pub(crate) length: u32,
    /// Its first bytes.
    pub(crate) bytes: &'a [u8],
}

/// Reads the ring.
#[derive(Debug)]
pub(crate) struct HitHeaders(FrameRing);

impl HitHeaders {
    /// Takes the ring out of a loaded kernel object.
    ///
    /// # Errors
    /// As [`FrameRing::open`].
    pub(crate) fn open(ebpf: &mut Ebpf) -> Result<Self, DrainError> {
        FrameRing::open::<HitHeader>(ebpf, RING, RING_BYTES, LOST).map(Self)
    }

    /// Gives what is in the ring to `header`.
    pub(crate) fn read(&mut self, mut header: impl FnMut(ReadHeader<'_>)) {
        self.0.read(|record| {
            if let Some(read) = ReadHeader::parse(record) {
                header(read);
            }
        });
    }

    /// How many packets the ring had no room for since the programs were loaded.
    pub(crate) fn lost(&self) -> u64 {
        self.0.lost()
    }
}

impl<'a> ReadHeader<'a> {
    /// The parts of a record, unless another build has written it.
    fn parse(record: &'a [u8]) -> Option<Self> {
        let number = |at: usize| {
            let bytes = record.get(at..)?.first_chunk()?;
            Some(u64::from_ne_bytes(*bytes))
        };
        let mut words = [0; 5];
        for (place, word) in words.iter_mut().enumerate() {
            *word = number(offset_of!(HitHeader, key) + place * size_of::<u64>())?;
        }
        let taken = word(record, offset_of!(HitHeader, captured))?;
        Some(Self {
            since_boot: Duration::from_nanos(number(offset_of!(HitHeader, time))?),
            key: PackedKey(words).into(),
            origin: FrameOrigin::unpack(word(record, offset_of!(HitHeader, origin))?),
            interface: word(record, offset_of!(HitHeader, interface))?,
            length: word(record, offset_of!(HitHeader, length))?,
            bytes: captured(record, offset_of!(HitHeader, bytes), CAPTURED, taken)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use recon_common::{Address, Direction, Signal};

    use super::*;

    #[test]
    fn a_record_is_read() {
        let key = Key {
            remote: Address::v4([198, 51, 100, 2]),
            local: Address::v4([198, 51, 100, 1]),
            detail: 7,
            port: 22,
            signal: Signal::Syn as u8,
            tool: 0,
        };
        let origin = FrameOrigin {
            direction: Direction::Out,
            is_bare: true,
        };
        let record = |captured: u32| {
            let PackedKey(words) = PackedKey::from(&key);
            let mut record = 5_000_000_007_u64.to_ne_bytes().to_vec();
            record.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
            for number in [origin.pack(), 3, 60, captured] {
                record.extend(number.to_ne_bytes());
            }
            record.resize(size_of::<HitHeader>(), 9);
            record
        };
        let expected = |captured: &'static [u8]| ReadHeader {
            since_boot: Duration::from_nanos(5_000_000_007),
            key,
            origin,
            interface: 3,
            length: 60,
            bytes: captured,
        };
        for (record, expected) in [
            (record(0), Some(expected(&[]))),
            (record(54), Some(expected(&[9; 54]))),
            (record(256), Some(expected(&[9; CAPTURED]))),
            (record(257), None),
            (record(54)[..319].to_vec(), None),
            (Vec::new(), None),
        ] {
            assert_eq!(ReadHeader::parse(&record), expected, "{}", record.len());
        }
    }
}
