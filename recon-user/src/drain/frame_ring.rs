//! A ring of frames that the kernel programs hand over.
//!
//! In: the ring, and the array that counts what it had no room for. Out: each record once.
//! The decision held here: a call gives no more than the ring holds, so that whoever fills it while
//! it is read does not hold up a poll.

use std::fmt;

use aya::Ebpf;
use aya::maps::{MapData, RingBuf};

use super::DrainError;
use super::error::map_error;
use super::shared_array::SharedArray;

/// What the kernel puts before each record.
const BEFORE_RECORD: usize = size_of::<u64>();

/// Reads the ring.
pub(super) struct FrameRing {
    ring: RingBuf<MapData>,
    lost: SharedArray<u64>,
    /// Records that the ring holds.
    most: usize,
}

impl FrameRing {
    /// Takes the ring of so many bytes, with records of type `T`, and its count of losses out of a
    /// loaded kernel object.
    ///
    /// # Errors
    /// [`DrainError`] if the object is not the one this agent was built with, or the kernel does
    /// not share a map.
    pub(super) fn open<T>(
        ebpf: &mut Ebpf,
        ring: &'static str,
        bytes: u32,
        lost: &'static str,
    ) -> Result<Self, DrainError> {
        let map = super::take_map(ebpf, ring)?;
        Ok(Self {
            ring: map.try_into().map_err(map_error(ring))?,
            lost: super::map_shared(ebpf, lost, |data| SharedArray::map(data, 1))?,
            most: bytes as usize / (BEFORE_RECORD + size_of::<T>()),
        })
    }

    /// Gives what is in the ring to `record`.
    pub(super) fn read(&mut self, mut record: impl FnMut(&[u8])) {
        for _ in 0..self.most {
            let Some(entry) = self.ring.next() else {
                return;
            };
            record(&entry);
        }
    }

    /// How many records the ring had no room for since the programs were loaded.
    pub(super) fn lost(&self) -> u64 {
        // SAFETY: the word is within the mapping. The kernel may write to it meanwhile, and a read
        // of 8 bytes is whole.
        unsafe { self.lost.value(0).read_volatile() }
    }
}

impl fmt::Debug for FrameRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameRing").finish_non_exhaustive()
    }
}

/// The word of a record at that offset, if it has one.
pub(super) fn word(record: &[u8], at: usize) -> Option<u32> {
    let bytes = record.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*bytes))
}

/// The bytes of a frame in a record: those at that offset which were captured, of so many at most.
pub(super) fn captured(record: &[u8], at: usize, most: usize, captured: u32) -> Option<&[u8]> {
    record.get(at..at + most)?.get(..captured as usize)
}
