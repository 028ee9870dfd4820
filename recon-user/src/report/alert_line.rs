//! A line of ECS as `recon run` writes it, read again.
//!
//! In: the text of a line. Out: [`AlertLine`], or why it is none.
//! The decision held here: only what the page shows is read, and all of it may be missing but the
//! time, the incident and the phase: lines of older and newer versions are readable.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// A line about an incident, about recon itself, or about an hour.
#[derive(Debug, Deserialize)]
pub(super) struct AlertLine {
    #[serde(rename = "@timestamp")]
    pub(super) at: Timestamp,
    #[serde(default)]
    pub(super) message: String,
    pub(super) event: AlertEvent,
    #[serde(default)]
    pub(super) rule: RuleName,
    #[serde(default)]
    pub(super) source: EndFields,
    #[serde(default)]
    pub(super) destination: EndFields,
    #[serde(default)]
    pub(super) network: NetworkOf,
    #[serde(default)]
    pub(super) host: HostName,
    pub(super) process: Option<ProcessOf>,
    #[serde(default)]
    pub(super) user: UserOf,
    #[serde(default)]
    pub(super) container: ContainerOf,
    pub(super) recon: OwnFields,
}

#[derive(Debug, Deserialize)]
pub(super) struct AlertEvent {
    pub(super) id: String,
    pub(super) start: Option<Timestamp>,
    pub(super) end: Option<Timestamp>,
    pub(super) sequence: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct RuleName {
    #[serde(default)]
    pub(super) id: String,
    #[serde(default)]
    pub(super) category: String,
    #[serde(default)]
    pub(super) name: String,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct EndFields {
    pub(super) ip: Option<IpAddr>,
    pub(super) port: Option<u16>,
    pub(super) domain: Option<String>,
    #[serde(default)]
    pub(super) r#as: SystemOf,
    #[serde(default)]
    pub(super) geo: GeoOf,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct SystemOf {
    pub(super) number: Option<u32>,
    #[serde(default)]
    pub(super) organization: OrganizationOf,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct OrganizationOf {
    pub(super) name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct GeoOf {
    pub(super) country_iso_code: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct NetworkOf {
    pub(super) direction: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct HostName {
    pub(super) name: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ProcessOf {
    pub(super) pid: u32,
    pub(super) name: Option<String>,
    pub(super) executable: Option<String>,
    pub(super) command_line: Option<String>,
    pub(super) parent: Option<ParentOf>,
    pub(super) entity_id: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ParentOf {
    pub(super) pid: u32,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct UserOf {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct ContainerOf {
    pub(super) id: Option<String>,
}

/// The fields under `recon`.
#[derive(Debug, Deserialize)]
pub(super) struct OwnFields {
    pub(super) severity: String,
    pub(super) phase: String,
    pub(super) left_out: Option<u64>,
    pub(super) count: Option<u64>,
    pub(super) threshold: Option<u64>,
    pub(super) window: Option<String>,
    #[serde(default)]
    pub(super) signals: Vec<String>,
    #[serde(default)]
    pub(super) ports: Vec<u16>,
    pub(super) source_network: Option<String>,
    #[serde(default)]
    pub(super) destinations: Vec<IpAddr>,
    pub(super) destination_network: Option<String>,
    #[serde(default)]
    pub(super) processes: Vec<ProcessOf>,
    pub(super) unit: Option<String>,
    pub(super) outcomes: Option<OutcomesOf>,
    pub(super) label: Option<String>,
    pub(super) domain_by: Option<String>,
    #[serde(default)]
    pub(super) tool: Vec<String>,
    pub(super) verdict: Option<String>,
    pub(super) source_proven: Option<bool>,
    #[serde(default)]
    pub(super) lower_bound: bool,
    #[serde(default)]
    pub(super) suppressed: u64,
    pub(super) blind: Option<BlindOf>,
    pub(super) digest: Option<DigestOf>,
}

/// What became of attempts, in numbers of ports.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct OutcomesOf {
    #[serde(default)]
    pub(super) accepted: u64,
    #[serde(default)]
    pub(super) refused: u64,
    #[serde(default)]
    pub(super) half_open: u64,
    #[serde(default)]
    pub(super) silent: u64,
    #[serde(default)]
    pub(super) open_ports: Vec<u16>,
}

#[derive(Debug, Deserialize)]
pub(super) struct BlindOf {
    #[serde(default)]
    pub(super) lost: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct DigestOf {
    #[serde(default)]
    pub(super) findings: u64,
    #[serde(default)]
    pub(super) lower_bound: bool,
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InputLine {
    Alert,
    Row,
    /// A JSON object of another kind, by what it seems to be.
    Other(&'static str),
    /// No JSON object at all.
    Text,
}

/// What a line is, by the fields that only its kind has.
pub(super) fn kind_of(text: &str) -> InputLine {
    let Ok(Value::Object(fields)) = serde_json::from_str(text) else {
        return InputLine::Text;
    };
    let has = |name: &str| fields.contains_key(name);
    if has("@timestamp") && has("recon") {
        InputLine::Alert
    } else if has("TimeGenerated") || has("Timestamp") || has("ActionType") {
        InputLine::Row
    } else if has("class_uid") {
        InputLine::Other("OCSF")
    } else if has("event_type") {
        InputLine::Other("EVE")
    } else {
        InputLine::Other("neither an alert nor a row")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_known_by_their_fields() {
        for (text, expected) in [
            (r#"{"@timestamp":"x","recon":{}}"#, InputLine::Alert),
            (r#"{"TimeGenerated":"x"}"#, InputLine::Row),
            (r#"{"Timestamp":"x","ActionType":"SYN"}"#, InputLine::Row),
            (r#"{"class_uid":2004,"time":1}"#, InputLine::Other("OCSF")),
            (
                r#"{"event_type":"alert","timestamp":"x"}"#,
                InputLine::Other("EVE"),
            ),
            (
                r#"{"@timestamp":"x"}"#,
                InputLine::Other("neither an alert nor a row"),
            ),
            ("[1]", InputLine::Text),
            ("12:00 kernel: eth0 up", InputLine::Text),
            (r#"{"@timestamp":"x","recon":{"#, InputLine::Text),
        ] {
            assert_eq!(kind_of(text), expected, "{text}");
        }
    }
}
