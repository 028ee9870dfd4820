//! The rows of the outbound test: one for each rule and measure, and for the ways in which a
//! connection fails.

use std::net::IpAddr;

use recon_tests::lab::{HOST, HOST6};

use super::bench::{HTTP, Place};
use super::{Ends, Row};

/// A closed port of the attacker's.
const CLOSED: u16 = 8081;
const REFUSED: &str = "ECONNREFUSED";

const V4: Option<IpAddr> = Some(IpAddr::V4(HOST));
const V6: Option<IpAddr> = Some(IpAddr::V6(HOST6));

/// One of many ports.
const fn port(number: u16) -> u16 {
    CLOSED + number
}

/// The port of a sweep, a different one for each group.
const fn swept(place: Place) -> u16 {
    match place {
        Place::First | Place::Private => CLOSED,
        Place::Second => CLOSED + 1,
    }
}

/// The common parts of most rows: refused connections to one remote.
const ROW: Row = Row {
    name: "",
    rule: "",
    measure: "count",
    signals: &["syn-sent"],
    threshold: 0,
    direction: "egress",
    programs: ["worker", "worker"],
    others: 0,
    routes: "",
    event: |bench, group, _| bench.connect(group.actor, group.place.remote(), CLOSED, REFUSED),
    // A SYN, the reset that answers it, and its outcome.
    gives: 3,
    ends: |place| Ends {
        source: V4,
        destination: Some(place.remote()),
        port: Some(CLOSED),
    },
};

/// Connections that a remote refuses.
pub(super) const FAILED: Row = Row {
    name: "connections refused",
    rule: "failed-connections",
    signals: &["connect-failed"],
    threshold: 100,
    ..ROW
};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "a scanning tool's first packet",
        rule: "outbound-scan-tool",
        programs: ["zmap", "worker"],
        // From a process that is no scanner.
        others: 20,
        ..ROW
    },
    FAILED,
    Row {
        name: "connections refused over IPv6",
        event: |bench, group, _| bench.connect(group.actor, group.place.remote6(), CLOSED, REFUSED),
        ends: |place| Ends {
            source: V6,
            destination: Some(place.remote6()),
            port: Some(CLOSED),
        },
        ..FAILED
    },
    Row {
        name: "connections that fail at once, without a route",
        // Acts like a missing default route.
        routes: "route add throw 203.0.113.0/24\nroute add throw 10.0.0.0/8\n",
        event: |bench, group, _| {
            bench.connect(group.actor, group.place.remote(), CLOSED, "ENETUNREACH")
        },
        gives: 1,
        // The kernel has not chosen an address of this host.
        ends: |place| Ends {
            source: None,
            destination: Some(place.remote()),
            port: Some(CLOSED),
        },
        ..FAILED
    },
    Row {
        name: "connections that fail at once, forbidden by a route",
        routes: "route add prohibit 203.0.113.0/24\nroute add prohibit 10.0.0.0/8\n",
        event: |bench, group, _| bench.connect(group.actor, group.place.remote(), CLOSED, "EACCES"),
        gives: 1,
        ends: |place| Ends {
            source: None,
            destination: Some(place.remote()),
            port: Some(CLOSED),
        },
        ..FAILED
    },
    Row {
        name: "ports of one remote",
        rule: "outbound-port-scan",
        measure: "distinct_ports",
        threshold: 20,
        others: 20,
        event: |bench, group, number| {
            bench.connect(group.actor, group.place.remote(), port(number), REFUSED)
        },
        ends: |place| Ends {
            source: V4,
            destination: Some(place.remote()),
            port: None,
        },
        ..ROW
    },
    Row {
        name: "ports of one IPv6 remote",
        rule: "outbound-port-scan",
        measure: "distinct_ports",
        threshold: 20,
        others: 20,
        event: |bench, group, number| {
            bench.connect(group.actor, group.place.remote6(), port(number), REFUSED)
        },
        ends: |place| Ends {
            source: V6,
            destination: Some(place.remote6()),
            port: None,
        },
        ..ROW
    },
    Row {
        name: "remotes on one port",
        rule: "outbound-sweep",
        measure: "distinct_remotes",
        threshold: 100,
        others: 100,
        event: |bench, group, number| {
            let remote = group.place.of_many(number);
            bench.connect(group.actor, remote, swept(group.place), REFUSED)
        },
        ends: |place| Ends {
            source: V4,
            destination: None,
            port: Some(swept(place)),
        },
        ..ROW
    },
    Row {
        name: "connections accepted",
        rule: "http-flood",
        signals: &["accepted"],
        threshold: 100,
        direction: "ingress",
        event: |bench, group, _| bench.visit(group.place.remote()),
        // A SYN, its answer, the connection, and its end.
        gives: 4,
        ends: |place| Ends {
            source: Some(place.remote()),
            destination: V4,
            port: Some(HTTP),
        },
        ..ROW
    },
    Row {
        name: "connections accepted over IPv6",
        rule: "http-flood",
        signals: &["accepted"],
        threshold: 100,
        direction: "ingress",
        event: |bench, group, _| bench.visit(group.place.remote6()),
        gives: 4,
        ends: |place| Ends {
            source: Some(place.remote6()),
            destination: V6,
            port: Some(HTTP),
        },
        ..ROW
    },
];
