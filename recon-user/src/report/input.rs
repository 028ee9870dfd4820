//! What a file holds, by its content.
//!
//! In: paths. Out: opened files by kind: alert lines, rows, captures.
//! The decision held here: the first line, or the first bytes, of a file decide. Alerts and rows of
//! one recon go together: the alerts are the incidents, and the rows show what each source tried. A
//! capture goes with neither, since its incidents would be there twice under other ids.

use std::path::PathBuf;

use super::alert_line::{InputLine, kind_of};
use crate::capture::{CaptureError, Input, is_capture};

/// How much of a file is looked at.
const LOOKED_AT: u64 = 1 << 20;

/// Why files can't be reported.
#[derive(Debug, thiserror::Error)]
pub(super) enum InputError {
    /// A file can't be opened or decompressed.
    #[error(transparent)]
    Open(CaptureError),
    /// It is compressed by a program whose format recon does not read.
    #[error("can't read {name}: it is compressed; type `{cat} {name} | recon report -`")]
    Compressed { name: String, cat: &'static str },
    /// Its bytes can't be read.
    #[error("can't read {name}")]
    Read {
        name: String,
        source: std::io::Error,
    },
    /// It is of no kind that recon reads.
    #[error(
        "{name} begins neither as alerts, rows nor a capture: {what}; recon report reads what `recon run` writes (without --format), `recon run --events` and `tcpdump -w`"
    )]
    Unknown { name: String, what: String },
    /// Captures and lines.
    #[error(
        "{capture} is a capture, and {lines} holds alerts or rows: one page can't show both; type `recon report` once for each"
    )]
    Mixed { capture: String, lines: String },
    /// Stdin twice.
    #[error("stdin is named twice; name `-` once")]
    StdinTwice,
}

/// The files by kind, each in the order given.
#[derive(Default)]
pub(super) struct Inputs {
    pub(super) alerts: Vec<Input>,
    pub(super) rows: Vec<Input>,
    pub(super) captures: Vec<Input>,
    /// Files without a byte or a line.
    pub(super) empty: Vec<String>,
}

/// Opens all files, before any is read.
///
/// # Errors
/// [`InputError`].
pub(super) fn open(files: &[PathBuf]) -> Result<Inputs, InputError> {
    let is_stdin = |file: &&PathBuf| file.as_os_str() == "-";
    if files.iter().filter(is_stdin).count() > 1 {
        return Err(InputError::StdinTwice);
    }
    let mut inputs = Inputs::default();
    for file in files {
        let mut input = Input::open(file).map_err(|error| match error {
            CaptureError::Compressed { name, cat } => InputError::Compressed { name, cat },
            error => InputError::Open(error),
        })?;
        let name = input.name.clone();
        let start = input.peek(LOOKED_AT).map_err(|source| InputError::Read {
            name: name.clone(),
            source,
        })?;
        if is_capture(&start) {
            inputs.captures.push(input);
            continue;
        }
        let text = String::from_utf8_lossy(&start);
        let mut lines = text.lines().map(|line| line.trim_start_matches('\u{feff}'));
        let Some(first) = lines.find(|line| !line.trim().is_empty()) else {
            inputs.empty.push(name);
            continue;
        };
        match kind_of(first) {
            InputLine::Alert => inputs.alerts.push(input),
            InputLine::Row => inputs.rows.push(input),
            InputLine::Other(what) => {
                let what = format!("its first line is {what}");
                return Err(InputError::Unknown { name, what });
            }
            InputLine::Text => {
                let what = "its first line is no JSON object".to_owned();
                return Err(InputError::Unknown { name, what });
            }
        }
    }
    let lines = inputs.alerts.first().or(inputs.rows.first());
    match (inputs.captures.first(), lines) {
        (Some(capture), Some(lines)) => Err(InputError::Mixed {
            capture: capture.name.clone(),
            lines: lines.name.clone(),
        }),
        _ => Ok(inputs),
    }
}
