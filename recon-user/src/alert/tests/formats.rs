//! The other formats have what the line of ECS has.

use super::schema::lines_as;
use super::*;

/// Fields that another format writes in another way: as a number, in other units, or by another
/// word. The tests of each format have rows for them.
const REWRITTEN: [&str; 14] = [
    "@timestamp",
    "ecs.version",
    "event.action",
    "event.duration",
    "event.end",
    "event.kind",
    "event.module",
    "event.start",
    "network.direction",
    "network.transport",
    "network.type",
    "process.start",
    "recon.phase",
    "recon.severity",
];

/// Fields that only repeat another one, or that ECS alone requires: see docs/alerts.md.
const REPEATED: [&str; 6] = [
    "agent.name",
    "agent.type",
    "agent.version",
    "destination.address",
    "observer.hostname",
    "source.address",
];

/// The values of a line by their names, lists item by item.
fn values(name: &str, value: &Value, all: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let name = format!("{name}.{key}");
                values(name.trim_start_matches('.'), value, all);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| values(name, item, all)),
        value => all.push((name.to_owned(), value.to_string())),
    }
}

#[test]
fn no_value_is_lost_on_the_way() {
    for format in [LineFormat::Ocsf, LineFormat::Eve] {
        for (ecs, line) in lines_as(LineFormat::Ecs).iter().zip(lines_as(format)) {
            let (mut wanted, mut has) = (Vec::new(), Vec::new());
            values("", ecs, &mut wanted);
            values("", &line, &mut has);
            // A value that two fields have is there twice.
            for (name, value) in wanted {
                if [&REWRITTEN[..], &REPEATED]
                    .concat()
                    .contains(&name.as_str())
                {
                    continue;
                }
                let place = has.iter().position(|(_, found)| *found == value);
                assert!(place.is_some(), "{format:?}: {name} {value}: {line:#}");
                place.map(|place| has.swap_remove(place));
            }
        }
    }
}

/// Unknown values are absent in each format, as are empty lists and objects.
#[test]
fn no_format_has_what_is_empty() {
    fn is_empty(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Object(fields) => fields.is_empty() || fields.values().any(is_empty),
            Value::Array(items) => items.is_empty() || items.iter().any(is_empty),
            _ => false,
        }
    }
    for format in [LineFormat::Ocsf, LineFormat::Eve] {
        for mut line in lines_as(format) {
            // A query may project no column, and an outcome has no open port.
            for at in ["/unmapped/recon", "/alert/context/recon"] {
                if let Some(recon) = line.pointer_mut(at).and_then(Value::as_object_mut) {
                    recon.remove("columns");
                    recon.remove("outcomes");
                }
            }
            assert!(!is_empty(&line), "{format:?}: {line:#}");
        }
    }
}
