//! recon.toml.
//!
//! In: the file's bytes. Out: [`Settings`], or all errors in the file with their lines and columns.
//! The decisions held here: an unknown key is an error, and so is a value that would need a guess.
//! The spans are those of the crate toml, which is needed anyway: toml-span is a second parser.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::defs::{Alerts, Enrich, Limits};
use super::value::TomlTable;
use super::{Origin, Override, Refused, Settings, SinkSettings};
use crate::diagnostic::{Diagnostics, FileKind, SourceText, Span, Wrong};

const SETTINGS_FILE: FileKind = FileKind {
    name: "a file of settings",
    max_kib: 64,
};

/// A value with its place in the file.
pub(super) type TomlValue<'a> = Spanned<DeValue<'a>>;

impl Settings {
    /// Reads a file of that name.
    ///
    /// # Errors
    /// All errors in the file; of those in its syntax, the first.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, Refused> {
        let mut diagnostics = Diagnostics::default();
        let source = SourceText::new(name, bytes, SETTINGS_FILE, &mut diagnostics);
        if let Some(refused) = Refused::of(&diagnostics, &source) {
            return Err(refused);
        }
        let mut reader = TomlReader {
            text: source.text(),
            diagnostics,
        };
        let mut settings = Self::default();
        match DeTable::parse(source.text()) {
            Ok(table) => reader.keys(&mut settings, table.get_ref(), hint_at_rules),
            Err(error) => {
                let span = reader.span(error.span().unwrap_or_default());
                reader.error(span, error.message(), None);
            }
        }
        settings.check_sinks(&mut reader);
        match Refused::of(&reader.diagnostics, &source) {
            Some(refused) => Err(refused),
            None => {
                settings.origin = Origin(source);
                Ok(settings)
            }
        }
    }
}

/// The hint for a setting in the wrong table. A rule's own are not among them: they have a table
/// each.
fn table_of(name: &str) -> Option<String> {
    if Settings::KEYS.contains(&name) && !Override::KEYS.contains(&name) {
        return Some(format!(
            "`{name}` is a setting of no table: move it above the first line in brackets"
        ));
    }
    let mut tables = [
        (Alerts::EXAMPLE, Alerts::KEYS),
        (Limits::EXAMPLE, Limits::KEYS),
        (Enrich::EXAMPLE, Enrich::KEYS),
        (SinkSettings::EXAMPLE, SinkSettings::KEYS),
    ]
    .into_iter();
    let (table, _) = tables.find(|(_, keys)| keys.contains(&name))?;
    Some(format!("`{name}` is a setting of {table}"))
}

/// The hint for a rule's settings at the top level.
fn hint_at_rules(name: &str, value: &TomlValue<'_>, diagnostics: &Diagnostics) -> Option<String> {
    if value.get_ref().is_table() {
        return Some(format!("a rule's settings are in [rules.{name}]"));
    }
    diagnostics.did_you_mean(name, Override::KEYS.iter().copied())?;
    Some("a rule's settings are in a table of its own, as in [rules.port-scan]".to_owned())
}

/// Reads values and keeps the errors in them.
pub(super) struct TomlReader<'t> {
    text: &'t str,
    diagnostics: Diagnostics,
}

impl TomlReader<'_> {
    /// Reads the keys of a table.
    fn keys<T: TomlTable>(
        &mut self,
        table: &mut T,
        read: &DeTable<'_>,
        hint: impl Fn(&str, &TomlValue<'_>, &Diagnostics) -> Option<String>,
    ) {
        for (key, value) in read.iter() {
            let name = key.get_ref().as_ref();
            if T::KEYS.contains(&name) {
                table.set(name, value, self);
                continue;
            }
            let meant = self.diagnostics.did_you_mean(name, T::KEYS.iter().copied());
            let hint = table_of(name)
                .or(meant)
                .or_else(|| hint(name, value, &self.diagnostics))
                .unwrap_or_else(|| format!("the settings here are {}", T::KEYS.join(", ")));
            let message = format!("no setting `{name}`");
            self.error(self.span(key.span()), message, Some(hint));
        }
    }

    /// Reads a table.
    pub(super) fn table<T: TomlTable>(&mut self, value: &TomlValue<'_>) -> Option<T> {
        let wanted = format!("a table, as in {}", T::EXAMPLE);
        let read = self.expect(value.get_ref().as_table(), &wanted, value)?;
        let mut table = T::default();
        self.keys(&mut table, read, |_, _, _| None);
        Some(table)
    }

    /// Reads a text by `parse`, which returns a message and a hint for what is wrong with it.
    pub(super) fn text<T>(
        &mut self,
        value: &TomlValue<'_>,
        wanted: &str,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let text = self.expect(value.get_ref().as_str(), wanted, value)?;
        match parse(text) {
            Ok(read) => Some(read),
            Err((message, hint)) => {
                self.error(self.span(value.span()), message, hint);
                None
            }
        }
    }

    /// Returns what a value was read as. Reports one of another type.
    pub(super) fn expect<T>(
        &mut self,
        read: Option<T>,
        wanted: &str,
        value: &TomlValue<'_>,
    ) -> Option<T> {
        if read.is_none() {
            let found = value.get_ref().type_str();
            let article = match found.starts_with(['a', 'i']) {
                true => "an",
                false => "a",
            };
            let message = format!("expected {wanted}, found {article} {found}");
            self.error(self.span(value.span()), message, None);
        }
        read
    }

    pub(super) fn error(&mut self, place: Span, message: impl Into<String>, hint: Option<String>) {
        self.diagnostics.error(place, message, hint);
    }

    /// A place, widened to whole letters: the parser counts bytes.
    pub(super) fn span(&self, range: Range<usize>) -> Span {
        Span {
            start: self.text.floor_char_boundary(range.start),
            end: self.text.ceil_char_boundary(range.end),
        }
    }
}
