//! The structure of an alert: the fields of Elastic Common Schema (ECS) in use, and those under
//! `recon`.
//!
//! In: nothing. Out: structures that serialize under the names of ECS. Unknown values are omitted,
//! never null.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::contact::Outcomes;
use crate::kql::eval::Value;

#[derive(Serialize)]
pub(super) struct Alert<'a> {
    #[serde(rename = "@timestamp")]
    pub(super) timestamp: Timestamp,
    pub(super) message: String,
    pub(super) ecs: Ecs,
    pub(super) event: EcsEvent,
    pub(super) rule: IdAndName<'a>,
    pub(super) threat: Threat<'a>,
    #[serde(skip_serializing_if = "EcsEndpoint::is_empty")]
    pub(super) source: EcsEndpoint,
    #[serde(skip_serializing_if = "EcsEndpoint::is_empty")]
    pub(super) destination: EcsEndpoint,
    pub(super) network: NetworkFields,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) observer: Option<Observer<'a>>,
    pub(super) host: Host<'a>,
    #[serde(flatten)]
    pub(super) actor: Option<Actor<'a>>,
    pub(super) recon: Recon<'a>,
}

#[derive(Serialize)]
pub(super) struct Ecs {
    pub(super) version: &'static str,
}

#[derive(Serialize)]
pub(super) struct EcsEvent {
    pub(super) id: String,
    pub(super) kind: &'static str,
    pub(super) category: &'static [&'static str],
    pub(super) r#type: [&'static str; 1],
    pub(super) module: &'static str,
    pub(super) dataset: &'static str,
    pub(super) severity: u8,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
}

#[derive(Serialize)]
pub(super) struct IdAndName<'a> {
    pub(super) id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) name: &'a str,
}

impl<'a> IdAndName<'a> {
    pub(super) fn new([id, name]: [&'a str; 2]) -> Self {
        Self { id, name }
    }
}

#[derive(Serialize)]
pub(super) struct ThreatTechnique<'a> {
    #[serde(flatten)]
    pub(super) technique: IdAndName<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subtechnique: Option<IdAndName<'a>>,
}

#[derive(Serialize)]
pub(super) struct Threat<'a> {
    pub(super) framework: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tactic: Option<IdAndName<'a>>,
    pub(super) technique: ThreatTechnique<'a>,
}

/// The columns that a query projects, in its order.
pub(super) struct EcsColumns<'a>(pub(super) &'a [(Arc<str>, Value<'static>)]);

impl Serialize for EcsColumns<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let known = self.0.iter().filter(|(_, value)| !value.is_null());
        serializer.collect_map(known.map(|(name, value)| (&**name, value)))
    }
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct EcsEndpoint {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) port: Option<u16>,
}

impl EcsEndpoint {
    fn is_empty(&self) -> bool {
        self.ip.is_none() && self.port.is_none()
    }
}

#[derive(Serialize)]
pub(super) struct NetworkFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) transport: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) r#type: Option<&'static str>,
    pub(super) direction: &'static str,
}

/// recon itself, where it saw the packets.
#[derive(Serialize)]
pub(super) struct Observer<'a> {
    ingress: ObserverIngress<'a>,
}

#[derive(Serialize)]
struct ObserverIngress<'a> {
    interface: ObserverInterface<'a>,
}

#[derive(Serialize)]
struct ObserverInterface<'a> {
    name: &'a str,
}

impl<'a> Observer<'a> {
    /// The packets came in on that interface.
    pub(super) fn of_interface(name: &'a str) -> Self {
        let interface = ObserverInterface { name };
        Self {
            ingress: ObserverIngress { interface },
        }
    }
}

#[derive(Serialize)]
pub(super) struct Host<'a> {
    pub(super) name: &'a str,
}

/// The single process of this host that the alert is about, with its user and container.
#[derive(Serialize)]
pub(super) struct Actor<'a> {
    pub(super) process: ProcessFields<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<User>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) container: Option<Container<'a>>,
}

#[derive(Serialize)]
pub(super) struct ProcessFields<'a> {
    #[serde(flatten)]
    pub(super) brief: Brief<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) command_line: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<Parent>,
}

/// The fields of a process in every place that names it.
#[derive(Serialize)]
pub(super) struct Brief<'a> {
    pub(super) pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) executable: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct Parent {
    pub(super) pid: u32,
}

/// ECS declares user ids as text.
#[derive(Serialize)]
pub(super) struct User {
    pub(super) id: String,
}

#[derive(Serialize)]
pub(super) struct Container<'a> {
    pub(super) id: &'a str,
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
    pub(super) source_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) left_out: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) left_out_sources: Vec<LeftOutSource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) left_out_unlisted: Option<u64>,
    pub(super) measure: &'a str,
    pub(super) count: u64,
    pub(super) threshold: u64,
    pub(super) window: String,
    pub(super) signals: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) ports: Vec<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) sources: Vec<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_network: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) destinations: Vec<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) destination_network: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) interfaces: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) netns: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) processes: Vec<Brief<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcomes: Option<&'a Outcomes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) label: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tool: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verdict: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_proven: Option<bool>,
    pub(super) columns: EcsColumns<'a>,
    pub(super) lower_bound: bool,
    pub(super) suppressed: u64,
}
