//! Files, read one after another as one capture.
//!
//! In: paths. Out: their alerts, and whether all packets were read.
//! The decision held here: a file that can't be opened is an error before the first alert. One that
//! can't be read on ends the replay, and what was read is judged.

use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::Replay;
use crate::address::Network;
use crate::alert::LineFormat;
use crate::capture::{CaptureError, Input};
use crate::settings::InForce;
use crate::standard_streams::STDIN;

/// Judges the packets of captures, writes alerts to `out`, and logs a summary. A closed `out` is
/// no error. Returns whether all packets were read; if not, that has been reported.
///
/// # Errors
/// A file can't be read, or `out` can't be written.
pub fn run(
    files: &[PathBuf],
    local: &[Network],
    in_force: &InForce,
    format: LineFormat,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    // What was read is judged, also if the rest can't be read.
    let (replay, read) = read_files(files, local, in_force, format, out)?;
    // Freeing one by one what rules and connections hold takes time, and the process ends soon,
    // which frees all of it at once.
    let replay = ManuallyDrop::new(replay);
    replay.report();
    read?;
    Ok(!replay.summary.has_gaps())
}

/// Judges captures without a summary. All packets must be readable.
///
/// # Errors
/// A file can't be read, not even in part.
pub(super) fn judge_files(
    files: &[PathBuf],
    local: &[Network],
    in_force: &InForce,
    format: LineFormat,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let (replay, read) = read_files(files, local, in_force, format, out)?;
    read?;
    ensure!(
        !replay.summary.has_gaps(),
        "a link type that recon does not read (see above); leave that capture out with files = [...]"
    );
    Ok(())
}

/// Judges all that can be read. Returns why the rest can't.
fn read_files(
    files: &[PathBuf],
    local: &[Network],
    in_force: &InForce,
    format: LineFormat,
    out: &mut dyn Write,
) -> anyhow::Result<(Replay, Result<(), CaptureError>)> {
    let stdins = files.iter().filter(|file| *file == Path::new(STDIN));
    ensure!(
        stdins.count() <= 1,
        "`{STDIN}` is named twice, but stdin can be read once; name it once"
    );
    // A file that is not there is an error before the first alert.
    let inputs: Vec<Input> = files
        .iter()
        .map(|file| Input::open(file))
        .collect::<Result<_, _>>()?;
    let mut replay = Replay::new(local, in_force, format);
    match read_inputs(&mut replay, inputs, out) {
        Ok(read) => Ok((replay, read)),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok((replay, Ok(()))),
        Err(error) => Err(error).context("can't write to stdout"),
    }
}

/// Reads one file after another. What can't be read ends that, and is returned.
pub(super) fn read_inputs(
    replay: &mut Replay,
    inputs: Vec<Input>,
    out: &mut dyn Write,
) -> io::Result<Result<(), CaptureError>> {
    let mut inputs = inputs.into_iter();
    let read = match inputs.try_for_each(|input| replay.read_file(input, out)) {
        Ok(()) => Ok(()),
        Err(Ended::Capture(error)) => Err(error),
        Err(Ended::Output(error)) => return Err(error),
    };
    replay.finish(out)?;
    Ok(read)
}

/// Why a file was not read to its end.
pub(super) enum Ended {
    Capture(CaptureError),
    Output(io::Error),
}

impl From<CaptureError> for Ended {
    fn from(error: CaptureError) -> Self {
        Self::Capture(error)
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}
