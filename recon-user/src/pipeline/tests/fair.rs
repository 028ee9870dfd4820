//! Sources that fill the memory on purpose: whom they must not push out, and who gets room.

use super::*;

const NOW: u64 = 7200;
const SCANNER: Address = Address::v4([198, 51, 100, 1]);
const MIB: u64 = 1 << 20;
/// Seconds between two polls of a flood.
const STEP: u64 = 120;
/// Polls of a flood: with [`STEP`], they fit into the window of the rules.
const POLLS: u64 = 20;

/// The address of a source with that number.
type Source = fn(number: u32) -> Address;

fn spread(number: u32) -> Address {
    // An odd factor visits every address once.
    Address::v4((0x1400_0000 | number.wrapping_mul(0x9e_3779) & 0xff_ffff).to_be_bytes())
}

fn of_words(site: u32, subnet: u32, host: u32) -> Address {
    let mut octets = [0; 16];
    let words = [0x2001_0db8, site << 16 | subnet, 0, host];
    for (octets, word) in octets.chunks_exact_mut(4).zip(words) {
        octets.copy_from_slice(&u32::to_be_bytes(word));
    }
    Address::v6(octets)
}

fn in_one_link(number: u32) -> Address {
    of_words(1, 1, number)
}

fn in_one_site(number: u32) -> Address {
    of_words(1, number & 0xffff, number)
}

fn built_in(memory: u64) -> Pipeline {
    Pipeline::new(PipelineSettings {
        memory,
        ..settings(plain(defaults(Profile::Outcomes)))
    })
}

fn send(pipeline: &mut Pipeline, signal: Signal, remote: Address, port: u16, second: u64) {
    let key = key(signal, remote, Address::v4(LOCAL), port, 0);
    observe(pipeline, &key, 1, at(Duration::from_secs(second)), false);
}

/// Attempts of a remote on ports, all of which this host refuses.
fn refuse(pipeline: &mut Pipeline, remote: Address, ports: std::ops::Range<u16>, second: u64) {
    for port in ports {
        send(pipeline, Signal::Syn, remote, port, second);
        send(pipeline, Signal::RefusedTcp, remote, port, second);
    }
}

/// The counts and lower bounds of `port-scan` about a remote, at the end of a poll.
fn port_scans(pipeline: &mut Pipeline, remote: Address, second: u64) -> Vec<(u64, bool)> {
    let findings = pipeline.end_poll_unlimited(at(Duration::from_secs(second)), false);
    let is_it = |finding: &&Finding| {
        finding.query.id() == "port-scan"
            && finding.query.measure == Measure::DistinctPorts
            && finding.remote == Some(remote)
    };
    let of_remote = findings.iter().filter(is_it);
    of_remote
        .map(|finding| (finding.count, finding.lower_bound))
        .collect()
}

/// Polls in which `sources` new ones each hit so many ports.
fn flood(pipeline: &mut Pipeline, source: Source, sources: u32, ports: u16, polls: u64) {
    for poll in 0..polls {
        let second = NOW + poll * STEP;
        for number in 0..sources {
            let remote = source(poll as u32 * sources + number);
            refuse(pipeline, remote, 1..ports + 1, second);
        }
        pipeline.end_poll_unlimited(at(Duration::from_secs(second)), false);
    }
}

#[test]
fn a_newcomer_gets_room_whatever_fills_the_memory() {
    /// Rows that find no room, of some ten thousand: chance may spare all that could go.
    const SPARED: u64 = 2;
    // A small part of the memory and the sources of a flood that blinded a host for an hour: so
    // many ports each are below `port-scan`, and more than half of it; or above it.
    for (what, source, ports) in [
        ("suspicious", spread as Source, 11),
        ("nearly a scan", spread, 20),
        ("scans", spread, 25),
        ("of one link", in_one_link, 11),
        ("of one site", in_one_site, 20),
    ] {
        // With too few groups, chance may spare all of them.
        let mut pipeline = built_in(4 * MIB);
        flood(&mut pipeline, source, 300, ports, POLLS);
        let EvictionStats { evicted, .. } = pipeline.take_eviction_stats();
        assert!(evicted > 0, "{what}: there is room for all");
        let second = NOW + POLLS * STEP;
        refuse(&mut pipeline, SCANNER, 1..1001, second);
        let mut found = Vec::new();
        for poll in second..second + 3 {
            for number in 0..30 {
                let remote = source(1_000_000 + poll as u32 * 30 + number);
                refuse(&mut pipeline, remote, 1..ports + 1, poll);
            }
            found.extend(port_scans(&mut pipeline, SCANNER, poll));
        }
        assert_eq!(found, [(1000, true)], "{what}");
        let EvictionStats { refused, .. } = pipeline.take_eviction_stats();
        assert!(refused <= SPARED, "{what}: {refused} rows refused");
    }
}

#[test]
fn a_source_with_a_handshake_is_not_pushed_out_by_sources_without() {
    let mut pipeline = built_in(2 * MIB);
    send(&mut pipeline, Signal::Syn, SCANNER, 443, NOW);
    send(&mut pipeline, Signal::Accepted, SCANNER, 443, NOW);
    refuse(&mut pipeline, SCANNER, 1..20, NOW);
    for second in NOW..NOW + 3 {
        assert_eq!(port_scans(&mut pipeline, SCANNER, second), []);
    }
    flood(&mut pipeline, spread, 300, 11, POLLS);
    let second = NOW + POLLS * STEP;
    refuse(&mut pipeline, SCANNER, 20..25, second);
    let found: Vec<_> = (second..second + 3)
        .flat_map(|second| port_scans(&mut pipeline, SCANNER, second))
        .collect();
    assert_eq!(found, [(24, false)]);
}

#[test]
fn a_network_pushes_out_its_own_sources_first() {
    for (what, source) in [("link", in_one_link as Source), ("site", in_one_site)] {
        // Nobody has a handshake; the scanner is alone in its network.
        let mut pipeline = built_in(2 * MIB);
        refuse(&mut pipeline, SCANNER, 1..20, NOW);
        flood(&mut pipeline, source, 300, 11, POLLS);
        let second = NOW + POLLS * STEP;
        refuse(&mut pipeline, SCANNER, 20..25, second);
        let found: Vec<_> = (second..second + 3)
            .flat_map(|second| port_scans(&mut pipeline, SCANNER, second))
            .collect();
        assert_eq!(found, [(24, false)], "{what}");
    }
}

#[test]
fn handshakes_from_one_network_do_not_fill_the_memory() {
    let mut pipeline = built_in(2 * MIB);
    for poll in 0..POLLS {
        let second = NOW + poll * STEP;
        for number in 0..150 {
            let remote = in_one_link(poll as u32 * 150 + number);
            send(&mut pipeline, Signal::Syn, remote, 443, second);
            send(&mut pipeline, Signal::Accepted, remote, 443, second);
            refuse(&mut pipeline, remote, 1..20, second);
        }
        pipeline.end_poll_unlimited(at(Duration::from_secs(second)), false);
    }
    let second = NOW + POLLS * STEP;
    refuse(&mut pipeline, SCANNER, 1..1001, second);
    let found: Vec<_> = (second..second + 3)
        .flat_map(|second| port_scans(&mut pipeline, SCANNER, second))
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    let EvictionStats { refused, .. } = pipeline.take_eviction_stats();
    assert_eq!(refused, 0);
}
