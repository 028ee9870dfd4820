//! The protocol of NATS: what a server sends, and what recon sends it.
//!
//! In: bytes of a server. Out: frames; and frames for it.
//! The decision held here: recon hears what belongs to publishing and no more. What is larger than
//! any answer to that, or is no frame, ends the connection: nothing after it can be trusted.

use std::io::{self, ErrorKind, Write as _};

use serde::Deserialize;

use super::foreign_text::show_foreign;

/// The end of each line of the protocol.
const END: &[u8] = b"\r\n";
/// The longest line and the longest payload that are read: an INFO of a large cluster has some
/// kilobytes, an answer of a stream a hundred bytes.
const LONGEST: usize = 64 << 10;
/// The status of a message that nobody has subscribed to.
const NO_RESPONDERS: &[u8] = b"NATS/1.0 503";
/// `JSStreamMessageExceedsMaximumErr`: a stream would never take it.
const TOO_LARGE: u64 = 10054;

/// What a server says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Info {
    /// `None` if the server does not say.
    pub(super) max_payload: Option<usize>,
    pub(super) headers: bool,
    pub(super) tls_required: bool,
    pub(super) tls_available: bool,
}

/// What a server sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Info(Info),
    Ping,
    Pong,
    /// The server refuses something, and may close the connection.
    Error(String),
    /// The answer to the line of this number.
    Answer(u64, StoreAnswer),
    /// What needs no answer.
    Other,
}

/// What became of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StoreAnswer {
    /// It is in a stream.
    Stored { is_duplicate: bool },
    /// It is in none, and may be another time.
    Refused(String),
    /// It is in none, and would never be.
    TooLarge(String),
}

#[derive(Deserialize)]
struct StreamAnswer {
    stream: Option<String>,
    seq: Option<u64>,
    #[serde(default)]
    duplicate: bool,
    error: Option<StoreError>,
}

#[derive(Deserialize)]
struct StoreError {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// The first frame of the bytes, and how many of them it has. `None` if it is not whole. Answers
/// are messages to a subject below `inbox`.
pub(super) fn read_frame(bytes: &[u8], inbox: &str) -> io::Result<Option<(Frame, usize)>> {
    let Some(length) = bytes.windows(END.len()).position(|it| it == END) else {
        return match bytes.len() > LONGEST {
            true => Err(no_nats_error(bytes)),
            false => Ok(None),
        };
    };
    let line = &bytes[..length];
    let after = length + END.len();
    let text = std::str::from_utf8(line).map_err(|_| no_nats_error(line))?;
    let (name, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    let frame = match name.to_ascii_uppercase().as_str() {
        "INFO" => Frame::Info(serde_json::from_str(rest).map_err(|_| no_nats_error(line))?),
        "PING" => Frame::Ping,
        "PONG" => Frame::Pong,
        "+OK" => Frame::Other,
        "-ERR" => Frame::Error(show_foreign(rest.trim().trim_matches('\''))),
        "MSG" => return read_message(bytes, after, rest, (inbox, false)),
        "HMSG" => return read_message(bytes, after, rest, (inbox, true)),
        _ => return Err(no_nats_error(line)),
    };
    Ok(Some((frame, after)))
}

/// A message: its subject, the number of the subscription, maybe where to answer, and the lengths
/// of its headers, if it has any, and of the whole.
fn read_message(
    bytes: &[u8],
    start: usize,
    line: &str,
    (inbox, has_headers): (&str, bool),
) -> io::Result<Option<(Frame, usize)>> {
    let wrong = || no_nats_error(line.as_bytes());
    let words: Vec<_> = line.split_ascii_whitespace().collect();
    let (&subject, lengths) = words.split_first().ok_or_else(wrong)?;
    let length = |from_end: usize| -> io::Result<usize> {
        let word = lengths.iter().rev().nth(from_end).ok_or_else(wrong)?;
        let length = word.parse().ok().filter(|&it| it <= LONGEST);
        length.ok_or_else(wrong)
    };
    let whole = length(0)?;
    let headers = match has_headers {
        true => length(1)?,
        false => 0,
    };
    let end = start + whole + END.len();
    if bytes.len() < end {
        return Ok(None);
    }
    let message = &bytes[start..start + whole];
    let payload = message.get(headers..).ok_or_else(wrong)?;
    let number = subject.strip_prefix(inbox);
    let number = number.and_then(|it| it.strip_prefix('.')?.parse().ok());
    let frame = number.map_or(Frame::Other, |number| {
        Frame::Answer(number, read_answer(&message[..headers], payload))
    });
    Ok(Some((frame, end)))
}

fn read_answer(headers: &[u8], payload: &[u8]) -> StoreAnswer {
    if headers.starts_with(NO_RESPONDERS) {
        return StoreAnswer::Refused(
            "no stream answers for this subject: JetStream is starting, or create a stream, or change `subject`"
                .to_owned(),
        );
    }
    let no_answer = || StoreAnswer::Refused(format!("no answer of a stream: {}", show(payload)));
    let Ok(answer) = serde_json::from_slice::<StreamAnswer>(payload) else {
        return no_answer();
    };
    match answer {
        StreamAnswer {
            error: Some(error), ..
        } => {
            let says = format!(
                "the stream refuses: {} (err_code {})",
                show_foreign(&error.description),
                error.err_code
            );
            match error.err_code {
                TOO_LARGE => StoreAnswer::TooLarge(says),
                _ => StoreAnswer::Refused(says),
            }
        }
        StreamAnswer {
            stream: Some(_),
            seq: Some(_),
            duplicate,
            ..
        } => StoreAnswer::Stored {
            is_duplicate: duplicate,
        },
        _ => no_answer(),
    }
}

fn show(bytes: &[u8]) -> String {
    show_foreign(&String::from_utf8_lossy(bytes))
}

fn no_nats_error(bytes: &[u8]) -> io::Error {
    let says = format!("this is no server of NATS: it says {}", show(bytes));
    io::Error::new(ErrorKind::InvalidData, says)
}

/// Adds a line that is published. `id` is the same each time that line is sent.
pub(super) fn write_line(
    out: &mut Vec<u8>,
    subject: &str,
    inbox: &str,
    number: u64,
    id: &str,
    line: &[u8],
) {
    let headers = headers_of(id, number);
    let whole = headers.len() + line.len();
    // Writing into memory never fails.
    let _ = write!(
        out,
        "HPUB {subject} {inbox}.{number} {} {whole}\r\n{headers}",
        headers.len()
    );
    out.extend_from_slice(line);
    out.extend_from_slice(END);
}

/// What a server compares to know a line that it has.
fn headers_of(id: &str, number: u64) -> String {
    format!("NATS/1.0\r\nNats-Msg-Id: {id}-{number}\r\n\r\n")
}

/// The bytes that count towards the largest message of a server.
pub(super) fn payload_length(id: &str, number: u64, line: &[u8]) -> usize {
    headers_of(id, number).len() + line.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read() {
        let stored = |is_duplicate| StoreAnswer::Stored { is_duplicate };
        let refused = |text: &str| StoreAnswer::Refused(text.to_owned());
        let info = Info {
            max_payload: Some(1024),
            headers: true,
            ..Info::default()
        };
        for (bytes, expected) in [
            ("PING\r\n", Some(Frame::Ping)),
            ("ping\r\nPONG\r\n", Some(Frame::Ping)),
            ("PIN", None),
            ("+OK\r\n", Some(Frame::Other)),
            (
                "INFO {\"max_payload\":1024,\"headers\":true,\"new\":[1]}\r\n",
                Some(Frame::Info(info)),
            ),
            (
                "-ERR 'Authorization Violation'\r\n",
                Some(Frame::Error("Authorization Violation".to_owned())),
            ),
            (
                "-ERR 'a\u{1b}[2J'\r\n",
                Some(Frame::Error("a\\u{1b}[2J".to_owned())),
            ),
            (
                "MSG _INBOX.a.7 1 24\r\n{\"stream\":\"S\",\"seq\":1}  \r\n",
                Some(Frame::Answer(7, stored(false))),
            ),
            (
                "MSG _INBOX.a.7 1 40\r\n{\"stream\":\"S\",\"seq\":1,\"duplicate\":true} \r\n",
                Some(Frame::Answer(7, stored(true))),
            ),
            ("MSG _INBOX.a.7 1 24\r\n{\"stream\":\"S\"", None),
            (
                "MSG _INBOX.a.7 1 reply 2\r\nhi\r\n",
                Some(Frame::Answer(7, refused("no answer of a stream: hi"))),
            ),
            (
                "MSG _INBOX.a.7 1 14\r\n{\"stream\":\"S\"}\r\n",
                Some(Frame::Answer(
                    7,
                    refused("no answer of a stream: {\"stream\":\"S\"}"),
                )),
            ),
            ("MSG other 1 2\r\nhi\r\n", Some(Frame::Other)),
            ("MSG x.7 1 2\r\nhi\r\n", Some(Frame::Other)),
            ("MSG _INBOX.a.x.7 1 2\r\nhi\r\n", Some(Frame::Other)),
            (
                "HMSG _INBOX.a.8 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n",
                Some(Frame::Answer(
                    8,
                    refused(
                        "no stream answers for this subject: JetStream is starting, or create a stream, or change `subject`",
                    ),
                )),
            ),
            (
                "MSG _INBOX.a.9 1 66\r\n{\"error\":{\"code\":400,\"err_code\":10077,\"description\":\"full\"},\"a\":1}\r\n",
                Some(Frame::Answer(
                    9,
                    refused("the stream refuses: full (err_code 10077)"),
                )),
            ),
            (
                "MSG _INBOX.a.9 1 52\r\n{\"error\":{\"err_code\":10054,\"description\":\"large\"}}  \r\n",
                Some(Frame::Answer(
                    9,
                    StoreAnswer::TooLarge("the stream refuses: large (err_code 10054)".to_owned()),
                )),
            ),
        ] {
            let read = read_frame(bytes.as_bytes(), "_INBOX.a").expect(bytes);
            assert_eq!(read.map(|(frame, _)| frame), expected, "{bytes}");
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let long = "x".repeat(LONGEST + 1);
        for bytes in [
            "HTTP/1.1 400 Bad Request\r\n",
            "\r\n",
            "INFO no\r\n",
            "MSG\r\n",
            "MSG a\r\n",
            "MSG a 1 -1\r\n",
            "MSG a 1 99999999\r\n",
            "HMSG a 1 5 2\r\nhi\r\n",
            long.as_str(),
        ] {
            let read = read_frame(bytes.as_bytes(), "_INBOX.a");
            assert!(
                read.as_ref()
                    .is_err_and(|it| it.to_string().contains("no server of NATS")),
                "{bytes}: {read:?}"
            );
        }
    }

    #[test]
    fn a_line_is_published_with_its_id() {
        let mut out = Vec::new();
        write_line(&mut out, "recon.alerts.a", "_INBOX.r", 12, "ab", b"{}");
        let expected =
            "HPUB recon.alerts.a _INBOX.r.12 32 34\r\nNATS/1.0\r\nNats-Msg-Id: ab-12\r\n\r\n{}\r\n";
        assert_eq!(String::from_utf8(out).expect("text"), expected);
        assert_eq!(payload_length("ab", 12, b"{}"), 34);
    }
}
