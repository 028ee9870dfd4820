//! `recon check`: what recon can do here, before it does it.
//!
//! In: the options of `recon run`. Out: lines on stdout, and an exit code.
//! The decisions held here: features are tried, since distributions add them to old kernels and
//! take them from new ones. The programs are loaded, attached to the cgroup for a moment and to an
//! interface of a namespace that is made for that; their maps are thrown away unread. A part that
//! can't be tried says so, and never counts as available.

mod files;
mod hooks;
mod host;
mod places;
mod report;
mod sinks;

use std::io::{self, Write};

use anyhow::Context as _;

use crate::cli::CheckOptions;
use crate::rule;
use crate::settings;
use report::{Line, Report};

/// Checks everything and writes the report. Returns the exit code.
///
/// # Errors
/// The report can't be written.
pub fn run(options: &CheckOptions) -> anyhow::Result<u8> {
    let mut report = Report::default();
    let run = &options.run;
    let in_force = match settings::in_force(&run.rule_options, rule::defaults) {
        Ok(in_force) => {
            files::check_rules(&in_force, &mut report);
            files::check_databases(&in_force, &mut report);
            Some(in_force)
        }
        Err(refused) => {
            let mend = "correct it; `recon rules check FILE` checks a file of rules";
            report.push(Line::failure("configuration", "rules and settings", &refused).mend(mend));
            None
        }
    };
    files::check_files(run, &mut report);
    if let Some(in_force) = &in_force {
        files::check_record(run, in_force, &mut report);
        sinks::check_sinks(&in_force.settings, &mut report);
    }
    places::check_control(run, &mut report);
    places::check_metrics(run, &mut report);
    let pins = places::check_pins(run, &mut report);
    let may_try = host::check_limits(run, in_force.as_ref(), &pins, &mut report);
    host::check_kernel(&mut report);
    let sockets = hooks::check_hooks(run, in_force.as_ref(), &pins, may_try, &mut report);
    host::check_privileges(in_force.as_ref(), sockets.as_ref(), &mut report);
    host::check_processes(&mut report);
    let written = match options.json {
        true => report.write_json(&mut io::stdout()),
        false => report.write_text(&mut io::stdout()),
    };
    match written.and_then(|()| io::stdout().flush()) {
        // A reader that has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.context("can't write to stdout")?,
    }
    Ok(report.exit_code())
}
