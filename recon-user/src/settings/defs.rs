//! All settings, each declared once.
//!
//! In: nothing; settings are data. Out: the structs of recon.toml's tables, and [`SettingFlags`]. A
//! row gives the key, type, default and doc (one line) of a setting. The reader of recon.toml,
//! `recon config`, `--help` and docs/settings.md come from it. To add a setting, add a row and use
//! it. One that the command line overrides has a flag too.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::declare::table;
use super::network_files::Lists;
use super::options::{program_name, time};
use super::read::{TomlReader, TomlValue};
use super::record::{DEFAULT_FOLDER, FolderSize, PayloadLength};
use super::sinks::{FileSize, LineKind, ServerName, SinkType, SocketType};
use super::value::{Bytes, DigestedLines, LineCount, Located, SettingType, Time, TomlTable};
use super::{Origin, bytes};
use crate::address::{Labels, Network};
use crate::enrich::Databases;
use crate::hook::Netns;
use crate::incident::{DEFAULT_QUIET, LineLimit};
use crate::kql::Severity;
use crate::rule::Profile;
use crate::sink::{Fsync, HttpUrl, NatsSubject};

table! {
    /// The settings in force.
    pub Settings ("include_private = true") {
        /// Judge private, loopback and link-local remotes too, as most labs need
        include_private: bool = false;
        /// Write alerts of this severity and above; all severities by default
        min_severity: Severity = Severity::Informational;
        /// Which built-in rules run: `outcomes` counts what came to nothing, `source` every hit
        profile: Profile = Profile::Outcomes;
        /// Whose sockets count: `watched` namespaces, or `all`, where anybody may forge connections
        netns: Netns = Netns::Watched;
        /// Treat programs of this file name as scanning tools, like nmap; may be repeated
        scanners: Vec<String> = Vec::new();
        /// Do not treat programs of this file name as scanning tools; may be repeated
        not_scanners: Vec<String> = Vec::new();
        /// Treat these networks as private, like those of RFC 1918
        local_networks: Vec<Network> = Vec::new();
        /// Count nothing that these remotes do
        allow: Vec<Network> = Vec::new();
        /// Count what these remotes do even if `allow` lists them
        deny: Vec<Network> = Vec::new();
        /// Files of more such remotes as in `allow`, one a line, of any size; `#` begins a comment
        allow_files: Vec<PathBuf> = Vec::new();
        /// Files of more such remotes as in `deny`
        deny_files: Vec<PathBuf> = Vec::new();
        /// How long an incident must be unchanged before its end is reported
        quiet: Time = Time(DEFAULT_QUIET);
        /// How many alerts are written
        alerts: Alerts = Alerts::default();
        /// What recon may take of the host
        limits: Limits = Limits::default();
        /// Names of networks, which alerts show; they never change what counts
        labels: Labels = Labels::default();
        /// What else alerts say of remotes
        enrich: Enrich = Enrich::default();
        /// What alerts leave behind of their packets
        record: Record = Record::default();
        /// Where lines go besides stdout, `--alerts` and `--events`
        sinks: BTreeMap<String, Located<SinkSettings>> = BTreeMap::new();
        /// Settings of one rule
        rules: BTreeMap<String, Located<Override>> = BTreeMap::new();
    }
    /// The file, to show errors that are found once the rules are known.
    pub(super) origin: Origin;
    /// The networks of the files that the settings name, once they are read.
    pub(super) lists: Lists;
    /// The databases of the files that the settings name, once they are read.
    pub(crate) databases: Databases;
}

/// Settings that the command line overrides, by their keys.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct SettingFlags {
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", help = doc("include_private"))]
    pub(crate) include_private: Option<bool>,
    #[arg(long, value_enum, value_name = "SEVERITY", help = doc("min_severity"))]
    pub(crate) min_severity: Option<Severity>,
    #[arg(long, value_enum, value_name = "PROFILE", help = doc("profile"))]
    pub(crate) profile: Option<Profile>,
    #[arg(long, value_enum, value_name = "NETNS", help = doc("netns"))]
    pub(crate) netns: Option<Netns>,
    #[arg(long = "scanner", value_name = "NAME", value_parser = program_name,
          help = doc("scanners"))]
    pub(crate) scanners: Vec<String>,
    #[arg(long = "not-scanner", value_name = "NAME", value_parser = program_name,
          help = doc("not_scanners"))]
    pub(crate) not_scanners: Vec<String>,
    #[arg(long, value_name = "TIME", value_parser = time, help = doc("quiet"))]
    pub(crate) quiet: Option<Time>,
}

/// What the setting with this key does.
fn doc(key: &str) -> &'static str {
    let mut docs = Settings::KEYS.iter().zip(Settings::DOCS);
    let found = docs.find(|(other, _)| **other == key);
    found.map_or("", |(_, doc)| doc.trim())
}

table! {
    /// How many alerts are written.
    pub(crate) Alerts ("[alerts]") {
        /// Lines of one rule written in each `per`, scanners first; the rest are counted
        lines: LineCount = LineCount(LineLimit::default().lines);
        /// The time that `lines` is for
        per: Time = Time(LineLimit::default().per);
        /// Lines of one informational rule written in an hour; one digest an hour counts the rest
        informational_per_hour: DigestedLines =
            DigestedLines(LineLimit::default().informational_per_hour);
    }
}

table! {
    /// What recon may take of the host.
    pub(crate) Limits ("[limits]") {
        /// The memory that recon may take
        memory: Bytes = Bytes(bytes::DEFAULT_MEMORY);
    }
}

table! {
    /// What else alerts say of remotes.
    pub(crate) Enrich ("[enrich]") {
        /// Database of autonomous systems, in MaxMind's format (.mmdb)
        asn: Option<PathBuf> = None;
        /// Database of countries, in the same format; may be the same file
        country: Option<PathBuf> = None;
        /// Learn names of remotes from the answers to this host's own DNS queries
        names: bool = false;
    }
}

table! {
    /// What alerts leave behind of their packets.
    pub(crate) Record ("[record]") {
        /// Folder for a pcapng file beside each alert, with the headers of its packets
        directory: Option<PathBuf> = None;
        /// What these files may take together; the oldest go first
        size: FolderSize = DEFAULT_FOLDER;
        /// How many bytes behind the headers are kept too
        payload: PayloadLength = PayloadLength::default();
    }
}

table! {
    /// A sink.
    pub(crate) SinkSettings ("[sinks.audit]") {
        /// What it writes to: `file`, `journald`, `syslog`, `unix`, `tcp`, `webhook`, `otlp` or
        /// `nats`
        kind as "type": Option<SinkType> = None;
        /// The file, or the socket of `journald`, `syslog` or `unix`
        path: Option<PathBuf> = None;
        /// The peer of `tcp` or `nats`, by its address; of other types, where the host of the URL
        /// is
        address: Option<SocketAddr> = None;
        /// How a `unix` sink sends: as `stream`, the default, or as a `datagram` for each line
        socket: Option<SocketType> = None;
        /// What a `webhook` asks for: http or https, with an address or a name
        url: Option<HttpUrl> = None;
        /// The receiver of `otlp`: a URL to which recon adds /v1/logs
        endpoint: Option<HttpUrl> = None;
        /// A file of headers for each request, one a line; only its owner and group may read it
        headers_file: Option<PathBuf> = None;
        /// The subject that `nats` publishes to: `{lines}` in it is `alerts` or `rows`, `{host}`
        /// the name of this host
        subject: Option<NatsSubject> = None;
        /// A file with the `user:` and `password:` of `nats`, or its `token:`; only its owner and
        /// group may read it
        credentials_file: Option<PathBuf> = None;
        /// Whether the connection of `tcp` or `nats` is encrypted
        tls: Option<bool> = None;
        /// The name in the certificate of a peer with `tls`; its address if unset
        server_name: Option<ServerName> = None;
        /// Certificates of whom the peer's must come from; those that the system trusts if unset
        ca_file: Option<PathBuf> = None;
        /// The certificate that the peer gets
        cert_file: Option<PathBuf> = None;
        /// The key of that certificate; only its owner and group may read it
        key_file: Option<PathBuf> = None;
        /// What it gets: `alerts`, `rows` or both
        lines: Vec<LineKind> = vec![LineKind::Alerts];
        /// How many alerts may wait for it, and how many rows; 4096 and 131072 if unset
        queue: Option<u64> = None;
        /// The size at which a `file` is rotated; unset, it grows without bound
        rotate: Option<FileSize> = None;
        /// How many rotated files are kept; 5 if unset
        keep: Option<u64> = None;
        /// When a `file` is on the disk: after each `line`, after a time, or `never`, the default
        fsync: Option<Fsync> = None;
    }
}

table! {
    /// Settings of one rule. Unset ones are as the rule says.
    pub(crate) Override ("[rules.port-scan]") {
        /// Whether the rule is in force
        enabled: Option<bool> = None;
        /// The rule fires above this count
        threshold: Option<Located<u64>> = None;
        /// How far back the rule counts
        window: Option<Time> = None;
        /// How sure its alerts are to mean harm
        severity: Option<Severity> = None;
        /// How long an alert holds back further ones of its group
        cooldown: Option<Time> = None;
        /// Remotes that the rule ignores, in addition to those that all rules ignore
        allow: Option<Vec<Network>> = None;
        /// Remotes that the rule counts even if a list named `allow` has them
        deny: Option<Vec<Network>> = None;
        /// Files of more such remotes as in its `allow`
        allow_files: Option<Vec<PathBuf>> = None;
        /// Files of more such remotes as in its `deny`
        deny_files: Option<Vec<PathBuf>> = None;
    }
}
