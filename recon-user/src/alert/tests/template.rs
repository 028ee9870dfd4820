//! Every line against the index template for Elasticsearch, which has recon's own fields: a field
//! that it lacks would get its type from the first line that happens to have it.

use std::collections::BTreeSet;

use super::schema::lines;
use super::*;

/// The template's mapping of the fields below `recon`.
fn own_fields() -> Value {
    let text = include_str!("../../../package/siem/elastic-index-template.json");
    let template: Value = serde_json::from_str(text).expect("JSON");
    template["template"]["mappings"]["properties"]["recon"].clone()
}

/// Whether Elasticsearch takes the value for a field of that type.
fn fits(value: &Value, kind: &str) -> bool {
    let text = value.as_str();
    match kind {
        "keyword" => text.is_some(),
        "long" => value.is_u64(),
        "integer" => value
            .as_u64()
            .is_some_and(|number| i32::try_from(number).is_ok()),
        "boolean" => value.is_boolean(),
        "date" => text.is_some_and(|text| text.parse::<Timestamp>().is_ok()),
        "ip" => text.is_some_and(|text| text.parse::<IpAddr>().is_ok()),
        "flattened" => value.is_object(),
        _ => false,
    }
}

/// Checks a value against its mapping, and notes the field if it has a type.
fn check(name: &str, value: &Value, mapping: &Value, seen: &mut BTreeSet<String>) {
    if let Value::Array(values) = value {
        values
            .iter()
            .for_each(|value| check(name, value, mapping, seen));
        return;
    }
    if let Some(kind) = mapping["type"].as_str() {
        assert!(fits(value, kind), "{name}: {value} is no {kind}");
        seen.insert(name.to_owned());
        return;
    }
    let fields = value.as_object();
    for (key, value) in fields.unwrap_or_else(|| panic!("{name}: no field of the template")) {
        check(
            &format!("{name}.{key}"),
            value,
            &mapping["properties"][key],
            seen,
        );
    }
}

/// The fields of a mapping that have a type.
fn typed(name: &str, mapping: &Value) -> BTreeSet<String> {
    match mapping["properties"].as_object() {
        Some(fields) => fields
            .iter()
            .flat_map(|(key, mapping)| typed(&format!("{name}.{key}"), mapping))
            .collect(),
        None => BTreeSet::from([name.to_owned()]),
    }
}

#[test]
fn the_index_template_has_each_field() {
    let mapping = own_fields();
    let mut seen = BTreeSet::new();
    for line in lines() {
        check("recon", &line["recon"], &mapping, &mut seen);
    }
    let never: Vec<_> = typed("recon", &mapping)
        .difference(&seen)
        .cloned()
        .collect();
    assert_eq!(never, [""; 0], "in the template, in no line");
}

/// Elasticsearch refuses a query that names a field which no line had so far.
#[test]
fn the_query_for_elasticsearch_names_fields_of_lines() {
    let query = include_str!("../../../package/siem/incidents.esql");
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "._-*".contains(c);
    let names = query.split(|c: char| !is_of_name(c));
    let names = names.filter(|name| name.contains('.') && !name.starts_with("logs-recon"));
    let names: BTreeSet<_> = names.collect();
    assert!(names.contains("event.id") && names.len() > 8, "{names:?}");
    let lines = lines();
    for name in names {
        let place = format!("/{}", name.replace('.', "/"));
        let mut values = lines.iter().filter_map(|line| line.pointer(&place));
        let is_value = values.any(|value| !value.is_object());
        assert!(is_value, "{name} is in no line");
    }
}
