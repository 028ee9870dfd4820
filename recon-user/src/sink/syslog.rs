//! Messages of RFC 5424.
//!
//! In: a line. Out: a message for a syslog daemon on this host, whose text is the line.
//! The decision held here: the crates syslog and syslog-tracing connect once and format for a
//! logger of the process. A header is one line, so this is own code.

use std::io::Write as _;

use jiff::Timestamp;

use super::line_fields::{IDENTIFIER, LineFields};

/// `LOG_DAEMON` of syslog(3), as it is in a priority.
const FACILITY: u8 = 3 << 3;
const VERSION: u8 = 1;
/// Of a header's part that is not known.
const NIL: &str = "-";
/// The longest name of a host in a header.
const LONGEST_HOST: usize = 255;

/// What all messages have in common.
pub(crate) struct Header {
    host: String,
    pid: u32,
}

impl Header {
    /// That of this process on a host of that name.
    pub(crate) fn new(host: &str) -> Self {
        let mut host: String = host.chars().filter(char::is_ascii_graphic).collect();
        host.truncate(LONGEST_HOST);
        if host.is_empty() {
            host.push_str(NIL);
        }
        Self {
            host,
            pid: std::process::id(),
        }
    }

    /// Writes the message for a line.
    pub(super) fn encode(&self, line: &[u8], out: &mut Vec<u8>) {
        let fields = LineFields::of(line);
        let priority = FACILITY | fields.priority();
        let time = fields.timestamp.as_deref().and_then(|it| it.parse().ok());
        let time: Timestamp = time.unwrap_or_else(Timestamp::now);
        let Self { host, pid } = self;
        let kind = fields.event.dataset.as_deref().filter(|it| is_name(it));
        let kind = kind.unwrap_or(NIL);
        // The standard allows six digits of a second. Writing into memory never fails.
        let _ = write!(
            out,
            "<{priority}>{VERSION} {time:.6} {host} {IDENTIFIER} {pid} {kind} {NIL} "
        );
        out.extend_from_slice(line);
    }
}

/// Whether it can be a MSGID.
fn is_name(text: &str) -> bool {
    const LONGEST: usize = 32;
    !text.is_empty() && text.len() <= LONGEST && text.bytes().all(|it| it.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_a_header() {
        let pid = std::process::id();
        for (host, line, expected) in [
            (
                "web 1",
                r#"{"@timestamp":"2026-01-02T03:04:05.123456789Z","event":{"severity":47,"dataset":"recon.alert"}}"#,
                format!("<28>1 2026-01-02T03:04:05.123456Z web1 recon {pid} recon.alert - "),
            ),
            (
                "",
                r#"{"@timestamp":"2026-01-02T03:04:05Z"}"#,
                format!("<30>1 2026-01-02T03:04:05.000000Z - recon {pid} - - "),
            ),
        ] {
            let mut message = Vec::new();
            Header::new(host).encode(line.as_bytes(), &mut message);
            assert_eq!(String::from_utf8_lossy(&message), expected + line);
        }
    }
}
