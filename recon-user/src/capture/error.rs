//! Why a capture can't be read.
//!
//! In: errors of the system and of parsers. Out: messages with the file, the place and what to do.

use std::io;

/// Why a capture can't be read, or not from here on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaptureError {
    /// The file can't be opened.
    #[error("can't read {name}")]
    Open {
        /// The file.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// It is compressed by a program whose format recon does not read.
    #[error("can't read {name}: it is compressed; type `{cat} {name} | recon replay -`")]
    Compressed {
        /// The file.
        name: String,
        /// The program that decompresses it.
        cat: &'static str,
    },
    /// The same of stdin.
    #[error("stdin is compressed; pipe it through `{cat}` first")]
    CompressedStdin {
        /// The program that decompresses it.
        cat: &'static str,
    },
    /// It is no capture.
    #[error(
        "{name} is no capture: it begins neither as pcap nor as pcapng; recon replay reads what `tcpdump -w` and Wireshark write"
    )]
    NotCapture {
        /// The file.
        name: String,
    },
    /// It can't be read from that byte on.
    #[error("can't read {name} from byte {position} on")]
    Read {
        /// The file.
        name: String,
        /// The place in the decompressed file.
        position: u64,
        /// Why.
        source: io::Error,
    },
    /// It makes no sense from that byte on.
    #[error("{name} is corrupt at byte {position}: {what}; nothing behind it is read")]
    Corrupt {
        /// The file.
        name: String,
        /// The place in the decompressed file.
        position: u64,
        /// What is there.
        what: String,
    },
}
