//! Exactness: what was drained, with and without keys of the sources' own, plus what was counted as
//! lost is what was sent, whatever the agent does meanwhile.
//!
//! Two threads run the XDP program on the same 50,000 keys, 200,000 times in all, while this one
//! drains every 50 ms: both insert the same new keys, add to the same counts and cross every change
//! of generation. These are test runs without a wire, so only recon can lose a frame.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use aya::programs::Program;
use recon_common::{Address, FrameClass, Key, Loss};
use recon_tests::frame::{Path, syn};
use recon_user::drain::{Grace, Tally};

use crate::kernel::{Drained, Kernel, test_run};
use crate::outbound::LOCAL_V4;

const KEYS: u32 = 50_000;
const THREADS: u64 = 2;
const ROUNDS: u64 = 2;
const SENT: u64 = KEYS as u64 * THREADS * ROUNDS;
const POLL: Duration = Duration::from_millis(50);

#[test]
fn nothing_is_lost_or_doubled() -> Result<()> {
    // (entries, how the drain waits, whether every source gets its keys)
    for (entries, grace, fits) in [
        (3 * KEYS, Grace::Membarrier, true),
        (3 * KEYS, Grace::NextPoll, true),
        (512, Grace::Membarrier, false),
        // Not even the overflow keys fit.
        (2, Grace::Membarrier, false),
    ] {
        let (tally, rows) = flood(entries, grace)?;
        let drained: u64 = rows.iter().map(|(_, count)| count).sum();
        let lost = tally.lost[Loss::TableFull as usize];
        assert_eq!(
            (
                tally.frames_in.of(FrameClass::Signal),
                tally.frames(),
                tally.socket_signals
            ),
            (SENT, SENT, 0),
            "{grace:?}, {entries} entries: {tally}"
        );
        assert_eq!(
            drained + lost,
            SENT,
            "{grace:?}, {entries} entries: {drained} drained, {lost} lost"
        );
        // Every frame is in exactly one of three: a key of its own source, an overflow key, a loss.
        let of = |is_overflow: bool| -> u64 {
            let rows = rows.iter();
            rows.filter(|(key, _)| key.is_overflow() == is_overflow)
                .map(|(_, count)| count)
                .sum()
        };
        assert_eq!(of(true), tally.sketched, "{grace:?}, {entries}: {tally}");
        assert_eq!(
            of(false) + tally.sketched + tally.lost_total(),
            SENT,
            "{grace:?}, {entries}: {tally}"
        );
        let short = tally.sketched + lost;
        assert_eq!(short == 0, fits, "{grace:?}, {entries} entries: {tally}");
        if fits {
            let mut by_key: HashMap<Key, u64> = HashMap::new();
            rows.iter()
                .for_each(|(key, count)| *by_key.entry(*key).or_default() += count);
            assert_eq!(by_key.len() as u32, KEYS);
            assert!(by_key.values().all(|&count| count == THREADS * ROUNDS));
        }
    }
    Ok(())
}

/// Sends the flood while draining, and returns all that was drained.
fn flood(entries: u32, grace: Grace) -> Result<Drained> {
    let mut kernel = Kernel::load(entries, grace)?;
    let (hooks, drain) = kernel.parts();
    let program = hooks
        .ebpf()
        .program("recon_xdp")
        .context("the XDP program")?;
    let frames = frames()?;
    let mut total = Tally::default();
    let mut rows = Vec::new();
    let mut polls = 0_u32;
    thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| scope.spawn(|| send(program, &frames)))
            .collect();
        while !threads.iter().all(thread::ScopedJoinHandle::is_finished) {
            total.add(&drain.poll(|key, count, _| rows.push((*key, count)))?);
            polls += 1;
            thread::park_timeout(POLL);
        }
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("a flooding thread panicked"))
    })?;
    total.add(&drain.finish(|key, count, _| rows.push((*key, count)))?);
    assert!(
        polls > 2,
        "the flood ended before it was polled: {polls} polls"
    );
    Ok((total, rows))
}

/// One thread's share. Frame by frame, since the kernel waits for a grace period before it repeats
/// a frame.
fn send(program: &Program, frames: &[Vec<u8>]) -> Result<()> {
    for _ in 0..ROUNDS {
        for frame in frames {
            test_run(program, frame)?;
        }
    }
    Ok(())
}

/// A SYN for each key: 1000 sources to 50 ports.
fn frames() -> Result<Vec<Vec<u8>>> {
    const PORTS: u32 = 50;
    (0..KEYS)
        .map(|number| probe(number / PORTS, number % PORTS))
        .collect()
}

/// A SYN of that source to that port.
fn probe(number: u32, port: u32) -> Result<Vec<u8>> {
    Path::new(source(number), LOCAL_V4).tcp(syn(1 + port as u16), &[])
}

/// The address of the source with that number.
fn source(number: u32) -> [u8; 4] {
    (u32::from_be_bytes([198, 18, 0, 0]) + number).to_be_bytes()
}

/// Sources that are well known to the filter and hit a port each time that nobody has hit fill the
/// table, but not the room of one with few ports.
#[test]
fn sources_with_many_keys_leave_room_for_one_with_few() -> Result<()> {
    const ENTRIES: u32 = 4096;
    const SOURCES: u32 = 40;
    const PORTS: u32 = 200;
    const SCANNER: u32 = 1000;
    const SCANNED: u32 = 20;
    let flood = (0..SOURCES * PORTS).map(|number| probe(number % SOURCES, number / SOURCES));
    let flood: Vec<_> = flood.collect::<Result<_>>()?;
    let scan = (0..SCANNED).map(|port| probe(SCANNER, port));
    let scan: Vec<_> = scan.collect::<Result<_>>()?;
    let mut kernel = Kernel::load(ENTRIES, Grace::Membarrier)?;
    let (hooks, drain) = kernel.parts();
    let program = hooks
        .ebpf()
        .program("recon_xdp")
        .context("the XDP program")?;
    for poll in 0..3 {
        // What comes after the scan takes its keys' places among the recent ones.
        for frame in flood.iter().chain(&scan).chain(&flood) {
            test_run(program, frame)?;
        }
        let mut scanned = 0;
        let mut drained = 0;
        let scanner = Address::v4(source(SCANNER));
        let tally = drain.poll(|key, count, _| {
            scanned += u32::from(key.remote == scanner);
            drained += count;
        })?;
        let lost = tally.lost[Loss::TableFull as usize];
        assert_eq!(
            drained + lost,
            u64::from(2 * SOURCES * PORTS + SCANNED),
            "poll {poll}"
        );
        // The filter knows the scanner by its second poll.
        if poll == 2 {
            assert_eq!((scanned, lost), (SCANNED, 0), "{tally}");
        }
    }
    Ok(())
}
