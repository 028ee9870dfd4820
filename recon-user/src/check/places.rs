//! Checks of what other processes use, too: the folder of pins, the control socket, and the address
//! of metrics.
//!
//! In: the options. Out: lines, and which programs are recon's own.
//! The decision held here: what a recon that runs uses is no loss. The operator checks a host on
//! which the service runs, and its next start takes it over.

use std::path::Path;

use nix::unistd::geteuid;

use super::files::may_create_in;
use super::report::{Line, Report};
use crate::cli::RunOptions;
use crate::diagnostic::error_chain;
use crate::hook::{SeenPins, SeenSet, look_at_pins};
use crate::metrics::{MetricsAddress, look_at_address};
use crate::parent_folder::parent_folder;
use crate::service::{Found, look_at_socket};

const PART: &str = "restarts";
const PINS: &str = "pins";
const LEFT: &str = "pinned";
const CONTROL: &str = "control";
const METRICS: &str = "metrics";

/// The folder of pins, and what an earlier recon left there.
pub(super) fn check_pins(run: &RunOptions, report: &mut Report) -> SeenPins {
    let Some(folder) = run.pins.as_deref() else {
        let says =
            "not asked for: hooks end with recon, and a restart misses what happens meanwhile";
        report.push(Line::note(PART, PINS, says).mend("--pins /sys/fs/bpf/recon"));
        return SeenPins::default();
    };
    let seen = match look_at_pins(folder, run.table_entries) {
        Ok(seen) => seen,
        Err(error) => {
            report.push(Line::failure(PART, PINS, error_chain(&error)));
            return SeenPins::default();
        }
    };
    let name = folder.display();
    if seen.is_in_use {
        let says = format!("a recon that runs uses {name}; another one can't meanwhile");
        report
            .push(Line::note(PART, PINS, says).mend("end that one first, or restart the service"));
        return seen;
    }
    let place = match seen.is_there {
        true => folder,
        false => parent_folder(folder),
    };
    report.push(match may_create_in(place) {
        Ok(()) if seen.is_there => Line::ok(PART, PINS, format!("{name} can be written")),
        Ok(()) => Line::ok(PART, PINS, format!("{name} can be created")),
        Err(error) => Line::failure(PART, PINS, format!("{name} can't be written: {error}"))
            .mend("create it as root with mode 0700, owned by recon's user"),
    });
    for set in &seen.sets {
        report.push(of_set(set));
    }
    seen
}

fn of_set(set: &SeenSet) -> Line {
    let SeenSet {
        name,
        owner,
        hooks,
        refusal,
    } = set;
    let own = geteuid().as_raw();
    let says = format!("{name}: {hooks} hooks, left by a recon of user id {owner}");
    if *owner != own && own != 0 {
        return Line::failure(PART, LEFT, says)
            .costs("recon can't take it over")
            .mend("run recon as that user, or type `recon detach` as root");
    }
    match refusal {
        None => Line::ok(PART, LEFT, format!("{says}, and of this version: recon goes on with it")),
        Some(refusal) => Line::note(PART, LEFT, format!("{says}; {refusal}"))
            .costs("the next start replaces its maps on the same hooks, and what they counted since the last poll is lost"),
    }
}

/// The control socket.
pub(super) fn check_control(run: &RunOptions, report: &mut Report) {
    let Some(path) = run.control.as_deref() else {
        let says = "not asked for: `recon reload` and `recon status` reach no recon";
        report.push(Line::note(PART, CONTROL, says).mend("--control /run/recon/control.sock"));
        return;
    };
    report.push(of_socket(CONTROL, path, look_at_socket(path, "--control")));
}

/// The address of metrics.
pub(super) fn check_metrics(run: &RunOptions, report: &mut Report) {
    let Some(address) = &run.metrics else {
        let says = "not asked for: no scraper reads what recon counts";
        report.push(Line::note(PART, METRICS, says).mend("--metrics 127.0.0.1:9753"));
        return;
    };
    let found = look_at_address(address);
    report.push(match (address, found) {
        (MetricsAddress::Unix(path), found) => of_socket(METRICS, path, found),
        (MetricsAddress::Tcp(address), Ok(Found::Listener)) => {
            let says = format!("somebody listens on {address}; another one can't meanwhile");
            Line::note(PART, METRICS, says)
                .mend("if that is no recon, use another port; else end that one first, or restart the service")
        }
        (MetricsAddress::Tcp(address), Ok(_)) => {
            Line::ok(PART, METRICS, format!("{address} is free"))
        }
        (_, Err(error)) => Line::failure(PART, METRICS, format!("{error:#}")),
    });
}

/// A Unix socket, and what was found at its path.
fn of_socket(check: &'static str, path: &Path, found: anyhow::Result<Found>) -> Line {
    let name = path.display();
    let folder = parent_folder(path);
    match (found, may_create_in(folder)) {
        (Err(error), _) => Line::failure(PART, check, format!("{error:#}")),
        (Ok(Found::Listener), _) => {
            let says = format!("a recon that runs listens on {name}; another one can't meanwhile");
            Line::note(PART, check, says).mend("end that one first, or restart the service")
        }
        (Ok(Found::Leftover), Ok(())) => {
            let says =
                format!("{name} was left by a recon that was killed; the next one replaces it");
            Line::ok(PART, check, says)
        }
        (Ok(Found::Nothing), Ok(())) => Line::ok(PART, check, format!("{name} can be created")),
        (Ok(_), Err(error)) => {
            let says = format!("{name} can't be created: {}: {error}", folder.display());
            Line::failure(PART, check, says)
                .mend("create its folder, and give it to the user that recon runs as")
        }
    }
}
