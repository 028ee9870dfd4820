//! Wrong uses of recon, as rows of the files in `refusals/`: each gets an error that is true, the
//! right exit code, and leaves nothing behind.
//!
//! A row is what an operator types, and what recon answers:
//!
//! ```text
//! # an interval without a unit
//! $ recon run -i veth0 --interval 5
//! = 2
//! `5` is not a valid time
//! ! totals:
//! ```
//!
//! `#` has the name of the row, `$` a line of the shell, `=` the exit code. The other lines are
//! parts of the output, or with `!` what it must not have.
//!
//! The decisions held here: the shell runs in a folder of its own, in the lab's host. Whatever the
//! row, recon neither panics nor hangs, writes no control character to a terminal and no more than
//! somebody reads, and leaves nothing attached.

#[path = "refusals/row.rs"]
mod row;

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use recon_tests::agent::recon;
use recon_tests::hooks::{attached, attached_to_cgroup};
use recon_tests::process::{run, shell};
use recon_tests::{Lab, rows};

use row::{Row, parse};

/// The most time that a row may take, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);
/// The most bytes that a row may write: more than anybody reads.
const MOST_OUTPUT: usize = 16 << 10;
/// What a program that panics or aborts writes.
const CRASHES: [&str; 5] = [
    "panicked at",
    "stack backtrace",
    "overflowed its stack",
    "memory allocation of",
    "fatal runtime error",
];
/// Functions that rows call, in a file that each row reads. `watches ARGUMENTS` runs recon until it
/// watches, ends it, and prints its log and its alerts. `bpffs SCRIPT` runs a script with a bpffs
/// at `b`, whose pins end with it. The others give the lines of a file to recon.
const FUNCTIONS: &str = r#"
settings() { printf '%s\n' "$@" >recon.toml; recon config --config recon.toml; }
rules() { printf '%s\n' "$@" >a.kql; recon rules check a.kql; }
judge() { printf '%s\n' "$@" >rows; recon judge rows; }
bpffs() { unshare -m sh -c ". functions; mkdir b && mount -t bpf bpf b && { $1; }"; }
watches() {
    recon run "$@" >alerts 2>log &
    recon=$!
    until grep -q '\] watching ' log || ! kill -0 $recon; do sleep 0.02; done 2>/dev/null
    kill -INT $recon 2>/dev/null
    wait $recon
    code=$?
    cat log alerts
    return $code
}
"#;

/// Labs that no row uses now: to build one takes longer than most rows.
#[derive(Default)]
struct Labs(Mutex<Vec<Lab>>);

impl Labs {
    fn take(&self) -> Result<Lab> {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.map_or_else(Lab::new, Ok)
    }

    fn give_back(&self, lab: Lab) {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(lab);
    }
}

/// Runs the rows of a file of that name.
fn check(file: &str, text: &str) {
    let table = parse(file, text).expect("a table of rows");
    let labs = Labs::default();
    rows::check(
        &table,
        |row| &row.name,
        |row| {
            let lab = labs.take()?;
            check_row(&lab, row)?;
            // A lab in which something is left is not used again.
            labs.give_back(lab);
            Ok(())
        },
    );
}

fn check_row(lab: &Lab, row: &Row) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let [programs, work] = ["bin", "work"].map(|name| folder.path().join(name));
    fs::create_dir(&programs)?;
    fs::create_dir(&work)?;
    // For rows that another user runs.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    fs::set_permissions(&work, Permissions::from_mode(0o777))?;
    symlink(
        Path::new(recon("")?.get_program()).canonicalize()?,
        programs.join("recon"),
    )?;
    fs::write(programs.join("functions"), FUNCTIONS)?;
    let mut paths = vec![programs];
    paths.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let mut command = shell(&format!(". functions\n{}", row.script));
    command
        .env("PATH", env::join_paths(paths)?)
        .env("RUST_BACKTRACE", "1")
        .env(
            "CGROUP",
            lab.watched_sockets().pop().context("a cgroup of the lab")?,
        )
        .current_dir(&work);
    let finished = run(lab.host(), command, DEADLINE)?;
    let output = &finished.output;
    let code = finished.status.code();
    ensure!(
        code == Some(row.code),
        "{}, not code {}: {output}",
        finished.status,
        row.code
    );
    for text in &row.says {
        ensure!(output.contains(text), "no {text:?} in: {output}");
    }
    for text in row.does_not_say.iter().map(String::as_str).chain(CRASHES) {
        ensure!(!output.contains(text), "{text:?} in: {output}");
    }
    ensure!(output.len() <= MOST_OUTPUT, "{} bytes", output.len());
    let control = output
        .chars()
        .find(|&letter| letter.is_control() && letter != '\n');
    ensure!(control.is_none(), "{control:?} in: {output:?}");
    if row.script.contains("recon run") || row.script.contains("watches") {
        let left = [attached(lab)?, attached_to_cgroup(lab)?].concat();
        ensure!(left.is_empty(), "still attached: {left:?}");
    }
    Ok(())
}

/// A test for each file of rows.
macro_rules! tables {
    ($($name:ident: $file:literal;)*) => {$(
        #[test]
        fn $name() {
            check($file, include_str!(concat!("refusals/", $file)));
        }
    )*};
}

tables! {
    wrong_arguments: "arguments.txt";
    wrong_cgroups: "cgroup.txt";
    wrong_interfaces: "interfaces.txt";
    wrong_files: "files.txt";
    wrong_pipes: "pipes.txt";
    wrong_streams: "streams.txt";
    wrong_settings: "settings.txt";
    wrong_tables: "tables.txt";
    wrong_reports: "report.txt";
    wrong_rules: "rules.txt";
    wrong_annotations: "annotations.txt";
    wrong_rows: "rows.txt";
    missing_privileges: "privileges.txt";
    low_limits: "limits.txt";
    ill_timed_signals: "signals.txt";
    wrong_checks: "commands.txt";
    wrong_states: "state.txt";
    wrong_pins: "pins.txt";
    wrong_sockets: "control.txt";
    wrong_metrics: "metrics.txt";
    wrong_lists: "lists.txt";
    wrong_databases: "databases.txt";
    wrong_sinks: "sinks.txt";
    wrong_replays: "replay.txt";
}
