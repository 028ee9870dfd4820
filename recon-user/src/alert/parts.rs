//! An alert about findings: its parts, and how they become an object of ECS.
//!
//! In: structures of `ecs` and `own`. Out: the object as text, or as a tree for other formats.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use super::ecs::{Actor, AsText, Ecs, EcsEvent, NetworkFields, Related};
use super::endpoint::EcsEndpoint;
use super::format::LineFormat;
use super::json::write_json;
use super::lines::Origin;
use super::message::Message;
use super::own::Recon;
use super::prepared::{HostFields, ObserverFields, Prepared, RuleFields, add_members};
use super::time_text::TimeText;
use crate::stream::Query;

/// An alert about findings. Between its parts is what [`super::prepared`] has.
pub(super) struct Alert<'a> {
    pub(super) head: AlertHead<'a>,
    pub(super) query: &'a Arc<Query>,
    pub(super) ends: AlertEnds,
    /// The only interface on which the packets came in.
    pub(super) interface: Option<&'a str>,
    pub(super) tail: AlertTail<'a>,
}

impl Alert<'_> {
    /// Writes it in that format.
    pub(super) fn write(
        &self,
        format: LineFormat,
        origin: Origin<'_>,
        prepared: &mut Prepared,
        line: &mut Vec<u8>,
    ) -> serde_json::Result<()> {
        match format {
            LineFormat::Ecs => self.write_ecs(origin, prepared, line),
            LineFormat::Ocsf | LineFormat::Eve => format.write_fields(self.tree(origin)?, line),
        }
    }

    fn write_ecs(
        &self,
        origin: Origin<'_>,
        prepared: &mut Prepared,
        line: &mut Vec<u8>,
    ) -> serde_json::Result<()> {
        write_json(line, &self.head)?;
        // More members follow.
        line.pop();
        prepared.add_rule(self.query, line)?;
        add_members(line, &self.ends)?;
        prepared.add_host(origin, self.interface, line)?;
        add_members(line, &self.tail)?;
        line.push(b'}');
        Ok(())
    }

    /// All its members.
    fn tree(&self, origin: Origin<'_>) -> serde_json::Result<Value> {
        let mut members = Map::new();
        for part in [
            serde_json::to_value(&self.head)?,
            serde_json::to_value(RuleFields::of(self.query))?,
            serde_json::to_value(&self.ends)?,
            serde_json::to_value(ObserverFields::of(origin, self.interface))?,
            serde_json::to_value(HostFields::of(origin))?,
            serde_json::to_value(&self.tail)?,
        ] {
            if let Value::Object(part) = part {
                members.extend(part);
            }
        }
        Ok(Value::Object(members))
    }
}

/// What it says first.
#[derive(Serialize)]
pub(super) struct AlertHead<'a> {
    #[serde(rename = "@timestamp")]
    pub(super) timestamp: TimeText,
    pub(super) message: AsText<Message<'a>>,
    pub(super) ecs: Ecs,
    pub(super) event: EcsEvent<'a>,
}

/// Who had to do with whom.
#[derive(Serialize)]
pub(super) struct AlertEnds {
    #[serde(skip_serializing_if = "Related::is_empty")]
    pub(super) related: Related,
    #[serde(skip_serializing_if = "EcsEndpoint::is_empty")]
    pub(super) source: EcsEndpoint,
    #[serde(skip_serializing_if = "EcsEndpoint::is_empty")]
    pub(super) destination: EcsEndpoint,
    pub(super) network: NetworkFields,
}

/// Which process it was, and recon's own fields.
#[derive(Serialize)]
pub(super) struct AlertTail<'a> {
    #[serde(flatten)]
    pub(super) actor: Option<Actor<'a>>,
    pub(super) recon: Recon<'a>,
}

#[cfg(test)]
mod tests {
    use recon_common::Signal;

    use super::super::finding_alert;
    use super::super::tests::finding;
    use super::*;
    use crate::enrich::Enrichment;

    /// Also for the second line of a rule and of a host, whose texts are prepared.
    #[test]
    fn the_text_and_the_tree_agree() {
        let mut prepared = Prepared::default();
        let enrichment = Enrichment::default();
        let origin = Origin {
            host: Some("web\"1"),
            host_id: Some("0123456789abcdef0123456789abcdef"),
            sequence: 1,
            enrichment: &enrichment,
        };
        let mut first = finding("port-scan", &[Signal::Syn]);
        let mut second = finding("icmp-sweep", &[Signal::EchoRequest]);
        first.interfaces = vec!["eth0"];
        second.interfaces = vec!["eth0", "eth1"];
        for finding in [&first, &second, &first, &second] {
            let alert = finding_alert(finding, origin, &[]);
            let mut line = Vec::new();
            let written = alert.write(LineFormat::Ecs, origin, &mut prepared, &mut line);
            written.expect("plain data");
            let read: Value = serde_json::from_slice(&line).expect("JSON");
            assert_eq!(read, alert.tree(origin).expect("plain data"));
            assert_eq!(read["rule"]["category"], finding.query.id());
        }
    }
}
