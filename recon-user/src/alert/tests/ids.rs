//! The ids in alerts.

use super::*;

#[test]
fn the_source_of_a_finding_has_an_id() {
    let scan = || finding("port-scan", &[Signal::Syn]);
    let network = Some(Address::v4([198, 51, 100, 0]));
    let sent = |pid| Finding {
        pid,
        ..finding("outbound-scan-tool", &[Signal::SynSent])
    };
    let by_network = || Finding {
        network,
        ..finding("split-scan", &[Signal::Syn])
    };
    // (what, finding, host, which of the ids it has)
    let rows = [
        ("a remote", scan(), "web1", Some(0)),
        (
            "the remote for another rule",
            finding("http-flood", &[Signal::Accepted]),
            "web1",
            Some(0),
        ),
        ("the remote on another host", scan(), "web2", Some(1)),
        (
            "another remote",
            Finding {
                remote: Some(LOCAL),
                ..scan()
            },
            "web1",
            Some(2),
        ),
        (
            "no remote",
            Finding {
                remote: None,
                ..scan()
            },
            "web1",
            None,
        ),
        ("a network", by_network(), "web1", Some(3)),
        (
            "a network of which several remotes were seen",
            Finding {
                remote: None,
                ..by_network()
            },
            "web1",
            Some(3),
        ),
        (
            "the first address of the network",
            Finding {
                remote: network,
                ..scan()
            },
            "web1",
            Some(4),
        ),
        ("a process", sent(Some(77)), "web1", Some(5)),
        ("another process", sent(Some(78)), "web1", Some(6)),
        ("no process", sent(None), "web1", None),
    ];
    let mut ids: Vec<Value> = Vec::new();
    for (what, finding, host, expected) in rows {
        let notification = Notification::Found(Box::new(finding));
        let line = AlertLines::of(host)
            .notification(&notification, &[])
            .expect("plain data")
            .to_vec();
        let line: Value = serde_json::from_slice(&line).expect("JSON");
        let found = line.pointer("/recon/source_id").map(|id| {
            let known = ids.iter().position(|known| known == id);
            known.unwrap_or_else(|| {
                ids.push(id.clone());
                ids.len() - 1
            })
        });
        assert_eq!(found, expected, "{what}");
    }
}
