//! The fields of an alert that Elastic Common Schema (ECS) does not define: those under `recon`.
//!
//! In: nothing. Out: structures that serialize under the names that docs/alerts.md lists. Unknown
//! values are omitted, never null.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::ecs::{AsText, Brief};
use crate::contact::Outcomes;
use crate::duration::Ticks;
use crate::enrich::NamedBy;
use crate::incident::PacketEvidence;
use crate::kql::eval::Value;
use crate::row::SignalSet;
use crate::stable_hash::StableHash;

/// The columns that a query projects, in its order.
pub(super) struct EcsColumns<'a>(pub(super) &'a [(Arc<str>, Value<'static>)]);

impl Serialize for EcsColumns<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let known = self.0.iter().filter(|(_, value)| !value.is_null());
        serializer.collect_map(known.map(|(name, value)| (&**name, value)))
    }
}

/// The names of signals, each once.
pub(super) struct SignalNames(pub(super) SignalSet);

impl Serialize for SignalNames {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(super::names(self.0.iter()))
    }
}

/// A source of findings without a line.
#[derive(Serialize)]
pub(super) struct LeftOutSource {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) network: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pid: Option<u32>,
    pub(super) count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verdict: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct Recon<'a> {
    pub(super) severity: &'static str,
    pub(super) phase: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_id: Option<AsText<StableHash>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) left_out: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) left_out_sources: Vec<LeftOutSource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) left_out_unlisted: Option<u64>,
    pub(super) measure: &'a str,
    pub(super) count: u64,
    pub(super) threshold: u64,
    pub(super) window: AsText<Ticks>,
    pub(super) signals: SignalNames,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) ports: &'a [u16],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) sources: Vec<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_network: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) destinations: Vec<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) destination_network: Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) interfaces: &'a [&'static str],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) netns: &'a [&'static str],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) processes: Vec<Brief<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcomes: Option<&'a Outcomes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) domain_by: Option<NamedBy>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tool: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verdict: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_proven: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) evidence: Option<&'a PacketEvidence>,
    pub(super) columns: EcsColumns<'a>,
    pub(super) lower_bound: bool,
    pub(super) suppressed: u64,
}
