//! Where lines go within a NATS server: a subject.
//!
//! In: a text of the settings, with placeholders. Out: the subjects of alerts and of rows.
//! The decision held here: a subject that no server would take is refused when the settings are
//! read. A server drops such a line without an answer, or closes the connection.

use serde::{Serialize, Serializer};

use crate::diagnostic::Wrong;

/// What stands for the kind of lines, and for the name of this host.
const LINES: &str = "{lines}";
const HOST: &str = "{host}";
/// Servers limit a whole line of the protocol to 4096 bytes.
const LONGEST: usize = 256;
/// Where the server itself listens, and where answers go.
const RESERVED: [&str; 2] = ["$", "_INBOX"];

/// The subjects of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NatsSubject(String);

impl Default for NatsSubject {
    fn default() -> Self {
        Self(format!("recon.{LINES}.{HOST}"))
    }
}

impl NatsSubject {
    /// Reads a text.
    ///
    /// # Errors
    /// What it is not, and what to write instead.
    pub(crate) fn parse(text: &str) -> Result<Self, Wrong> {
        let wrong = |what: &str, hint: String| (format!("`{text}` {what}"), Some(hint));
        let filled = text.replace(LINES, "alerts").replace(HOST, "host");
        let example = Self::default().0;
        if filled.is_empty() || filled.len() > LONGEST {
            let hint = format!("use 1 to {LONGEST} bytes, as in {example}");
            return Err(wrong("is not as long as a subject of NATS may be", hint));
        }
        if RESERVED.iter().any(|head| filled.starts_with(head)) {
            let hint = format!("use another first word, as in {example}");
            return Err(wrong("is a subject that servers use themselves", hint));
        }
        if let Some(letter) = filled.chars().find(|&it| !is_letter(it)) {
            return Err(wrong(
                &format!("is not a subject to publish to: it has {letter:?}"),
                format!(
                    "use words of letters, digits, `-` and `_` with dots between, as in {example}; \
                     `{LINES}` and `{HOST}` are replaced"
                ),
            ));
        }
        if filled.split('.').any(str::is_empty) {
            let hint = format!("put a word before and after each dot, as in {example}");
            return Err(wrong("is not a subject of NATS: a word is empty", hint));
        }
        Ok(Self(text.to_owned()))
    }

    /// The subject of such lines of a host.
    pub(super) fn of(&self, host: &str, lines: &str) -> String {
        self.0.replace(LINES, lines).replace(HOST, &one_word(host))
    }
}

/// The name of a host as a word of a subject. A dot would make more words of it, and a stream of
/// `recon.*.*` miss it.
pub(super) fn one_word(host: &str) -> String {
    let letter = |it: char| match it.is_ascii_alphanumeric() || it == '-' {
        true => it,
        false => '_',
    };
    host.chars().map(letter).collect()
}

/// What words are made of, and the dot between them. Servers take more, but no space, no `*` and no
/// `>`; a letter beyond these is a mistake, or a placeholder that recon does not know.
fn is_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "-_.".contains(letter)
}

impl Serialize for NatsSubject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_have_a_grammar() {
        let long = "x".repeat(LONGEST + 1);
        for (text, says) in [
            ("recon.{lines}.{host}", None),
            ("alerts", None),
            ("A-1._x.b_2", None),
            ("", Some("as long as")),
            (long.as_str(), Some("as long as")),
            ("recon.*", Some("has '*'")),
            ("recon.>", Some("has '>'")),
            ("recon alerts", Some("has ' '")),
            ("recon\tx", Some("has '\\t'")),
            ("recon.\r\nPUB x 0", Some("has '\\r'")),
            ("recon.{hots}", Some("has '{'")),
            ("récon", Some("has 'é'")),
            ("recon/x", Some("has '/'")),
            ("recon.$x", Some("has '$'")),
            (".recon", Some("a word is empty")),
            ("recon.", Some("a word is empty")),
            ("recon..x", Some("a word is empty")),
            ("$JS.API.x", Some("servers use themselves")),
            ("_INBOX.x", Some("servers use themselves")),
        ] {
            let read = NatsSubject::parse(text);
            match (&read, says) {
                (Ok(_), None) => {}
                (Err((message, Some(_))), Some(says)) => {
                    assert!(message.contains(says), "{text}: {message}");
                }
                _ => panic!("{text}: {read:?}"),
            }
        }
    }

    #[test]
    fn a_host_is_one_word() {
        let subject = NatsSubject::default();
        for (host, expected) in [
            ("web-1", "recon.rows.web-1"),
            ("web1.example.com", "recon.rows.web1_example_com"),
            ("a b*>", "recon.rows.a_b__"),
        ] {
            assert_eq!(subject.of(host, "rows"), expected);
        }
    }
}
