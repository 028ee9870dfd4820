//! What recon does not see, or what somebody does to it, as a line of ECS: an alert about the host
//! itself.
//!
//! In: a [`BlindReport`]. Out: a structure that serializes under the names of ECS.

use jiff::Timestamp;
use serde::Serialize;

use super::ecs::{Ecs, EcsAgent, EcsEvent, EcsRule, EventText, Host, Observer};
use super::event_id;
use super::lines::Origin;
use super::message::Reason;
use crate::blind::{BlindPart, BlindReport};
use crate::incident::Phase;
use crate::stable_hash::StableHash;

/// The ids and names of the rules about recon itself. No rule file may have these ids.
const BLIND: [&str; 2] = ["recon-blind", "recon is blind in part"];
const TAMPERED: [&str; 2] = ["recon-tampered", "somebody tampers with recon"];

/// The rule ids of alerts about recon itself.
pub(crate) const OWN_RULE_IDS: [&str; 2] = [BLIND[0], TAMPERED[0]];

/// Whether alerts about recon itself have that rule id.
pub(crate) fn is_own_id(id: &str) -> bool {
    OWN_RULE_IDS.contains(&id)
}

/// The rule id of lines about that part.
pub(crate) const fn own_rule_id(part: &BlindPart) -> &'static str {
    rule_of(part)[0]
}

/// The id and the name of the rule on that part.
const fn rule_of(part: &BlindPart) -> [&'static str; 2] {
    match part.is_tampering() {
        true => TAMPERED,
        false => BLIND,
    }
}

#[derive(Serialize)]
pub(super) struct BlindLine<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: Timestamp,
    message: String,
    ecs: Ecs,
    event: EcsEvent<'a>,
    rule: EcsRule<'a>,
    observer: Observer<'a>,
    agent: EcsAgent,
    host: Host<'a>,
    recon: BlindRecon<'a>,
}

#[derive(Serialize)]
struct BlindRecon<'a> {
    severity: &'static str,
    phase: &'static str,
    blind: BlindFields<'a>,
}

#[derive(Serialize)]
struct BlindFields<'a> {
    part: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hook: Option<&'a str>,
    lost: u64,
}

/// The line of a report.
pub(super) fn blind<'a>(report: &'a BlindReport, origin: Origin<'a>) -> BlindLine<'a> {
    let BlindReport {
        part,
        phase,
        at,
        since,
        until,
        lost,
    } = report;
    let (rule, interface, hook) = match part {
        BlindPart::Rule(id, _) => (Some(&**id), None, None),
        BlindPart::Interface(name) => (None, Some(&**name), None),
        BlindPart::Hook(name, hook) | BlindPart::Overtaken(name, hook) => {
            (None, Some(&**name), Some(*hook))
        }
        _ => (None, None, None),
    };
    let rule_of_part = rule_of(part);
    let of = StableHash::EMPTY
        .with(rule_of_part[0].as_bytes())
        .with(part.to_string().as_bytes())
        .with(&since.as_nanosecond().to_be_bytes());
    let severity = part.severity();
    let text = EventText {
        id: event_id(of, origin.host),
        kind: "alert",
        category: &["host"],
        dataset: "recon.alert",
        action: phase.name(),
        reason: Reason::Blind(part),
        severity: severity.number(),
    };
    BlindLine {
        timestamp: *at,
        message: message(report),
        ecs: Ecs::FOLLOWED,
        event: EcsEvent::new(text, origin, [*since, *until]),
        rule: EcsRule::of_recon(rule_of_part),
        observer: Observer::new(origin, None),
        agent: EcsAgent::SELF,
        host: Host::new(origin),
        recon: BlindRecon {
            severity: severity.name(),
            phase: phase.name(),
            blind: BlindFields {
                part: part.name(),
                rule,
                interface,
                hook,
                lost: *lost,
            },
        },
    }
}

fn message(report: &BlindReport) -> String {
    let BlindReport {
        part,
        phase,
        since,
        until,
        lost,
        ..
    } = report;
    let ([rule, _], unit) = (rule_of(part), part.unit());
    match phase {
        Phase::Ended => format!("{rule} ended: {part}: {lost} {unit} from {since} to {until}"),
        Phase::Began | Phase::Grew => {
            format!(
                "{rule}: {part}: {lost} {unit} since {since}; {}",
                part.advice()
            )
        }
    }
}
