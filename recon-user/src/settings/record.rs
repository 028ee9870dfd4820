//! The types of settings in `[record]`.
//!
//! In: a value of recon.toml. Out: what it says, or an error.

use recon_common::hit_header::CAPTURED;
use serde::{Serialize, Serializer};

use super::bytes;
use super::read::{TomlReader, TomlValue};
use super::value::SettingType;

/// What all evidence files may take, if the settings do not say it.
pub(super) const DEFAULT_FOLDER: FolderSize = FolderSize(64 << 20);
/// Fewer would not hold the alerts of an hour.
const LEAST_FOLDER: u64 = 1 << 20;
/// Bytes of a payload for which a record has room behind the headers of IPv4 and TCP.
const MOST_PAYLOAD: u64 = 192;
const _: () = assert!(MOST_PAYLOAD as usize + 54 <= CAPTURED);

/// The size of all files in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FolderSize(pub(crate) u64);

impl SettingType for FolderSize {
    const KIND: &'static str = "size of a folder";

    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self> {
        let least = bytes::text(LEAST_FOLDER).unwrap_or_default();
        let hint = format!("use {least} or more, with KiB, MiB or GiB");
        reader.text(value, "a size in quotes, as in \"64MiB\"", |text| {
            let size = bytes::parse(text).filter(|&size| size >= LEAST_FOLDER);
            let message = format!("`{text}` is not a size that evidence files can keep to");
            size.map(Self).ok_or((message, Some(hint.clone())))
        })
    }
}

impl Serialize for FolderSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Each is a multiple of 1 KiB, since no smaller unit is read.
        serializer.serialize_str(&bytes::text(self.0).unwrap_or_default())
    }
}

/// How many bytes of a payload are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct PayloadLength(pub(crate) u32);

impl SettingType for PayloadLength {
    const KIND: &'static str = "number of bytes";

    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self> {
        let number = u64::read(value, reader)?;
        let length = u32::try_from(number).ok();
        let length = length.filter(|_| number <= MOST_PAYLOAD);
        if length.is_none() {
            let hint = format!("use a number from 0 to {MOST_PAYLOAD}");
            let message = format!("{number} bytes are more than a record has room for");
            reader.error(reader.span(value.span()), message, Some(hint));
        }
        length.map(Self)
    }
}
