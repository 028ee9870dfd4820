//! Shared by the benchmarks of tables and rules: a flood in which every SYN has a new source.
//!
//! In: the number of a source. Out: the key under which its SYN is counted.
//! The decision held here: the sources are consecutive public addresses. No frame carries them;
//! they exist only in these tables.

use recon_common::{Address, Key, Signal};

/// `20.0.0.0`: a hundred million addresses fit before the next private network.
const FIRST_SOURCE: u32 = 20 << 24;
const LOCAL: Address = Address::v4([203, 0, 113, 1]);
const SERVICE: u16 = 443;

/// The key of the SYN of the given source.
pub(crate) fn key(source: u32) -> Key {
    Key {
        remote: Address::from_v4_word((FIRST_SOURCE + source).to_be()),
        local: LOCAL,
        detail: 0,
        port: SERVICE,
        signal: Signal::Syn as u8,
        tool: 0,
    }
}
