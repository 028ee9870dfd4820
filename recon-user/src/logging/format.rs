//! The text of a log line.
//!
//! In: an event. Out: a line, with its level or its priority in front.
//! The decision held here: nothing within a line can be taken for another one. Lines after the
//! first are indented, and control characters are shown as text.

use std::env;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use nix::sys::stat::fstat;
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::LogFormat;
use crate::diagnostic::readable;

/// What systemd sets for a service whose stdout or stderr leads to the journal: the device and
/// inode of that stream. See systemd.exec(5).
const JOURNAL_STREAM: &str = "JOURNAL_STREAM";

impl LogFormat {
    /// The format for whoever reads stderr.
    pub(super) fn of_stderr() -> Self {
        match env::var(JOURNAL_STREAM).is_ok_and(|stream| leads_to(&stream)) {
            true => Self::Journald,
            false => Self::Text,
        }
    }

    /// The line about lines that were dropped.
    pub(super) fn notice(self, dropped: u64) -> String {
        let text = format!("stderr: its reader is slow; log lines dropped: {dropped}");
        match self {
            Self::Text => TextFormat::of_terminal().line(Level::WARN, &text),
            Self::Journald => TextFormat::Prioritized.line(Level::WARN, &text),
            Self::Json => {
                let line = json!({
                    "timestamp": Timestamp::now(),
                    "level": "WARN",
                    "message": text,
                    "target": module_path!(),
                });
                format!("{line}\n")
            }
        }
    }
}

/// Whether stderr is that device and inode.
fn leads_to(stream: &str) -> bool {
    let Ok(about) = fstat(io::stderr().as_fd()) else {
        return false;
    };
    stream == format!("{}:{}", about.st_dev, about.st_ino)
}

/// How text is decorated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextFormat {
    Plain,
    Coloured,
    Prioritized,
}

impl TextFormat {
    /// In colour where stderr is a terminal that has it.
    pub(super) fn of_terminal() -> Self {
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let has_colour = io::stderr().is_terminal()
            && !is_set("NO_COLOR")
            && env::var_os("TERM").is_none_or(|terminal| terminal != "dumb");
        match has_colour {
            true => Self::Coloured,
            false => Self::Plain,
        }
    }

    /// The line of a message.
    fn line(self, level: Level, message: &str) -> String {
        let mut line = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(level, message, &mut line);
        line
    }

    /// Writes a message of one or more lines.
    fn write(self, level: Level, message: &str, line: &mut impl fmt::Write) -> fmt::Result {
        let text = readable(message);
        match self {
            Self::Plain => writeln!(line, "[{level:<5}] {}", text.replace('\n', "\n    ")),
            Self::Coloured => {
                let style = style(level);
                let text = text.replace('\n', "\n    ");
                writeln!(line, "[{style}{level:<5}{style:#}] {text}")
            }
            // journald makes a record of each line.
            Self::Prioritized => {
                let priority = priority(level);
                let text = text.replace('\n', &format!("\n{priority}    "));
                writeln!(line, "{priority}{text}")
            }
        }
    }
}

impl<S, N> FormatEvent<S, N> for TextFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut message = Message::default();
        event.record(&mut message);
        self.write(*event.metadata().level(), &message.0, &mut line)
    }
}

/// The message of an event, and its other fields behind it.
#[derive(Debug, Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            // What tracing-log knows of a record: its module, file and line.
            name if name.starts_with("log.") => Ok(()),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

/// The priority of a level, as sd-daemon(3) has it at the start of a line.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        _ => "<7>",
    }
}

fn style(level: Level) -> Style {
    match level {
        Level::ERROR => AnsiColor::Red.on_default().bold(),
        Level::WARN => AnsiColor::Yellow.on_default(),
        Level::INFO => AnsiColor::Green.on_default(),
        Level::DEBUG => AnsiColor::Blue.on_default(),
        Level::TRACE => AnsiColor::Cyan.on_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_be_taken_for_another_line() {
        const TWO: &str = "a\nb \x1b[31m";
        for (format, level, expected) in [
            (
                TextFormat::Plain,
                Level::INFO,
                "[INFO ] a\n    b \\u{1b}[31m\n",
            ),
            (
                TextFormat::Prioritized,
                Level::ERROR,
                "<3>a\n<3>    b \\u{1b}[31m\n",
            ),
            (
                TextFormat::Coloured,
                Level::WARN,
                "[\x1b[33mWARN \x1b[0m] a\n    b \\u{1b}[31m\n",
            ),
        ] {
            assert_eq!(format.line(level, TWO), expected, "{format:?}");
        }
    }

    #[test]
    fn stderr_leads_to_its_own_device_and_inode() {
        let about = fstat(io::stderr().as_fd()).expect("an open stderr");
        for (stream, is_it) in [
            (format!("{}:{}", about.st_dev, about.st_ino), true),
            (format!("{}:{}", about.st_dev, about.st_ino + 1), false),
            (String::new(), false),
            ("no numbers".to_owned(), false),
        ] {
            assert_eq!(leads_to(&stream), is_it, "{stream}");
        }
    }
}
