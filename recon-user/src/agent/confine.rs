//! The last step of a start: the agent gives up what it needs no more.
//!
//! In: the options. Out: a reduced process, and log lines that say so.

use std::path::Path;

use super::output::{AgentOutput, is_stdout};
use super::record;
use crate::cli::RunOptions;
use crate::hook;
use crate::metrics::MetricsAddress;
use crate::sandbox::{self, Paths, SpecialThreads};
use crate::settings::{DEFAULT_FILE, Settings};
use crate::sink::Destination;

/// Reduces the process, unless the options say otherwise. `server` is the thread that answers
/// scrapes.
pub(super) fn confine(
    options: &RunOptions,
    settings: &Settings,
    output: &AgentOutput,
    server: Option<libc::pid_t>,
) {
    if options.no_sandbox {
        tracing::warn!(
            "no sandbox: recon keeps all its capabilities and may open any file; leave out --no-sandbox to change that"
        );
        return;
    }
    let mut paths = paths(options, settings);
    for destination in output.destinations() {
        if let Some(peer) = destination.peer() {
            paths.connect(peer);
        }
        // To connect to a Unix socket is to open no file.
        if let Destination::File { path, .. } = destination {
            paths.write_file(path);
        }
    }
    let threads = SpecialThreads {
        peers: output.threads(|it| it.peer().is_some()),
        journals: output.threads(|it| matches!(it, Destination::Journal { .. })),
        server,
        listing: hook::listing_threads(),
    };
    let reduced = sandbox::reduce(&paths, &threads);
    tracing::info!("{reduced}");
    for missing in &reduced.missing {
        tracing::warn!("{missing}");
    }
}

/// The files that the agent opens again.
fn paths(options: &RunOptions, settings: &Settings) -> Paths {
    let mut paths = Paths::default();
    let events = options.events.as_deref().filter(|path| !is_stdout(path));
    let rules = &options.rule_options;
    let config = rules.config.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
    paths.read(config);
    let others = rules.rules.iter().chain(&options.cgroup);
    let others = others.chain(settings.list_files());
    let others = others.chain(settings.database_files());
    others.for_each(|path| paths.read(path));
    // Pins come and go with interfaces.
    let written = events.into_iter().chain(options.state.as_deref());
    let written = written.chain(options.alerts.as_deref());
    // The sockets are removed at the end.
    let written = written.chain(options.control.as_deref());
    let written = written.chain(match &options.metrics {
        Some(MetricsAddress::Unix(path)) => Some(path.as_path()),
        _ => None,
    });
    let written = written.chain(options.pins.as_deref());
    let written = written.chain(record::folder(options, settings));
    written.for_each(|path| paths.write_file(path));
    paths
}
