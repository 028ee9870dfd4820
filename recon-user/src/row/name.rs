//! Names of interfaces and network namespaces, as small numbers.
//!
//! In: a name. Out: a [`Name`] of two bytes, and the name again.
//! The decision held here: rows are copied and kept by the million, and there are few names. So one
//! table for the whole process holds each name once. It never forgets any, so that a name stays
//! what it was in rows, groups and findings alike, and it holds up to 65,535: one more is unknown.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU16;
use std::sync::{LazyLock, PoisonError, RwLock};

/// The longest name: that of a file, as a namespace's is (`NAME_MAX`).
pub(crate) const MAX_NAME: usize = 255;

/// A name of an interface or a network namespace.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(NonZeroU16);

/// All names, and the number of each.
#[derive(Default)]
struct Names {
    texts: Vec<&'static str>,
    numbers: HashMap<&'static str, Name>,
}

static NAMES: LazyLock<RwLock<Names>> = LazyLock::new(RwLock::default);

impl Name {
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
        if let Some(&name) = names.numbers.get(text) {
            return Some(name);
        }
        let next = u16::try_from(names.texts.len() + 1).ok();
        let name = Self(next.and_then(NonZeroU16::new)?);
        let text: &'static str = text.to_owned().leak();
        names.texts.push(text);
        names.numbers.insert(text, name);
        Some(name)
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
}
