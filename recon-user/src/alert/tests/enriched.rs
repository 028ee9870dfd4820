//! What databases know of a remote, at the end of the connection that is the remote.

use super::*;
use crate::enrich::{Databases, NamedBy, tests::example};

fn line(format: LineFormat, databases: Databases, finding: &Finding) -> Value {
    let notification = Notification::Found(Box::new(finding.clone()));
    let mut lines = AlertLines::of("web1")
        .written_as(format)
        .enriched_by(databases.clone());
    if databases.asn.is_some() {
        let name = "www.example".to_owned();
        let remote = REMOTE.to_ip();
        lines.names_mut().learn(remote, name, NamedBy::Pointer);
    }
    let line = lines.notification(&notification, &[]).expect("plain data");
    serde_json::from_slice(line).expect("JSON")
}

#[test]
fn the_remote_has_what_databases_know() {
    let known = json!({
        "domain": "www.example",
        "as": {"number": 64_500, "organization": {"name": "Example \u{1b}[31mNet"}},
        "geo": {"country_iso_code": "DE"}
    });
    let system = json!({"number": 64_500, "name": "Example \u{1b}[31mNet"});
    for (id, signal, ends, ocsf) in [
        (
            "port-scan",
            Signal::Syn,
            ["source", "destination"],
            ["src_endpoint", "dst_endpoint"],
        ),
        (
            "outbound-scan-tool",
            Signal::SynSent,
            ["destination", "source"],
            ["dst_endpoint", "src_endpoint"],
        ),
    ] {
        let finding = finding(id, &[signal]);
        let [remote, local] = ends;
        let ecs = line(LineFormat::Ecs, example(), &finding);
        assert_eq!(ecs[remote]["ip"], "198.51.100.7");
        assert_eq!(ecs["recon"]["domain_by"], "pointer");
        for name in ["as", "domain", "geo"] {
            assert_eq!(ecs[remote][name], known[name], "{id}");
            assert_eq!(ecs[local].get(name), None, "{id}");
        }
        let found = &line(LineFormat::Ocsf, example(), &finding)["evidences"][0];
        let [remote_end, local_end] = ocsf;
        assert_eq!(found[remote_end]["autonomous_system"], system, "{id}");
        assert_eq!(found[remote_end]["hostname"], "www.example");
        assert_eq!(found[remote_end]["location"], json!({"country": "DE"}));
        assert_eq!(found[local_end].get("location"), None);
        let eve = line(LineFormat::Eve, example(), &finding);
        assert_eq!(eve["alert"]["context"][remote], known, "{id}");

        let without = line(LineFormat::Ecs, Databases::default(), &finding);
        assert_eq!(
            without[remote].as_object().map(serde_json::Map::len),
            Some(2)
        );
    }
}
