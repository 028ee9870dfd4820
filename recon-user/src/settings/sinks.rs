//! The tables `[sinks.NAME]`: what each says of the others.
//!
//! In: the settings of a sink. Out: where it writes to, or an error for what does not go together.
//! The decision held here: a setting that the type of a sink does not have is an error. It would be
//! ignored otherwise, and somebody relies on it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use serde::{Serialize, Serializer};

use super::bytes;
use super::defs::SinkSettings;
use super::list::ListItem;
use super::read::{TomlReader, TomlValue};
use super::value::SettingType;
use crate::diagnostic::{Span, Wrong};
use crate::duration::{Range, text};
use crate::sink::{Destination, Fsync, Rotation, STDOUT};

/// The sinks of `--alerts` and `--events`, as metrics name them.
pub(crate) const ALERTS_SINK: &str = "alerts";
pub(crate) const EVENTS_SINK: &str = "events";
/// The sinks that recon has without a table.
const BUILT_IN: [&str; 3] = [STDOUT, ALERTS_SINK, EVENTS_SINK];
/// A sink's name is a part of log lines, of `recon status` and of the names of metrics.
const LONGEST_NAME: usize = 32;
/// Some hundred lines: with fewer, files come and go all the time.
const LEAST_ROTATE: u64 = 64 << 10;
/// Rotated files that are kept.
const DEFAULT_KEEP: u64 = 5;
const MOST_KEEP: u64 = 999;
/// A million lines are some gigabytes.
const MOST_QUEUE: u64 = 1_000_000;
/// Without a time, nobody waits for the disk.
const NEVER: &str = "never";
/// Each line is on the disk before it counts as written.
const LINE: &str = "line";
const FSYNC_TIMES: Range = Range {
    least: Duration::from_millis(100),
    most: Duration::from_secs(3600),
    example: "1s",
};
/// Where systemd-journald and the syslog daemon listen.
const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";
const SYSLOG_SOCKET: &str = "/dev/log";
/// The longest path of a socket, without the final 0: `sun_path` has 108 bytes.
const LONGEST_SOCKET: usize = 107;

/// What a sink writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SinkType {
    File,
    Journald,
    Syslog,
    Unix,
    Tcp,
}

/// How lines go through a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SocketType {
    Stream,
    Datagram,
}

/// What a sink gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LineKind {
    Alerts,
    Rows,
}

impl SettingType for SinkType {
    const KIND: &'static str = "type of a sink";

    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self> {
        reader.text(value, "a type in quotes, as in \"file\"", |text| {
            choice(text, "type of a sink")
        })
    }
}

impl SettingType for SocketType {
    const KIND: &'static str = "type of a socket";

    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self> {
        reader.text(value, "a type in quotes, as in \"stream\"", |text| {
            choice(text, "type of a socket")
        })
    }
}

impl ListItem for LineKind {
    const LIST: &'static str = "list of lines";
    const WANTED: &'static str = "lines in brackets, as in [\"alerts\"]";

    fn parse(text: &str) -> Result<Self, Wrong> {
        choice(text, "kind of lines")
    }
}

/// One of a few names, as it is written.
fn choice<T: ValueEnum>(text: &str, what: &str) -> Result<T, Wrong> {
    T::from_str(text, false).map_err(|_| {
        let values = T::value_variants().iter();
        let names = values.filter_map(T::to_possible_value);
        let names: Vec<_> = names.map(|name| name.get_name().to_owned()).collect();
        let hint = format!("use one of {}", names.join(", "));
        (format!("no {what} `{text}`"), Some(hint))
    })
}

/// A path that is the same from whatever folder recon is started.
impl SettingType for PathBuf {
    const KIND: &'static str = "path";

    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self> {
        reader.text(value, "a path in quotes", <Self as ListItem>::parse)
    }
}

impl SettingType for SocketAddr {
    const KIND: &'static str = "address and port";

    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self> {
        let wanted = "an address and a port in quotes, as in \"192.0.2.1:6514\"";
        reader.text(value, wanted, |text| {
            let address = text.parse::<Self>().ok();
            address.filter(|it| it.port() != 0).ok_or_else(|| {
                let hint = "use an address and a port, as in 192.0.2.1:6514 or [2001:db8::1]:6514; recon looks up no names";
                (format!("`{text}` is not an address and a port"), Some(hint.to_owned()))
            })
        })
    }
}

/// The size of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileSize(pub(crate) u64);

impl SettingType for FileSize {
    const KIND: &'static str = "size of a file";

    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self> {
        let least = bytes::text(LEAST_ROTATE).unwrap_or_default();
        let hint = format!("use {least} or more, with KiB, MiB or GiB");
        reader.text(value, "a size in quotes, as in \"100MiB\"", |text| {
            let size = bytes::parse(text).filter(|&size| size >= LEAST_ROTATE);
            let message = format!("`{text}` is not a size at which a file can be rotated");
            size.map(Self).ok_or((message, Some(hint.clone())))
        })
    }
}

impl Serialize for FileSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Each is a multiple of 1 KiB, since no smaller unit is read.
        serializer.serialize_str(&bytes::text(self.0).unwrap_or_default())
    }
}

impl SettingType for Fsync {
    const KIND: &'static str = "\"line\", \"never\" or time";

    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self> {
        let wanted = "\"line\", \"never\" or a time in quotes";
        reader.text(value, wanted, |text| match text {
            LINE => Ok(Self::Line),
            NEVER => Ok(Self::Never),
            text => FSYNC_TIMES
                .parse(text)
                .map(Self::Every)
                .map_err(|(message, hint)| {
                    let or = format!("{}, or \"{LINE}\" or \"{NEVER}\"", hint.unwrap_or_default());
                    (message, Some(or))
                }),
        })
    }
}

impl Serialize for Fsync {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Line => serializer.serialize_str(LINE),
            Self::Never => serializer.serialize_str(NEVER),
            Self::Every(time) => serializer.serialize_str(&text(*time)),
        }
    }
}

impl SinkSettings {
    /// Where the sink writes to. `None` if a setting is missing, which is an error of the file.
    pub(crate) fn destination(&self) -> Option<Destination> {
        let path = || self.path.clone();
        let or = |default: &str| path().unwrap_or_else(|| PathBuf::from(default));
        Some(match self.kind? {
            SinkType::File => Destination::File {
                path: path()?,
                rotation: self.rotate.map(|FileSize(limit)| Rotation {
                    limit,
                    keep: self.keep.unwrap_or(DEFAULT_KEEP),
                }),
                fsync: self.fsync.unwrap_or_default(),
            },
            SinkType::Journald => Destination::Journal {
                path: or(JOURNAL_SOCKET),
            },
            SinkType::Syslog => Destination::Syslog {
                path: or(SYSLOG_SOCKET),
            },
            SinkType::Unix => Destination::Unix {
                path: path()?,
                is_datagram: self.socket == Some(SocketType::Datagram),
            },
            SinkType::Tcp => Destination::Tcp {
                address: self.address?,
            },
        })
    }

    /// Whether it gets such lines.
    pub(crate) fn takes(&self, kind: LineKind) -> bool {
        self.lines.contains(&kind)
    }

    /// The settings that are there, apart from those of all types.
    fn special(&self) -> [(&'static str, bool); 6] {
        [
            ("path", self.path.is_some()),
            ("address", self.address.is_some()),
            ("socket", self.socket.is_some()),
            ("rotate", self.rotate.is_some()),
            ("keep", self.keep.is_some()),
            ("fsync", self.fsync.is_some()),
        ]
    }

    /// What is wrong with the whole of a sink.
    fn check(&self, name: &str) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let mut error = |message: String, hint: String| wrong.push((message, Some(hint)));
        let is_letter = |letter: char| {
            letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_".contains(letter)
        };
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(is_letter) {
            error(
                format!("`{name}` is not a name for a sink"),
                format!("use up to {LONGEST_NAME} lower-case letters, digits, `-` and `_`"),
            );
        }
        if BUILT_IN.contains(&name) {
            error(
                format!("`{name}` is the name of a sink that recon has by itself"),
                "use another name".to_owned(),
            );
        }
        let Some(kind) = self.kind else {
            error(
                format!("the sink `{name}` has no `type`"),
                "add one, as in type = \"file\"; the types are file, journald, syslog, unix and tcp".to_owned(),
            );
            return wrong;
        };
        let (needs, may): (&[_], &[_]) = match kind {
            SinkType::File => (&["path"], &["rotate", "keep", "fsync"]),
            SinkType::Journald | SinkType::Syslog => (&[], &["path"]),
            SinkType::Unix => (&["path"], &["socket"]),
            SinkType::Tcp => (&["address"], &[]),
        };
        let kind = kind.to_possible_value();
        let kind = kind.as_ref().map_or("", |kind| kind.get_name());
        for (key, is_set) in self.special() {
            if needs.contains(&key) && !is_set {
                error(
                    format!("the sink `{name}` has no `{key}`"),
                    format!("a sink of the type {kind} needs one"),
                );
            } else if is_set && !needs.contains(&key) && !may.contains(&key) {
                let own: Vec<_> = needs.iter().chain(may).copied().collect();
                error(
                    format!("a sink of the type {kind} has no `{key}`"),
                    format!(
                        "remove it; the settings of this type are {}",
                        own.join(", ")
                    ),
                );
            }
        }
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
            if number.is_some_and(|number| number == 0 || number > most) {
                error(
                    format!("`{key}` of the sink `{name}` is out of range"),
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
        let socket = self.path.as_deref().filter(|_| kind != "file");
        if socket.is_some_and(|path| path.as_os_str().len() > LONGEST_SOCKET) {
            error(
                format!("the path of the sink `{name}` is too long for a socket"),
                format!("use at most {LONGEST_SOCKET} bytes"),
            );
        }
        wrong
    }
}

impl super::Settings {
    /// Reports what is wrong with sinks as a whole.
    pub(super) fn check_sinks(&self, reader: &mut TomlReader<'_>) {
        let mut paths: Vec<(&Path, &str)> = Vec::new();
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
}
