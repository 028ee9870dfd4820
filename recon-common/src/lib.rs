//! What the kernel programs and the agent share, in `no_std`, so that one parser and one layout serve both.
//!
//! The data's way through this crate, a module a step:
//!
//! | step | module | gives |
//! |---|---|---|
//! | packet | [`packet`] | bounded reads of a frame, whatever holds it |
//! | parse | [`parse`] | a [`Flow`] and a [`Observation`], or a [`Loss`] |
//! | signal | [`signal`], [`observation`] | what the frame means, and on what condition it counts |
//! | count | [`table`] | the [`Key`] under which it is counted |
//! | count | [`packed`] | the same as words, and its hashes |
//! | count | [`admission`] | whose packets get a key when room is short |
//! | count | [`sources`] | how many sources are behind a count that names none |
//! | count | [`recent`] | where the last ones are counted |
//! | process | [`process`] | what the kernel tells of programs and connections of this host |
//! | - | [`protocol`] | the numbers that standards assign |
//!
//! Every decision about a packet is taken here as a pure function; `recon-ebpf` only adds the maps and helpers.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod admission;
pub mod flow;
pub mod loss;
pub mod observation;
pub mod packed;
pub mod packet;
pub mod parse;
pub mod process;
pub mod protocol;
pub mod recent;
pub mod signal;
pub mod sources;
pub mod table;

pub use flow::{Address, Flow};
pub use loss::Loss;
pub use observation::{FlowState, Observation};
pub use packed::PackedKey;
pub use packet::Packet;
pub use parse::{Direction, parse};
pub use process::{ExecEvent, PendingConnect};
pub use signal::Signal;
pub use sources::Registers;
pub use table::{Counter, Key};
