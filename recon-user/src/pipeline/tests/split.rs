//! Scans that neighbours share.

mod owners;

use super::*;
use crate::kql::eval::Value;

/// The sources of one poll, each with the ports that it hits.
type Hits<'a> = &'a [(Address, std::ops::Range<u16>)];

const START: u64 = 7200;
/// The /64 network of [`v6`].
const V6_NETWORK: Address = v6(0, 0);

const fn v6(subnet: u8, host: u8) -> Address {
    Address::v6([
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, subnet, 0, 0, 0, 0, 0, 0, 0, host,
    ])
}

const fn v4(subnet: u8, host: u8) -> Address {
    Address::v4([198, 51, subnet, host])
}

/// The first findings of `split-scan` and `port-scan` over polls that are a second apart.
fn scans_in(polls: &[Hits<'_>]) -> Vec<Finding> {
    let mut pipeline = built_in_pipeline(false);
    let mut findings = Vec::new();
    for (second, hits) in polls.iter().enumerate() {
        let now = at(Duration::from_secs(START + second as u64));
        for (remote, ports) in *hits {
            for port in ports.clone() {
                let key = key(Signal::Syn, *remote, Address::v4(LOCAL), port, 0);
                observe(&mut pipeline, &key, 1, now, false);
            }
        }
        findings.extend(pipeline.end_poll_unlimited(now, false));
    }
    findings.retain(|finding| {
        finding.query.measure == Measure::DistinctPorts && finding.phase == Phase::Began
    });
    findings
}

#[test]
fn neighbours_that_share_a_scan_are_reported_as_one() {
    let (split, alone) = ("split-scan", "port-scan");
    // (case, polls, rules that report it)
    for (what, polls, expected) in [
        (
            "seven ports each from three neighbours",
            &[&[
                (v4(100, 1), 0..7),
                (v4(100, 2), 7..14),
                (v4(100, 255), 14..21),
            ][..]][..],
            &[split][..],
        ),
        (
            "the same over IPv6",
            &[&[(v6(0, 1), 0..7), (v6(0, 2), 7..14), (v6(0, 255), 14..21)]],
            &[split],
        ),
        (
            "one port less",
            &[&[
                (v4(100, 1), 0..7),
                (v4(100, 2), 7..14),
                (v4(100, 3), 14..20),
            ]],
            &[],
        ),
        (
            "a port twice",
            &[&[
                (v4(100, 1), 0..7),
                (v4(100, 2), 6..14),
                (v4(100, 3), 14..20),
            ]],
            &[],
        ),
        (
            "over several polls",
            &[
                &[(v4(100, 1), 0..10)],
                &[(v4(100, 2), 10..20)],
                &[(v4(100, 3), 20..21)],
            ],
            &[split],
        ),
        (
            "alone, a thousand ports",
            &[&[(v4(100, 1), 0..1000)]],
            &[alone],
        ),
        (
            "alone, over several polls",
            &[
                &[(v4(100, 1), 0..20)],
                &[(v4(100, 1), 20..500)],
                &[(v4(100, 1), 500..1000)],
            ],
            &[alone],
        ),
        (
            "a neighbour of a source that is reported in the same poll, in either order",
            &[&[
                (v4(100, 2), 2000..2001),
                (v4(100, 1), 0..1000),
                (v4(100, 3), 2001..2002),
            ]],
            &[alone],
        ),
        (
            "a neighbour of a source that was reported before",
            &[
                &[(v4(100, 1), 0..20)],
                &[(v4(100, 1), 20..21)],
                &[(v4(100, 2), 2000..2001)],
            ],
            &[alone],
        ),
        (
            "a split scan by other sources of that network",
            &[
                &[(v4(100, 1), 0..21)],
                &[(v4(100, 2), 100..110), (v4(100, 3), 110..121)],
            ],
            &[alone, split],
        ),
        (
            "different networks",
            &[&[
                (v4(100, 1), 0..7),
                (v4(101, 2), 7..14),
                (v4(102, 3), 14..21),
            ]],
            &[],
        ),
        (
            "different networks over IPv6",
            &[&[(v6(0, 1), 0..7), (v6(1, 2), 7..14), (v6(2, 3), 14..21)]],
            &[],
        ),
        (
            "private neighbours",
            &[&[(PRIVATE, 0..11), (Address::v4([10, 0, 0, 10]), 11..21)]],
            &[],
        ),
    ] {
        let findings = scans_in(polls);
        let ids: Vec<_> = findings.iter().map(|finding| finding.query.id()).collect();
        assert_eq!(ids, expected, "{what}");
    }
}

#[test]
fn the_finding_names_the_network_and_its_members() {
    for (network, text, of) in [
        (v4(100, 0), "198.51.100.0/24", v4 as fn(u8, u8) -> Address),
        (V6_NETWORK, "2001:db8::/64", v6),
    ] {
        let subnet = if of(0, 0) == network { 0 } else { 100 };
        let members = |count: u8| (1..=count).map(move |host| of(subnet, host));
        let hits: Vec<_> = members(21)
            .map(|remote| {
                let port = remote.words()[3].to_be() as u16;
                (remote, port..port + 1)
            })
            .collect();
        let findings = scans_in(&[&hits]);
        let [finding] = &findings[..] else {
            panic!("{findings:?}")
        };
        assert_eq!((finding.count, finding.remote), (21, None));
        assert_eq!(finding.network, Some(network));
        assert_eq!(finding.remotes, members(16).collect::<Vec<_>>());
        let columns: Vec<_> = finding
            .columns
            .iter()
            .map(|(name, value)| (&**name, value.clone()))
            .collect();
        let expected = [
            ("RemoteNetwork", Value::text(text)),
            ("port_count", Value::Long(21)),
            ("source_count", Value::Long(21)),
        ];
        assert_eq!(columns, expected);
    }
}

#[test]
fn who_is_reported_takes_only_his_own_ports_along_though_the_neighbours_are_few() {
    let text = "// id: probes\nDeviceNetworkEvents\n| summarize n = dcount(LocalPort) by RemoteIP\n| where n > 8;\n\n\
        // id: shared\n// unless: probes\nDeviceNetworkEvents\n| summarize n = dcount(LocalPort), low = dcountif(LocalPort, LocalPort < 1000), sources = dcount(RemoteIP) by RemoteNetwork\n| where n > 20";
    let plans = Loader::default().load("test.kql", text.as_bytes()).plans;
    // (ports of the first neighbour, too few for a group or not; of the others afterwards; whether
    // they are reported). The ports of a neighbour that is not reported stay.
    for (beside, ports, is_reported) in
        [(5, 15, false), (5, 16, true), (8, 12, false), (8, 13, true)]
    {
        let mut pipeline = Pipeline::new(settings(plain(plans.clone())));
        let poll = |pipeline: &mut Pipeline, second, hits: Hits<'_>| {
            let now = at(Duration::from_secs(START + second));
            for (remote, ports) in hits {
                for port in ports.clone() {
                    let key = key(Signal::Syn, *remote, Address::v4(LOCAL), port, 0);
                    observe(pipeline, &key, 1, now, false);
                }
            }
            let findings = pipeline.end_poll_unlimited(now, false);
            let reported = findings.iter().map(|finding| {
                let columns = finding.columns.iter();
                let numbers = columns.filter_map(|(_, value)| match value {
                    Value::Long(number) => Some(*number),
                    _ => None,
                });
                (finding.query.id().to_owned(), numbers.collect())
            });
            reported.collect::<Vec<(_, Vec<_>)>>()
        };
        let first = [
            (v4(100, 1), 0..9),
            (v4(100, 2), 100..100 + beside),
            (v4(100, 6), 100..100 + beside),
        ];
        let probes = ("probes".to_owned(), vec![9]);
        assert_eq!(poll(&mut pipeline, 0, &first), [probes]);
        let third = ports / 3;
        let then = [
            (v4(100, 3), 200..200 + third),
            (v4(100, 4), 300..300 + third),
            (v4(100, 5), 400..400 + ports - 2 * third),
        ];
        // He is not among the sources, nor are his ports in any other column.
        let shared = ("shared".to_owned(), vec![21, 21, 5]);
        let expected = Vec::from_iter(is_reported.then_some(shared));
        assert_eq!(
            poll(&mut pipeline, 1, &then),
            expected,
            "{beside} and {ports} ports"
        );
    }
}

#[test]
fn neighbours_that_fail_on_a_port_each_share_no_scan() {
    let [carrier, home]: [fn(u8) -> Address; 2] =
        [|source| v4(100, source), |source| v6(0, source)];
    // (neighbours, sources, ports of each, sources with one port, whether they share a scan)
    for (neighbour, sources, ports, others, expected) in [
        (carrier, 24, 1, 0, false),
        (carrier, 200, 1, 0, false),
        (carrier, 10, 2, 0, false),
        (carrier, 11, 2, 0, true),
        (carrier, 2, 11, 0, true),
        (carrier, 10, 18, 0, true),
        // Somebody forges neighbours of his own.
        (carrier, 4, 9, 200, true),
        (carrier, 2, 9, 200, false),
        // One host has all addresses of a /64.
        (home, 20, 1, 0, false),
        (home, 21, 1, 0, true),
    ] {
        let mut pipeline = Pipeline::new(settings(plain(defaults(Profile::Outcomes))));
        let mut found = Vec::new();
        for second in 0..3 {
            let now = at(Duration::from_secs(START + second));
            let scans = (0..sources).flat_map(|source| {
                let first = 1000 + source * ports;
                (first..first + ports).map(move |port| (source, port))
            });
            let forged = (sources..sources + others).map(|source| (source, 1000));
            for (source, port) in scans.chain(forged).filter(|_| second == 0) {
                let remote = neighbour(source as u8);
                let key = key(Signal::Syn, remote, Address::v4(LOCAL), port, 0);
                observe(&mut pipeline, &key, 1, now, false);
            }
            found.extend(pipeline.end_poll_unlimited(now, false));
        }
        let is_shared = found
            .iter()
            .any(|finding| finding.query.id() == "split-scan");
        assert_eq!(
            is_shared, expected,
            "{sources} sources, {ports} ports each, {others} more"
        );
    }
}

/// The first findings of the default profile's rules on split scans, over polls that are a second
/// apart: SYNs that this host refuses.
fn refused_in(polls: &[Vec<(Address, std::ops::Range<u16>)>]) -> Vec<(String, Option<String>)> {
    let plans = defaults(Profile::Outcomes).into_iter();
    let mut pipeline = Pipeline::new(settings(plans.map(Configured::plain).collect()));
    let mut found = Vec::new();
    for (second, hits) in polls.iter().enumerate() {
        let now = at(Duration::from_secs(START + second as u64));
        for (remote, ports) in hits {
            for port in ports.clone() {
                for signal in [Signal::Syn, Signal::RefusedTcp] {
                    let key = key(signal, *remote, Address::v4(LOCAL), port, 0);
                    observe(&mut pipeline, &key, 1, now, false);
                }
            }
        }
        let findings = pipeline.end_poll_unlimited(now, false).into_iter();
        let began = findings.filter(|finding| finding.phase == Phase::Began);
        let split = began.filter(|finding| finding.query.id().starts_with("split-scan"));
        found.extend(split.map(|finding| {
            let network = finding.network_text();
            (finding.query.id().to_owned(), network)
        }));
    }
    found
}

/// A source in a /64 of that number in 2001:db8::/32.
fn v6_of(network: u32) -> Address {
    let [a, b, c, d] = network.to_be_bytes();
    Address::v6([0x20, 0x01, 0x0d, 0xb8, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 1])
}

/// So many ports from each of `networks`, none twice.
fn spread(networks: impl Iterator<Item = u32>, each: u16) -> Vec<(Address, std::ops::Range<u16>)> {
    let numbered = networks.zip(0_u16..);
    let hits = numbered.map(|(network, number)| {
        let first = 1000 + number * each;
        (v6_of(network), first..first + each)
    });
    hits.collect()
}
