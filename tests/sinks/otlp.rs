//! A sink to a receiver of OpenTelemetry's logs.
//!
//! The decision held here: requests are read by structs that have each field of the specification
//! (opentelemetry/proto/logs/v1/logs.proto, by its names in JSON) and refuse any other.

use anyhow::{Context as _, Result, ensure};
use recon_tests::Lab;
use recon_tests::scan::{PORTS, ensure_alert};
use serde_json::{Map, Value};

use super::Watched;
use super::http_server::{HttpServer, Mode};

const HIGH: u64 = 17;

/// The fields of a message, and no others.
fn fields<'a>(value: &'a Value, known: &[&str]) -> Result<&'a Map<String, Value>> {
    let fields = value.as_object().context("an object")?;
    let strange: Vec<_> = fields
        .keys()
        .filter(|it| !known.contains(&it.as_str()))
        .collect();
    ensure!(strange.is_empty(), "{strange:?} in {value}");
    Ok(fields)
}

fn items<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a Vec<Value>> {
    fields
        .get(name)
        .and_then(Value::as_array)
        .with_context(|| format!("no list {name}"))
}

/// `AnyValue`, as plain JSON.
fn any_value(value: &Value) -> Result<Value> {
    const KINDS: [&str; 6] = [
        "stringValue",
        "boolValue",
        "intValue",
        "doubleValue",
        "arrayValue",
        "kvlistValue",
    ];
    let one = fields(value, &KINDS)?;
    ensure!(one.len() == 1, "{value}");
    let (kind, inner) = one.iter().next().context("a value")?;
    Ok(match kind.as_str() {
        "stringValue" if inner.is_string() => inner.clone(),
        "boolValue" if inner.is_boolean() => inner.clone(),
        // 64 bits are a text.
        "intValue" => inner.as_str().context("a text")?.parse::<i64>()?.into(),
        "doubleValue" if inner.is_number() => inner.clone(),
        "arrayValue" => {
            let values = items(fields(inner, &["values"])?, "values")?;
            values.iter().map(any_value).collect::<Result<_>>()?
        }
        "kvlistValue" => Value::Object(attributes(items(fields(inner, &["values"])?, "values")?)?),
        _ => anyhow::bail!("{value}"),
    })
}

fn attributes(list: &[Value]) -> Result<Map<String, Value>> {
    let mut all = Map::new();
    for item in list {
        let pair = fields(item, &["key", "value"])?;
        let key = pair["key"].as_str().context("a key")?;
        let before = all.insert(key.to_owned(), any_value(&pair["value"])?);
        ensure!(before.is_none(), "{key} twice");
    }
    Ok(all)
}

/// A log: its fields, and its attributes.
struct Log {
    fields: Value,
    attributes: Value,
}

fn logs(body: &str) -> Result<Vec<Log>> {
    let mut logs = Vec::new();
    let body: Value = serde_json::from_str(body)?;
    for resource in items(fields(&body, &["resourceLogs"])?, "resourceLogs")? {
        let resource = fields(resource, &["resource", "scopeLogs", "schemaUrl"])?;
        let own = fields(
            &resource["resource"],
            &["attributes", "droppedAttributesCount"],
        )?;
        let own = attributes(items(own, "attributes")?)?;
        ensure!(
            own["service.name"] == "recon" && own.contains_key("host.name"),
            "{own:?}"
        );
        for scope in items(resource, "scopeLogs")? {
            let scope = fields(scope, &["scope", "logRecords", "schemaUrl"])?;
            fields(
                &scope["scope"],
                &["name", "version", "attributes", "droppedAttributesCount"],
            )?;
            for record in items(scope, "logRecords")? {
                let fields = fields(
                    record,
                    &[
                        "timeUnixNano",
                        "observedTimeUnixNano",
                        "severityNumber",
                        "severityText",
                        "body",
                        "attributes",
                        "droppedAttributesCount",
                        "flags",
                        "traceId",
                        "spanId",
                        "eventName",
                    ],
                )?;
                for time in ["timeUnixNano", "observedTimeUnixNano"] {
                    fields[time].as_str().context(time)?.parse::<u64>()?;
                }
                any_value(&fields["body"])?;
                logs.push(Log {
                    attributes: attributes(items(fields, "attributes")?)?.into(),
                    fields: record.clone(),
                });
            }
        }
    }
    Ok(logs)
}

#[test]
fn lines_are_logs_of_opentelemetry() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let lab = Lab::new()?;
    let server = HttpServer::start(&lab, "127.0.0.1:0".parse()?, None)?;
    let address = server.address;
    let table = format!(
        "[sinks.peer]\ntype = 'otlp'\nendpoint = 'http://{address}'\nlines = ['alerts', 'rows']\n"
    );
    let watched = Watched::start(lab, folder.path(), &table)?;
    watched.scan(PORTS)?;
    ensure_alert(&watched.agent)?;
    watched.wait_empty("peer")?;

    // It goes, and is back.
    let mut received = server.kill()?;
    watched.scan(PORTS)?;
    watched.wait_logged("recon tries on")?;
    let server = HttpServer::start(&watched.lab, address, None)?;
    watched.wait_empty("peer")?;
    // It takes some, and refuses one of them for good.
    server.set_answer(r#"{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"test"}}"#);
    watched.scan(PORTS)?;
    watched.wait_problem("peer", "the receiver refuses 1 of the logs: test")?;
    // An answer that is cut off may have said the same of others: they are sent once more.
    server.set_mode(Mode::CutsOff);
    let before = watched.state("peer")?;
    watched.scan(PORTS)?;
    watched.wait_problem("peer", "it is cut off each time; its logs count as written")?;
    watched.wait_empty("peer")?;
    let after = watched.state("peer")?;
    ensure!(
        after.written > before.written && after.dropped == before.dropped,
        "{before:?}, {after:?}"
    );
    server.set_answer("{}");
    server.set_mode(Mode::Answers(200));
    watched.wait_empty("peer")?;
    let ended = watched.stop()?;
    received.extend(server.kill()?);

    let mut all = Vec::new();
    for request in &received {
        let head = &request.head;
        let is_right = head.starts_with("post /v1/logs http/1.1\r\n")
            && head.contains("content-type: application/json\r\n");
        ensure!(is_right, "{head}");
        all.extend(logs(&request.body)?);
    }
    let totals = ended.totals("peer")?;
    let sent = ended.sent.len() as u64;
    ensure!(
        totals.dropped > 0 && totals.repeated > 0 && totals.written + totals.dropped == sent,
        "{totals:?}"
    );
    ensure!(all.len() as u64 >= sent, "{} logs of {sent}", all.len());

    // Each alert is a log with its fields.
    for line in &ended.sent {
        let line: Value = serde_json::from_str(line)?;
        let Some(id) = line["event"]["id"].as_str() else {
            continue;
        };
        let is_it = |log: &&Log| {
            log.attributes.get("event.id").is_some_and(|it| it == id)
                && log.attributes["event.sequence"] == line["event"]["sequence"]
        };
        let log = all
            .iter()
            .find(is_it)
            .with_context(|| format!("no log of {line}"))?;
        ensure!(
            log.fields["body"]["stringValue"] == line["message"],
            "{:?}",
            log.fields
        );
        ensure!(log.attributes["rule.id"] == line["rule"]["id"], "{line}");
        let is_high = line["event"]["severity"] == 73;
        ensure!(
            (log.fields["severityNumber"] == HIGH) == is_high,
            "{:?}",
            log.fields
        );
        let time: jiff::Timestamp = line["@timestamp"].as_str().context("a time")?.parse()?;
        let time = time.as_nanosecond().to_string();
        ensure!(
            log.fields["timeUnixNano"] == time.as_str(),
            "{:?}",
            log.fields
        );
    }
    Ok(())
}
