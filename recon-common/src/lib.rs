//! What the kernel programs and the agent share, in `no_std`: one parser and one layout for both.
//!
//! The path of the data through this crate, one module per step:
//!
//! | step | module | gives |
//! |---|---|---|
//! | packet | [`packet`] | bounded reads of a frame, wherever it is stored |
//! | parse | [`parse`] | a [`Flow`], an [`Observation`] and perhaps a [`Tool`], or a [`FrameClass`] |
//! | signal | [`signal`], [`observation`] | what the frame means, and on what condition it counts |
//! | signal | [`tool`] | which tool's fingerprint a probe carries |
//! | count | [`frame_class`] | in which counter a frame is, whatever it shows |
//! | count | [`lost_frame`] | what the kernel's log says of a frame that can't be read |
//! | count | [`frame_origin`] | at which hook a frame was seen that is handed over |
//! | record | [`hit_header`] | what is handed over of the packets that count |
//! | names | [`dns_frame`] | what is handed over of DNS queries and answers |
//! | count | [`table`] | the [`Key`] under which it counts |
//! | count | [`detail`] | the key's sender, interface, or namespace and ending |
//! | count | [`netns`] | in which network namespace, if that is not the agent's |
//! | count | [`ending`] | how an accepted connection ended |
//! | count | [`packed`] | the key as words, and its hashes |
//! | count | [`admission`] | which sources get keys when room is short |
//! | count | [`sources`] | how many sources are behind an overflow key |
//! | count | [`recent`] | where the latest keys are counted |
//! | process | [`process`] | what the kernel reports of this host's programs and connections |
//! | - | [`keyed_hash`] | a hash that an outsider can't predict |
//! | - | [`protocol`] | the numbers that standards assign |
//!
//! Every decision about a packet is a pure function here; `recon-ebpf` only adds maps and helpers.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod admission;
pub mod detail;
pub mod dns_frame;
pub mod ending;
pub mod flow;
pub mod frame_class;
pub mod frame_origin;
pub mod hit_header;
pub mod keyed_hash;
pub mod loss;
pub mod lost_frame;
pub mod netns;
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
pub mod tool;

pub use detail::Detail;
pub use ending::Ending;
pub use flow::{Address, Flow};
pub use frame_class::{FrameClass, Ignored};
pub use frame_origin::FrameOrigin;
pub use hit_header::HitHeader;
pub use keyed_hash::HashSecrets;
pub use loss::Loss;
pub use lost_frame::LostFrame;
pub use netns::NetnsId;
pub use observation::{FlowMarks, FlowState, Observation, Sent};
pub use packed::PackedKey;
pub use packet::Packet;
pub use parse::{Direction, FragmentPlace, Parsed, parse};
pub use process::{ExecEvent, ImageId, PendingConnect};
pub use signal::Signal;
pub use sources::Registers;
pub use table::{Counter, Key};
pub use tool::Tool;
