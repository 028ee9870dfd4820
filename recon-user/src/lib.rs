//! The recon agent: from the kernel's counts to alerts.
//!
//! The modules, in the order in which data passes through them:
//!
//! | module | takes | gives |
//! |---|---|---|
//! | [`hook`] | interfaces, a cgroup | attached programs, whose maps the kernel fills |
//! | [`drain`] | the two generations of a map | the exact counts of one interval |
//! | [`process`] | started programs, pids, ports | processes, and who listens on a port |
//! | [`row`] | a count and its process | a row of the table that rules read |
//! | [`pipeline`] | rows, ends of polls | notifications, by way of `stream` and `incident` |
//! | [`stream`] | rows, queries, a memory budget | groups, aggregated over sliding windows |
//! | [`incident`] | changed groups | findings when an incident begins, grows or ends |
//! | [`blind`] | what a poll could not see | reports on who is blind, and on who sees again |
//! | [`alert`] | findings, digests and reports, processes | lines in Elastic Common Schema |
//! | [`sink`] | lines | stdout, files, journald, syslog, sockets; waits for no reader |
//! | [`metrics`] | what a poll has counted | answers to a scraper |
//! | `sandbox` | the folders of the agent's files | an agent that may do no more than it needs |
//! | [`logging`] | what recon says of itself | text or JSON on stderr; waits for no reader |
//!
//! The modules that decide what the pipeline looks for:
//!
//! | module | takes | gives |
//! |---|---|---|
//! | [`kql`] | rule files | the plan of each query, or diagnostics |
//! | [`rule`] | plans | the built-in detections, and rules as the settings configure them |
//! | [`settings`] | recon.toml, options, rule files | the rules in force |
//!
//! Modules that the others share: `address` (the scope of an address, networks), `boot` (which boot
//! this is), `duration` (durations as text), `parent_folder` (the folder of a file), `passwd` (the
//! users of this host), `prefetch` (memory that a replay reads soon), `private_signals` (what
//! private remotes do unjudged), `standard_streams` (what stdout and stderr lead to),
//! `process_limits` (what would end this process halfway), `usage` (errors of the command line),
//! `diagnostic` (errors in rule files and recon.toml), `enrich` (networks, countries and names of addresses), `stable_hash` (ids of
//! incidents and sources), `saved` (the saved form of times). `state` holds the files that outlive
//! a process, `record` the packets that alerts are about.
//!
//! [`agent`] connects all of them, [`check`] says what this host allows it, [`judge`] runs the
//! pipeline over rows that were written earlier, [`replay`] over the packets of a `capture`,
//! [`report`] makes a page of what they find, and
//! [`cli`] declares their options. [`seed`] is
//! the secret with which all of them hash addresses. Everything from `row` to `alert` is a pure
//! function of its input; the caller passes the clock.

mod address;
pub mod agent;
pub mod alert;
pub mod blind;
mod boot;
mod capture;
pub mod check;
pub mod cli;
pub mod contact;
pub mod diagnostic;
pub mod drain;
mod duration;
mod enrich;
pub mod hook;
pub mod incident;
pub mod judge;
pub mod kql;
pub mod logging;
pub mod metrics;
#[cfg(test)]
mod mutation;
mod parent_folder;
mod passwd;
pub mod pipeline;
mod prefetch;
mod private_signals;
pub mod process;
pub mod process_limits;
mod record;
pub mod replay;
pub mod report;
pub mod row;
pub mod rule;
mod sandbox;
mod saved;
pub mod seed;
pub mod service;
pub mod settings;
pub mod sink;
mod stable_hash;
pub mod standard_streams;
mod state;
pub mod stream;
pub mod top;
pub mod usage;
