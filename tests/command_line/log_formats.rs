//! The log in each format, as its reader gets it.

use std::fs;

use anyhow::{Context, Result, ensure};
use recon_tests::agent::recon;
use recon_tests::lab::HOST_LINK;
use recon_tests::process::{run, shell};
use recon_tests::{Lab, PATIENCE, rows};
use serde_json::Value;

/// What precedes recon's words, how it is started, and what a line must be.
struct Row {
    name: &'static str,
    /// Precedes the command. `$LOG` is the file that stderr leads to.
    environment: &'static str,
    arguments: &'static str,
    check: fn(&str) -> Result<()>,
}

const ROWS: &[Row] = &[
    Row {
        name: "text, since stderr is no journal",
        environment: "",
        arguments: "",
        check: |line| ensure_starts(line, &["[INFO ] ", "[WARN ] ", "[DEBUG] ", "[TRACE] "]),
    },
    Row {
        name: "another stream of the service leads to the journal",
        environment: "export JOURNAL_STREAM=1:2;",
        arguments: "",
        check: |line| ensure_starts(line, &["[INFO ] ", "[WARN ] ", "[DEBUG] ", "[TRACE] "]),
    },
    Row {
        name: "stderr leads to the journal",
        environment: "export JOURNAL_STREAM=$(stat -c %d:%i $LOG);",
        arguments: "",
        check: |line| ensure_starts(line, &["<6>", "<4>", "<7>"]),
    },
    Row {
        name: "journald, by its name",
        environment: "",
        arguments: "--log-format journald",
        check: |line| ensure_starts(line, &["<6>", "<4>", "<7>"]),
    },
    Row {
        name: "text, by its name",
        environment: "export JOURNAL_STREAM=$(stat -c %d:%i $LOG);",
        arguments: "--log-format text",
        check: |line| ensure_starts(line, &["[INFO ] ", "[WARN ] ", "[DEBUG] ", "[TRACE] "]),
    },
    Row {
        name: "JSON",
        environment: "",
        arguments: "--log-format json",
        check: ensure_record,
    },
];

#[test]
fn each_format_of_the_log_is_for_its_reader() {
    rows::check(ROWS, |row| row.name, check);
}

fn check(row: &Row) -> Result<()> {
    let lab = Lab::new()?;
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    let mut command = recon("")?;
    command.args(lab.watched_sockets());
    let arguments = command
        .get_args()
        .map(|argument| argument.to_string_lossy());
    // A reader of stdout that goes at once ends recon after its first poll.
    let line = format!(
        "LOG={log}; : > $LOG; {environment} {recon} run -vv -i {HOST_LINK} --interval 100ms {sockets} {asked} 2>> $LOG | true",
        log = log.display(),
        environment = row.environment,
        recon = command.get_program().display(),
        sockets = arguments.collect::<Vec<_>>().join(" "),
        asked = row.arguments,
    );
    run(lab.host(), shell(&line), PATIENCE)?.success()?;
    let text = fs::read_to_string(&log)?;
    for words in [
        "watching veth0",
        "poll 1: ",
        "stdout is closed",
        "totals: polls=",
    ] {
        ensure!(text.contains(words), "`{words}` is not in:\n{text}");
    }
    for line in text.lines() {
        (row.check)(line).with_context(|| line.to_owned())?;
    }
    Ok(())
}

fn ensure_starts(line: &str, starts: &[&str]) -> Result<()> {
    let is_one = starts.iter().any(|start| line.starts_with(start));
    ensure!(is_one, "begins with none of {starts:?}");
    Ok(())
}

fn ensure_record(line: &str) -> Result<()> {
    let record: Value = serde_json::from_str(line)?;
    for field in ["timestamp", "level", "message", "target"] {
        ensure!(record[field].is_string(), "no {field}");
    }
    let is_of_poll = record["message"]
        .as_str()
        .is_some_and(|it| it.starts_with("poll "));
    let poll = record["span"]["number"].as_u64();
    // What goes wrong within a poll has its number, too.
    ensure!(!is_of_poll || poll.is_some(), "poll {poll:?}");
    Ok(())
}
