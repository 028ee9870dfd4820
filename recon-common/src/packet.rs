//! Bounded reads of a frame, the first step of the data's path.
//!
//! In: a frame in a slice (host), in an XDP buffer or in an skb (kernel). Out: a header's fields,
//! or `None` past the frame's end.
//! The decisions held here: the parser never sees a pointer or a length, so it can't read past the
//! end, and the same code passes the verifier and runs in unit tests. One check covers a whole
//! header, and the places of its fields are checked at compile time. Each field is one load; a copy
//! of the header would be built from single bytes.

use crate::Loss;

/// The fields of `N` bytes that are known to exist.
pub trait Fields<const N: usize>: Copy {
    /// The byte at `AT`.
    fn u8<const AT: usize>(self) -> u8;
    /// The 16-bit number at `AT`, which is in network byte order in the frame.
    fn u16<const AT: usize>(self) -> u16;
    /// The 32-bit number at `AT`, which is in network byte order in the frame.
    fn u32<const AT: usize>(self) -> u32;
}

impl<const N: usize> Fields<N> for [u8; N] {
    fn u8<const AT: usize>(self) -> u8 {
        const { assert!(AT < N) };
        self[AT]
    }

    fn u16<const AT: usize>(self) -> u16 {
        const { assert!(AT + 2 <= N) };
        u16::from_be_bytes([self[AT], self[AT + 1]])
    }

    fn u32<const AT: usize>(self) -> u32 {
        const { assert!(AT + 4 <= N) };
        u32::from_be_bytes([self[AT], self[AT + 1], self[AT + 2], self[AT + 3]])
    }
}

/// A frame that can be read at an offset.
pub trait Packet {
    /// Whether it starts with the header of IPv4 or IPv6, as on tunnels, and not with Ethernet's.
    const STARTS_WITH_IP: bool = false;

    /// `N` bytes of the frame.
    type Header<const N: usize>: Fields<N>;

    /// The `N` bytes at `offset`, or `None` if the frame has fewer.
    fn header<const N: usize>(&self, offset: usize) -> Option<Self::Header<N>>;

    /// A copy of the `N` bytes at `offset`, behind the headers: a hook may have to fetch them at a
    /// higher cost.
    fn payload<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;

    /// Where a packet starts that came in without Ethernet header: at 0, unless the kernel has left
    /// the tunnel's own headers before it, see [`crate::parse::behind_tunnel_headers`].
    #[inline(always)]
    fn start(&self) -> usize {
        0
    }

    /// Makes headers readable that are not in the first buffer. Packets of established connections
    /// have left by then, since theirs are.
    #[inline(always)]
    fn pull_headers(&self) {}

    /// Whether a process of this host has made this segment from that port itself, on a raw or
    /// packet socket, and not the kernel for a connection.
    #[inline(always)]
    fn is_crafted(&self, _source_port: u16) -> bool {
        false
    }

    /// Takes note that parsing stops at that offset, or would if what is missing there mattered.
    #[inline(always)]
    fn note_stop(&self, _offset: usize) {}

    /// The same offset, without what the verifier knows of it.
    ///
    /// The verifier walks the rest of a program once for every range of offsets that it can tell
    /// apart, and a chain of extension headers makes very many. Packets in the kernel hide the
    /// number from it; others do nothing.
    #[inline(always)]
    fn hide_offset(offset: usize) -> usize {
        offset
    }
}

impl Packet for [u8] {
    type Header<const N: usize> = [u8; N];

    fn header<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.get(offset..)?.first_chunk().copied()
    }

    fn payload<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.header(offset)
    }
}

/// A packet of an interface without a link layer, in a slice.
#[derive(Clone, Copy, Debug)]
pub struct BarePacket<'a>(pub &'a [u8]);

impl Packet for BarePacket<'_> {
    const STARTS_WITH_IP: bool = true;

    type Header<const N: usize> = [u8; N];

    fn header<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let Self(bytes) = self;
        bytes.header(offset)
    }

    fn payload<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.header(offset)
    }
}

/// The largest offset at which a header is read, beyond any frame that is not itself an aggregate.
/// The verifier needs the bound, since it lets an offset into a packet grow to 64 KiB only.
pub const MAX_OFFSET: usize = 0x7fff;

/// Reads a frame from its start or from a later header, up to where that header's own length says
/// it ends.
///
/// Ethernet pads short frames: without the end, padding would be read as TCP flags or as a payload.
pub(crate) struct Cursor<'a, P: ?Sized> {
    packet: &'a P,
    /// Offset of the next header in the frame.
    pub(crate) offset: usize,
    /// Offset of the first byte that is not part of the datagram.
    end: usize,
}

// Not derived: copying the cursor needs nothing of the frame's type.
impl<P: ?Sized> Clone for Cursor<'_, P> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<P: ?Sized> Copy for Cursor<'_, P> {}

impl<'a, P: Packet + ?Sized> Cursor<'a, P> {
    /// A cursor at the first byte of the frame. The end is unknown before the network header.
    #[inline(always)]
    pub(crate) fn new(packet: &'a P) -> Self {
        Self {
            packet,
            offset: 0,
            end: usize::MAX,
        }
    }

    /// The `N` bytes at the cursor, or `None` if the datagram or the frame has fewer.
    #[inline(always)]
    pub(crate) fn peek<const N: usize>(&self) -> Option<P::Header<N>> {
        let header = self
            .readable(N)
            .and_then(|offset| self.packet.header(offset));
        if header.is_none() {
            self.packet.note_stop(self.offset);
        }
        header
    }

    /// The `N` bytes at a cursor behind the headers.
    #[inline(always)]
    pub(crate) fn peek_payload<const N: usize>(&self) -> Option<[u8; N]> {
        let bytes = self
            .readable(N)
            .and_then(|offset| self.packet.payload(offset));
        if bytes.is_none() {
            self.packet.note_stop(self.offset);
        }
        bytes
    }

    /// Parsing stops here, since the header is of no use.
    #[inline(always)]
    pub(crate) fn stop(&self, loss: Loss) -> Loss {
        self.packet.note_stop(self.offset);
        loss
    }

    /// The offset of the cursor, if `length` bytes there can be part of the datagram.
    #[inline(always)]
    fn readable(&self, length: usize) -> Option<usize> {
        let offset = self.offset;
        (offset <= MAX_OFFSET && offset + length <= self.end).then_some(offset)
    }

    /// The cursor moved on by `length` bytes.
    #[inline(always)]
    pub(crate) fn skip(self, length: usize) -> Self {
        Self {
            offset: self.offset + length,
            ..self
        }
    }

    /// Another place in the same datagram.
    #[inline(always)]
    pub(crate) fn at(self, offset: usize) -> Self {
        Self { offset, ..self }
    }

    /// [`Packet::is_crafted`] of the frame.
    #[inline(always)]
    pub(crate) fn is_crafted(&self, source_port: u16) -> bool {
        self.packet.is_crafted(source_port)
    }

    /// The same place, with its offset hidden as [`Packet::hide_offset`] describes.
    #[inline(always)]
    pub(crate) fn hide_offset(self) -> Self {
        Self {
            offset: P::hide_offset(self.offset),
            ..self
        }
    }

    /// The same place in a datagram that ends `length` bytes after it.
    #[inline(always)]
    pub(crate) fn ending_after(self, length: usize) -> Self {
        Self {
            end: self.offset + length,
            ..self
        }
    }

    /// Bytes from here to the end that the datagram's header names.
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
            assert_eq!(cursor.peek::<2>(), expected, "skip {skip}, length {length}");
        }
    }
}
