//! Checks of the sinks of the settings.
//!
//! In: the settings. Out: a line for each sink.
//! The decision held here: a socket is connected to and closed again, with no line sent. Nobody
//! listening is a note: the order in which services start is not recon's.

use super::files::check_file;
use super::report::{Line, Report};
use crate::settings::Settings;
use crate::sink::{Destination, Unreachable, probe};

const PART: &str = "configuration";
const SINKS: &str = "sinks";
pub(super) fn check_sinks(settings: &Settings, report: &mut Report) {
    for (name, sink) in &settings.sinks {
        let Some(destination) = sink.value.destination() else {
            continue;
        };
        if let Destination::File { path, .. } = &destination {
            check_file(SINKS, path, report);
            continue;
        }
        report.push(match probe(&destination) {
            Ok(()) => Line::ok(PART, SINKS, format!("{name}: {destination} is there")),
            Err(Unreachable::Peer(error)) => Line::note(
                PART,
                SINKS,
                format!("{name}: {destination}: {error}"),
            )
            .costs(
                "lines wait in its queue until somebody listens, and are dropped once it is full",
            )
            .mend("start whoever is to listen there"),
            Err(Unreachable::Files(error)) => {
                Line::failure(PART, SINKS, format!("{name}: {destination}: {error:#}"))
                    .costs("recon does not start")
            }
        });
    }
}
