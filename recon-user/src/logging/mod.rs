//! The log: what recon says of itself, on stderr.
//!
//! In: events of `tracing`, and records of the libraries that use `log`. Out: lines of text for
//! people, of text for the journal, or of JSON.
//! The decisions held here: the crates recon stands on log warnings and errors only. The text has
//! no time and no module: journald knows both, and who watches needs neither. JSON has them, and
//! the number of the poll that the line comes from.

mod format;
mod queue;

use std::io;

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt};

use format::TextFormat;
pub use queue::LogWriter;
pub(crate) use queue::dropped_lines;

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// `[INFO ] text`, in colour on a terminal
    Text,
    /// A JSON object with timestamp, level, message, target and the poll
    Json,
    /// Text behind its priority, as journald reads it from stderr: `<6>text`
    Journald,
}

/// Who waits for the reader of stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogWait {
    /// Whoever logs: a command that ends soon loses no line.
    Caller,
    /// A thread, through a queue: an agent does not stop for a reader that stalls.
    Thread,
}

/// Starts the log. Without a `format`, it is that of the journal where stderr leads there, and text
/// elsewhere. Returns the thread's handle if there is one.
///
/// # Errors
/// What the system says if the descriptor can't be duplicated or the thread can't be started; or
/// that this process has a log already.
pub fn start(
    level: LevelFilter,
    format: Option<LogFormat>,
    wait: LogWait,
) -> io::Result<Option<LogWriter>> {
    let format = format.unwrap_or_else(LogFormat::of_stderr);
    let writer = match wait {
        LogWait::Thread => Some(LogWriter::start(format)?),
        LogWait::Caller => None,
    };
    let out = match &writer {
        Some(writer) => BoxMakeWriter::new(writer.maker()),
        None => BoxMakeWriter::new(io::stderr),
    };
    let shown = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("recon", level);
    tracing_subscriber::registry()
        .with(lines(format, out))
        .with(shown)
        .try_init()
        .map_err(io::Error::other)?;
    Ok(writer)
}

/// What turns an event into a line.
fn lines(format: LogFormat, out: BoxMakeWriter) -> Box<dyn Layer<Registry> + Send + Sync> {
    let lines = fmt::layer()
        .with_writer(out)
        // A full disk behind stderr is no reason to write to stderr.
        .log_internal_errors(false);
    match format {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
        LogFormat::Text => lines.event_format(TextFormat::of_terminal()).boxed(),
        LogFormat::Journald => lines.event_format(TextFormat::Prioritized).boxed(),
    }
}
