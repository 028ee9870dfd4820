//! Kept captures with mutations: no replay of one panics or hangs, and all of them together keep
//! the process below a limit of memory.
//!
//! The decisions held here: the seed of a capture is its number, so that a failure repeats. A
//! replay gets many captures, since its tables take longer to make than to use, and since what one
//! leaves behind is a state for the next.
//! `RECON_FUZZ_SECONDS` makes the test run for so long; by default it runs for a second.
//! `RECON_FUZZ_CAPTURES` names another folder of captures to begin with.

use std::fs;
use std::io::{self, Cursor, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flate2::read::MultiGzDecoder;

use super::*;
use crate::mutation::Random;
use crate::settings::{RuleOptions, in_force};

/// The most time for a capture, in a build without optimisation on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longer captures cost time for no other code.
const LONGEST: usize = 1 << 16;
/// The most memory of the process, which runs other tests as well: they take half of it.
const MOST_KIB: u64 = 1 << 20;
/// Captures of a replay: an odd number, so that replays take turns with and without a local host.
const CAPTURES: usize = 33;
/// What lengths, offsets and times are at their limits.
const LIMITS: [u32; 6] = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, u32::MAX];

/// The captures below a folder, decompressed.
fn captures(folder: &Path, found: &mut Vec<Vec<u8>>) {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort_unstable();
    for path in paths {
        if path.is_dir() {
            captures(&path, found);
        } else if path
            .extension()
            .is_none_or(|kind| kind != "toml" && kind != "py")
        {
            let mut bytes = fs::read(&path).expect("a file");
            if bytes.starts_with(crate::standard_streams::GZIP) {
                let mut plain = Vec::new();
                // What is there of one that was cut.
                let _ = MultiGzDecoder::new(&bytes[..]).read_to_end(&mut plain);
                bytes = plain;
            }
            bytes.truncate(LONGEST);
            found.push(bytes);
        }
    }
}

fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut file = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(16) {
        let at = random.below(file.len());
        let byte = u8::try_from(random.below(256)).unwrap_or_default();
        match (random.below(8), file.get_mut(at)) {
            (0..=2, Some(place)) => *place = byte,
            (3, Some(place)) => *place ^= 1 << (byte & 7),
            (4, _) => {
                let limit = LIMITS[random.below(LIMITS.len())].to_le_bytes();
                let end = (at + limit.len()).min(file.len());
                file.splice(at..end, limit);
            }
            (5, _) => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len());
                let piece = &other[from..(from + random.below(400)).min(other.len())];
                file.splice(at..at, piece.iter().copied());
            }
            (6, _) => drop(file.drain(at..(at + random.below(40)).min(file.len()))),
            _ if random.below(20) == 0 => file.truncate(at),
            _ => {}
        }
    }
    file
}

/// The most memory that this process has had.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
    number.expect("a number")
}

#[test]
fn no_capture_is_too_broken_to_replay() {
    let seconds = std::env::var("RECON_FUZZ_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(1);
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/captures");
    let folder = std::env::var_os("RECON_FUZZ_CAPTURES").map_or(kept, PathBuf::from);
    let mut seeds = Vec::new();
    captures(&folder, &mut seeds);
    let rules = in_force(&RuleOptions::default(), crate::rule::mirrored).expect("no file");
    let host = ["198.51.100.1".parse().expect("an address")];
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut number = 0;
    let mut out = io::sink();
    while Instant::now() < end {
        let local = if number % 2 == 0 { &host[..] } else { &[] };
        let mut replay = Replay::new(local, &rules, LineFormat::Ecs);
        for _ in 0..CAPTURES {
            number += 1;
            let file = mutate(&mut Random::new(number), &seeds);
            let begin = Instant::now();
            if let Ok(input) = Input::of("file".to_owned(), Cursor::new(file), None) {
                let read = replay.read_file(input, &mut out);
                assert!(!matches!(read, Err(Ended::Output(_))), "capture {number}");
            }
            assert!(begin.elapsed() < PATIENCE, "capture {number}");
        }
        replay.finish(&mut out).expect("nothing is written");
    }
    assert!(peak_kib() < MOST_KIB, "{} KiB", peak_kib());
    println!("{number} captures");
}
