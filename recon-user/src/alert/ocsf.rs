//! A line as an event of the Open Cybersecurity Schema Framework (OCSF) 1.8.
//!
//! In: the fields of a line of ECS. Out: a Detection Finding; for a digest, which detects nothing,
//! a Base Event.
//! The decisions held here: the finding is the incident, so that its lines create, update and close
//! one finding. Each end is part of one evidence. What OCSF has no attribute for is in `unmapped`,
//! under its name in ECS.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::format::{Fields, object};
use crate::incident::Phase;

/// The version of OCSF that events follow.
const VERSION: &str = "1.8.0";
/// How many types of events a class has: one for each `activity_id`.
const TYPES: u32 = 100;
/// The `activity_id` of what has no number of its own.
const OTHER: u32 = 99;
/// `type_id` of an observable that is an address.
const IP_ADDRESS: u32 = 2;
/// `type_id` of an analytic that is a rule.
const RULE: u32 = 1;
/// `type_id` of a device of which nothing is known.
const UNKNOWN: u32 = 0;

/// A class of events.
struct Class {
    uid: u32,
    name: &'static str,
    category: (u32, &'static str),
    /// The profiles that its attributes here come from.
    profiles: &'static [&'static str],
}

const DETECTION_FINDING: Class = Class {
    uid: 2004,
    name: "Detection Finding",
    category: (2, "Findings"),
    profiles: &[],
};
const BASE_EVENT: Class = Class {
    uid: 0,
    name: "Base Event",
    category: (0, "Uncategorized"),
    profiles: &["host"],
};

/// The event of a line.
pub(super) fn event(mut from: Fields) -> Option<Value> {
    let class = match from.take_text("event.kind").as_deref() {
        Some("metric") => BASE_EVENT,
        _ => DETECTION_FINDING,
    };
    let action = from.take_text("event.action").unwrap_or_default();
    let (activity, activity_name) = activity(&action);
    let id = from.take_text("event.id");
    let time = milliseconds(from.take("@timestamp"));
    let (severity, severity_id) = severity(from.take_text("recon.severity").as_deref());
    from.take("recon.phase");
    let type_uid = class.uid * TYPES + activity;
    let finding = (class.uid != BASE_EVENT.uid).then(|| finding(&mut from, id.as_deref()));
    object([
        ("metadata", metadata(&mut from, &class, id, &action, time)),
        ("category_uid", Some(json!(class.category.0))),
        ("category_name", Some(json!(class.category.1))),
        ("class_uid", Some(json!(class.uid))),
        ("class_name", Some(json!(class.name))),
        ("activity_id", Some(json!(activity))),
        ("activity_name", Some(json!(activity_name))),
        ("type_uid", Some(json!(type_uid))),
        (
            "type_name",
            Some(json!(format!(
                "{}: {}",
                class.name,
                type_name(activity, activity_name)
            ))),
        ),
        ("severity_id", Some(json!(severity_id))),
        ("severity", Some(json!(severity))),
        ("time", time.map(Value::from)),
        (
            "start_time",
            milliseconds(from.take("event.start")).map(Value::from),
        ),
        (
            "end_time",
            milliseconds(from.take("event.end")).map(Value::from),
        ),
        ("duration", duration(from.take("event.duration"))),
        ("message", from.take("message")),
        // The end of an incident calls for no action.
        (
            "is_alert",
            finding
                .is_some()
                .then(|| json!(action != Phase::Ended.name())),
        ),
        ("finding_info", finding.flatten()),
        (
            "evidences",
            evidence(&mut from).map(|evidence| json!([evidence])),
        ),
        ("observables", observables(from.take("related.ip"))),
        ("device", device(&mut from)),
        ("unmapped", from.rest()),
    ])
}

/// Number and name of what a line does to its finding.
fn activity(action: &str) -> (u32, &str) {
    let is = |phase: Phase| phase.name() == action;
    match action {
        _ if is(Phase::Began) => (1, "Create"),
        _ if is(Phase::Grew) => (2, "Update"),
        _ if is(Phase::Ended) => (3, "Close"),
        other => (OTHER, other),
    }
}

/// The name of an activity within the name of a type.
const fn type_name(activity: u32, name: &str) -> &str {
    match activity {
        OTHER => "Other",
        _ => name,
    }
}

fn severity(name: Option<&str>) -> (&'static str, u32) {
    match name {
        Some("informational") => ("Informational", 1),
        Some("low") => ("Low", 2),
        Some("medium") => ("Medium", 3),
        Some("high") => ("High", 4),
        _ => ("Unknown", 0),
    }
}

/// A time as OCSF has it.
fn milliseconds(time: Option<Value>) -> Option<i64> {
    let time: Timestamp = time?.as_str()?.parse().ok()?;
    Some(time.as_millisecond())
}

fn duration(nanoseconds: Option<Value>) -> Option<Value> {
    const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;
    let milliseconds = nanoseconds?.as_u64()? / NANOSECONDS_PER_MILLISECOND;
    Some(json!(milliseconds))
}

fn metadata(
    from: &mut Fields,
    class: &Class,
    id: Option<String>,
    action: &str,
    time: Option<i64>,
) -> Option<Value> {
    let product = [
        ("name", from.take("observer.product")),
        ("version", from.take("observer.version")),
    ];
    // What tells the lines of one incident apart, also over a restart.
    let uid = id
        .as_deref()
        .zip(time)
        .map(|(id, time)| format!("{id}-{action}-{time}"));
    object([
        ("version", Some(json!(VERSION))),
        ("product", object(product)),
        ("uid", uid.map(Value::from)),
        ("correlation_uid", id.map(Value::from)),
        ("sequence", from.take("event.sequence")),
        ("log_name", from.take("event.dataset")),
        ("labels", from.take("tags")),
        (
            "profiles",
            (!class.profiles.is_empty()).then(|| json!(class.profiles)),
        ),
    ])
}

fn finding(from: &mut Fields, id: Option<&str>) -> Option<Value> {
    let rule = from.take("rule.id");
    let name = from.take("rule.name");
    let title = name.clone().or_else(|| rule.clone());
    let analytic = [
        ("type_id", Some(json!(RULE))),
        ("type", Some(json!("Rule"))),
        ("uid", rule),
        ("name", name),
        ("category", from.take("rule.category")),
        ("version", from.take("rule.version")),
    ];
    let attack = attack(from);
    object([
        ("uid", id.map(Value::from)),
        ("title", title),
        ("desc", from.take("event.reason")),
        ("analytic", object(analytic)),
        ("attacks", attack.map(|attack| json!([attack]))),
    ])
}

fn attack(from: &mut Fields) -> Option<Value> {
    let [tactic, technique, sub] = [
        "threat.tactic",
        "threat.technique",
        "threat.technique.subtechnique",
    ]
    .map(|of| {
        object([
            ("uid", from.take_only(&format!("{of}.id"))),
            ("name", from.take_only(&format!("{of}.name"))),
        ])
    });
    object([
        ("tactic", tactic),
        ("technique", technique),
        ("sub_technique", sub),
    ])
}

/// Both ends, and the process of this host that is one of them.
fn evidence(from: &mut Fields) -> Option<Value> {
    let direction = from.take_text("network.direction");
    let is_outbound = direction.as_deref() == Some("egress");
    // Packets come in at this host's end.
    let interface = match is_outbound {
        true => None,
        false => from.take("observer.ingress.interface.name"),
    };
    let source = endpoint(from, "source", None);
    let destination = endpoint(from, "destination", interface);
    let connection = direction.map(|_| match is_outbound {
        true => ("Outbound", 2),
        false => ("Inbound", 1),
    });
    let connection = connection.and_then(|(name, id)| {
        object([
            ("direction_id", Some(json!(id))),
            ("direction", Some(json!(name))),
            ("protocol_name", from.take("network.transport")),
            (
                "protocol_ver_id",
                ip_version(from.take_text("network.type")),
            ),
        ])
    });
    let process = process(from);
    let (actor, accepted) = match is_outbound {
        true => (process, None),
        false => (None, process),
    };
    let container = object([("uid", from.take("container.id"))]);
    object([
        ("src_endpoint", source),
        ("dst_endpoint", destination),
        ("connection_info", connection),
        ("actor", object([("process", actor)])),
        ("process", accepted),
        ("container", container),
    ])
}

/// One end.
fn endpoint(from: &mut Fields, end: &str, interface: Option<Value>) -> Option<Value> {
    let ip = from.take_address(end);
    let mut take = |name: &str| from.take(&format!("{end}.{name}"));
    let system = object([
        ("number", take("as.number")),
        ("name", take("as.organization.name")),
    ]);
    object([
        ("ip", ip),
        ("port", take("port")),
        ("hostname", take("domain")),
        ("interface_name", interface),
        ("autonomous_system", system),
        (
            "location",
            object([("country", take("geo.country_iso_code"))]),
        ),
    ])
}

/// The number of a version of IP.
pub(super) fn ip_version(network_type: Option<String>) -> Option<Value> {
    match network_type?.as_str() {
        "ipv4" => Some(json!(4)),
        "ipv6" => Some(json!(6)),
        _ => None,
    }
}

fn process(from: &mut Fields) -> Option<Value> {
    let user = [
        ("uid", from.take("user.id")),
        ("name", from.take("user.name")),
    ];
    let parent = [("pid", from.take("process.parent.pid"))];
    let created = milliseconds(from.take("process.start"));
    object([
        ("pid", from.take("process.pid")),
        ("uid", from.take("process.entity_id")),
        ("name", from.take("process.name")),
        ("path", from.take("process.executable")),
        ("cmd_line", from.take("process.command_line")),
        ("created_time", created.map(Value::from)),
        ("parent_process", object(parent)),
        ("user", object(user)),
    ])
}

fn observables(addresses: Option<Value>) -> Option<Value> {
    let addresses = addresses?;
    let all = addresses.as_array()?.iter();
    let all = all.map(|ip| json!({"type_id": IP_ADDRESS, "type": "IP Address", "value": ip}));
    Some(all.collect())
}

fn device(from: &mut Fields) -> Option<Value> {
    object([
        ("type_id", Some(json!(UNKNOWN))),
        ("hostname", from.take("host.name")),
        ("uid", from.take("host.id")),
    ])
}
