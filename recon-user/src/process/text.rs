//! Text that a process has chosen itself, made fit for a line in a log.
//!
//! In: bytes. Out: text that can neither break nor forge a line, nor play with the terminal that shows it.
//! The decision held here: controls are shown by their number (`\u{1b}`), and the rest of Unicode stays as it is. A backslash is
//! not doubled: so `\u{1b}` may also have been written just so, which does no harm.

pub(crate) use crate::diagnostic::visible;

/// Bytes that a command line is cut to.
pub(super) const COMMAND_LINE_LENGTH: usize = 4096;
/// What follows a text that was cut.
const CUT: char = '…';

/// Arguments as one line, of at most [`COMMAND_LINE_LENGTH`] bytes. One that is empty, or that has a blank or a quote in it, is
/// quoted as a shell would.
pub(super) fn command_line<'a>(arguments: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut line = String::new();
    for argument in arguments {
        if !line.is_empty() {
            line.push(' ');
        }
        let argument = visible(argument);
        let is_plain = !argument.is_empty()
            && !argument
                .chars()
                .any(|letter| letter == '\'' || letter.is_whitespace());
        if is_plain {
            line.push_str(&argument);
        } else {
            line.push('\'');
            line.push_str(&argument.replace('\'', r"'\''"));
            line.push('\'');
        }
    }
    if line.len() > COMMAND_LINE_LENGTH {
        line.truncate(line.floor_char_boundary(COMMAND_LINE_LENGTH - CUT.len_utf8()));
        line.push(CUT);
    }
    line
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
