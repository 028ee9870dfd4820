//! The mixture is what its documents say.

use std::collections::HashSet;

use super::*;

const SEED: u64 = 7;

/// The sources that have rows, of one kind.
fn sources(mixture: &Mixture, kind: Kind) -> HashSet<Address> {
    let remotes = mixture.rows.iter().map(|row| row.key.remote);
    remotes.filter(|&at| kind_at(at) == Some(kind)).collect()
}

#[test]
fn a_seed_determines_the_mixture() {
    let one = Mixture::new(SEED, Closed::Refuse);
    let same = Mixture::new(SEED, Closed::Refuse);
    assert!(one.rows == same.rows && one.tallies == same.tallies);
    let other = Mixture::new(SEED + 1, Closed::Refuse);
    assert!(one.rows != other.rows && one.tallies != other.tallies);
}

#[test]
fn every_category_is_present() {
    for closed in [Closed::Refuse, Closed::Drop] {
        let mixture = Mixture::new(SEED, closed);
        let categories = CATEGORIES.iter().map(|one| (one.name, one.sources));
        let scanners = SCANNERS.iter().map(|one| (one.name, one.members.into()));
        let expected: Vec<_> = categories.chain(scanners).collect();
        let found = mixture.tallies.iter();
        let found: Vec<_> = found.map(|(name, tally)| (*name, tally.sources)).collect();
        assert_eq!(found, expected);
        for (name, tally) in &mixture.tallies {
            assert!(tally.events >= tally.sources, "{name}: {tally:?}");
        }
        let members = SCANNERS.iter().map(|scanner| u64::from(scanner.members));
        for (kind, expected) in [
            (Kind::Client, CLIENTS),
            (Kind::Background, BACKGROUND),
            (Kind::Scanner, members.sum()),
        ] {
            assert_eq!(sources(&mixture, kind).len() as u64, expected, "{kind:?}");
        }
    }
}

#[test]
fn names_are_unique() {
    let categories = CATEGORIES.iter().map(|category| category.name);
    let names: Vec<_> = categories
        .chain(SCANNERS.map(|scanner| scanner.name))
        .collect();
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
}

#[test]
fn scanners_are_found_by_address_and_by_network() {
    let mixture = Mixture::new(SEED, Closed::Refuse);
    let mut found = HashSet::new();
    for remote in sources(&mixture, Kind::Scanner) {
        let scanner = mixture.scanner_at(remote).expect("a scanner");
        let network = match remote.to_v4() {
            Some(_) => {
                let [a, b, c, d] = remote.words();
                Address::from_words([a, b, c, d & u32::from_ne_bytes([0xff, 0xff, 0xff, 0])])
            }
            None => {
                let [a, b, ..] = remote.words();
                Address::from_words([a, b, 0, 0])
            }
        };
        assert_eq!(mixture.scanner_at(network), Some(scanner));
        found.insert(scanner);
    }
    assert_eq!(found.len(), SCANNERS.len());
}

#[test]
fn most_browsers_open_few_connections() {
    let mut random = Random::part(SEED, 0);
    let draws: Vec<u64> = (0..CLIENTS).map(|_| random.pareto(1.2, 3_000)).collect();
    let above = |least| draws.iter().filter(|&&draw| draw > least).count();
    assert!((1_000..2_000).contains(&above(5)), "{}", above(5));
    assert!((20..100).contains(&above(100)), "{}", above(100));
}
