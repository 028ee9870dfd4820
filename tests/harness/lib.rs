//! The lab: a watched host and an attacker, each in a network namespace of its own, and the agent
//! between them.
//!
//! | module | gives |
//! |---|---|
//! | [`namespace`] | a network namespace, removed with its guard |
//! | [`cgroup`] | a cgroup for the processes of one side, removed with its guard |
//! | [`process`] | a command in a namespace, with a deadline; killed with its guard |
//! | [`program`] | the path of a program, and copies with other names |
//! | [`test_process`] | a process that connects, sends and listens on command |
//! | [`lab`] | two namespaces joined by a veth pair, with addresses and routes |
//! | [`frame`], [`sender`] | crafted frames, sent from the attacker's end of the pair |
//! | [`scan`] | a port scan by plain connections, and the alert about it |
//! | [`dns`], [`server`] | a DNS responder, nginx, iperf3 and netcat |
//! | [`nats_server`] | a NATS server with JetStream, and what its stream has |
//! | [`agent`], [`seen`] | the agent as a process, and its output so far |
//! | [`machine`] | the machines of the scenarios |
//! | [`kernel`] | the running kernel, and the first kernels with some features |
//! | [`hooks`], [`detach`](mod@detach) | hooks of an interface, from the kernel; detaching one |
//! | [`foreign`] | another program on a hook |
//! | [`pins`] | a bpffs of a test, and what is pinned there |
//! | [`scrape`] | what a scraper reads of an agent |
//! | [`rows`] | a table's rows, checked in parallel |
//! | [`report`] | facts that tests record for tables of many kernels |
//! | [`wall_clock`] | a wall clock that a test sets, for one program |
//! | [`usage`] | the processor time and memory of a process |
//! | [`wire`] | a tun or tap device in each of two namespaces, joined |
//!
//! Nothing here sleeps: a wait has a condition and a deadline. Nothing here uses the agent's code:
//! tests judge its output. Everything needs root.

pub mod agent;
pub mod cgroup;
pub mod detach;
pub mod dns;
pub mod foreign;
pub mod frame;
pub mod hooks;
pub mod kernel;
pub mod lab;
pub mod machine;
pub mod mounts;
pub mod namespace;
pub mod nats_server;
pub mod pins;
pub mod process;
pub mod program;
pub mod report;
pub mod rows;
pub mod scan;
pub mod scrape;
pub mod seen;
pub mod sender;
pub mod server;
pub mod test_process;
pub mod usage;
pub mod wall_clock;
pub mod wire;

pub use agent::Agent;
pub use lab::Lab;
pub use process::Process;
pub use seen::{Alert, Seen, Tally};
pub use sender::Sender;
pub use server::Server;
pub use test_process::TestProcess;
pub use wire::Wire;

use std::time::Duration;

/// The deadline of a condition. Far beyond what any takes, so that only a hang or a bug reaches it.
pub const PATIENCE: Duration = Duration::from_secs(30);
