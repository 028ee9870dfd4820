//! In which format a line is written.
//!
//! In: the fields of a line of Elastic Common Schema (ECS). Out: the bytes of the line.
//! The decision held here: ECS is the one form that alerts are made in, and the other formats are
//! mappings of it. A mapping takes each field to where its format has a place for it. What is left
//! goes to the format's own place for the rest, so that no format loses or invents a value.

use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Map, Value};

use super::json::write_json;
use super::{eve, ocsf};

/// What stdout and files of alerts have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LineFormat {
    /// Elastic Common Schema 9.4
    #[default]
    Ecs,
    /// Detection Finding of the Open Cybersecurity Schema Framework 1.8
    Ocsf,
    /// Alert of Suricata's EVE
    Eve,
}

impl LineFormat {
    /// Writes an object of ECS.
    pub(super) fn write(self, ecs: impl Serialize, line: &mut Vec<u8>) -> serde_json::Result<()> {
        match self {
            Self::Ecs => write_json(line, &ecs),
            Self::Ocsf | Self::Eve => self.write_fields(serde_json::to_value(ecs)?, line),
        }
    }

    /// The same of what is a tree already.
    pub(super) fn write_fields(self, ecs: Value, line: &mut Vec<u8>) -> serde_json::Result<()> {
        match self {
            Self::Ecs => write_json(line, &ecs),
            Self::Ocsf => write_json(line, &ocsf::event(Fields::of(ecs))),
            Self::Eve => write_json(line, &eve::event(Fields::of(ecs))),
        }
    }
}

/// The fields of a line that no field of another format has taken yet.
#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Fields that only say what ECS wants to hear, or what others say too.
    const REDUNDANT: [&str; 5] = [
        "ecs.version",
        "agent.type",
        "agent.version",
        "event.module",
        "observer.hostname",
    ];

    fn of(ecs: Value) -> Self {
        let mut fields = match ecs {
            Value::Object(fields) => Self(fields),
            _ => Self(Map::new()),
        };
        for name in Self::REDUNDANT {
            fields.take(name);
        }
        fields
    }

    /// Takes the field of that dotted name, and objects that are empty without it.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        take(&mut self.0, name)
    }

    /// Takes a text.
    pub(super) fn take_text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Takes the only item of a list.
    pub(super) fn take_only(&mut self, name: &str) -> Option<Value> {
        match self.take(name)? {
            Value::Array(mut items) if items.len() == 1 => items.pop(),
            _ => None,
        }
    }

    /// Takes both names of one address.
    pub(super) fn take_address(&mut self, end: &str) -> Option<Value> {
        self.take(&format!("{end}.address"));
        self.take(&format!("{end}.ip"))
    }

    /// The fields that nothing has taken.
    pub(super) fn rest(self) -> Option<Value> {
        (!self.0.is_empty()).then_some(Value::Object(self.0))
    }
}

fn take(fields: &mut Map<String, Value>, name: &str) -> Option<Value> {
    let Some((first, rest)) = name.split_once('.') else {
        return fields.remove(name);
    };
    let below = fields.get_mut(first)?.as_object_mut()?;
    let taken = take(below, rest);
    if below.is_empty() {
        fields.remove(first);
    }
    taken
}

/// An object of the known ones of some fields, if there are any.
pub(super) fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Option<Value> {
    let known = fields.into_iter();
    let known = known.filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let known: Map<_, _> = known.collect();
    (!known.is_empty()).then_some(Value::Object(known))
}
