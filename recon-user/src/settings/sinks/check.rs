//! What goes together in the table of a sink.
//!
//! In: the settings of sinks. Out: an error for each that is missing, or has no effect.
//! The decision held here: a setting that the type of a sink does not have is an error. It would be
//! ignored otherwise, and somebody relies on it.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use clap::ValueEnum as _;

use super::{ALERTS_SINK, EVENTS_SINK, SinkType};
use crate::diagnostic::{Span, Wrong};
use crate::settings::read::TomlReader;
use crate::settings::{Settings, SinkSettings};
use crate::sink::STDOUT;

/// The sinks that recon has without a table.
const BUILT_IN: [&str; 3] = [STDOUT, ALERTS_SINK, EVENTS_SINK];
/// A sink's name is a part of log lines, of `recon status` and of the names of metrics.
const LONGEST_NAME: usize = 32;
const MOST_KEEP: u64 = 999;
/// A million lines are some gigabytes.
const MOST_QUEUE: u64 = 1_000_000;
/// The longest path of a socket, without the final 0: `sun_path` has 108 bytes.
const LONGEST_SOCKET: usize = 107;

/// What all types have that speak HTTP.
const OF_HTTP: &[&str] = &[
    "address",
    "headers_file",
    "ca_file",
    "cert_file",
    "key_file",
];

/// Which settings a type has, besides those of all types.
struct Keys {
    needs: &'static [&'static str],
    may: &'static [&'static str],
}

impl SinkType {
    const fn keys(self) -> Keys {
        let (needs, may): (&[_], &[_]) = match self {
            Self::File => (&["path"], &["rotate", "keep", "fsync"]),
            Self::Journald | Self::Syslog => (&[], &["path"]),
            Self::Unix => (&["path"], &["socket"]),
            Self::Tcp => (
                &["address"],
                &["tls", "server_name", "ca_file", "cert_file", "key_file"],
            ),
            Self::Webhook => (&["url"], OF_HTTP),
            Self::Otlp => (&["endpoint"], OF_HTTP),
            Self::Nats => (
                &["address"],
                &[
                    "subject",
                    "credentials_file",
                    "tls",
                    "server_name",
                    "ca_file",
                    "cert_file",
                    "key_file",
                ],
            ),
        };
        Keys { needs, may }
    }
}

impl SinkSettings {
    /// The settings that are there, apart from those of all types.
    fn special(&self) -> [(&'static str, bool); 16] {
        [
            ("path", self.path.is_some()),
            ("address", self.address.is_some()),
            ("socket", self.socket.is_some()),
            ("url", self.url.is_some()),
            ("endpoint", self.endpoint.is_some()),
            ("headers_file", self.headers_file.is_some()),
            ("subject", self.subject.is_some()),
            ("credentials_file", self.credentials_file.is_some()),
            ("tls", self.tls.is_some()),
            ("server_name", self.server_name.is_some()),
            ("ca_file", self.ca_file.is_some()),
            ("cert_file", self.cert_file.is_some()),
            ("key_file", self.key_file.is_some()),
            ("rotate", self.rotate.is_some()),
            ("keep", self.keep.is_some()),
            ("fsync", self.fsync.is_some()),
        ]
    }

    fn is_file(&self) -> bool {
        self.kind == Some(SinkType::File)
    }

    /// Whether it gives that name to a file that it rotates: `.1`, `.2` and so on, however many are
    /// kept, or `.next` while it does.
    fn is_rotated_name(&self, other: &Path) -> bool {
        let own = self
            .path
            .as_deref()
            .filter(|_| self.is_file() && self.rotate.is_some());
        let added = own.and_then(|own| {
            let whole = other.as_os_str().as_bytes();
            whole
                .strip_prefix(own.as_os_str().as_bytes())?
                .strip_prefix(b".")
        });
        added.is_some_and(|added| {
            added == b"next" || (!added.is_empty() && added.iter().all(u8::is_ascii_digit))
        })
    }

    /// What is wrong with the whole of a sink.
    fn check(&self, name: &str) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let is_letter = |letter: char| {
            letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_".contains(letter)
        };
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(is_letter) {
            wrong.push((
                format!("`{name}` is not a name for a sink"),
                Some(format!(
                    "use up to {LONGEST_NAME} lower-case letters, digits, `-` and `_`"
                )),
            ));
        }
        if BUILT_IN.contains(&name) {
            wrong.push((
                format!("`{name}` is the name of a sink that recon has by itself"),
                Some("use another name".to_owned()),
            ));
        }
        let Some(kind) = self.kind else {
            wrong.push((
                format!("the sink `{name}` has no `type`"),
                Some(format!(
                    "add one, as in type = \"file\"; the types are {}",
                    type_names()
                )),
            ));
            return wrong;
        };
        wrong.extend(self.check_keys(name, kind));
        wrong.extend(self.check_peer(name));
        wrong.extend(self.check_values(name, kind));
        wrong
    }

    /// Each that its type needs is there, and none that it does not have.
    fn check_keys(&self, name: &str, kind: SinkType) -> Vec<Wrong> {
        let Keys { needs, may } = kind.keys();
        let kind = type_name(kind);
        let wrong = |(key, is_set): (&'static str, bool)| -> Option<Wrong> {
            let is_needed = needs.contains(&key);
            if is_needed && !is_set {
                return Some((
                    format!("the sink `{name}` has no `{key}`"),
                    Some(format!("a sink of the type {kind} needs one")),
                ));
            }
            let is_strange = is_set && !is_needed && !may.contains(&key);
            let own: Vec<_> = needs.iter().chain(may).copied().collect();
            is_strange.then(|| {
                let own = own.join(", ");
                (
                    format!("a sink of the type {kind} has no `{key}`"),
                    Some(format!("remove it; the settings of this type are {own}")),
                )
            })
        };
        self.special().into_iter().filter_map(wrong).collect()
    }

    /// Where a peer is, and what encrypts the connection to it.
    fn check_peer(&self, name: &str) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let url = self.url.as_ref().or(self.endpoint.as_ref());
        if let Some(url) = url.filter(|url| url.address().is_none() && self.address.is_none()) {
            let host = url.host();
            wrong.push((
                format!("recon looks up no names, and the sink `{name}` has no address of {host}"),
                Some(format!(
                    "add that of {host}, as in address = \"192.0.2.1:443\""
                )),
            ));
        }
        if let (Some(url), Some(address)) = (url, self.address)
            && url.address().is_some_and(|other| other != address)
        {
            wrong.push((
                format!("the URL of the sink `{name}` has another address than `address`"),
                Some("remove `address`".to_owned()),
            ));
        }
        let is_secure = self.tls == Some(true) || url.is_some_and(|url| url.is_secure());
        let without = match url {
            Some(_) => "a URL of https",
            None => "`tls = true`",
        };
        let of_tls = ["server_name", "ca_file", "cert_file", "key_file"];
        for (key, _) in self.special().into_iter().filter(|(_, is_set)| *is_set) {
            if of_tls.contains(&key) && !is_secure {
                wrong.push((
                    format!("`{key}` has no effect without {without} in the sink `{name}`"),
                    Some(format!("use {without}, or remove it")),
                ));
            }
        }
        if self.cert_file.is_some() != self.key_file.is_some() {
            wrong.push((
                format!("the sink `{name}` has one of `cert_file` and `key_file`"),
                Some("name both: the certificate that the peer gets, and its key".to_owned()),
            ));
        }
        wrong
    }

    /// Values that are out of range or of no effect.
    fn check_values(&self, name: &str, kind: SinkType) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let mut error = |message: String, hint: String| wrong.push((message, Some(hint)));
        if self.keep.is_some() && self.rotate.is_none() {
            error(
                format!("`keep` has no effect without `rotate` in the sink `{name}`"),
                "add the size at which the file is rotated, as in rotate = \"100MiB\"".to_owned(),
            );
        }
        for (key, number, most) in [
            ("queue", self.queue, MOST_QUEUE),
            ("keep", self.keep, MOST_KEEP),
        ] {
            if let Some(number) = number.filter(|number| !(1..=most).contains(number)) {
                error(
                    format!("`{key} = {number}` of the sink `{name}` is out of range"),
                    format!("use a number from 1 to {most}"),
                );
            }
        }
        if self.lines.is_empty() {
            error(
                format!("the sink `{name}` gets no lines"),
                "use lines = [\"alerts\"], [\"rows\"], or both".to_owned(),
            );
        }
        let socket = self.path.as_deref().filter(|_| kind != SinkType::File);
        let length = socket.map_or(0, |path| path.as_os_str().len());
        if length > LONGEST_SOCKET {
            error(
                format!("the path of the sink `{name}` has {length} bytes, too many for a socket"),
                format!("use at most {LONGEST_SOCKET} bytes"),
            );
        }
        wrong
    }
}

fn type_name(kind: SinkType) -> String {
    let value = kind.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

/// All types, as a sentence names them.
fn type_names() -> String {
    let names = SinkType::value_variants().iter().copied();
    names.map(type_name).collect::<Vec<_>>().join(", ")
}

impl Settings {
    /// Reports what is wrong with sinks as a whole.
    pub(in crate::settings) fn check_sinks(&self, reader: &mut TomlReader<'_>) {
        let mut paths: Vec<(&Path, &str)> = Vec::new();
        self.check_rotated(reader);
        for (name, sink) in &self.sinks {
            let place: Span = sink.place;
            for (message, hint) in sink.value.check(name) {
                reader.error(place, message, hint);
            }
            let file = sink.value.path.as_deref();
            let file = file.filter(|_| sink.value.kind == Some(SinkType::File));
            let Some(file) = file else { continue };
            match paths.iter().find(|(other, _)| *other == file) {
                Some((_, other)) => reader.error(
                    place,
                    format!("the sinks `{other}` and `{name}` write to one file"),
                    Some(
                        "give each a file of its own, or let one have both kinds of lines"
                            .to_owned(),
                    ),
                ),
                None => paths.push((file, name)),
            }
        }
    }

    /// Reports a sink whose file has a name that another one gives to its rotated files.
    fn check_rotated(&self, reader: &mut TomlReader<'_>) {
        for (name, sink) in &self.sinks {
            let rotates = |other: &SinkSettings| {
                let own = sink.value.path.as_deref().filter(|_| sink.value.is_file());
                own.is_some_and(|own| other.is_rotated_name(own))
            };
            let mut others = self.sinks.iter().filter(|(other, _)| *other != name);
            if let Some((other, _)) = others.find(|(_, other)| rotates(&other.value)) {
                reader.error(
                    sink.place,
                    format!(
                        "the file of the sink `{name}` has the name of a rotated file of `{other}`"
                    ),
                    Some("give it a name that does not continue that of the other file".to_owned()),
                );
            }
        }
    }
}
