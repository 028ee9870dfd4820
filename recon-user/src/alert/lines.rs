//! Lines in their order: what all of one run have in common.
//!
//! In: notifications and reports, each with the processes it is about. Out: lines of JSON in one
//! format, each with its line feed, numbered from 1 (`event.sequence`), so that a reader sees what
//! is missing.
//! The decision held here: `host.id` is the machine's id as other agents write it, so that alerts
//! can be joined with their events.

use std::fs;
use std::net::IpAddr;

use super::format::LineFormat;
use super::prepared::Prepared;
use super::{blind, digest, finding_alert, suppressed_alert};
use crate::blind::BlindReport;
use crate::enrich::{AddressFacts, Databases, Enrichment, Names};
use crate::incident::Notification;
use crate::process::Process;

/// Where the machine's id is, see machine-id(5).
const MACHINE_ID: &str = "/etc/machine-id";

/// Who writes a line, and which of its lines it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    /// Its name, if it is known.
    pub(super) host: Option<&'a str>,
    pub(super) host_id: Option<&'a str>,
    pub(super) sequence: u64,
    pub(super) enrichment: &'a Enrichment,
}

/// The lines of one run.
#[derive(Debug)]
pub struct AlertLines {
    host: Option<String>,
    host_id: Option<String>,
    written: u64,
    format: LineFormat,
    prepared: Prepared,
    /// The last line, whose memory the next one takes.
    line: Vec<u8>,
    enrichment: Enrichment,
}

impl AlertLines {
    /// Lines about the host with that name, of which no more is known.
    #[must_use]
    pub fn of(host: &str) -> Self {
        Self {
            host: Some(host.to_owned()),
            ..Self::of_unknown_host()
        }
    }

    /// Lines about a host of which nothing is known.
    #[must_use]
    pub fn of_unknown_host() -> Self {
        Self {
            host: None,
            host_id: None,
            written: 0,
            format: LineFormat::default(),
            prepared: Prepared::default(),
            line: Vec::new(),
            enrichment: Enrichment::default(),
        }
    }

    /// The same lines in that format.
    #[must_use]
    pub fn written_as(self, format: LineFormat) -> Self {
        Self { format, ..self }
    }

    /// The same lines with what these databases know of remotes.
    pub(crate) fn enriched_by(mut self, databases: Databases) -> Self {
        self.enrichment.databases = databases;
        self
    }

    /// Goes on with other databases.
    pub(crate) fn change_databases(&mut self, databases: &Databases) {
        self.enrichment.databases.clone_from(databases);
    }

    /// The names that lines give to remotes.
    pub(crate) const fn names_mut(&mut self) -> &mut Names {
        &mut self.enrichment.names
    }

    /// What lines say of an address.
    pub(crate) fn facts_of(&self, address: IpAddr) -> AddressFacts {
        self.enrichment.find(address)
    }

    /// Lines about this host, which has that name.
    pub(crate) fn of_this_host(host: &str) -> Self {
        let id = fs::read_to_string(MACHINE_ID).ok();
        let id = id.map(|id| id.trim().to_owned());
        Self {
            host_id: id.filter(|id| is_machine_id(id)),
            ..Self::of(host)
        }
    }

    /// Goes on with lines about another host.
    pub(crate) fn change_host(&mut self, host: &str) {
        if self.host.as_deref() != Some(host) {
            host.clone_into(self.host.get_or_insert_default());
            self.prepared = Prepared::default();
        }
    }

    /// The line of a notification: a finding, the first of the suppressed findings with their
    /// number, or the digest of an hour. `who` are the processes of this host that sent the
    /// packets, or the one that accepted the connections, as far as they are known.
    ///
    /// # Errors
    /// Those of `serde_json`.
    pub fn notification(
        &mut self,
        notification: &Notification,
        who: &[Process],
    ) -> serde_json::Result<&[u8]> {
        let format = self.format;
        self.write(|origin, prepared, line| match notification {
            Notification::Found(finding) => {
                finding_alert(finding, origin, who).write(format, origin, prepared, line)
            }
            Notification::Suppressed { first, suppressed } => {
                suppressed_alert(first, suppressed, origin, who)
                    .write(format, origin, prepared, line)
            }
            Notification::Digest(digest) => format.write(digest::digest(digest, origin), line),
        })
    }

    /// The line of a report on what recon does not see.
    ///
    /// # Errors
    /// Those of `serde_json`.
    pub fn blind(&mut self, report: &BlindReport) -> serde_json::Result<&[u8]> {
        let format = self.format;
        self.write(|origin, _, line| format.write(blind::blind(report, origin), line))
    }

    /// The next line, of which `write` writes the object.
    fn write(
        &mut self,
        write: impl FnOnce(Origin<'_>, &mut Prepared, &mut Vec<u8>) -> serde_json::Result<()>,
    ) -> serde_json::Result<&[u8]> {
        self.written += 1;
        self.line.clear();
        let origin = Origin {
            host: self.host.as_deref(),
            host_id: self.host_id.as_deref(),
            sequence: self.written,
            enrichment: &self.enrichment,
        };
        write(origin, &mut self.prepared, &mut self.line)?;
        self.line.push(b'\n');
        Ok(&self.line)
    }
}

/// Whether it is no `uninitialized`, which the file may say at the first boot.
fn is_machine_id(text: &str) -> bool {
    /// Hexadecimal digits of 128 bits.
    const DIGITS: usize = 32;
    text.len() == DIGITS && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_of_machines_are_hosts_ids() {
        for (text, expected) in [
            ("0123456789abcdef0123456789abcdef", true),
            ("uninitialized", false),
            ("", false),
            ("0123456789abcdef0123456789abcdeg", false),
            ("0123456789abcdef0123456789abcdef0", false),
        ] {
            assert_eq!(is_machine_id(text), expected, "{text:?}");
        }
    }
}
