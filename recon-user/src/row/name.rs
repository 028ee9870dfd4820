//! Names of interfaces and network namespaces, as small numbers.
//!
//! In: a name. Out: a [`Name`] of two bytes, and the name again.
//! The decision held here: rows are copied and kept by the million, and there are few names. So one
//! table for the whole process holds each name once. It never forgets any, so that a name stays
//! what it was in rows, groups and findings alike, and it holds up to 65,535: one more is unknown,
//! and [`Name::UNKNOWN`] is one of them from the start.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU16;
use std::sync::{LazyLock, PoisonError, RwLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest name: that of a file, as a namespace's is (`NAME_MAX`).
pub(crate) const MAX_NAME: usize = 255;
/// The text of [`Name::UNKNOWN`].
const UNKNOWN: &str = "unknown";

/// How many names there are at most: as many as numbers.
const MAX_NAMES: usize = u16::MAX as usize;

/// A name of an interface or a network namespace. The order is that of arrival, not that of the
/// texts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(NonZeroU16);

/// All names, and the number of each.
struct Names {
    texts: Vec<&'static str>,
    numbers: HashMap<&'static str, Name>,
    capacity: usize,
}

static NAMES: LazyLock<RwLock<Names>> = LazyLock::new(|| RwLock::new(Names::new(MAX_NAMES)));

impl Names {
    /// A table of that many names at most. The first is [`Name::UNKNOWN`].
    fn new(capacity: usize) -> Self {
        Self {
            texts: vec![UNKNOWN],
            numbers: HashMap::from([(UNKNOWN, Name::UNKNOWN)]),
            capacity,
        }
    }

    /// The name with that text, which the table gets if it lacks it. `None` if it is full: it says
    /// so once, with its last name.
    fn intern(&mut self, text: &str) -> Option<Name> {
        if let Some(&name) = self.numbers.get(text) {
            return Some(name);
        }
        if self.texts.len() >= self.capacity {
            return None;
        }
        let next = u16::try_from(self.texts.len() + 1).ok();
        let name = Name(next.and_then(NonZeroU16::new)?);
        let text: &'static str = text.to_owned().leak();
        self.texts.push(text);
        self.numbers.insert(text, name);
        if self.texts.len() == self.capacity {
            tracing::warn!(
                "{} names of interfaces and network namespaces are known, and recon keeps no more: further ones are empty or {UNKNOWN} in alerts; a restart of recon forgets those that are gone",
                self.capacity
            );
        }
        Some(name)
    }
}

impl Name {
    /// What a namespace is called that is not the agent's, and whose name nobody knows.
    pub(crate) const UNKNOWN: Self = Self(NonZeroU16::MIN);

    /// The name with that text. `None` if it is empty or too long, or if there are too many.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > MAX_NAME {
            return None;
        }
        let known = NAMES.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(&name) = known.numbers.get(text) {
            return Some(name);
        }
        drop(known);
        let mut names = NAMES.write().unwrap_or_else(PoisonError::into_inner);
        names.intern(text)
    }

    /// Whether there is a name with that text.
    #[cfg(test)]
    pub(crate) fn is_known(text: &str) -> bool {
        let names = NAMES.read().unwrap_or_else(PoisonError::into_inner);
        names.numbers.contains_key(text)
    }

    /// Its text.
    #[must_use]
    pub fn text(self) -> &'static str {
        let names = NAMES.read().unwrap_or_else(PoisonError::into_inner);
        let place = usize::from(self.0.get() - 1);
        names.texts.get(place).copied().unwrap_or_default()
    }

    /// The name as a number that is not 0.
    pub(crate) fn number(self) -> NonZeroU16 {
        self.0
    }

    /// The name with that number.
    pub(crate) fn from_number(number: NonZeroU16) -> Self {
        Self(number)
    }
}

/// The numbers are those of one process, so that the text is what is saved.
impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text())
    }
}

/// Where the table is full, it is unknown.
impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Ok(Self::new(&text).unwrap_or(Self::UNKNOWN))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.text(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_number() {
        let long = "x".repeat(MAX_NAME);
        for text in ["eth0", "eth1", "net:[4026531840]", &long] {
            let name = Name::new(text).expect("a name");
            assert_eq!(
                (Name::new(text), name.text()),
                (Some(name), text),
                "{name:?}"
            );
        }
        assert_ne!(Name::new("eth0"), Name::new("eth1"));
        assert_eq!(["", &format!("{long}x")].map(Name::new), [None; 2]);
    }
    #[test]
    fn a_full_table_keeps_its_names() {
        let mut names = Names::new(3);
        // (text, number)
        for (text, expected) in [
            ("eth0", Some(2)),
            ("eth1", Some(3)),
            ("eth2", None),
            ("eth0", Some(2)),
            (UNKNOWN, Some(1)),
        ] {
            let number = names.intern(text).map(|name| name.number().get());
            assert_eq!(number, expected, "{text}");
        }
        assert_eq!(names.texts, [UNKNOWN, "eth0", "eth1"]);
        assert_eq!(Name::UNKNOWN.text(), UNKNOWN);
        assert_eq!(Name::new(UNKNOWN), Some(Name::UNKNOWN));
    }

    #[test]
    fn each_number_is_used() {
        let mut names = Names::new(MAX_NAMES);
        let added = (1..).map_while(|number| names.intern(&format!("veth{number}")));
        let last = added.last().map(Name::number);
        assert_eq!(last, Some(NonZeroU16::MAX));
    }
}
