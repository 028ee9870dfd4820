//! A file of facts about networks, in the format of MaxMind (.mmdb).
//!
//! In: a path. Out: a [`Database`], or why the file is none; what it knows of an address.
//! The decisions held here:
//! - The file is read into memory. A file that is mapped and then truncated by whoever updates it
//!   would end recon with a signal.
//! - What a record is called differs by vendor: the names of MaxMind, DB-IP, IPinfo and of free
//!   tables made of them are known. A file in whose first networks none of them occurs is refused.
//! - The crate maxminddb reads the format. It checks each offset and bounds what a record expands
//!   to, so a damaged file costs its facts, and neither a panic nor a loop.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use maxminddb::{LookupResult, MaxMindDbError, PathElement, Reader, WithinOptions};
use thiserror::Error;

use crate::diagnostic::visible;

/// The largest file: twice a database of all cities.
const MAX_BYTES: u64 = 128 << 20;
/// How many of the first networks are searched for a fact.
const MAX_TRIED: usize = 1 << 16;
/// The longest name of an organization, in bytes. Real ones have a hundred.
const MAX_NAME: usize = 256;
/// What IPinfo writes before a number.
const AS_PREFIX: &str = "AS";

type Name = &'static [PathElement<'static>];

/// Where records have the number of the autonomous system, best first.
const NUMBERS: [Name; 3] = [
    &[PathElement::Key("autonomous_system_number")],
    &[PathElement::Key("asn")],
    &[
        PathElement::Key("traits"),
        PathElement::Key("autonomous_system_number"),
    ],
];
/// Where they have the organization that runs it.
const ORGANIZATIONS: [Name; 4] = [
    &[PathElement::Key("autonomous_system_organization")],
    &[PathElement::Key("as_name")],
    &[PathElement::Key("name")],
    &[
        PathElement::Key("traits"),
        PathElement::Key("autonomous_system_organization"),
    ],
];
/// Where they have the code of the country. `country` of IPinfo Lite is a name, which is no code.
const COUNTRIES: [Name; 3] = [
    &[PathElement::Key("country"), PathElement::Key("iso_code")],
    &[PathElement::Key("country_code")],
    &[PathElement::Key("country")],
];

/// What a database is to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Asn,
    Country,
}

impl Content {
    /// Its setting in `[enrich]`.
    pub(crate) const fn setting(self) -> &'static str {
        match self {
            Self::Asn => "asn",
            Self::Country => "country",
        }
    }

    /// Whether a record has it.
    fn is_in(self, record: &LookupResult<'_, Vec<u8>>) -> Result<bool, MaxMindDbError> {
        Ok(match self {
            Self::Asn => number(record)?.is_some(),
            Self::Country => country(record)?.is_some(),
        })
    }

    const fn in_words(self) -> &'static str {
        match self {
            Self::Asn => "number of an autonomous system",
            Self::Country => "code of a country",
        }
    }
}

/// Why a file is no such database.
#[derive(Debug, Error)]
pub(crate) enum DatabaseError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("this is not a regular file, and a reload could not read it again")]
    NoFile,
    #[error("this file has over {} MiB: is it a database of networks?", MAX_BYTES >> 20)]
    TooLarge,
    #[error(
        "this is no database in MaxMind's format (.mmdb), or it is cut off: {0}; unpack an archive first, or download it again"
    )]
    NoDatabase(MaxMindDbError),
    #[error(
        "this database is of the type `{kind}`, and the first {tried} of its networks have no {}: does `{}` name the right file?",
        .lacks.in_words(), .lacks.setting()
    )]
    Lacks {
        kind: String,
        tried: usize,
        lacks: Content,
    },
}

/// A database.
#[derive(Debug)]
pub(crate) struct Database {
    path: PathBuf,
    pub(super) reader: Reader<Vec<u8>>,
    checksum: u32,
    /// The bytes that it takes in memory: those of the file.
    pub(super) bytes: u64,
    /// Whether a look-up has failed: it is reported once.
    is_damaged: AtomicBool,
}

impl PartialEq for Database {
    fn eq(&self, other: &Self) -> bool {
        let of = |it: &Self| (it.checksum, it.reader.metadata().build_epoch);
        self.path == other.path && of(self) == of(other)
    }
}

impl Database {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, DatabaseError> {
        let mut options = File::options();
        // To open a named pipe would wait for its writer.
        let options = options.read(true).custom_flags(libc::O_NONBLOCK);
        let file = options.open(path)?;
        let kind = file.metadata()?;
        if kind.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
        }
        if !kind.is_file() {
            return Err(DatabaseError::NoFile);
        }
        let mut bytes = Vec::new();
        let length = usize::try_from(kind.len().min(MAX_BYTES)).unwrap_or(0);
        bytes.try_reserve_exact(length).map_err(io::Error::from)?;
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(DatabaseError::TooLarge);
        }
        Self::parse(path, bytes)
    }

    pub(super) fn parse(path: &Path, bytes: Vec<u8>) -> Result<Self, DatabaseError> {
        Ok(Self {
            path: path.to_owned(),
            checksum: crc32fast::hash(&bytes),
            bytes: bytes.len() as u64,
            reader: Reader::from_source(bytes).map_err(DatabaseError::NoDatabase)?,
            is_damaged: AtomicBool::new(false),
        })
    }

    /// Checks that some of the first networks have what it is for.
    pub(crate) fn check_content(&self, content: Content) -> Result<(), DatabaseError> {
        let networks = self.reader.networks(each_end());
        let mut tried = 0;
        for found in networks.into_iter().flatten().take(MAX_TRIED) {
            tried += usize::from(found.as_ref().is_ok_and(LookupResult::has_data));
            // What is damaged in part is useful in part.
            if found
                .and_then(|found| content.is_in(&found))
                .unwrap_or(false)
            {
                return Ok(());
            }
        }
        Err(DatabaseError::Lacks {
            kind: self.kind(),
            tried,
            lacks: content,
        })
    }

    /// Looks at each record.
    ///
    /// # Errors
    /// What is damaged first.
    pub(crate) fn check_records(&self, content: Content) -> Result<(), MaxMindDbError> {
        /// A sound tree has one end more than nodes, and leads to those of IPv4 by up to three more
        /// ways.
        const ENDS_PER_NODE: usize = 4;
        let most = self.reader.metadata().node_count as usize * ENDS_PER_NODE;
        let mut seen = HashSet::new();
        for found in self.reader.networks(each_end())?.take(most) {
            let found = found?;
            if found.offset().is_some_and(|record| seen.insert(record)) {
                content.is_in(&found)?;
            }
        }
        Ok(())
    }

    /// The number of the autonomous system of an address, and who runs it.
    pub(crate) fn find_asn(&self, address: IpAddr) -> Option<(Option<u32>, Option<String>)> {
        self.find(address, |found| {
            let number = number(found)?;
            let organization = match number {
                Some(_) => text(found, &ORGANIZATIONS)?.map(bounded),
                None => None,
            };
            Ok((number, organization.filter(|name| !name.is_empty())))
        })
    }

    /// The country of an address.
    pub(crate) fn find_country(&self, address: IpAddr) -> Option<String> {
        self.find(address, country).flatten()
    }

    fn find<T>(
        &self,
        address: IpAddr,
        decode: impl FnOnce(&LookupResult<'_, Vec<u8>>) -> Result<T, MaxMindDbError>,
    ) -> Option<T> {
        const IPV4: u16 = 4;
        if address.is_ipv6() && self.reader.metadata().ip_version == IPV4 {
            return None;
        }
        let decoded = self.reader.lookup(address).and_then(|found| decode(&found));
        if let Err(error) = &decoded
            && !self.is_damaged.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                "{} is damaged: {error}, at {address}; alerts lack what it says of such addresses, and no more is said of this; replace it, and reload",
                self.name()
            );
        }
        decoded.ok()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path, to be shown.
    pub(crate) fn name(&self) -> String {
        visible(self.path.as_os_str().as_bytes())
    }

    /// Its type and when it was built, to be shown.
    pub(crate) fn version(&self) -> String {
        let built = i64::try_from(self.reader.metadata().build_epoch).ok();
        let built = built.and_then(|built| Timestamp::from_second(built).ok());
        let built = built.map_or_else(|| "an unknown date".to_owned(), |it| it.to_string());
        format!("{} of {built}", self.kind())
    }

    /// What a start and a check say of it.
    pub(crate) fn in_words(&self) -> String {
        const KIB: u64 = 1 << 10;
        let kib = self.bytes.div_ceil(KIB);
        format!("{}: {}, {kib} KiB in memory", self.name(), self.version())
    }

    /// What its maker calls it.
    fn kind(&self) -> String {
        visible(bounded(&self.reader.metadata().database_type).as_bytes())
    }
}

/// Every end of the tree. The iterator gives back control at each, and an end is at most 128 nodes
/// away: without ends that it skips, a tree with cycles can't hold it up.
fn each_end() -> WithinOptions {
    WithinOptions::default()
        .include_networks_without_data()
        .include_aliased_networks()
}

/// The number as a number, or as a text with or without its prefix. There is no system 0.
fn number(found: &LookupResult<'_, Vec<u8>>) -> Result<Option<u32>, MaxMindDbError> {
    for name in NUMBERS {
        let number = match unless_other_type(found.decode_path::<u32>(name))? {
            None => unless_other_type(found.decode_path::<&str>(name))?.and_then(|text| {
                let digits = text.strip_prefix(AS_PREFIX).unwrap_or(text);
                digits.parse().ok()
            }),
            number => number,
        };
        if let Some(1..) = number {
            return Ok(number);
        }
    }
    Ok(None)
}

fn country(found: &LookupResult<'_, Vec<u8>>) -> Result<Option<String>, MaxMindDbError> {
    for name in COUNTRIES {
        let code = unless_other_type(found.decode_path::<&str>(name))?;
        if let Some([first, second]) = code.map(str::as_bytes)
            && first.is_ascii_alphabetic()
            && second.is_ascii_alphabetic()
        {
            return Ok(code.map(str::to_ascii_uppercase));
        }
    }
    Ok(None)
}

/// The first text of these names.
fn text<'a>(
    found: &LookupResult<'a, Vec<u8>>,
    names: &[Name],
) -> Result<Option<&'a str>, MaxMindDbError> {
    for name in names {
        let text = unless_other_type(found.decode_path::<&str>(name))?;
        if text.is_some() {
            return Ok(text);
        }
    }
    Ok(None)
}

/// A value of another type is not the one that is looked for: vendors use a name for several.
fn unless_other_type<T>(
    decoded: Result<Option<T>, MaxMindDbError>,
) -> Result<Option<T>, MaxMindDbError> {
    match decoded {
        Err(MaxMindDbError::Decoding { .. }) => Ok(None),
        decoded => decoded,
    }
}

/// As much of a text as is kept.
fn bounded(text: &str) -> String {
    let text = text.trim();
    text[..text.floor_char_boundary(MAX_NAME)].to_owned()
}
