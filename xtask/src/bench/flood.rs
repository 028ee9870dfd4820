//! A SYN flood of spoofed sources, as fast as the processors make it.
//!
//! In: a laboratory, an address of the host. Out: how many packets a second were sent, and how many arrived.
//! The decisions held here: the frames are made before and sent as they are, by a thread for each processor, so that neither a slow
//! generator nor an idle processor hides what the receiver takes: on a veth pair it works on the sender's processor. What the generator does
//! alone is measured by frames for somebody else's hardware address, which the host throws away before it looks at them.

use std::net::Ipv4Addr;
use std::thread::{self, available_parallelism};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use recon_tests::frame::{Path, syn};
use recon_tests::lab::{HOST_LINK, Mac};
use recon_tests::{Lab, Sender};

/// The first source behind the host's own spare addresses, and the one after the last of 198.18.0.0/15 (RFC 2544).
const FIRST_SOURCE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 64);
const END_OF_SOURCES: Ipv4Addr = Ipv4Addr::new(198, 20, 0, 0);
/// A port that is closed.
const PORT: u16 = 9;
/// Frames between two looks at the clock.
const BURST: usize = 64;
/// Nobody's.
const STRANGER: Mac = Mac([2, 0, 0, 0, 0, 99]);

/// Frames of all sources, and where they go.
pub(super) struct Flood<'a> {
    lab: &'a Lab,
    /// For each thread.
    senders: Vec<Sender>,
    frames: Vec<Vec<u8>>,
}

/// What came of a flood, in packets a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    /// What the generator put on the pair or found no room for.
    pub(super) offered: f64,
    /// What the host's end counted.
    pub(super) arrived: f64,
}

impl<'a> Flood<'a> {
    /// A flood of `target`.
    pub(super) fn new(lab: &'a Lab, target: Ipv4Addr) -> Result<Self> {
        let sources = FIRST_SOURCE.to_bits()..END_OF_SOURCES.to_bits();
        let frame = |source| Path::new(Ipv4Addr::from_bits(source), target).tcp(syn(PORT), &[]);
        Ok(Self {
            lab,
            senders: (0..available_parallelism()?.get())
                .map(|_| lab.sender())
                .collect::<Result<_>>()?,
            frames: sources.map(frame).collect::<Result<_>>()?,
        })
    }

    /// The same for nobody.
    pub(super) fn at_stranger(mut self) -> Self {
        for frame in &mut self.frames {
            let (destination, _) = frame.split_at_mut(STRANGER.0.len());
            destination.copy_from_slice(&STRANGER.0);
        }
        self
    }

    /// Sends for that long.
    pub(super) fn run(&self, time: Duration) -> Result<Rates> {
        let before = self.received()?;
        let begin = Instant::now();
        let offered = self.send(begin + time)?;
        let seconds = begin.elapsed().as_secs_f64();
        let arrived = self.received()?.saturating_sub(before);
        Ok(Rates {
            offered: offered as f64 / seconds,
            arrived: arrived as f64 / seconds,
        })
    }

    /// Sends until then, each thread its share of the sources, and returns how many frames that were.
    fn send(&self, end: Instant) -> Result<usize> {
        let share = self.frames.len().div_ceil(self.senders.len());
        let shares = self.senders.iter().zip(self.frames.chunks(share));
        thread::scope(|scope| {
            let threads =
                shares.map(|(sender, frames)| scope.spawn(move || send(sender, frames, end)));
            // All are started before the first is waited for.
            let threads: Vec<_> = threads.collect();
            let sent = threads.into_iter().map(|thread| match thread.join() {
                Ok(sent) => sent,
                Err(_) => bail!("a thread that sends panicked"),
            });
            sent.sum()
        })
    }

    /// Frames that the host's end has counted so far.
    fn received(&self) -> Result<u64> {
        let link = self.lab.link(self.lab.host(), HOST_LINK)?;
        let packets = link.pointer("/stats64/rx/packets");
        let packets = packets.and_then(serde_json::Value::as_u64);
        packets.with_context(|| format!("no packets in {link}"))
    }
}

/// Sends the frames again and again until then, and returns how often.
fn send(sender: &Sender, frames: &[Vec<u8>], end: Instant) -> Result<usize> {
    let mut offered = 0;
    let mut frames = frames.iter().cycle();
    while Instant::now() < end {
        for frame in frames.by_ref().take(BURST) {
            sender.try_send(frame)?;
        }
        offered += BURST;
    }
    Ok(offered)
}
