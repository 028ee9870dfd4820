//! A SYN flood from spoofed sources, as fast as the processors can send.
//!
//! In: a lab, an address of the host. Out: packets sent and packets received, a second.
//! The decisions held here: the frames are built in advance and sent unchanged, by one thread for
//! each processor, so that neither a slow generator nor an idle processor hides the receiver's
//! cost: on a veth pair the receiver runs on the sender's processor. The generator's own cost is
//! measured with frames for a stranger's hardware address, which the host drops before it parses
//! them.

use std::net::Ipv4Addr;
use std::thread::{self, available_parallelism};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use recon_tests::frame::{Path, syn};
use recon_tests::lab::{HOST_LINK, Mac};
use recon_tests::{Lab, Sender};

/// The first source after the host's own spare addresses, and the end of 198.18.0.0/15 (RFC 2544).
const FIRST_SOURCE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 64);
const END_OF_SOURCES: Ipv4Addr = Ipv4Addr::new(198, 20, 0, 0);
/// A closed port.
const PORT: u16 = 9;
/// Frames between two readings of the clock.
const BURST: usize = 64;
/// No interface has this address.
const STRANGER: Mac = Mac([2, 0, 0, 0, 0, 99]);

/// One frame for each source, and the senders.
pub(super) struct Flood<'a> {
    lab: &'a Lab,
    /// One for each thread.
    senders: Vec<Sender>,
    frames: Vec<Vec<u8>>,
}

/// The result of a flood, in packets a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    /// Frames that the generator sent or found no room for.
    pub(super) offered: f64,
    /// Frames that the host's end counted.
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

    /// The same flood, sent to the stranger's hardware address.
    pub(super) fn at_stranger(mut self) -> Self {
        for frame in &mut self.frames {
            let (destination, _) = frame.split_at_mut(STRANGER.0.len());
            destination.copy_from_slice(&STRANGER.0);
        }
        self
    }

    /// Sends for `time`.
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

    /// Sends until `end`, with a share of the sources for each thread, and returns the number of
    /// frames.
    fn send(&self, end: Instant) -> Result<usize> {
        let share = self.frames.len().div_ceil(self.senders.len());
        let shares = self.senders.iter().zip(self.frames.chunks(share));
        thread::scope(|scope| {
            let threads =
                shares.map(|(sender, frames)| scope.spawn(move || send(sender, frames, end)));
            // Starts all threads before it waits for the first.
            let threads: Vec<_> = threads.collect();
            let sent = threads.into_iter().map(|thread| match thread.join() {
                Ok(sent) => sent,
                Err(_) => bail!("a sending thread panicked"),
            });
            sent.sum()
        })
    }

    /// The number of frames that the host's end has received.
    fn received(&self) -> Result<u64> {
        let link = self.lab.link(self.lab.host(), HOST_LINK)?;
        let packets = link.pointer("/stats64/rx/packets");
        let packets = packets.and_then(serde_json::Value::as_u64);
        packets.with_context(|| format!("no count of packets in {link}"))
    }
}

/// Sends the frames repeatedly until `end`, and returns how many were sent.
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
