//! Mutations of valid texts, for tests: no reader may panic, hang or grow on them.
//!
//! In: valid texts and words of their language. Out: texts that are nearly valid.
//! The decision held here: the seed of a text is its number, so that a failure repeats.
//! `RECON_FUZZ_SECONDS` makes a test run for so long; by default it runs for a second.

use std::time::{Duration, Instant};

/// The most time for one text, in a build without optimisation on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A small generator (Marsaglia's xorshift).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(number: u64) -> Self {
        Self(number.wrapping_mul(0x9E37_79B9_7F4A_7C15).max(1))
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    /// `text` with a few pieces cut out, doubled, moved, or replaced by words or bytes.
    pub(crate) fn mutate(&mut self, text: &str, words: &[&str]) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=self.below(6) {
            let start = self.below(bytes.len());
            let end = (start + self.below(24)).min(bytes.len());
            let piece: Vec<u8> = match self.below(5) {
                0 => Vec::new(),
                1 => bytes[start..end].repeat(2),
                2 => words[self.below(words.len())].into(),
                3 => vec![u8::try_from(self.below(256)).unwrap_or_default()],
                _ => {
                    let from = self.below(bytes.len());
                    bytes[from..(from + end - start).min(bytes.len())].to_vec()
                }
            };
            bytes.splice(start..end, piece);
        }
        bytes
    }
}

/// Gives mutations of a part of one of `seeds` to `read`, for a second or as long as
/// `RECON_FUZZ_SECONDS` says. Parts begin at `mark`, so that one mistake does not hide the others.
pub(crate) fn fuzz(seeds: &[&str], mark: &str, words: &[&str], mut read: impl FnMut(&[u8])) {
    let seconds = std::env::var("RECON_FUZZ_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(1);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut number = 0;
    while Instant::now() < end {
        number += 1;
        let mut random = Random::new(number);
        let seed = seeds[random.below(seeds.len())];
        let start = seed.floor_char_boundary(random.below(seed.len()));
        let start = seed[..start].rfind(mark).unwrap_or(0);
        let length = 40 + random.below(600);
        let piece = &seed[start..seed.floor_char_boundary((start + length).min(seed.len()))];
        let begin = Instant::now();
        read(&random.mutate(piece, words));
        assert!(begin.elapsed() < PATIENCE, "text {number}");
    }
    println!("{number} texts");
}

/// Checks that each message about the file `name` has a place inside of its text.
pub(crate) fn check_places(messages: &str, name: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<_> = text.split('\n').collect();
    let begin = format!("{name}:");
    for message in messages
        .lines()
        .filter_map(|line| line.strip_prefix(&begin))
    {
        let mut parts = message.split(':');
        let mut number = || parts.next()?.parse::<usize>().ok();
        let Some(line) = number() else {
            // A message about the whole file.
            continue;
        };
        let Some(found) = line.checked_sub(1).and_then(|line| lines.get(line)) else {
            panic!("no line {line}: {message}");
        };
        // The place after the last character is where something is missing.
        let columns = found.chars().count() + 1;
        if let Some(column) = number() {
            assert!((1..=columns).contains(&column), "{columns}: {message}");
        }
    }
}
