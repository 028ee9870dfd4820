//! Untrusted text, made safe for a line of a log or a terminal.
//!
//! In: bytes. Out: text that can neither break nor forge a line, nor control the terminal that
//! shows it.
//! The decision held here: control characters, and those that nobody sees, are escaped as `\u{1b}`;
//! the rest of Unicode stays as it is. A backslash is not doubled, so a literal `\u{1b}` looks the
//! same. That does no harm.

use super::CUT;

/// Decodes `bytes` and escapes control and invisible characters. Invalid UTF-8 becomes U+FFFD.
pub(crate) fn visible(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_control(letter) || is_invisible(letter) {
            shown.extend(letter.escape_unicode());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// Text of a message whose parts may be untrusted: control characters are escaped, except that a
/// message may have several lines, and a long word is clipped.
#[must_use]
pub fn readable(text: &str) -> String {
    /// Longer than a path that somebody types.
    const LONGEST_WORD: usize = 1024;
    let mut shown = String::with_capacity(text.len());
    for part in text.split_inclusive(char::is_whitespace) {
        let word = part.trim_end_matches(char::is_whitespace);
        let clipped = &word[..word.floor_char_boundary(LONGEST_WORD)];
        shown += &visible(clipped.as_bytes());
        if clipped.len() < word.len() {
            shown += CUT;
        }
        match &part[word.len()..] {
            "\n" => shown.push('\n'),
            blank => shown += &visible(blank.as_bytes()),
        }
    }
    shown
}

/// JSON in which control characters are escaped as JSON has it. They occur only within its strings,
/// except for line ends between them: a program reads the same.
pub(crate) fn escape_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for letter in json.chars() {
        match letter {
            '\n' => shown.push(letter),
            // None of them needs a surrogate.
            _ if is_control(letter) => shown += &format!("\\u{:04x}", u32::from(letter)),
            _ => shown.push(letter),
        }
    }
    shown
}

/// C0, DEL and C1; the separators that some readers take for line ends; and characters with
/// Unicode's property `Bidi_Control`, which reorder the text on display (annex 9, table 3).
fn is_control(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{2028}' | '\u{2029}'
            | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Characters without a glyph, by which two different names look the same: Unicode's
/// `Default_Ignorable_Code_Point` without the joiners and selectors that scripts and emoji need,
/// and the empty Braille pattern.
const fn is_invisible(letter: char) -> bool {
    matches!(letter,
        '\u{ad}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2064}'
        | '\u{206a}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_keeps_its_lines() {
        let long = "x".repeat(5_000);
        for (text, expected) in [
            ("a\nb c\n", "a\nb c\n".to_owned()),
            ("a\x1b[2J\tb\r\n", "a\\u{1b}[2J\\u{9}b\\u{d}\n".to_owned()),
            (&format!("a {long} b"), format!("a {}… b", &long[..1024])),
        ] {
            assert_eq!(readable(text), expected, "{text:?}");
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        for (bytes, expected) in [
            (&b"nmap"[..], "nmap"),
            (b"", ""),
            ("Grüße 日本 🦀 שלום".as_bytes(), "Grüße 日本 🦀 שלום"),
            (b"a\nb\r\tc\0", r"a\u{a}b\u{d}\u{9}c\u{0}"),
            (b"\x1b[2Jx\x7f", r"\u{1b}[2Jx\u{7f}"),
            ("\u{85}\u{9b}".as_bytes(), r"\u{85}\u{9b}"),
            ("\u{2028}\u{2029}".as_bytes(), r"\u{2028}\u{2029}"),
            (
                "\u{202a}\u{202e}\u{2066}\u{2069}\u{200f}".as_bytes(),
                r"\u{202a}\u{202e}\u{2066}\u{2069}\u{200f}",
            ),
            (
                "a\u{200b}\u{ad}\u{feff}\u{3164}\u{2800}\u{e0041}b".as_bytes(),
                r"a\u{200b}\u{ad}\u{feff}\u{3164}\u{2800}\u{e0041}b",
            ),
            (b"a\xffb\xc3", "a\u{fffd}b\u{fffd}"),
            (b"\x9b", "\u{fffd}"),
            (br"\x2d", r"\x2d"),
        ] {
            assert_eq!(visible(bytes), expected, "{bytes:?}");
        }
    }
}
