//! The parts of a line that are the same in many lines, as text.
//!
//! In: a query, the host. Out: JSON members, each with a comma before it.
//! The decision held here: of an alert's fields, half say what the rule is and who writes. They are
//! serialized once for a rule and once for a host, and copied into each line between the others.

use std::sync::Arc;

use serde::Serialize;

use super::ecs::{EcsAgent, EcsRule, Host, Observer, Threat};
use super::json::write_json;
use super::lines::Origin;
use crate::stream::Query;

/// Rules whose texts are kept. After a reload, there are others.
const RULES: usize = 256;

/// Texts of the lines before.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    rules: Vec<(Arc<Query>, Vec<u8>)>,
    host: Option<HostText>,
}

#[derive(Debug)]
struct HostText {
    /// Of what came in on no interface or on several.
    observer: Vec<u8>,
    agent_and_host: Vec<u8>,
}

/// What the lines about a rule have in common.
#[derive(Serialize)]
pub(super) struct RuleFields<'a> {
    rule: EcsRule<'a>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tags: &'a [String],
    threat: Threat<'a>,
}

/// Who saw it.
#[derive(Serialize)]
pub(super) struct ObserverFields<'a> {
    observer: Observer<'a>,
}

/// Who writes, and where.
#[derive(Serialize)]
pub(super) struct HostFields<'a> {
    agent: EcsAgent,
    host: Host<'a>,
}

impl<'a> RuleFields<'a> {
    pub(super) fn of(query: &'a Query) -> Self {
        Self {
            rule: EcsRule::of(query),
            tags: &query.plan().tags,
            threat: Threat::of(query),
        }
    }
}

impl<'a> ObserverFields<'a> {
    pub(super) fn of(origin: Origin<'a>, interface: Option<&'a str>) -> Self {
        Self {
            observer: Observer::new(origin, interface),
        }
    }
}

impl<'a> HostFields<'a> {
    pub(super) fn of(origin: Origin<'a>) -> Self {
        Self {
            agent: EcsAgent::SELF,
            host: Host::new(origin),
        }
    }
}

impl Prepared {
    /// Adds `rule`, `tags` and `threat` to a line.
    pub(super) fn add_rule(
        &mut self,
        query: &Arc<Query>,
        line: &mut Vec<u8>,
    ) -> serde_json::Result<()> {
        let known = self.rules.iter().find(|(of, _)| Arc::ptr_eq(of, query));
        if let Some((_, text)) = known {
            line.extend_from_slice(text);
            return Ok(());
        }
        let before = line.len();
        add_members(line, RuleFields::of(query))?;
        if self.rules.len() == RULES {
            self.rules.clear();
        }
        self.rules
            .push((Arc::clone(query), line[before..].to_vec()));
        Ok(())
    }

    /// Adds `observer`, `agent` and `host` to a line.
    pub(super) fn add_host(
        &mut self,
        origin: Origin<'_>,
        interface: Option<&str>,
        line: &mut Vec<u8>,
    ) -> serde_json::Result<()> {
        let host = match self.host.take() {
            Some(host) => host,
            None => HostText::of(origin)?,
        };
        match interface {
            Some(_) => add_members(line, ObserverFields::of(origin, interface))?,
            None => line.extend_from_slice(&host.observer),
        }
        line.extend_from_slice(&host.agent_and_host);
        self.host = Some(host);
        Ok(())
    }
}

impl HostText {
    fn of(origin: Origin<'_>) -> serde_json::Result<Self> {
        let [mut observer, mut agent_and_host] = [Vec::new(), Vec::new()];
        add_members(&mut observer, ObserverFields::of(origin, None))?;
        add_members(&mut agent_and_host, HostFields::of(origin))?;
        Ok(Self {
            observer,
            agent_and_host,
        })
    }
}

/// Adds the members of an object that has some to one that has begun and has some.
pub(super) fn add_members(line: &mut Vec<u8>, object: impl Serialize) -> serde_json::Result<()> {
    let begin = line.len();
    write_json(line, &object)?;
    line[begin] = b',';
    line.pop();
    Ok(())
}
