//! Rules in force: the built-in files, and what settings make of rules.
//!
//! In: plans of queries, settings. Out: [`Configured`] rules, which the stream runs.
//! The decision held here: rules are data. No rule has code of its own.

mod catalogue;
mod configured;
mod forms;
mod remotes;
mod scanner;

pub use catalogue::{Profile, Technique, defaults};
pub use configured::Configured;
pub use forms::{captured, mirrored, of_captures};
pub use remotes::Remotes;
pub use scanner::{SCANNERS, scanners};
