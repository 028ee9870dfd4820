//! Lines as logs of OpenTelemetry.
//!
//! In: lines. Out: the body of a request to an OTLP/HTTP receiver, in OTLP's JSON encoding.
//! The decision held here: the crate opentelemetry-otlp brings an SDK that batches on its own and
//! forgets what it holds when recon is killed, and opentelemetry-proto some twenty crates. The JSON
//! encoding is a part of the same specification and takes none; every collector of HTTP reads it.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::foreign_text::show_foreign;
use super::line_fields::LineFields;

/// What receivers of logs are asked for.
pub(crate) const LOGS_PATH: &str = "/v1/logs";
/// Of logs by their priority of syslog(3): `SeverityNumber` and its name.
const SEVERITIES: [(u8, u8, &str); 4] = [
    (3, 17, "ERROR"),
    (4, 13, "WARN"),
    (5, 10, "INFO2"),
    (6, 9, "INFO"),
];
/// The fields that say when: of ECS, of rows, of EVE.
const TIMES: [&str; 3] = ["@timestamp", "TimeGenerated", "timestamp"];
/// The field that is the text of a log.
const MESSAGE: &str = "message";

/// What all requests have in common.
pub(super) struct OtlpEncoder {
    /// The body up to the first log.
    head: String,
}

/// `LogRecord`. Numbers of 64 bits are texts in this encoding.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogRecord<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    time_unix_nano: Option<String>,
    observed_time_unix_nano: String,
    severity_number: u8,
    severity_text: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_name: Option<&'a str>,
    body: Value,
    attributes: Vec<Value>,
}

impl OtlpEncoder {
    /// For logs of a host of that name.
    pub(super) fn new(host: &str) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let resource = [
            ("service.name", "recon"),
            ("service.version", version),
            ("host.name", host),
        ];
        let resource = resource.map(|(key, value)| attribute(key, &Value::from(value)));
        let scope = json!({ "name": "recon", "version": version });
        let resource = json!({ "attributes": resource });
        Self {
            head: format!(
                r#"{{"resourceLogs":[{{"resource":{resource},"scopeLogs":[{{"scope":{scope},"logRecords":["#
            ),
        }
    }

    pub(super) fn begin(&self, body: &mut Vec<u8>) {
        body.extend_from_slice(self.head.as_bytes());
    }

    /// Adds lines. `body` has begun, and may hold others.
    pub(super) fn add(&self, lines: &[u8], body: &mut Vec<u8>) {
        let observed = SystemTime::now().duration_since(UNIX_EPOCH);
        let observed = observed.unwrap_or_default().as_nanos().to_string();
        for line in lines.split(|&byte| byte == b'\n') {
            if line.is_empty() {
                continue;
            }
            if body.len() > self.head.len() {
                body.push(b',');
            }
            let fields = LineFields::of(line);
            let whole = serde_json::from_slice(line).unwrap_or_default();
            let record = record(&fields, &whole, line, &observed);
            // Writing into memory never fails.
            let _ = serde_json::to_writer(&mut *body, &record);
        }
    }

    pub(super) fn end(body: &mut Vec<u8>) {
        body.extend_from_slice(b"]}]}]}");
    }
}

fn record<'a>(
    fields: &'a LineFields,
    whole: &Map<String, Value>,
    line: &[u8],
    observed: &str,
) -> LogRecord<'a> {
    let priority = fields.priority();
    let mut severities = SEVERITIES.iter();
    let severity = severities.find(|(other, ..)| *other == priority);
    let &(_, severity_number, severity_text) = severity.unwrap_or(&SEVERITIES[3]);
    let time = TIMES.iter().find_map(|&name| whole.get(name)?.as_str());
    let time = time.and_then(|time| time.parse::<Timestamp>().ok());
    let text = || String::from_utf8_lossy(line).into_owned();
    let mut attributes = Vec::new();
    for (name, value) in whole {
        if name != MESSAGE && !TIMES.contains(&name.as_str()) {
            flatten(name.clone(), value, &mut attributes);
        }
    }
    LogRecord {
        time_unix_nano: time.map(|time| time.as_nanosecond().to_string()),
        observed_time_unix_nano: observed.to_owned(),
        severity_number,
        severity_text,
        event_name: fields.event.dataset.as_deref(),
        body: any_value(&Value::from(fields.message.clone().unwrap_or_else(text))),
        attributes,
    }
}

/// Adds a value as attributes: an object by the names of its fields, joined by a dot, as ECS does.
fn flatten(name: String, value: &Value, out: &mut Vec<Value>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                flatten(format!("{name}.{field}"), value, out);
            }
        }
        Value::Null => {}
        _ => out.push(attribute(&name, value)),
    }
}

/// `KeyValue`.
fn attribute(name: &str, value: &Value) -> Value {
    json!({ "key": name, "value": any_value(value) })
}

/// `AnyValue`.
fn any_value(value: &Value) -> Value {
    match value {
        Value::Null => json!({}),
        Value::Bool(value) => json!({ "boolValue": value }),
        Value::Number(number) => match number.as_i64() {
            Some(number) => json!({ "intValue": number.to_string() }),
            None => json!({ "doubleValue": number.as_f64() }),
        },
        Value::String(text) => json!({ "stringValue": text }),
        Value::Array(values) => {
            let values: Vec<_> = values.iter().map(any_value).collect();
            json!({ "arrayValue": { "values": values } })
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| attribute(name, value));
            json!({ "kvlistValue": { "values": fields.collect::<Vec<_>>() } })
        }
    }
}

/// How many logs a receiver has refused for good, and why, of a request that it has taken. An empty
/// answer refuses none.
///
/// # Errors
/// What the answer is not.
pub(super) fn rejected(answer: &[u8]) -> Result<Option<(u64, String)>, &'static str> {
    if answer.is_empty() {
        return Ok(None);
    }
    let answer = serde_json::from_slice::<Map<String, Value>>(answer);
    let answer = answer.map_err(|_| "it is no JSON object")?;
    let partial = &answer.get("partialSuccess").unwrap_or(&Value::Null);
    let rejected = match &partial["rejectedLogRecords"] {
        Value::Null => Some(0),
        Value::String(text) => text.parse().ok(),
        number => number.as_u64(),
    };
    let rejected = rejected.ok_or("its `rejectedLogRecords` is no number")?;
    let why = partial["errorMessage"].as_str().unwrap_or_default();
    Ok((rejected > 0).then(|| (rejected, show_foreign(why))))
}

#[cfg(test)]
mod tests {
    use super::super::foreign_text::MOST_SHOWN;
    use super::*;

    fn body(lines: &str) -> Value {
        let encoder = OtlpEncoder::new("web1");
        let mut body = Vec::new();
        encoder.begin(&mut body);
        encoder.add(lines.as_bytes(), &mut body);
        OtlpEncoder::end(&mut body);
        serde_json::from_slice(&body).expect("JSON")
    }

    #[test]
    fn lines_are_logs() {
        let lines = concat!(
            r#"{"@timestamp":"2026-01-02T03:04:05.5Z","message":"m","event":{"id":"e1","severity":73,"dataset":"recon.alert"},"tags":["a",{"b":1.5}],"recon":{"lower_bound":true,"count":7,"none":null}}"#,
            "\n",
            r#"{"TimeGenerated":"2026-01-02T03:04:05Z","LocalPort":22}"#,
            "\nno JSON\n",
        );
        let mut body = body(lines);
        let records = body["resourceLogs"][0]["scopeLogs"][0]["logRecords"].take();
        let mut records = records.as_array().expect("records").clone();
        for record in &mut records {
            let observed = record["observedTimeUnixNano"].take();
            assert!(
                observed
                    .as_str()
                    .is_some_and(|it| it.parse::<u64>().is_ok())
            );
        }
        let expected = [
            json!({
                "timeUnixNano": "1767323045500000000", "observedTimeUnixNano": null,
                "severityNumber": 17, "severityText": "ERROR", "eventName": "recon.alert",
                "body": { "stringValue": "m" },
                "attributes": [
                    { "key": "event.dataset", "value": { "stringValue": "recon.alert" } },
                    { "key": "event.id", "value": { "stringValue": "e1" } },
                    { "key": "event.severity", "value": { "intValue": "73" } },
                    { "key": "recon.count", "value": { "intValue": "7" } },
                    { "key": "recon.lower_bound", "value": { "boolValue": true } },
                    { "key": "tags", "value": { "arrayValue": { "values": [
                        { "stringValue": "a" },
                        { "kvlistValue": { "values": [
                            { "key": "b", "value": { "doubleValue": 1.5 } }] } },
                    ] } } },
                ],
            }),
            json!({
                "timeUnixNano": "1767323045000000000", "observedTimeUnixNano": null,
                "severityNumber": 9, "severityText": "INFO",
                "body": { "stringValue": r#"{"TimeGenerated":"2026-01-02T03:04:05Z","LocalPort":22}"# },
                "attributes": [{ "key": "LocalPort", "value": { "intValue": "22" } }],
            }),
            json!({
                "observedTimeUnixNano": null, "severityNumber": 9, "severityText": "INFO",
                "body": { "stringValue": "no JSON" }, "attributes": [],
            }),
        ];
        assert_eq!(records, expected);
        assert_eq!(
            body["resourceLogs"][0]["resource"]["attributes"][2],
            json!({ "key": "host.name", "value": { "stringValue": "web1" } })
        );
    }

    #[test]
    fn what_a_receiver_rejects_is_known() {
        let long = format!(
            r#"{{"partialSuccess":{{"rejectedLogRecords":1,"errorMessage":"\u009b{}"}}}}"#,
            "x".repeat(10 * MOST_SHOWN)
        );
        let shown = format!("\\u{{9b}}{}", "x".repeat(MOST_SHOWN - 1));
        for (answer, expected) in [
            (long.as_str(), Ok(Some((1, shown)))),
            ("{}", Ok(None)),
            ("", Ok(None)),
            (r#"{"partialSuccess":{}}"#, Ok(None)),
            (r#"{"partialSuccess":{"rejectedLogRecords":"0"}}"#, Ok(None)),
            ("<html>", Err("it is no JSON object")),
            ("[]", Err("it is no JSON object")),
            (r#"{"partialSuccess":{"rej"#, Err("it is no JSON object")),
            (
                r#"{"partialSuccess":{"rejectedLogRecords":"x"}}"#,
                Err("its `rejectedLogRecords` is no number"),
            ),
            (
                r#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"old"}}"#,
                Ok(Some((2, "old".to_owned()))),
            ),
            (
                r#"{"partialSuccess":{"rejectedLogRecords":2}}"#,
                Ok(Some((2, String::new()))),
            ),
        ] {
            assert_eq!(rejected(answer.as_bytes()), expected, "{answer}");
        }
    }
}
