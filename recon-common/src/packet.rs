//! Bounded reads of a frame, the first step of the data's way.
//!
//! In: a frame in a slice (host), in an XDP buffer or in an skb (kernel). Out: copies of its bytes, or `None` past its end.
//! The decision held here: the parser never sees a pointer or a length, so it cannot read past the end, and the same
//! code passes the verifier and runs in unit tests.

/// A frame that can be read at an offset.
pub trait Packet {
    /// The `N` bytes at `offset`, or `None` where the frame has fewer.
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;

    /// The same behind the headers, where a hook may have to fetch the bytes at a higher price.
    #[inline(always)]
    fn read_payload<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.read(offset)
    }

    /// The same offset, without what is known of how it came about.
    ///
    /// The verifier walks the rest of a program once for every range of offsets that it can tell apart, and a chain
    /// of extension headers makes very many. The kernel's packets hide the number from it; elsewhere nothing happens.
    #[inline(always)]
    fn forget(offset: usize) -> usize {
        offset
    }
}

impl Packet for [u8] {
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.get(offset..)?.first_chunk().copied()
    }
}

/// Offset from which on no header is looked for. The longest chain of headers that the parser follows ends at about 17 KB;
/// the verifier wants the bound spelled out, as it lets an offset into a packet grow to 64 KiB only.
const MAX_OFFSET: usize = 0x7fff;

/// Reads a frame from its start or from a later header on, up to where that header's own length says it ends.
///
/// Ethernet pads short frames: without the end, padding would be read as TCP flags or as a payload.
pub(crate) struct Cursor<'a, P: ?Sized> {
    packet: &'a P,
    /// Offset of the next header in the frame.
    pub(crate) offset: usize,
    /// Offset of the first byte that is not part of the datagram.
    end: usize,
}

// Not derived: a copy of the cursor asks nothing of the frame's type.
impl<P: ?Sized> Clone for Cursor<'_, P> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<P: ?Sized> Copy for Cursor<'_, P> {}

impl<'a, P: Packet + ?Sized> Cursor<'a, P> {
    /// A cursor at the first byte of the frame. No end is known before the network header.
    #[inline(always)]
    pub(crate) fn new(packet: &'a P) -> Self {
        Self {
            packet,
            offset: 0,
            end: usize::MAX,
        }
    }

    /// The `N` bytes `ahead` of the cursor, or `None` where the datagram or the frame has fewer.
    #[inline(always)]
    pub(crate) fn peek<const N: usize>(&self, ahead: usize) -> Option<[u8; N]> {
        self.packet.read(self.readable(ahead, N)?)
    }

    /// The same for a cursor behind the headers.
    #[inline(always)]
    pub(crate) fn peek_payload<const N: usize>(&self) -> Option<[u8; N]> {
        self.packet.read_payload(self.readable(0, N)?)
    }

    /// The offset `ahead` of the cursor, if `length` bytes there can belong to the datagram.
    #[inline(always)]
    fn readable(&self, ahead: usize, length: usize) -> Option<usize> {
        let offset = self.offset + ahead;
        (offset <= MAX_OFFSET && offset + length <= self.end).then_some(offset)
    }

    /// The same frame, `length` bytes further on.
    #[inline(always)]
    pub(crate) fn skip(self, length: usize) -> Self {
        Self {
            offset: self.offset + length,
            ..self
        }
    }

    /// The same place, as [`Packet::forget`] describes it.
    #[inline(always)]
    pub(crate) fn forget(self) -> Self {
        Self {
            offset: P::forget(self.offset),
            ..self
        }
    }

    /// The same place, with the datagram ending `length` bytes after it.
    #[inline(always)]
    pub(crate) fn ending_after(self, length: usize) -> Self {
        Self {
            end: self.offset + length,
            ..self
        }
    }

    /// Bytes from here to the end that the datagram's own header names.
    #[inline(always)]
    pub(crate) fn left(&self) -> usize {
        self.end.saturating_sub(self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_end_where_the_frame_or_the_datagram_does() {
        let frame: &[u8] = &[1, 2, 3, 4];
        // (offset, end after, bytes expected of a two-byte read)
        for (skip, length, expected) in [
            (0, 4, Some([1, 2])),
            (2, 2, Some([3, 4])),
            (3, 9, None),
            (0, 1, None),
            (9, 9, None),
        ] {
            let cursor = Cursor::new(frame).skip(skip).ending_after(length);
            assert_eq!(
                cursor.peek::<2>(0),
                expected,
                "skip {skip}, length {length}"
            );
        }
    }
}
