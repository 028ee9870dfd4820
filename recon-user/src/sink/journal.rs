//! The native protocol of systemd-journald.
//!
//! In: a line. Out: the fields of an entry, as a datagram or, if that is too large, as a file in
//! memory whose descriptor is sent.
//! The decision held here: the crates libsystemd and systemd-journal-logger open one socket for the
//! whole process and never again, and the crate systemd links the C library. The protocol is a few
//! lines, so this is own code.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixDatagram;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};

use super::line_fields::{IDENTIFIER, LineFields};

/// Writes the entry for a line.
pub(super) fn encode(line: &[u8], out: &mut Vec<u8>) {
    let fields = LineFields::of(line);
    let message = fields.message.as_deref().map_or(line, str::as_bytes);
    field("MESSAGE", message, out);
    field("PRIORITY", fields.priority().to_string().as_bytes(), out);
    field("SYSLOG_IDENTIFIER", IDENTIFIER.as_bytes(), out);
    let sequence = fields.event.sequence.map(|number| number.to_string());
    for (name, value) in [
        ("RECON_RULE_ID", &fields.rule.id),
        ("RECON_RULE_CATEGORY", &fields.rule.category),
        ("RECON_EVENT_ID", &fields.event.id),
        ("RECON_EVENT_SEQUENCE", &sequence),
        ("RECON_EVENT_ACTION", &fields.event.action),
        ("RECON_SOURCE_IP", &fields.source.ip),
    ] {
        if let Some(value) = value {
            field(name, value.as_bytes(), out);
        }
    }
    field("RECON_LINE", line, out);
}

/// One with a line break has its length before it.
fn field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// Sends an entry that is too large for a datagram. journald reads it from a file that nobody can
/// change any more.
pub(super) fn send_as_file(socket: &UnixDatagram, entry: &[u8]) -> io::Result<()> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create(c"recon-journal-entry", flags)?);
    file.write_all(entry)?;
    let seals = SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    let descriptors = [file.as_raw_fd()];
    let message = [ControlMessage::ScmRights(&descriptors)];
    sendmsg::<UnixAddr>(socket.as_raw_fd(), &[], &message, MsgFlags::empty(), None)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_the_fields_of_their_line() {
        const ALERT: &str = r#"{"message":"a\nb","event":{"id":"e1","severity":73,"sequence":7,"action":"begun"},"rule":{"id":"port-scan/count","category":"port-scan"},"source":{"ip":"198.51.100.2"}}"#;
        for (line, expected) in [
            (
                ALERT,
                [
                    "MESSAGE\n\u{3}\0\0\0\0\0\0\0a\nb\nPRIORITY=3\nSYSLOG_IDENTIFIER=recon\nRECON_RULE_ID=port-scan/count\nRECON_RULE_CATEGORY=port-scan\nRECON_EVENT_ID=e1\nRECON_EVENT_SEQUENCE=7\nRECON_EVENT_ACTION=begun\nRECON_SOURCE_IP=198.51.100.2\nRECON_LINE=",
                    ALERT,
                    "\n",
                ],
            ),
            (
                "no JSON",
                [
                    "MESSAGE=no JSON\nPRIORITY=6\nSYSLOG_IDENTIFIER=recon\nRECON_LINE=",
                    "no JSON",
                    "\n",
                ],
            ),
        ] {
            let mut entry = Vec::new();
            encode(line.as_bytes(), &mut entry);
            assert_eq!(String::from_utf8_lossy(&entry), expected.concat());
        }
    }
}
