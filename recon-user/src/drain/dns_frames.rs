//! DNS queries of this host and their answers, as the kernel programs hand them over.
//!
//! In: the kernel's ring. Out: each [`DnsFrame`] once; how many the ring had no room for.
//! The decision held here: a call gives no more than the ring holds, so that whoever fills it while
//! it is read does not hold up a poll.

use std::fmt;

use aya::Ebpf;
use aya::maps::{MapData, RingBuf};
use recon_common::dns_frame::{CAPTURED, DnsFrame, LOST, RING, RING_BYTES};

use super::DrainError;
use super::error::map_error;
use super::shared_array::SharedArray;

/// Records that the ring holds, each behind a word of the kernel's.
const MOST: usize = RING_BYTES as usize / (size_of::<u64>() + size_of::<DnsFrame>());
/// Where a record has its numbers and its bytes.
const CAPTURED_AT: usize = std::mem::offset_of!(DnsFrame, captured);
const BYTES_AT: usize = std::mem::offset_of!(DnsFrame, bytes);

/// Reads the ring.
pub(crate) struct DnsFrames {
    ring: RingBuf<MapData>,
    lost: SharedArray<u64>,
}

impl DnsFrames {
    /// Takes the ring out of a loaded kernel object.
    ///
    /// # Errors
    /// [`DrainError`] if the object is not the one this agent was built with, or the kernel does
    /// not share a map.
    pub(crate) fn open(ebpf: &mut Ebpf) -> Result<Self, DrainError> {
        let map = ebpf
            .take_map(RING)
            .ok_or(DrainError::NoMap { name: RING })?;
        Ok(Self {
            ring: map.try_into().map_err(map_error(RING))?,
            lost: super::map_shared(ebpf, LOST, |data| SharedArray::map(data, 1))?,
        })
    }

    /// Gives what is in the ring to `frame`: the word of its origin, and its first bytes.
    pub(crate) fn read(&mut self, mut frame: impl FnMut(u32, &[u8])) {
        for _ in 0..MOST {
            let Some(entry) = self.ring.next() else {
                return;
            };
            if let Some((origin, bytes)) = parse(&entry) {
                frame(origin, bytes);
            }
        }
    }

    /// How many frames the ring had no room for since the programs were loaded.
    pub(crate) fn lost(&self) -> u64 {
        // SAFETY: the word is within the mapping. The kernel may write to it meanwhile, and a read
        // of 8 bytes is whole.
        unsafe { self.lost.value(0).read_volatile() }
    }
}

impl fmt::Debug for DnsFrames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DnsFrames").finish_non_exhaustive()
    }
}

/// The parts of a record, unless another build has written it.
fn parse(record: &[u8]) -> Option<(u32, &[u8])> {
    let number = |at: usize| {
        let bytes = record.get(at..)?.first_chunk()?;
        Some(u32::from_ne_bytes(*bytes))
    };
    let captured = number(CAPTURED_AT)? as usize;
    let bytes = record.get(BYTES_AT..BYTES_AT + CAPTURED)?.get(..captured)?;
    Some((number(0)?, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_its_captured_bytes() {
        let record = |captured: u32, length: usize| {
            let mut record = 3_u32.to_ne_bytes().to_vec();
            record.extend(captured.to_ne_bytes());
            record.resize(length, 7);
            record
        };
        let whole = size_of::<DnsFrame>();
        for (record, expected) in [
            (record(2, whole), Some((3, vec![7; 2]))),
            (record(640, whole), Some((3, vec![7; 640]))),
            (record(641, whole), None),
            (record(2, whole - 1), None),
            (Vec::new(), None),
        ] {
            let parsed = parse(&record).map(|(origin, bytes)| (origin, bytes.to_vec()));
            assert_eq!(parsed, expected, "{}", record.len());
        }
    }
}
