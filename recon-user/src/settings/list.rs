//! Settings that are lists of texts in quotes: networks, names of files, files.
//!
//! In: a list of recon.toml. Out: its items; an error for each that is wrong.

use std::path::PathBuf;

use serde::Serialize;

use super::options::file_name;
use super::read::{TomlReader, TomlValue};
use super::value::SettingType;
use crate::address::Network;
use crate::diagnostic::Wrong;

/// What a list consists of: texts in quotes.
pub(super) trait ListItem: Serialize + Sized {
    const LIST: &'static str;
    /// The list in words, for the message that one was expected.
    const WANTED: &'static str;

    fn parse(text: &str) -> Result<Self, Wrong>;
}

impl ListItem for Network {
    const LIST: &'static str = "list of networks";
    const WANTED: &'static str = "networks in brackets, as in [\"192.0.2.0/24\"]";

    fn parse(text: &str) -> Result<Self, Wrong> {
        let network: Result<Self, _> = text.parse();
        network.map_err(|error| (error.to_string(), None))
    }
}

/// The name of a program's file.
impl ListItem for String {
    const LIST: &'static str = "list of file names";
    const WANTED: &'static str = "file names in brackets, as in [\"nmap\"]";

    fn parse(text: &str) -> Result<Self, Wrong> {
        file_name(text).map_err(|hint| (format!("`{text}` is not a file name"), Some(hint)))
    }
}

/// A file. It is the same for whoever reads the settings, from whatever folder.
impl ListItem for PathBuf {
    const LIST: &'static str = "list of files";
    const WANTED: &'static str = "files in brackets, as in [\"/etc/recon/allow.txt\"]";

    fn parse(text: &str) -> Result<Self, Wrong> {
        let path = Self::from(text);
        match path.is_absolute() {
            true => Ok(path),
            false => Err((
                format!("`{text}` is not an absolute path"),
                Some("begin it with `/`, as in /etc/recon/allow.txt".to_owned()),
            )),
        }
    }
}

impl<T: ListItem> SettingType for Vec<T> {
    const KIND: &'static str = T::LIST;

    /// Errors are reported for each item.
    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self> {
        let items = reader.expect(value.get_ref().as_array(), T::WANTED, value)?;
        let items = items.iter();
        Some(
            items
                .filter_map(|item| reader.text(item, "a text in quotes", T::parse))
                .collect(),
        )
    }
}
