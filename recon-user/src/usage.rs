//! Errors of the command line, safe for a terminal.
//!
//! In: what clap says of the arguments. Out: text on stderr, or the help on stdout, and an exit
//! code.
//! The decisions held here: an argument may hold anything, and a message repeats it. Control
//! characters are escaped and long words are clipped, as in the log. An argument that is not UTF-8
//! is named: clap only says that there is one.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::diagnostic::{readable, visible};

/// The exit code of a command line that recon does not understand.
const WRONG_USAGE: u8 = 2;

/// The arguments with each negative number joined to the option before it, so that the message is
/// about the value: no option is called so, and clap would look for one.
pub fn join_negative_values(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    let mut has_ended = false;
    for argument in arguments {
        let is_negative =
            matches!(argument.as_bytes(), [b'-', digit, ..] if digit.is_ascii_digit());
        match joined.last_mut() {
            Some(option) if is_negative && !has_ended && is_option_alone(option) => {
                option.push("=");
                option.push(argument);
            }
            _ => {
                has_ended |= argument == "--";
                joined.push(argument);
            }
        }
    }
    joined
}

fn is_option_alone(argument: &OsString) -> bool {
    let bytes = argument.as_bytes();
    bytes.starts_with(b"--") && !bytes.contains(&b'=')
}

/// Writes what clap says of these arguments. Help and the version go to stdout.
pub fn report(error: &clap::Error, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    if !error.use_stderr() {
        return match error.print() {
            Err(failed) if failed.kind() != io::ErrorKind::BrokenPipe => {
                write_to_stderr(&format!("error: can't write to stdout: {failed}\n"));
                ExitCode::FAILURE
            }
            _ => ExitCode::SUCCESS,
        };
    }
    let text = error.render().to_string();
    let safe = match error.kind() {
        ErrorKind::InvalidUtf8 => name_argument(&text, arguments),
        _ => readable(&text),
    };
    if safe == text {
        // In colour, where stderr is a terminal.
        let _ = error.print();
    } else {
        write_to_stderr(&safe);
    }
    ExitCode::from(WRONG_USAGE)
}

/// The message with the argument in place of its first line.
fn name_argument(text: &str, arguments: impl IntoIterator<Item = OsString>) -> String {
    let mut arguments = arguments.into_iter();
    let Some(wrong) = arguments.find(|argument| argument.to_str().is_none()) else {
        return readable(text);
    };
    let (_, rest) = text.split_once('\n').unwrap_or_default();
    let wrong = readable(&visible(wrong.as_bytes()));
    format!(
        "error: the argument '{wrong}' is not UTF-8\n{}",
        readable(rest)
    )
}

/// If that fails there is nobody to report it to.
fn write_to_stderr(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_numbers_belong_to_the_option_before_them() {
        for (written, expected) in [
            ("recon run --interval -5s", "recon run --interval=-5s"),
            (
                "recon run --interval -5s -6s",
                "recon run --interval=-5s -6s",
            ),
            (
                "recon run --interval -i veth0",
                "recon run --interval -i veth0",
            ),
            ("recon run -i -5", "recon run -i -5"),
            ("recon judge -- -5", "recon judge -- -5"),
            ("recon judge -- --json -5", "recon judge -- --json -5"),
            ("-5", "-5"),
        ] {
            let joined = join_negative_values(written.split(' ').map(OsString::from));
            let expected: Vec<_> = expected.split(' ').map(OsString::from).collect();
            assert_eq!(joined, expected, "{written}");
        }
    }
}
