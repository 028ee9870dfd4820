//! The number of distinct sources in a window: an estimate once there are many.
//!
//! In: hashes of addresses (see [`recon_common::Address::hash`]), or sketches of many sources that
//! the kernel has filled. Out: the number of distinct sources.
//! The decisions held here:
//! - Up to `EXACT` sources are kept as hashes, and their number is exact.
//! - Beyond that, each pane is a HyperLogLog (Flajolet, Fusy, Gandouet and Meunier 2007) of 1024
//!   registers, each of which holds the greatest rank seen: a kibibyte a pane, however many sources
//!   there are. The panes are merged when the number is read. The standard error is 1.04 /
//!   sqrt(1024) = 3.25 %.
//! - No estimate exceeds the number of events: each source has sent one at least.

use std::collections::VecDeque;

use recon_common::Registers;
use serde::{Deserialize, Serialize};

use super::ranks::Ranks;
use super::{Counted, Distinct, PANES, Pane, allocated};

/// Up to this many sources, the number is exact.
const EXACT: usize = 128;

/// The distinct sources in a window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sources {
    set: SourceSet,
    /// What the sources have sent.
    events: Counted,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum SourceSet {
    Hashes(Distinct<u64>),
    /// The panes that are not empty, oldest first.
    Sketches(VecDeque<(Pane, Box<Ranks>)>),
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            set: SourceSet::Hashes(Distinct::default()),
            events: Counted::default(),
        }
    }
}

impl Sources {
    /// Records that the source with this hash sent `count` events at `now`. Returns whether it
    /// stays for the whole window. It may not if it takes more memory and `may_grow` is false.
    pub fn add(&mut self, now: Pane, hash: u64, count: u64, may_grow: bool) -> bool {
        self.expire(now);
        let is_counted = self.events.add(now, count, may_grow);
        if let SourceSet::Hashes(hashes) = &mut self.set {
            if hashes.add(now, hash, EXACT, may_grow) {
                return is_counted;
            }
            if !may_grow {
                return false;
            }
        }
        let (ranks, is_whole) = self.ranks(now, may_grow);
        if let Some(ranks) = ranks {
            ranks.add(hash);
        }
        is_whole && is_counted
    }

    /// Adds the sources of a sketch, which sent `count` events. Returns the same as [`Self::add`].
    pub fn join(&mut self, now: Pane, registers: &Registers, count: u64, may_grow: bool) -> bool {
        self.expire(now);
        let is_counted = self.events.add(now, count, may_grow);
        let (ranks, is_whole) = self.ranks(now, may_grow);
        if let Some(ranks) = ranks {
            ranks.join(&Ranks::of(registers));
        }
        is_whole && is_counted
    }

    /// Takes a source out, as long as their number is exact: a sketch can't forget one.
    pub fn withdraw(&mut self, hash: u64) {
        if let SourceSet::Hashes(hashes) = &mut self.set {
            hashes.remove(&hash);
        }
    }

    /// The ranks of the pane of `now`, or of the newest pane if no new one is allowed, and whether
    /// they are those of `now`.
    fn ranks(&mut self, now: Pane, may_grow: bool) -> (Option<&mut Ranks>, bool) {
        if let SourceSet::Hashes(hashes) = &self.set {
            if !may_grow {
                return (None, false);
            }
            self.set = SourceSet::Sketches(sketched(hashes));
        }
        let SourceSet::Sketches(panes) = &mut self.set else {
            return (None, false);
        };
        let is_there = panes.back().is_some_and(|(pane, _)| *pane >= now);
        if !is_there && may_grow {
            panes.push_back((now, Box::default()));
        }
        let ranks = panes.back_mut().map(|(_, ranks)| &mut **ranks);
        (ranks, is_there || may_grow)
    }

    /// Drops the sources that have left the window at `now`.
    pub fn expire(&mut self, now: Pane) {
        self.events.expire(now);
        match &mut self.set {
            SourceSet::Hashes(hashes) => hashes.expire(now),
            SourceSet::Sketches(panes) => {
                while panes
                    .pop_front_if(|(pane, _)| *pane < now.oldest())
                    .is_some()
                {}
                if panes.is_empty() {
                    self.set = SourceSet::Hashes(Distinct::default());
                }
            }
        }
    }

    /// The number of sources in the window.
    #[must_use]
    pub fn total(&self) -> u64 {
        match &self.set {
            SourceSet::Hashes(hashes) => hashes.total(),
            SourceSet::Sketches(panes) => {
                let mut all = Ranks::default();
                panes.iter().for_each(|(_, ranks)| all.join(ranks));
                all.estimate().min(self.events.total())
            }
        }
    }

    /// The bytes of heap that the window takes.
    #[must_use]
    pub fn heap(&self) -> usize {
        let events = self.events.heap();
        events
            + match &self.set {
                SourceSet::Hashes(hashes) => hashes.heap(),
                SourceSet::Sketches(panes) => {
                    let held = panes.capacity() * size_of::<(Pane, Box<Ranks>)>();
                    allocated(held) + panes.len() * allocated(size_of::<Ranks>())
                }
            }
    }

    /// The bytes by which one source may grow the window. Hashes become one sketch for each pane in
    /// which a source was last seen.
    #[must_use]
    pub fn growth(&self) -> usize {
        match &self.set {
            SourceSet::Hashes(hashes) => {
                let panes = hashes.total().min(PANES as u64) as usize + 1;
                panes * (allocated(size_of::<Ranks>()) + size_of::<(Pane, Box<Ranks>)>())
            }
            SourceSet::Sketches(_) => allocated(size_of::<Ranks>()),
        }
    }
}

/// Turns hashes into sketches of the panes in which they were last seen.
fn sketched(hashes: &Distinct<u64>) -> VecDeque<(Pane, Box<Ranks>)> {
    let mut all: Vec<_> = hashes.last_seen().collect();
    all.sort_unstable_by_key(|&(_, pane)| pane);
    all.chunk_by(|(_, one), (_, other)| one == other)
        .map(|chunk| {
            let mut ranks = Box::<Ranks>::default();
            chunk.iter().for_each(|&(hash, _)| ranks.add(*hash));
            (chunk[0].1, ranks)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use recon_common::{Address, HashSecrets};

    use super::super::tests::pane;
    use super::*;

    const SEEDS: [u64; 4] = [0, 1, 0x5eed, u64::MAX];

    fn hash(source: u32, seed: u64) -> u64 {
        Address::v4(source.to_be_bytes()).hash(&HashSecrets::from_seed(seed))
    }

    /// Whether an estimate is within three standard errors.
    fn is_near(estimate: u64, truth: u64) -> bool {
        const THREE_ERRORS: f64 = 3.0 * 1.04 / 32.0;
        let (estimate, truth) = (estimate as f64, truth as f64);
        (estimate - truth).abs() <= THREE_ERRORS * truth
    }

    #[test]
    fn few_sources_are_exact_and_many_are_estimated() {
        for seed in SEEDS {
            let mut sources = Sources::default();
            let mut count = 0;
            for (truth, is_exact) in [
                (1, true),
                (2, true),
                (EXACT as u32, true),
                (1_000, false),
                (3_000, false),
                (10_000, false),
                (100_000, false),
                (1_000_000, false),
            ] {
                for source in count..truth {
                    // Some sources repeat.
                    assert!(sources.add(pane(0), hash(source, seed), 1, true));
                    assert!(sources.add(pane(0), hash(source / 2, seed), 1, true));
                }
                count = truth;
                let (total, truth) = (sources.total(), u64::from(truth));
                let is_right = if is_exact {
                    total == truth
                } else {
                    is_near(total, truth)
                };
                assert!(is_right, "{total} of {truth}, seed {seed}");
                assert!(sources.heap() < 8192, "{}", sources.heap());
            }
        }
    }

    #[test]
    fn merged_sketches_count_the_union() {
        // (sources added one by one, sources in the kernel's sketch, union)
        for (own, sketched, union) in [
            (0..0, 0..10_000, 10_000),
            (0..100, 50..10_000, 10_000),
            (0..50_000, 25_000..75_000, 75_000),
            (0..5_000, 0..100, 5_000),
        ] {
            for seed in SEEDS {
                let mut sources = Sources::default();
                let mut registers = Registers::default();
                own.clone().for_each(|source| {
                    sources.add(pane(0), hash(source, seed), 1, true);
                });
                let hashes = sketched.clone().map(|source| hash(source, seed));
                hashes.for_each(|hash| registers.add_source(hash));
                let sent = u64::from(sketched.end - sketched.start);
                assert!(sources.join(pane(60), &registers, sent, true));
                let total = sources.total();
                assert!(is_near(total, union), "{total} of {union}, seed {seed}");
            }
        }
    }

    #[test]
    fn sources_expire_with_their_panes() {
        let mut sources = Sources::default();
        // (second, sources, number in the window)
        for (second, seen, held) in [
            (0, 0..100, 100),
            (60, 50..150, 150),
            (120, 10_000..30_000, 20_150),
            // Sources last seen in the first minute expire, then those of the second.
            (3600, 0..0, 20_100),
            (3660, 0..1, 20_001),
            (3720, 0..0, 1),
        ] {
            for source in seen {
                sources.add(pane(second), hash(source, 1), 1, true);
            }
            sources.expire(pane(second));
            let total = sources.total();
            assert!(is_near(total, held), "{total} of {held} at {second} s");
        }
        sources.expire(pane(7320));
        assert_eq!((sources.total(), sources.heap()), (0, 0));
    }

    #[test]
    fn a_window_that_may_not_grow_takes_no_more_heap() {
        let mut sources = Sources::default();
        // (second, may grow, first source, all stay)
        for (second, may_grow, first, held) in [
            (0, false, 0, false),
            (0, true, 0, true),
            (0, false, 1_000, true),
            (60, false, 2_000, false),
            (60, true, 3_000, true),
        ] {
            let before = sources.heap();
            let refused = (first..first + 500)
                .filter(|&source| !sources.add(pane(second), hash(source, 1), 1, may_grow))
                .count();
            assert_eq!(refused == 0, held, "{first} at {second} s");
            assert!(may_grow || sources.heap() == before);
        }
        assert!(is_near(sources.total(), 2_000));
    }

    #[test]
    fn no_estimate_exceeds_the_events() {
        const SENT: u32 = 20_000;
        let mut above = 0;
        for seed in 0..32 {
            let mut registers = Registers::default();
            let mut ranks = Ranks::default();
            for source in 0..SENT {
                registers.add_source(hash(source, seed));
                ranks.add(hash(source, seed));
            }
            above += u32::from(ranks.estimate() > SENT.into());
            let mut sources = Sources::default();
            assert!(sources.join(pane(0), &registers, SENT.into(), true));
            assert!(sources.total() <= SENT.into(), "seed {seed}");
            // They may go on sending, and then the estimate counts as it is.
            assert!(sources.join(pane(60), &registers, SENT.into(), true));
            assert_eq!(sources.total(), ranks.estimate().min(2 * u64::from(SENT)));
        }
        assert!(above > 0, "no estimate was above the events");
    }
}
