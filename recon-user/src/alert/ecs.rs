//! The structure of an alert: the fields of Elastic Common Schema (ECS) in use.
//!
//! In: nothing. Out: structures that serialize under the names of ECS. Unknown values are omitted,
//! never null.

use std::fmt::Display;

use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, Serializer};

use super::lines::Origin;
use super::message::Reason;
use super::time_text::TimeText;
use crate::address::IpText;
use crate::rule::Technique;
use crate::stable_hash::StableHash;
use crate::stream::Query;

/// A value that is written as text where it stands, without a string of its own.
#[derive(Clone, Copy)]
pub(super) struct AsText<T>(pub(super) T);

impl<T: Display> Serialize for AsText<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The version of ECS that the fields follow.
#[derive(Serialize)]
pub(super) struct Ecs {
    version: &'static str,
}

impl Ecs {
    pub(super) const FOLLOWED: Self = Self { version: "9.4.0" };
}

#[derive(Serialize)]
pub(super) struct EcsEvent<'a> {
    pub(super) id: AsText<StableHash>,
    pub(super) kind: &'static str,
    pub(super) category: &'static [&'static str],
    pub(super) r#type: [&'static str; 1],
    pub(super) module: &'static str,
    pub(super) dataset: &'static str,
    pub(super) action: &'static str,
    pub(super) reason: AsText<Reason<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<&'static str>,
    pub(super) severity: u8,
    pub(super) sequence: u64,
    pub(super) start: TimeText,
    pub(super) end: TimeText,
    /// In nanoseconds.
    pub(super) duration: u64,
}

/// What is different in the events of findings, digests and reports.
pub(super) struct EventText<'a> {
    pub(super) id: StableHash,
    pub(super) kind: &'static str,
    pub(super) category: &'static [&'static str],
    pub(super) dataset: &'static str,
    pub(super) action: &'static str,
    pub(super) reason: Reason<'a>,
    pub(super) severity: u8,
}

impl<'a> EcsEvent<'a> {
    pub(super) fn new(
        text: EventText<'a>,
        origin: Origin<'_>,
        [start, end]: [Timestamp; 2],
    ) -> Self {
        let (from, to, duration) = times_of(start, end);
        Self {
            id: AsText(text.id),
            kind: text.kind,
            category: text.category,
            r#type: ["info"],
            module: super::MODULE,
            dataset: text.dataset,
            action: text.action,
            reason: AsText(text.reason),
            outcome: None,
            severity: text.severity,
            sequence: origin.sequence,
            start: from,
            end: to,
            duration,
        }
    }

    /// Sets when it began and ended, and so how long it took.
    pub(super) fn set_times(&mut self, [start, end]: [Timestamp; 2]) {
        (self.start, self.end, self.duration) = times_of(start, end);
    }
}

/// When something began and ended, and its nanoseconds.
fn times_of(start: Timestamp, end: Timestamp) -> (TimeText, TimeText, u64) {
    let to = TimeText::of(end);
    let nanoseconds = SignedDuration::as_nanos(&end.duration_since(start));
    // A clock that was set back between the two makes no negative duration.
    let duration = u64::try_from(nanoseconds).unwrap_or(0);
    (TimeText::of_or(start, (end, to)), to, duration)
}

/// The program that writes the line.
#[derive(Serialize)]
pub(super) struct EcsAgent {
    r#type: &'static str,
    version: &'static str,
}

impl EcsAgent {
    pub(super) const SELF: Self = Self {
        r#type: super::MODULE,
        version: env!("CARGO_PKG_VERSION"),
    };
}

/// All addresses and users that the line names, for searches of whatever has to do with one.
#[derive(Serialize)]
pub(super) struct Related {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) ip: Vec<IpText>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) user: Vec<String>,
}

impl Related {
    pub(super) fn is_empty(&self) -> bool {
        self.ip.is_empty() && self.user.is_empty()
    }
}

/// The rule that fired.
#[derive(Serialize)]
pub(super) struct EcsRule<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    /// The detection, of which the rule is one measure.
    category: &'a str,
    version: &'a str,
}

impl<'a> EcsRule<'a> {
    pub(super) fn of(query: &'a Query) -> Self {
        let plan = query.plan();
        Self {
            id: query.rule_id(),
            name: &plan.name,
            category: &plan.id,
            version: &plan.version,
        }
    }

    /// A rule that is part of this program.
    pub(super) const fn of_recon([id, name]: [&'a str; 2]) -> Self {
        Self {
            id,
            name,
            category: id,
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// Ids and names of ATT&CK, which ECS declares as lists.
#[derive(Serialize)]
struct Listed<'a> {
    id: [&'a str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<[&'a str; 1]>,
}

impl<'a> Listed<'a> {
    fn new([id, name]: [&'a str; 2]) -> Self {
        Self {
            id: [id],
            name: (!name.is_empty()).then_some([name]),
        }
    }
}

#[derive(Serialize)]
struct ThreatTechnique<'a> {
    #[serde(flatten)]
    technique: Listed<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subtechnique: Option<Listed<'a>>,
}

#[derive(Serialize)]
pub(super) struct Threat<'a> {
    framework: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tactic: Option<Listed<'a>>,
    technique: ThreatTechnique<'a>,
}

impl<'a> Threat<'a> {
    pub(super) fn of(query: &'a Query) -> Self {
        let known = Technique::of(query.plan().technique.as_deref());
        Self {
            framework: "MITRE ATT&CK",
            tactic: known.tactic.map(Listed::new),
            technique: ThreatTechnique {
                technique: Listed::new(known.technique),
                subtechnique: known.subtechnique.map(Listed::new),
            },
        }
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
    product: &'static str,
    r#type: &'static str,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ingress: Option<ObserverIngress<'a>>,
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
    /// recon on that host. The packets came in on that interface, if it was only one.
    pub(super) fn new(origin: Origin<'a>, interface: Option<&'a str>) -> Self {
        Self {
            product: super::MODULE,
            r#type: "ids",
            version: env!("CARGO_PKG_VERSION"),
            hostname: origin.host,
            ingress: interface.map(|name| ObserverIngress {
                interface: ObserverInterface { name },
            }),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Host<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
}

impl<'a> Host<'a> {
    pub(super) fn new(origin: Origin<'a>) -> Self {
        Self {
            name: origin.host,
            id: origin.host_id,
        }
    }
}

/// The single process of this host that the alert is about, with its user and container.
#[derive(Serialize)]
pub(super) struct Actor<'a> {
    pub(super) process: ProcessFields<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<User<'a>>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) entity_id: Option<AsText<StableHash>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) start: Option<Timestamp>,
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
pub(super) struct User<'a> {
    pub(super) id: AsText<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct Container<'a> {
    pub(super) id: &'a str,
}
