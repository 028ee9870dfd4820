//! DNS queries of this host and their answers, as the kernel programs hand them over.
//!
//! In: the kernel's ring. Out: each [`DnsFrame`] once; how many the ring had no room for.

use std::mem::offset_of;

use aya::Ebpf;
use recon_common::dns_frame::{CAPTURED, DnsFrame, LOST, RING, RING_BYTES};

use super::DrainError;
use super::frame_ring::{FrameRing, captured, word};

/// Reads the ring.
#[derive(Debug)]
pub(crate) struct DnsFrames(FrameRing);

impl DnsFrames {
    /// Takes the ring out of a loaded kernel object.
    ///
    /// # Errors
    /// As [`FrameRing::open`].
    pub(crate) fn open(ebpf: &mut Ebpf) -> Result<Self, DrainError> {
        FrameRing::open::<DnsFrame>(ebpf, RING, RING_BYTES, LOST).map(Self)
    }

    /// Gives what is in the ring to `frame`: the word of its origin, and its first bytes.
    pub(crate) fn read(&mut self, mut frame: impl FnMut(u32, &[u8])) {
        self.0.read(|record| {
            if let Some((origin, bytes)) = parse(record) {
                frame(origin, bytes);
            }
        });
    }

    /// How many frames the ring had no room for since the programs were loaded.
    pub(crate) fn lost(&self) -> u64 {
        self.0.lost()
    }
}

/// The parts of a record, unless another build has written it.
fn parse(record: &[u8]) -> Option<(u32, &[u8])> {
    let taken = word(record, offset_of!(DnsFrame, captured))?;
    let bytes = captured(record, offset_of!(DnsFrame, bytes), CAPTURED, taken)?;
    Some((word(record, offset_of!(DnsFrame, origin))?, bytes))
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
