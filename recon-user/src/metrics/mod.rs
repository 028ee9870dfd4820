//! Metrics: what a scraper reads of a running agent.
//!
//! In: a [`Snapshot`] at the end of each poll. Out: `GET /metrics` as OpenMetrics, and
//! `GET /healthz`.
//!
//! | module | holds |
//! |---|---|
//! | `address` | where metrics are served |
//! | `snapshot` | what the agent has counted by the end of a poll |
//! | `histogram`, `lines` | parts of it |
//! | `published` | the last snapshot, for both threads |
//! | `family` | one metric, and its samples |
//! | `families` | all metrics: a table |
//! | `own` | the processor time and memory of this process |
//! | `text` | a snapshot as OpenMetrics, and as text for older scrapers |
//! | `health` | whether polls really happen, and whether recon is blind or tampered with |
//! | `listener` | the sockets |
//! | `server` | the thread that answers |
//!
//! The decisions held here:
//! - No poll waits for a scrape: the agent hands over one snapshot a poll, and a thread of its own
//!   encodes it. A client that connects without a pause still keeps a processor busy; grace periods
//!   then end late, and so do polls.
//! - No remote address, user or process is ever a label: whoever sends packets chooses those. Label
//!   values are built-in names, the ids of the operator's rules and the names of the operator's
//!   sinks.

mod address;
mod families;
mod family;
mod health;
mod histogram;
mod lines;
mod listener;
mod own;
mod published;
mod server;
mod snapshot;
mod text;

pub use address::MetricsAddress;
pub(crate) use histogram::DurationHistogram;
pub(crate) use lines::{LineCounts, LineKind};
pub(crate) use listener::{MetricsListener, look_at_address};
pub(crate) use published::Published;
pub(crate) use server::MetricsServer;
pub(crate) use snapshot::{SinkCounts, Snapshot};
