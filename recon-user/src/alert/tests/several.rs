//! Alerts about groups with several remotes.

use super::*;

const NEIGHBOUR: Address = Address::v4([198, 51, 100, 9]);

fn with(id: &str, signals: &[Signal], change: impl Fn(&mut Finding)) -> Finding {
    let mut finding = finding(id, signals);
    finding.remote = None;
    finding.remotes = vec![REMOTE, NEIGHBOUR];
    change(&mut finding);
    finding
}

#[test]
fn one_interface_is_the_observers_and_several_are_listed() {
    for (interfaces, only, all) in [
        (&[][..], json!(null), json!(null)),
        (
            &["eth0"],
            json!({"interface": {"name": "eth0"}}),
            json!(null),
        ),
        (&["eth0", "wg0"], json!(null), json!(["eth0", "wg0"])),
    ] {
        let mut finding = finding("port-scan", &[Signal::Syn]);
        finding.interfaces = interfaces.to_vec();
        assert_eq!(parsed(&finding, &[])["recon"].get("netns"), None);
        finding.netns = vec!["blue"];
        let alert = parsed(&finding, &[]);
        assert_eq!(alert["recon"]["netns"], json!(["blue"]));
        assert_eq!(
            (&alert["observer"]["ingress"], &alert["recon"]["interfaces"]),
            (&only, &all)
        );
    }
}

#[test]
fn sources_are_listed_and_their_network_is_named() {
    let network = Some(Address::v4([198, 51, 100, 0]));
    // (finding, source, sources, their network, destinations, their network, start of the message)
    for (finding, source, sources, source_network, destinations, destination_network, message) in [
        (
            with("split-scan", &[Signal::Syn], |finding| {
                finding.network = network
            }),
            json!(null),
            json!(["198.51.100.7", "198.51.100.9"]),
            json!("198.51.100.0/24"),
            json!(null),
            json!(null),
            "split-scan: 198.51.100.0/24 on 203.0.113.1: 37 distinct ports, over 20 in 1h",
        ),
        // Only one remote was seen, so it is the source.
        (
            with("split-scan", &[Signal::Syn], |finding| {
                finding.network = network;
                finding.remote = Some(REMOTE);
            }),
            json!({"address": "198.51.100.7", "ip": "198.51.100.7"}),
            json!(null),
            json!("198.51.100.0/24"),
            json!(null),
            json!(null),
            "split-scan: 198.51.100.7 on 203.0.113.1: 37 distinct ports, over 20 in 1h",
        ),
        (
            with(
                "syn-flood-distributed",
                &[Signal::Syn, Signal::Accepted],
                |finding| finding.port = Some(443),
            ),
            json!(null),
            json!(["198.51.100.7", "198.51.100.9"]),
            json!(null),
            json!(null),
            json!(null),
            "syn-flood-distributed: several remotes on 203.0.113.1 port 443: 37 syn, over 10000 in 1m",
        ),
        // No remote is known.
        (
            with(
                "icmp-flood-distributed",
                &[Signal::EchoRequest],
                |finding| {
                    finding.remotes = Vec::new();
                },
            ),
            json!(null),
            json!(null),
            json!(null),
            json!(null),
            json!(null),
            "icmp-flood-distributed: several remotes on 203.0.113.1: 37 echo-request, over 10000 in 1m",
        ),
        (
            with("outbound-sweep", &[Signal::SynSent], |finding| {
                finding.network = network
            }),
            json!({"address": "203.0.113.1", "ip": "203.0.113.1"}),
            json!(null),
            json!(null),
            json!(["198.51.100.7", "198.51.100.9"]),
            json!("198.51.100.0/24"),
            "outbound-sweep: 203.0.113.1: 37 distinct remotes, over 100 in 1h",
        ),
    ] {
        let alert = parsed(&finding, &[]);
        let fields = [
            "/source",
            "/recon/sources",
            "/recon/source_network",
            "/recon/destinations",
            "/recon/destination_network",
            "/message",
        ];
        let found = fields.map(|field| alert.pointer(field).cloned().unwrap_or_default());
        let expected = [
            source,
            sources,
            source_network,
            destinations,
            destination_network,
            json!(message),
        ];
        assert_eq!(found, expected, "{message}");
    }
}
