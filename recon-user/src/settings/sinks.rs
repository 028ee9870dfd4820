//! The tables `[sinks.NAME]`: the types of their settings, and what they describe together.
//!
//! In: the settings of a sink. Out: where it writes to.

mod check;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Serialize, Serializer};

use super::bytes;
use super::defs::SinkSettings;
use super::list::ListItem;
use super::read::{TomlReader, TomlValue};
use super::value::SettingType;
use crate::diagnostic::Wrong;
use crate::duration::{Range, text};
use crate::sink::{
    Destination, Fsync, HttpDestination, HttpUrl, LOGS_PATH, NatsDestination, NatsSubject,
    Rotation, TlsFiles, TlsSettings,
};

/// The sinks of `--alerts` and `--events`, as metrics name them.
pub(crate) const ALERTS_SINK: &str = "alerts";
pub(crate) const EVENTS_SINK: &str = "events";
/// Some hundred lines: with fewer, files come and go all the time.
const LEAST_ROTATE: u64 = 64 << 10;
/// Rotated files that are kept.
const DEFAULT_KEEP: u64 = 5;
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

/// What a sink writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SinkType {
    File,
    Journald,
    Syslog,
    Unix,
    Tcp,
    Webhook,
    Otlp,
    Nats,
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

impl SettingType for HttpUrl {
    const KIND: &'static str = "URL";

    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self> {
        reader.text(
            value,
            "a URL in quotes, as in \"https://192.0.2.1/recon\"",
            Self::parse,
        )
    }
}

impl SettingType for NatsSubject {
    const KIND: &'static str = "subject of NATS";

    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self> {
        reader.text(
            value,
            "a subject in quotes, as in \"recon.{lines}.{host}\"",
            Self::parse,
        )
    }
}

/// The name in the certificate of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ServerName(String);

impl SettingType for ServerName {
    const KIND: &'static str = "name of a host, or address";

    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self> {
        let wanted = "a name in quotes, as in \"collector.example\"";
        reader.text(value, wanted, |text| {
            let is_name = rustls::pki_types::ServerName::try_from(text).is_ok();
            is_name.then(|| Self(text.to_owned())).ok_or_else(|| {
                let hint = "use the name of a host, or an address, as the certificate has it";
                (
                    format!("`{text}` is no name of a server"),
                    Some(hint.to_owned()),
                )
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
                tls: self.tls_settings(),
            },
            SinkType::Nats => Destination::Nats(NatsDestination {
                address: self.address?,
                subject: self.subject.clone().unwrap_or_default(),
                tls: self.tls_settings(),
                credentials_file: self.credentials_file.clone(),
            }),
            SinkType::Otlp => {
                let url = self.endpoint.as_ref()?.with_path(LOGS_PATH);
                Destination::Otlp(self.http(&url)?)
            }
            SinkType::Webhook => Destination::Webhook(self.http(self.url.as_ref()?)?),
        })
    }

    /// A peer that gets requests at that URL.
    fn http(&self, url: &HttpUrl) -> Option<HttpDestination> {
        Some(HttpDestination {
            url: url.clone(),
            address: self.address.or_else(|| url.address())?,
            tls: self.tls_files(),
            headers_file: self.headers_file.clone(),
        })
    }

    /// The setting whose secret is sent without encryption, and what to do about it.
    pub(crate) fn unencrypted_secret(&self) -> Option<(&'static str, &'static str)> {
        let url = self.url.as_ref().or(self.endpoint.as_ref());
        match self.kind? {
            SinkType::Webhook | SinkType::Otlp => {
                let is_shown = self.headers_file.is_some() && !url?.is_secure();
                is_shown.then_some(("headers_file", "use a URL of https"))
            }
            SinkType::Nats => {
                let is_shown = self.credentials_file.is_some() && self.tls != Some(true);
                is_shown.then_some(("credentials_file", "set tls = true"))
            }
            _ => None,
        }
    }

    /// `None` if the connection is not encrypted.
    fn tls_settings(&self) -> Option<TlsSettings> {
        self.tls.filter(|&is_set| is_set)?;
        let own = self
            .server_name
            .as_ref()
            .map(|ServerName(name)| name.clone());
        Some(TlsSettings {
            files: self.tls_files(),
            server_name: own.or_else(|| Some(self.address?.ip().to_string()))?,
        })
    }

    fn tls_files(&self) -> TlsFiles {
        TlsFiles {
            ca: self.ca_file.clone(),
            client: self.cert_file.clone().zip(self.key_file.clone()),
        }
    }

    /// Whether it gets such lines.
    pub(crate) fn takes(&self, kind: LineKind) -> bool {
        self.lines.contains(&kind)
    }
}
