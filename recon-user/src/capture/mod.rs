//! Captures: packets from files, whatever their container, compression and link layer.
//!
//! In: a path, or stdin. Out: [`Captured`] packets with their times, one after another.
//!
//! | step | module | gives |
//! |---|---|---|
//! | open | [`input`] | the bytes, decompressed |
//! | buffer | [`window`] | whole headers and packets, in bounded memory |
//! | container | [`container`], [`pcapng`] | packets of pcap and pcapng |
//! | link layer | [`link`], [`wrapped`] | frames as the parser takes them |
//!
//! The decisions held here: pcap-parser reads headers and blocks, and the bytes come from a buffer
//! of our own: its readers drop the cause of an error and the place in the file. A length that a
//! file claims never reserves memory; the buffer grows by what is really there.

mod container;
mod error;
mod input;
mod link;
mod pcapng;
mod window;
mod wrapped;
mod zstd;

#[cfg(test)]
pub(crate) mod tests;

use jiff::Timestamp;

pub(crate) use container::{CaptureContainer, is_capture};
pub(crate) use error::CaptureError;
pub(crate) use input::Input;
pub(crate) use link::{Link, LinkFrame, LinkReader, Unreadable};

use crate::row::Name;

/// A packet of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Captured<'a> {
    /// When it was captured. Unknown in a simple packet block of pcapng.
    pub(crate) time: Option<Timestamp>,
    /// The number of its link type.
    pub(crate) link: u16,
    /// The interface that captured it, if the file has a name for it.
    pub(crate) interface: Option<Name>,
    /// What was captured of it.
    pub(crate) bytes: &'a [u8],
    /// Its length on the wire.
    pub(crate) length: u32,
    /// What was captured of the next packet, if that is certain to come and of the same link type.
    pub(crate) upcoming: Option<&'a [u8]>,
}

/// What comes next in a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    /// A packet.
    Packet(Captured<'a>),
    /// The file ends where a packet or block ends.
    End,
    /// The file ends within a packet or block that begins at this byte.
    Cut(u64),
}
