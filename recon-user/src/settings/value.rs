//! The types that settings have.
//!
//! In: a value of recon.toml. Out: what it says, or an error; and the value as TOML again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::bytes;
use super::read::{TomlReader, TomlValue};
use crate::address::{Labels, Network};
use crate::diagnostic::Span;
use crate::duration::text;
use crate::hook::Netns;
use crate::kql::{Severity, WINDOW};
use crate::rule::Profile;

/// Stands for a number of lines without a limit.
const UNLIMITED: &str = "unlimited";

/// A row of the docs.
#[cfg(test)]
pub(super) struct DocRow {
    pub(super) key: String,
    pub(super) kind: &'static str,
    pub(super) default: String,
    pub(super) doc: &'static str,
}

/// A type that a setting has.
pub(super) trait SettingType: Serialize + Sized {
    /// The type in words, for the docs.
    const KIND: &'static str;

    /// Reads a value. Reports an error and returns None if it is of another type or out of range.
    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self>;

    /// Whether the file says nothing of it.
    fn is_unset(&self) -> bool {
        false
    }

    /// Adds the docs of a setting that has this default.
    #[cfg(test)]
    fn describe(&self, key: String, doc: &'static str, rows: &mut Vec<DocRow>) {
        let mut default = String::new();
        if !self.is_unset() {
            let serializer = toml::ser::ValueSerializer::new(&mut default);
            self.serialize(serializer).expect("a default is TOML");
        }
        rows.push(DocRow {
            key,
            kind: Self::KIND,
            default,
            doc,
        });
    }
}

/// A table of recon.toml, as `table!` declares it.
pub(super) trait TomlTable: Default + Serialize {
    const KEYS: &'static [&'static str];
    const DOCS: &'static [&'static str];
    const EXAMPLE: &'static str;

    fn set(&mut self, key: &str, value: &TomlValue<'_>, reader: &mut TomlReader<'_>);

    #[cfg(test)]
    fn describe_entries(prefix: &str, rows: &mut Vec<DocRow>);
}

impl<T: TomlTable> SettingType for T {
    const KIND: &'static str = "table";

    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self> {
        reader.table(value)
    }

    #[cfg(test)]
    fn describe(&self, key: String, _doc: &'static str, rows: &mut Vec<DocRow>) {
        T::describe_entries(&format!("{key}."), rows);
    }
}

impl SettingType for bool {
    const KIND: &'static str = "true or false";

    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self> {
        reader.expect(value.get_ref().as_bool(), Self::KIND, value)
    }
}

impl SettingType for u64 {
    const KIND: &'static str = "number";

    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self> {
        /// TOML's own numbers end here.
        const LARGEST: u64 = i64::MAX.unsigned_abs();
        let integer = reader.expect(value.get_ref().as_integer(), "a whole number", value)?;
        let number = Self::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|&number| number <= LARGEST);
        if number.is_none() {
            let hint = format!("use a number from 0 to {LARGEST}");
            let message = format!("`{integer}` is not a valid number");
            reader.error(reader.span(value.span()), message, Some(hint));
        }
        number
    }
}

/// How long, as rules and settings write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub Duration);

impl SettingType for Time {
    const KIND: &'static str = "time";

    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self> {
        let parse = |text: &str| WINDOW.parse(text);
        reader
            .text(value, "a time in quotes, as in \"10m\"", parse)
            .map(Self)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&text(self.0))
    }
}

impl SettingType for Severity {
    const KIND: &'static str = "severity";

    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self> {
        reader.text(value, "a severity in quotes, as in \"high\"", Self::parse)
    }
}

impl SettingType for Profile {
    const KIND: &'static str = "profile";

    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self> {
        reader.text(value, "a profile in quotes, as in \"source\"", Self::parse)
    }
}

impl SettingType for Netns {
    const KIND: &'static str = "namespaces";

    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self> {
        reader.text(value, "a choice in quotes, as in \"all\"", Self::parse)
    }
}

impl SettingType for Labels {
    const KIND: &'static str = "names by network";

    /// Errors are reported for each network.
    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self> {
        let wanted = "a table, as in [labels]";
        let table = reader.expect(value.get_ref().as_table(), wanted, value)?;
        let mut labels: Vec<(Network, Arc<str>)> = Vec::new();
        for (key, name) in table.iter() {
            let place = reader.span(key.span());
            let network = key.get_ref().parse::<Network>();
            let name = reader.text(name, "a name in quotes", |text| Ok(Arc::from(text)));
            match network {
                Err(error) => reader.error(place, error, None),
                Ok(network) if labels.iter().any(|(other, _)| *other == network) => {
                    let hint = "keep one of the two".to_owned();
                    reader.error(place, format!("a second name of {network}"), Some(hint));
                }
                Ok(network) => labels.extend(name.map(|name| (network, name))),
            }
        }
        Some(labels.into_iter().collect())
    }
}

/// How many lines: a number from 1 on. None is all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LineCount(pub Option<u64>);

impl SettingType for LineCount {
    const KIND: &'static str = "number or \"unlimited\"";

    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self> {
        match read_lines(value, reader)? {
            Some(0) => {
                let message = "no line of any rule would be written";
                let hint = format!("use a number from 1 on, or \"{UNLIMITED}\"");
                reader.error(reader.span(value.span()), message, Some(hint));
                None
            }
            lines => Some(Self(lines)),
        }
    }
}

impl Serialize for LineCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_lines(self.0, serializer)
    }
}

/// How many lines, if a digest counts the rest: a number from 0 on. None is all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DigestedLines(pub Option<u64>);

impl SettingType for DigestedLines {
    const KIND: &'static str = LineCount::KIND;

    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self> {
        read_lines(value, reader).map(Self)
    }
}

impl Serialize for DigestedLines {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_lines(self.0, serializer)
    }
}

fn read_lines(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Option<u64>> {
    if value.get_ref().as_str() == Some(UNLIMITED) {
        return Some(None);
    }
    let wanted = format!("a number of lines or \"{UNLIMITED}\"");
    reader.expect(value.get_ref().as_integer(), &wanted, value)?;
    u64::read(value, reader).map(Some)
}

fn serialize_lines<S: Serializer>(lines: Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    match lines {
        Some(lines) => serializer.serialize_u64(lines),
        None => serializer.serialize_str(UNLIMITED),
    }
}

/// An amount of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub u64);

impl SettingType for Bytes {
    const KIND: &'static str = "amount of memory";

    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self> {
        let least = bytes::text(bytes::LEAST_MEMORY).unwrap_or_default();
        let hint = format!("use {least} or more, with KiB, MiB or GiB");
        let memory = match value.get_ref().is_integer() {
            true => u64::read(value, reader)?,
            false => reader.text(value, "an amount in quotes, as in \"256MiB\"", |text| {
                let message = format!("`{text}` is not an amount of memory");
                bytes::parse(text).ok_or((message, Some(hint.clone())))
            })?,
        };
        if memory < bytes::LEAST_MEMORY {
            let message = format!("{memory} bytes are too few");
            reader.error(reader.span(value.span()), message, Some(hint));
            return None;
        }
        Some(Self(memory))
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match bytes::text(self.0) {
            Some(text) => serializer.serialize_str(&text),
            None => serializer.serialize_u64(self.0),
        }
    }
}

impl<T: SettingType> SettingType for Option<T> {
    const KIND: &'static str = T::KIND;

    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self> {
        T::read(value, reader).map(Some)
    }

    fn is_unset(&self) -> bool {
        self.is_none()
    }
}

/// A value and its place, for errors that are found once the rules are known.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Located<T> {
    /// The value.
    pub(crate) value: T,
    /// Where the file has it, or its key in a map.
    #[serde(skip)]
    pub(super) place: Span,
}

/// Settings are the same wherever they are written.
impl<T: PartialEq> PartialEq for Located<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: SettingType> SettingType for Located<T> {
    const KIND: &'static str = T::KIND;

    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self> {
        let place = reader.span(value.span());
        T::read(value, reader).map(|value| Self { value, place })
    }
}

/// Tables by name, each with the place of its name.
impl<T: TomlTable> SettingType for BTreeMap<String, Located<T>> {
    const KIND: &'static str = "tables";

    fn read(value: &TomlValue<'_>, reader: &mut TomlReader<'_>) -> Option<Self> {
        let wanted = format!("a table, as in {}", T::EXAMPLE);
        let table = reader.expect(value.get_ref().as_table(), &wanted, value)?;
        let mut tables = Self::new();
        for (key, value) in table.iter() {
            let place = reader.span(key.span());
            if let Some(value) = T::read(value, reader) {
                tables.insert(key.get_ref().as_ref().to_owned(), Located { value, place });
            }
        }
        Some(tables)
    }

    fn is_unset(&self) -> bool {
        self.is_empty()
    }

    #[cfg(test)]
    fn describe(&self, key: String, _doc: &'static str, rows: &mut Vec<DocRow>) {
        let entry = match key.as_str() {
            "rules" => "<rule>",
            _ => "<name>",
        };
        T::describe_entries(&format!("{key}.{entry}."), rows);
    }
}
