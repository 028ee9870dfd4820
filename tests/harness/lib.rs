//! The laboratory: a host under watch and an attacker, each in a network namespace of its own, with the agent in between.
//!
//! | module | gives |
//! |---|---|
//! | [`namespace`] | a network namespace that is gone when its guard is |
//! | [`cgroup`] | a cgroup for the processes of one side, likewise |
//! | [`process`] | a command in a namespace, with a deadline; dead when its guard is gone |
//! | [`program`] | where a program's file is, and copies under other names |
//! | [`test_process`] | a process that connects, sends and listens on command |
//! | [`lab`] | two namespaces joined by a veth pair, with addresses and routes |
//! | [`frame`], [`sender`] | crafted frames, put on the attacker's end of the pair |
//! | [`dns`], [`server`] | a DNS responder, nginx, iperf3 and netcat |
//! | [`agent`], [`seen`] | the agent as a process, and what it has written so far |
//! | [`machine`] | what the guests of the scenarios have |
//! | [`kernel`] | which kernel runs, and which is the first that can do something |
//! | [`hooks`] | what is attached to an interface, asked of the kernel |
//! | [`rows`] | a table's rows, checked side by side |
//! | [`report`] | what tests tell for tables of many kernels |
//! | [`usage`] | what a process takes of processors and memory |
//!
//! Nothing here sleeps: waiting means a condition and a deadline. Nothing here knows the agent's code: it is judged by what it
//! writes. Everything needs root.

pub mod agent;
pub mod cgroup;
pub mod dns;
pub mod frame;
pub mod hooks;
pub mod kernel;
pub mod lab;
pub mod machine;
pub mod namespace;
pub mod process;
pub mod program;
pub mod report;
pub mod rows;
pub mod seen;
pub mod sender;
pub mod server;
pub mod test_process;
pub mod usage;

pub use agent::Agent;
pub use lab::Lab;
pub use process::Process;
pub use seen::{Alert, Seen, Tally};
pub use sender::Sender;
pub use server::Server;
pub use test_process::TestProcess;

use std::time::Duration;

/// How long a condition may take to come true. Far beyond what any does, so that only a hang or a bug reaches it.
pub const PATIENCE: Duration = Duration::from_secs(30);
