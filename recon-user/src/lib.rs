//! The agent: from the kernel's counts to alerts.
//!
//! The data's way through this crate, a module a step:
//!
//! | step | module | takes | gives |
//! |---|---|---|---|
//! | hook | [`hook`] | interfaces | programs attached, maps filled by the kernel |
//! | drain | [`drain`] | two generations of a map | exact counts of one interval |
//! | window | [`window`] | counts with a time | what a sliding window holds |
//! | rule | [`rule`] | - | the detections, one table of data |
//! | kql | [`kql`] | rule files | the rules in them, checked, or what is wrong |
//! | settings | [`settings`] | recon.toml, options, rule files | the rules in force |
//! | process | [`process`] | programs started, ids of processes, ports | who they are, and who listens |
//! | row | [`row`] | a count, its process | a row of the table that rules read |
//! | judge | [`judge`] | counts, rules, the time | findings: a group over its threshold |
//! | alert | [`alert`] | findings | lines in Elastic Common Schema |
//! | sink | [`sink`] | lines | stdout, never waiting for its reader |
//!
//! Leaves that the others share: `address` (scope, networks), `duration` (as text) and
//! `diagnostic` (errors in files).
//!
//! [`seed`] is what all of them hash addresses with. [`agent`] strings them together, and [`replay`] does for rows that were written before. Everything from window to alert is a pure function of its input, the clock passed in.

mod address;
pub mod agent;
pub mod alert;
pub mod cli;
mod diagnostic;
pub mod drain;
mod duration;
pub mod hook;
pub mod incident;
pub mod kql;
pub mod pipeline;
pub mod process;
pub mod replay;
pub mod row;
pub mod rule;
pub mod seed;
pub mod settings;
pub mod sink;
pub mod stream;
