//! Checks of what other processes use, too: the folder of pins, and the control socket.
//!
//! In: the options. Out: lines, and which programs are recon's own.
//! The decision held here: what a recon that runs uses is no loss. The operator checks a host on
//! which the service runs, and its next start takes it over.

use nix::unistd::geteuid;

use super::files::may_create_in;
use super::report::{Line, Report};
use crate::cli::RunOptions;
use crate::diagnostic::error_chain;
use crate::hook::{SeenPins, SeenSet, look_at_pins};
use crate::parent_folder::parent_folder;
use crate::service::{Found, look_at_socket};

const PART: &str = "restarts";
const PINS: &str = "pins";
const LEFT: &str = "pinned";
const CONTROL: &str = "control";

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
    let name = path.display();
    let found = match look_at_socket(path) {
        Ok(found) => found,
        Err(error) => {
            report.push(Line::failure(PART, CONTROL, format!("{error:#}")));
            return;
        }
    };
    if found == Found::Listener {
        let says = format!("a recon that runs listens on {name}; another one can't meanwhile");
        report.push(
            Line::note(PART, CONTROL, says).mend("end that one first, or restart the service"),
        );
        return;
    }
    report.push(match (may_create_in(parent_folder(path)), found) {
        (Ok(()), Found::Leftover) => {
            let says =
                format!("{name} was left by a recon that was killed; the next one replaces it");
            Line::ok(PART, CONTROL, says)
        }
        (Ok(()), _) => Line::ok(PART, CONTROL, format!("{name} can be created")),
        (Err(error), _) => {
            let says = format!(
                "{name} can't be created: {}: {error}",
                parent_folder(path).display()
            );
            Line::failure(PART, CONTROL, says)
                .mend("create its folder, and give it to the user that recon runs as")
        }
    });
}
