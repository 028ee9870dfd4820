//! Checks of files: rules and settings, and what recon writes.
//!
//! In: the options, the rules in force. Out: lines.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, faccessat};

use super::report::{Line, Report};
use crate::agent::record;
use crate::cli::RunOptions;
use crate::parent_folder::parent_folder;
use crate::settings::InForce;
use crate::state::{StateError, look_at_state};

const PART: &str = "configuration";
/// Permission of users who are neither the owner nor of the group to read.
const READABLE_BY_OTHERS: u32 = 0o004;

pub(super) fn check_rules(in_force: &InForce, report: &mut Report) {
    let says = format!("{} rules are in force", in_force.rules.len());
    report.push(Line::ok(PART, "rules and settings", says));
    for warning in in_force.warnings.lines() {
        let warning = warning.trim_start_matches("warning: ");
        report.push(Line::note(PART, "rules and settings", warning));
    }
}

/// The databases that `[enrich]` names, as they were read.
pub(super) fn check_databases(in_force: &InForce, report: &mut Report) {
    for (content, database) in in_force.settings.databases.files() {
        let check = content.setting();
        let says = database.in_words();
        report.push(match database.check_records(content) {
            Ok(()) => Line::ok(PART, check, says),
            Err(error) => Line::note(PART, check, format!("{says}, damaged: {error}"))
                .costs("alerts lack what it says of some addresses")
                .mend("download it again"),
        });
    }
}

/// The files of rows and of alerts, and the folder of the state.
pub(super) fn check_files(run: &RunOptions, report: &mut Report) {
    if let Some(path) = run.events.as_deref().filter(|path| *path != Path::new("-")) {
        check_file("events", path, report);
    }
    if let Some(path) = run.alerts.as_deref() {
        check_file("alerts", path, report);
    }
    if let Some(folder) = run.state.as_deref() {
        check_state(folder, report);
    }
}

/// The folder of evidence files.
pub(super) fn check_record(run: &RunOptions, in_force: &InForce, report: &mut Report) {
    if let Some(folder) = record::folder(run, &in_force.settings) {
        check_folder("record", folder, report);
    }
}

/// The folder that windows and incidents are saved in.
fn check_state(folder: &Path, report: &mut Report) {
    if folder.is_dir()
        && let Err(error) = look_at_state(folder)
    {
        report.push(match error {
            StateError::Locked { .. } => {
                let name = folder.display();
                let says = format!("a recon that runs uses {name}; another one can't meanwhile");
                Line::note(PART, "state", says).mend("end that one first, or restart the service")
            }
            error => Line::failure(PART, "state", error),
        });
        return;
    }
    check_folder("state", folder, report);
}

/// A folder that recon writes to, or the one that it will be created in.
fn check_folder(check: &'static str, folder: &Path, report: &mut Report) {
    let name = folder.display();
    let place = match folder.exists() {
        true => folder,
        false => parent_folder(folder),
    };
    report.push(match may_create_in(place) {
        Ok(()) if place.is_dir() => Line::ok(PART, check, format!("{name} can be written")),
        Ok(()) => Line::failure(PART, check, format!("{name} is no folder")),
        Err(error) => Line::failure(PART, check, format!("{name} can't be written: {error}"))
            .mend("create it, and give it to the user that recon runs as"),
    });
    check_space(check, place, report);
}

/// Warns of a file system that is nearly full.
fn check_space(check: &'static str, folder: &Path, report: &mut Report) {
    /// What a journal may have before a snapshot follows.
    const LEAST: u64 = 64 << 20;
    let Ok(found) = statvfs(folder) else { return };
    let free = found
        .blocks_available()
        .saturating_mul(found.fragment_size());
    if free < LEAST {
        let says = format!("{}: {} KiB are free", folder.display(), free >> 10);
        report.push(
            Line::loss(PART, check, says)
                .costs("what can't be written is lost, and counted in the log")
                .mend("make room: 64 MiB or more"),
        );
    }
}

/// A file that lines are appended to.
pub(super) fn check_file(check: &'static str, path: &Path, report: &mut Report) {
    let name = path.display();
    if let Err(error) = try_to_write(path) {
        let line = Line::failure(PART, check, format!("{name} can't be written: {error}"));
        report.push(line.mend("create its folder, and give it to the user that recon runs as"));
        return;
    }
    report.push(Line::ok(PART, check, format!("{name} can be written")));
    check_space(check, parent_folder(path), report);
    let is_readable = |file: &fs::Metadata| file.is_file() && file.mode() & READABLE_BY_OTHERS != 0;
    if fs::metadata(path).is_ok_and(|file| is_readable(&file)) {
        let says = format!("every user of this host may read {name}");
        report.push(Line::note(PART, check, says).mend(format!("chmod o= {name}")));
    }
}

/// Opens the file without creating it, or asks whether its folder may get one.
fn try_to_write(path: &Path) -> io::Result<()> {
    // A named pipe without a reader is one that recon waits for.
    let opened = File::options()
        .append(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path);
    match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => may_create_in(parent_folder(path)),
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(()),
        opened => opened.map(drop),
    }
}

/// Whether files may be created in the folder.
pub(super) fn may_create_in(folder: &Path) -> io::Result<()> {
    let may = AccessFlags::W_OK | AccessFlags::X_OK;
    Ok(faccessat(AT_FDCWD, folder, may, AtFlags::AT_EACCESS)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_not_created_by_the_check() {
        let folder = tempfile::tempdir().expect("a folder");
        let [new, old, none] = ["new", "old", "none/new"].map(|name| folder.path().join(name));
        fs::write(&old, "row\n").expect("a file");
        for (path, is_writable) in [(&new, true), (&old, true), (&none, false)] {
            assert_eq!(
                try_to_write(path).is_ok(),
                is_writable,
                "{}",
                path.display()
            );
        }
        assert!(try_to_write(folder.path()).is_err());
        assert!(!new.exists());
        assert_eq!(fs::read(&old).expect("a file"), b"row\n");
    }
}
