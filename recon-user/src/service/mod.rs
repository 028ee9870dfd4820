//! What a service owes its operator: a socket to ask it, and word to the service manager.
//!
//! In: a path, the environment, requests. Out: answers, notifications.
//!
//! | module | holds |
//! |---|---|
//! | `protocol` | requests and answers: one JSON line each |
//! | `control` | the socket on which the agent is asked |
//! | `listen` | sockets that the agent listens on |
//! | `live` | what `recon status`, `recon top` and `recon explain` get |
//! | `client` | `recon reload`, `recon status` and `recon explain` |
//! | `lines` | answers as lines |
//! | `notify` | the protocol of systemd's Type=notify |
//! | `build` | which build this is |
//!
//! The decision held here: nothing in here knows what the agent does. It hands on requests, and
//! whoever serves them gives back an answer.

mod build;
mod client;
mod connect;
mod control;
mod lines;
mod listen;
mod live;
mod notify;
mod protocol;

pub use build::{LONG_VERSION, SHORT_VERSION};
pub(crate) use client::live;
pub use client::{Whom, explain, reload, status};
pub(crate) use control::{Asked, ControlSocket};
pub(crate) use lines::{ago, to_second};
pub(crate) use listen::{Found, SocketIdentity, listen_at, look_at_socket, remove_socket};
pub(crate) use live::{
    ExplainedCount, ExplainedLine, ExplainedRule, ExplainedSeverity, Explanation, Live,
    LiveIncident, LiveProcess, LiveRequest, LiveSource, MAX_INCIDENTS, MAX_SOURCES, VerdictCounts,
};
pub(crate) use notify::Notifier;
pub(crate) use protocol::{Answer, Body, LastReload, READING_TIME, Request, SinkStatus, Status};

/// The socket of the packaged service.
pub const DEFAULT_SOCKET: &str = "/run/recon/control.sock";
