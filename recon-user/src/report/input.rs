//! What a file holds, by its content.
//!
//! In: paths. Out: opened files by kind: alert lines, rows, captures.
//! The decision held here: the first line, or the first bytes, of a file decide. Alerts and rows of
//! one recon go together: the alerts are the incidents, and the rows show what each source tried. A
//! capture goes with neither, since its incidents would be there twice under other ids. A line too
//! long to be read decides nothing: the next one does.

use std::io;
use std::path::PathBuf;

use super::alert_line::{InputLine, kind_of};
use crate::capture::{CaptureError, Input, is_capture};
use crate::judge::{BYTE_ORDER_MARK, LONGEST_LINE};

/// How much of a file is looked at first: a line that is no longer than a line may be ends there.
const LOOKED_AT: usize = LONGEST_LINE + 1;
/// How often more is looked at, as long as lines are too long.
const MOST_LOOKS: usize = 8;

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
    Read { name: String, source: io::Error },
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
        let start = look_at(&mut input).map_err(|source| InputError::Read {
            name: name.clone(),
            source,
        })?;
        if is_capture(&start) {
            inputs.captures.push(input);
            continue;
        }
        let Some(first) = first_line(&start) else {
            match start.trim_ascii().is_empty() {
                true => inputs.empty.push(name),
                false => {
                    let what = "its first lines are longer than 1 MiB".to_owned();
                    return Err(InputError::Unknown { name, what });
                }
            }
            continue;
        };
        let first = String::from_utf8_lossy(first);
        match kind_of(&first) {
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

/// The first bytes of a file, up to a line that is not too long. What is too long for a line is cut
/// so that whoever reads it finds it too long, however long it is.
fn look_at(input: &mut Input) -> io::Result<Vec<u8>> {
    let mut asked = LOOKED_AT;
    let mut start = input.peek(asked as u64)?;
    for _ in 0..MOST_LOOKS {
        let is_whole = start.len() < asked;
        if is_whole || is_capture(&start) || has_line(&start) {
            break;
        }
        let before = start.iter().rposition(|&byte| byte == b'\n');
        let begun = before.map_or(0, |place| place + 1);
        if start.len() - begun > LONGEST_LINE {
            input.cut_line((begun + LOOKED_AT) as u64)?;
        }
        asked += LOOKED_AT;
        start = input.peek(asked as u64)?;
    }
    if start.len() >= asked && !is_capture(&start) {
        // The last line may be longer.
        let ended = start.iter().rposition(|&byte| byte == b'\n');
        start.truncate(ended.unwrap_or_default());
    }
    Ok(start)
}

/// Whether a line that is not too long ends there.
fn has_line(start: &[u8]) -> bool {
    let ended = start.iter().rposition(|&byte| byte == b'\n');
    ended.is_some_and(|end| first_line(&start[..end]).is_some())
}

/// The first line that is neither empty nor too long.
fn first_line(start: &[u8]) -> Option<&[u8]> {
    let lines = start.split(|&byte| byte == b'\n');
    let readable = lines.filter(|line| line.len() <= LONGEST_LINE);
    readable
        .map(|line| line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line))
        .find(|line| !line.trim_ascii().is_empty())
}
