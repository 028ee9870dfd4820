//! recon.toml.
//!
//! In: the file's bytes. Out: [`Settings`], or what is wrong with each of them, with its line and column.
//! The decision held here: a key that is not known is a mistake, and so is a value that would have to be guessed at.

use std::ops::Range;
use std::time::Duration;

use clap::ValueEnum;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::{Override, Places, Refused, Settings, bytes};
use crate::cli::file_name;
use crate::diagnostic::{Diagnostics, FileKind, Source, Span};
use crate::kql::WINDOW;
use crate::rule::{Network, Severity};

const SETTINGS_FILE: FileKind = FileKind {
    name: "a file of settings",
    max_kib: 64,
};
/// What the file may say.
pub(super) const KEYS: [&str; 10] = [
    "include_private",
    "min_severity",
    "scanners",
    "not_scanners",
    "local_networks",
    "allow",
    "deny",
    "alerts",
    "limits",
    "rules",
];
/// What it may say of the lines that are written.
pub(super) const ALERT_KEYS: [&str; 2] = ["lines", "per"];
/// What it may say of what the agent takes.
pub(super) const LIMIT_KEYS: [&str; 1] = ["memory"];
/// The number of lines that is no limit.
pub(super) const UNLIMITED: &str = "unlimited";
/// What it may say of a rule.
pub(super) const RULE_KEYS: [&str; 7] = [
    "enabled",
    "threshold",
    "window",
    "severity",
    "cooldown",
    "allow",
    "deny",
];

/// How a rule's settings begin.
const EXAMPLE: &str = "[rules.port-scan]";

type Value<'a> = Spanned<DeValue<'a>>;

impl Settings {
    /// Those of a file of that name.
    ///
    /// # Errors
    /// All that is wrong with it. Of what is wrong with its syntax, the first.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, Refused> {
        let mut diagnostics = Diagnostics::default();
        let source = Source::new(name, bytes, SETTINGS_FILE, &mut diagnostics);
        if let Some(refused) = Refused::of(&diagnostics, &source) {
            return Err(refused);
        }
        let text = source.text().to_owned();
        let mut reader = Reader {
            text: &text,
            diagnostics,
            settings: Self::new(source),
        };
        match DeTable::parse(&text) {
            Ok(table) => reader.file(table.get_ref()),
            Err(error) => {
                let span = reader.span(error.span().unwrap_or_default());
                reader.diagnostics.error(span, error.message(), None);
            }
        }
        match Refused::of(&reader.diagnostics, &reader.settings.origin.source) {
            Some(refused) => Err(refused),
            None => Ok(reader.settings),
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    diagnostics: Diagnostics,
    settings: Settings,
}

impl Reader<'_> {
    fn file(&mut self, table: &DeTable<'_>) {
        for (key, value) in table.iter() {
            let name = key.get_ref().as_ref();
            match name {
                "include_private" => {
                    if let Some(is_included) = self.boolean(value) {
                        self.settings.include_private = is_included;
                    }
                }
                "min_severity" => {
                    if let Some(severity) = self.severity(value) {
                        self.settings.min_severity = severity;
                    }
                }
                "scanners" => self.settings.scanners = self.file_names(value),
                "not_scanners" => self.settings.not_scanners = self.file_names(value),
                "local_networks" => self.settings.local_networks = self.networks(value),
                "allow" => self.settings.allow = self.networks(value),
                "deny" => self.settings.deny = self.networks(value),
                "alerts" => self.alerts(value),
                "limits" => self.limits(value),
                "rules" => {
                    let rules = self.table(value, EXAMPLE);
                    for (key, value) in rules.into_iter().flat_map(|table| table.iter()) {
                        let place = self.span(key.span());
                        self.rule(key.get_ref(), place, value);
                    }
                }
                _ => {
                    let place = self.span(key.span());
                    let hint = self.hint_at_rules(name, value);
                    self.unknown(name, place, &KEYS, hint);
                }
            }
        }
    }

    /// What is said of a rule where settings for all stand.
    fn hint_at_rules(&self, name: &str, value: &Value<'_>) -> Option<String> {
        if value.get_ref().is_table() {
            return Some(format!("a rule's settings are in [rules.{name}]"));
        }
        self.diagnostics.did_you_mean(name, RULE_KEYS)?;
        Some("a rule's settings are in a table of its own, as in [rules.port-scan]".to_owned())
    }

    fn rule(&mut self, id: &str, place: Span, value: &Value<'_>) {
        let mut rule = Override::default();
        let mut places = Places {
            key: place,
            ..Places::default()
        };
        let table = self.table(value, EXAMPLE);
        for (key, value) in table.into_iter().flat_map(|table| table.iter()) {
            match key.get_ref().as_ref() {
                "enabled" => rule.enabled = self.boolean(value),
                "threshold" => {
                    places.threshold = self.span(value.span());
                    rule.threshold = self.number(value);
                }
                "window" => rule.window = self.duration(value),
                "severity" => rule.severity = self.severity(value),
                "cooldown" => rule.cooldown = self.duration(value),
                "allow" => rule.allow = self.networks(value),
                "deny" => rule.deny = self.networks(value),
                name => {
                    let place = self.span(key.span());
                    self.unknown(name, place, &RULE_KEYS, None);
                }
            }
        }
        self.settings.origin.places.insert(id.to_owned(), places);
        self.settings.rules.insert(id.to_owned(), rule);
    }

    fn alerts(&mut self, value: &Value<'_>) {
        let table = self.table(value, "[alerts]");
        for (key, value) in table.into_iter().flat_map(|table| table.iter()) {
            match key.get_ref().as_ref() {
                "lines" => {
                    if let Some(lines) = self.lines(value) {
                        self.settings.alerts.lines = lines;
                    }
                }
                "per" => {
                    if let Some(per) = self.duration(value) {
                        self.settings.alerts.per = per;
                    }
                }
                name => {
                    let place = self.span(key.span());
                    self.unknown(name, place, &ALERT_KEYS, None);
                }
            }
        }
    }

    fn limits(&mut self, value: &Value<'_>) {
        let table = self.table(value, "[limits]");
        for (key, value) in table.into_iter().flat_map(|table| table.iter()) {
            match key.get_ref().as_ref() {
                "memory" => {
                    if let Some(memory) = self.memory(value) {
                        self.settings.memory = memory;
                    }
                }
                name => {
                    let place = self.span(key.span());
                    self.unknown(name, place, &LIMIT_KEYS, None);
                }
            }
        }
    }

    /// How many lines: a number from 1 on, or all.
    fn lines(&mut self, value: &Value<'_>) -> Option<Option<u64>> {
        if value.get_ref().as_str() == Some(UNLIMITED) {
            return Some(None);
        }
        let wanted = format!("a number of lines or \"{UNLIMITED}\"");
        self.expect(value.get_ref().as_integer(), &wanted, value)?;
        match self.number(value)? {
            0 => {
                let message = "no line of any rule would be written".to_owned();
                let hint = format!("want a number from 1 on, or \"{UNLIMITED}\"");
                self.error(self.span(value.span()), message, Some(hint));
                None
            }
            lines => Some(Some(lines)),
        }
    }

    /// An amount of memory, in bytes or as text with a unit.
    fn memory(&mut self, value: &Value<'_>) -> Option<u64> {
        let least = bytes::text(bytes::LEAST_MEMORY).unwrap_or_default();
        let hint = format!("want {least} or more, with KiB, MiB or GiB");
        let memory = match value.get_ref().is_integer() {
            true => self.number(value)?,
            false => self.text(value, "an amount in quotes, as in \"256MiB\"", |text| {
                let wrong = || {
                    (
                        format!("`{text}` is no amount of memory"),
                        Some(hint.clone()),
                    )
                };
                bytes::parse(text).ok_or_else(wrong)
            })?,
        };
        if memory < bytes::LEAST_MEMORY {
            let message = format!("{memory} bytes are too little");
            self.error(self.span(value.span()), message, Some(hint));
            return None;
        }
        Some(memory)
    }

    fn unknown(&mut self, name: &str, place: Span, known: &[&str], hint: Option<String>) {
        let meant = self.diagnostics.did_you_mean(name, known.iter().copied());
        let hint = meant
            .or(hint)
            .unwrap_or_else(|| format!("the settings here are {}", known.join(", ")));
        self.error(place, format!("no setting `{name}`"), Some(hint));
    }

    fn boolean(&mut self, value: &Value<'_>) -> Option<bool> {
        let read = value.get_ref().as_bool();
        self.expect(read, "true or false", value)
    }

    fn number(&mut self, value: &Value<'_>) -> Option<u64> {
        /// What the language's own numbers can say.
        const LARGEST: u64 = i64::MAX.unsigned_abs();
        let integer = self.expect(value.get_ref().as_integer(), "a whole number", value)?;
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|&number| number <= LARGEST);
        if number.is_none() {
            let hint = format!("want a number from 0 to {LARGEST}");
            let message = format!("`{integer}` is no such number");
            self.error(self.span(value.span()), message, Some(hint));
        }
        number
    }

    fn duration(&mut self, value: &Value<'_>) -> Option<Duration> {
        self.text(value, "a time in quotes, as in \"10m\"", |text| {
            WINDOW
                .parse(text)
                .map_err(|(message, hint)| (message, Some(hint)))
        })
    }

    fn severity(&mut self, value: &Value<'_>) -> Option<Severity> {
        self.text(value, "a severity in quotes, as in \"high\"", |text| {
            Severity::from_str(text, true).map_err(|_| {
                let hint = "the severities are informational, low, medium and high";
                (format!("no severity `{text}`"), Some(hint.to_owned()))
            })
        })
    }

    fn networks(&mut self, value: &Value<'_>) -> Vec<Network> {
        self.list(
            value,
            "networks in brackets, as in [\"192.0.2.0/24\"]",
            |text| {
                let network: Result<Network, _> = text.parse();
                network.map_err(|error| (error.to_string(), None))
            },
        )
    }

    fn file_names(&mut self, value: &Value<'_>) -> Vec<String> {
        self.list(value, "file names in brackets, as in [\"nmap\"]", |text| {
            file_name(text).map_err(|hint| (format!("`{text}` is no file name"), Some(hint)))
        })
    }

    /// A list of texts, of which those that are wrong are told of and left out.
    fn list<T>(
        &mut self,
        value: &Value<'_>,
        wanted: &str,
        read: impl Fn(&str) -> Result<T, (String, Option<String>)>,
    ) -> Vec<T> {
        let items: Option<&DeArray<'_>> = self.expect(value.get_ref().as_array(), wanted, value);
        let items = items.into_iter().flat_map(|items| items.iter());
        items
            .filter_map(|item| self.text(item, "a text in quotes", &read))
            .collect()
    }

    fn text<T>(
        &mut self,
        value: &Value<'_>,
        wanted: &str,
        read: impl Fn(&str) -> Result<T, (String, Option<String>)>,
    ) -> Option<T> {
        let text = self.expect(value.get_ref().as_str(), wanted, value)?;
        match read(text) {
            Ok(value) => Some(value),
            Err((message, hint)) => {
                self.error(self.span(value.span()), message, hint);
                None
            }
        }
    }

    fn table<'v, 'a>(&mut self, value: &'v Value<'a>, example: &str) -> Option<&'v DeTable<'a>> {
        let table = value.get_ref().as_table();
        self.expect(table, &format!("a table, as in {example}"), value)
    }

    /// What a value was read as. That it is of another type is told of.
    fn expect<T>(&mut self, read: Option<T>, wanted: &str, value: &Value<'_>) -> Option<T> {
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

    fn error(&mut self, place: Span, message: String, hint: Option<String>) {
        self.diagnostics.error(place, message, hint);
    }

    /// A place, in whole letters: the parser counts bytes.
    fn span(&self, range: Range<usize>) -> Span {
        Span {
            start: self.text.floor_char_boundary(range.start),
            end: self.text.ceil_char_boundary(range.end),
        }
    }
}
