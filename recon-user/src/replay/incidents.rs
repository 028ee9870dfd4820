//! The incidents behind the lines of a replay.
//!
//! In: lines of ECS. Out: each incident as its last line describes it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use anyhow::Context as _;
use serde_json::Value;

/// An incident at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FinalIncident {
    pub(super) rule: String,
    pub(super) category: String,
    pub(super) source: Option<String>,
    pub(super) destination: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) severity: String,
    pub(super) count: u64,
}

impl fmt::Display for FinalIncident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rule,
            source,
            destination,
            port,
            count,
            ..
        } = self;
        f.write_str(rule)?;
        if let Some(source) = source {
            write!(f, " by {source}")?;
        }
        if let Some(destination) = destination {
            write!(f, " on {destination}")?;
        }
        if let Some(port) = port {
            write!(f, " port {port}")?;
        }
        write!(f, ": {count}")
    }
}

/// The incidents in the order in which they began.
///
/// # Errors
/// A line is no JSON.
pub(super) fn incidents(lines: &[u8]) -> anyhow::Result<Vec<FinalIncident>> {
    let mut incidents: Vec<FinalIncident> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for line in lines
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let line: Value = serde_json::from_slice(line).context("a line of the replay")?;
        let id = line.pointer("/event/id").and_then(Value::as_str);
        let (Some(id), Some(incident)) = (id, FinalIncident::read(&line)) else {
            continue;
        };
        match places.entry(id.to_owned()) {
            Entry::Occupied(place) => incidents[*place.get()] = incident,
            Entry::Vacant(place) => {
                place.insert(incidents.len());
                incidents.push(incident);
            }
        }
    }
    Ok(incidents)
}

impl FinalIncident {
    /// What a line says. `None` for one that is about no incident of a rule, such as a digest.
    fn read(line: &Value) -> Option<Self> {
        let text = |at: &str| line.pointer(at)?.as_str().map(str::to_owned);
        Some(Self {
            rule: text("/rule/id")?,
            category: text("/rule/category").unwrap_or_default(),
            source: text("/source/ip"),
            destination: text("/destination/ip"),
            port: line
                .pointer("/destination/port")
                .and_then(Value::as_u64)
                .and_then(|port| u16::try_from(port).ok()),
            severity: text("/recon/severity").unwrap_or_default(),
            count: line.pointer("/recon/count")?.as_u64()?,
        })
    }
}
