//! Every line against OCSF's own classes and objects.
//!
//! `ocsf-1.8.0.json` is the part of the tag v1.8.0 of ocsf/ocsf-schema that recon's lines use
//! (Apache-2.0; its head names the source). It says of each attribute its type, whether it is a
//! list, whether the class requires it, and the numbers that it may have, with their names.

use super::schema::lines_as;
use super::*;

struct Schema(Value);

impl Schema {
    fn read() -> Self {
        Self(serde_json::from_str(include_str!("ocsf-1.8.0.json")).expect("JSON"))
    }

    /// What is wrong with a line.
    fn check(&self, line: &Value) -> Vec<String> {
        let classes = self.0["classes"].as_object().expect("classes");
        let class = classes.values().find(|of| of["uid"] == line["class_uid"]);
        let Some(class) = class else {
            return vec![format!("{}: no class", line["class_uid"])];
        };
        let mut wrong = Vec::new();
        for name in ["category_uid", "category_name"] {
            if line[name] != class[name] {
                wrong.push(format!("{name}: {} is not that of the class", line[name]));
            }
        }
        if line["metadata"]["version"] != self.0["version"] {
            wrong.push("metadata.version: another version".to_owned());
        }
        let mut check = Check {
            schema: self,
            profiles: &line["metadata"]["profiles"],
            wrong,
        };
        check.object("", class, line);
        check.wrong
    }
}

struct Check<'a> {
    schema: &'a Schema,
    /// The profiles whose attributes the line may have.
    profiles: &'a Value,
    wrong: Vec<String>,
}

impl Check<'_> {
    fn has_profile(&self, declared: &Value) -> bool {
        let all = self.profiles.as_array().into_iter().flatten();
        declared["profile"].is_null() || all.into_iter().any(|of| *of == declared["profile"])
    }

    fn object(&mut self, at: &str, declared: &Value, value: &Value) {
        let Some(fields) = value.as_object() else {
            self.wrong.push(format!("{at}: {value} is no object"));
            return;
        };
        let attributes = declared["attributes"].as_object().expect("attributes");
        for (name, attribute) in attributes {
            let is_required = attribute["requirement"] == "required";
            if is_required && self.has_profile(attribute) && !fields.contains_key(name) {
                self.wrong.push(format!("{at}.{name}: required"));
            }
        }
        let one_of = declared["constraints"]["at_least_one"].as_array();
        let is_one = |name: &Value| name.as_str().is_some_and(|name| fields.contains_key(name));
        if one_of.is_some_and(|one_of| !one_of.iter().any(is_one)) {
            self.wrong.push(format!("{at}: none of {one_of:?}"));
        }
        for (name, value) in fields {
            let at = format!("{at}.{name}");
            match attributes.get(name).filter(|it| self.has_profile(it)) {
                Some(attribute) => {
                    self.attribute(&at, attribute, value);
                    self.caption(&at, attribute, value, fields);
                }
                None => self.wrong.push(format!("{at}: no attribute")),
            }
        }
    }

    fn attribute(&mut self, at: &str, declared: &Value, value: &Value) {
        let is_list = declared["is_array"] == true;
        let values = match value.as_array() {
            Some(values) if is_list && !values.is_empty() => &values[..],
            None if !is_list => std::slice::from_ref(value),
            _ => return self.wrong.push(format!("{at}: {value}: a list or not")),
        };
        let kind = declared["type"].as_str().expect("a type");
        for value in values {
            let schema = self.schema;
            let object = &schema.0["objects"][kind];
            match (kind, object.is_null()) {
                ("object", _) if value.is_object() => {}
                (_, false) => self.object(at, object, value),
                (_, true) if self.has_type(kind, value) => {}
                _ => self.wrong.push(format!("{at}: {value} is no {kind}")),
            }
        }
    }

    /// Whether a value has one of OCSF's scalar types.
    fn has_type(&self, kind: &str, value: &Value) -> bool {
        let declared = &self.schema.0["types"][kind];
        let text = value.as_str().filter(|text| !text.is_empty());
        let is_in_range = |number: i64| {
            let range = declared["range"].as_array();
            range.is_none_or(|range| {
                let [least, most] = [0, 1].map(|end| range[end].as_i64().expect("a number"));
                (least..=most).contains(&number)
            })
        };
        match (kind, declared["type"].as_str().unwrap_or(kind)) {
            ("ip_t", _) => text.is_some_and(|text| text.parse::<IpAddr>().is_ok()),
            (_, "string_t") => text.is_some(),
            (_, "integer_t" | "long_t") => value.as_i64().is_some_and(is_in_range),
            ("boolean_t", _) => value.is_boolean(),
            _ => false,
        }
    }

    /// A number is one of those that it may be, and its name is the one of the number.
    fn caption(
        &mut self,
        at: &str,
        declared: &Value,
        value: &Value,
        fields: &serde_json::Map<String, Value>,
    ) {
        const OTHER: &str = "99";
        let Some(all) = declared["enum"].as_object() else {
            return;
        };
        let number = value.to_string();
        let Some(caption) = all.get(&number) else {
            return self.wrong.push(format!("{at}: {value} is not allowed"));
        };
        let sibling = declared["sibling"].as_str();
        let sibling = sibling.and_then(|sibling| fields.get(sibling));
        if sibling.is_some_and(|name| name != caption) && number != OTHER {
            self.wrong
                .push(format!("{at}: {value} is {caption}, not {sibling:?}"));
        }
    }
}

#[test]
fn each_line_keeps_to_ocsf() {
    let schema = Schema::read();
    for line in lines_as(LineFormat::Ocsf) {
        assert_eq!(schema.check(&line), [""; 0], "{line:#}");
    }
}

#[test]
fn what_is_no_ocsf_is_found() {
    let schema = Schema::read();
    let line = lines_as(LineFormat::Ocsf).swap_remove(1);
    assert_eq!(line["evidences"][0]["process"]["name"], "nmap", "{line:#}");
    for (at, value, expected) in [
        ("/class_uid", json!(7), "no class"),
        ("/category_uid", json!(3), "not that of the class"),
        ("/type_uid", json!(200_407), "is not allowed"),
        ("/severity_id", json!(7), "is not allowed"),
        ("/severity", json!("Low"), "is \"High\""),
        ("/time", json!("now"), "is no timestamp_t"),
        ("/message", json!(null), "is no string_t"),
        (
            "/metadata",
            json!({"version": "1.8.0"}),
            ".metadata.product: required",
        ),
        ("/metadata/version", json!("1.7.0"), "another version"),
        (
            "/finding_info",
            json!({"title": "a"}),
            ".finding_info.uid: required",
        ),
        ("/finding_info/attacks", json!({}), "a list or not"),
        ("/evidences/0", json!({"name": "a"}), "none of"),
        ("/evidences/0/process/pid", json!("7"), "is no integer_t"),
        (
            "/evidences/0/dst_endpoint/port",
            json!(65_536),
            "is no port_t",
        ),
        ("/evidences/0/src_endpoint/ip", json!("web1"), "is no ip_t"),
        ("/device/type_id", json!(null), "is no integer_t"),
        (
            "/device",
            json!({"type_id": 0, "hostname": "a", "os": 1}),
            "no attribute",
        ),
    ] {
        let mut line = line.clone();
        *line
            .pointer_mut(at)
            .unwrap_or_else(|| panic!("{at}: not there")) = value;
        let wrong = schema.check(&line);
        assert!(
            wrong.iter().any(|text| text.contains(expected)),
            "{at}: {wrong:?}"
        );
    }
}

#[test]
fn a_finding_is_written_as_a_detection_finding() {
    let finding = Finding {
        port: Some(22),
        interfaces: vec!["eth0"],
        ..finding("port-scan", &[Signal::Syn])
    };
    let ecs = parsed(&finding, &[nmap()]);
    let version = &finding.query.plan().version;
    assert_eq!(
        parsed_as(LineFormat::Ocsf, &finding, &[nmap()]),
        json!({
            "metadata": {
                "version": "1.8.0", "product": {"name": "recon", "version": VERSION},
                "uid": "65a8e1afc8248cd4e6208076074dbf08-began-1700000001000",
                "correlation_uid": "65a8e1afc8248cd4e6208076074dbf08",
                "sequence": 1, "log_name": "recon.alert"
            },
            "category_uid": 2, "category_name": "Findings",
            "class_uid": 2004, "class_name": "Detection Finding",
            "activity_id": 1, "activity_name": "Create",
            "type_uid": 200_401, "type_name": "Detection Finding: Create",
            "severity_id": 4, "severity": "High", "is_alert": true,
            "time": 1_700_000_001_000_u64, "start_time": 1_700_000_000_000_u64,
            "end_time": 1_700_000_001_000_u64, "duration": 1000,
            "message": ecs["message"],
            "finding_info": {
                "uid": "65a8e1afc8248cd4e6208076074dbf08",
                "title": "Multiple ports scanned from a single IP",
                "desc": "37 distinct ports, over 20 in 1h",
                "analytic": {
                    "type_id": 1, "type": "Rule", "uid": "port-scan/distinct_ports",
                    "name": "Multiple ports scanned from a single IP", "category": "port-scan",
                    "version": version
                },
                "attacks": [{
                    "tactic": {"uid": "TA0043", "name": "Reconnaissance"},
                    "technique": {"uid": "T1595", "name": "Active Scanning"},
                    "sub_technique": {"uid": "T1595.001", "name": "Scanning IP Blocks"}
                }]
            },
            "evidences": [{
                "src_endpoint": {"ip": "198.51.100.7"},
                "dst_endpoint": {"ip": "203.0.113.1", "port": 22, "interface_name": "eth0"},
                "connection_info": {
                    "direction_id": 1, "direction": "Inbound", "protocol_name": "tcp",
                    "protocol_ver_id": 4
                },
                "process": {
                    "pid": 77, "name": "nmap", "path": "/usr/bin/nmap",
                    "cmd_line": "nmap -sS 198.51.100.7", "parent_process": {"pid": 70},
                    "uid": "6c62272e07bb014262b821756295c58d",
                    "created_time": 1_700_000_000_000_u64, "user": {"uid": "0", "name": "root"}
                },
                "container": {"uid": "4f1c"}
            }],
            "observables": [
                {"type_id": 2, "type": "IP Address", "value": "198.51.100.7"},
                {"type_id": 2, "type": "IP Address", "value": "203.0.113.1"}
            ],
            "device": {"type_id": 0, "hostname": "web1"},
            "unmapped": {
                "event": {
                    "category": ["intrusion_detection", "network"], "type": ["info"], "severity": 73
                },
                "observer": {"type": "ids"},
                "related": {"user": ["0", "root"]},
                "threat": {"framework": "MITRE ATT&CK"},
                "recon": {
                    "source_id": "35f830208f1751494d2029b7fbc2b878", "measure": "distinct_ports",
                    "count": 37, "threshold": 20, "window": "1h", "verdict": "undecided",
                    "source_proven": false, "signals": ["syn"], "unit": "session-3.scope",
                    "columns": {"RemoteIP": "198.51.100.7"}, "lower_bound": false, "suppressed": 2
                }
            }
        })
    );
}

/// What a line does to its finding, whether it calls for action, and who acted.
#[test]
fn lines_of_one_incident_are_of_one_finding() {
    let mut uids = Vec::new();
    for (phase, expected) in [
        (Phase::Began, json!([1, "Create", 200_401, true])),
        (Phase::Grew, json!([2, "Update", 200_402, true])),
        (Phase::Ended, json!([3, "Close", 200_403, false])),
    ] {
        let finding = Finding {
            phase,
            ..finding("outbound-scan-tool", &[Signal::SynSent])
        };
        let line = parsed_as(LineFormat::Ocsf, &finding, &[nmap()]);
        let found = ["activity_id", "activity_name", "type_uid", "is_alert"];
        let found: Value = found.map(|name| line[name].clone()).into_iter().collect();
        assert_eq!(found, expected);
        let evidence = &line["evidences"][0];
        assert_eq!(evidence["actor"]["process"]["pid"], 77);
        assert_eq!(evidence.get("process"), None);
        assert_eq!(evidence["src_endpoint"]["ip"], "203.0.113.1");
        assert_eq!(evidence["connection_info"]["direction"], "Outbound");
        uids.push([&line["finding_info"]["uid"], &line["metadata"]["uid"]].map(Value::to_string));
    }
    assert!(
        uids.iter().all(|[finding, _]| *finding == uids[0][0]),
        "{uids:?}"
    );
    uids.dedup_by_key(|[_, line]| line.clone());
    assert_eq!(uids.len(), 3, "{uids:?}");
}
