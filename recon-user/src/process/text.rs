//! Text that a process has chosen itself, made safe for a line in a log.
//!
//! In: bytes. Out: text that can't break or forge a line, nor control the terminal that shows it.
//! The decision held here: control characters are shown by their number (`\u{1b}`), and the rest of
//! Unicode stays as it is. A backslash is not doubled, so the process may have written `\u{1b}`
//! literally, which is harmless.

use crate::diagnostic::visible;

/// Bytes that a command line is cut to.
pub(super) const COMMAND_LINE_LENGTH: usize = 4096;
/// What marks a truncated text.
const CUT: char = '…';

/// Arguments as one line, of at most [`COMMAND_LINE_LENGTH`] bytes.
pub(super) fn command_line<'a>(arguments: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut line = String::new();
    for argument in arguments {
        if !line.is_empty() {
            line.push(' ');
        }
        push_quoted(&mut line, &visible(argument));
    }
    if line.len() > COMMAND_LINE_LENGTH {
        line.truncate(line.floor_char_boundary(COMMAND_LINE_LENGTH - CUT.len_utf8()));
        line.push(CUT);
    }
    line
}

/// Appends an argument, quoted as for a shell if it is empty or has a blank or a quote in it. xtask
/// has its own quoting for command lines to type: it sets up this crate's build and can't depend on
/// it.
fn push_quoted(line: &mut String, argument: &str) {
    let needs_quotes = |letter: char| letter == '\'' || letter.is_whitespace();
    if argument.is_empty() || argument.contains(needs_quotes) {
        line.push('\'');
        line.push_str(&argument.replace('\'', r"'\''"));
        line.push('\'');
    } else {
        line.push_str(argument);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted() {
        for (arguments, expected) in [
            (&["nmap", "-sS", "10.0.0.1"][..], "nmap -sS 10.0.0.1"),
            (&["a", "", "b c"], "a '' 'b c'"),
            (&["", "a"], "'' a"),
            (&["it's", "a' 'b"], r"'it'\''s' 'a'\'' '\''b'"),
            (&["a\u{3000}b", "a\nb"], "'a\u{3000}b' a\\u{a}b"),
            (&[], ""),
        ] {
            let line = command_line(arguments.iter().map(|argument| argument.as_bytes()));
            assert_eq!(line, expected, "{arguments:?}");
        }
    }

    #[test]
    fn a_command_line_is_bounded() {
        for argument in ["a", "é", "\u{1}", "日"] {
            let long = argument.repeat(COMMAND_LINE_LENGTH);
            let line = command_line([b"x".as_slice(), long.as_bytes()]);
            assert!(line.len() <= COMMAND_LINE_LENGTH && line.len() > COMMAND_LINE_LENGTH - 8);
            assert!(line.ends_with(CUT), "{line}");
        }
        let whole = "a".repeat(COMMAND_LINE_LENGTH);
        assert_eq!(command_line([whole.as_bytes()]), whole);
    }
}
