//! Writes a capture of made traffic, the same for the same number of packets: what a replay is
//! measured with.
//!
//! In: the file, how many packets, how many bytes of each packet are kept, and the mean time
//! between two packets in microseconds. Out: the file, in pcap. `cargo xtask bench --part replay`
//! runs this.

mod random;
mod traffic;

use std::env;
use std::fs::File;
use std::io::{BufWriter, Write as _};

use anyhow::{Context as _, Result, bail};

use traffic::Traffic;

/// When the capture begins.
const START: u64 = 1_700_000_000;
const MICROSECONDS: u64 = 1_000_000;
/// pcap with microseconds, in the byte order of the writer; version 2.4.
const MAGIC: u32 = 0xa1b2_c3d4;
const VERSION: u32 = 0x0004_0002;
const ETHERNET: u32 = 1;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [file, packets, kept, gap] = &arguments[..] else {
        bail!("usage: capture FILE PACKETS BYTES MICROSECONDS");
    };
    let packets = packets.parse().context("PACKETS")?;
    let kept: u32 = kept.parse().context("BYTES")?;
    let mut out = BufWriter::new(File::create(file).with_context(|| file.clone())?);
    for word in [MAGIC, VERSION, 0, 0, kept, ETHERNET] {
        out.write_all(&word.to_ne_bytes())?;
    }
    let mut traffic = Traffic::new(gap.parse().context("MICROSECONDS")?);
    for _ in 0..packets {
        let (time, frame) = traffic.next_packet()?;
        let length = u32::try_from(frame.len())?;
        let captured = length.min(kept);
        let time = START * MICROSECONDS + time;
        let seconds = u32::try_from(time / MICROSECONDS)?;
        let fraction = u32::try_from(time % MICROSECONDS)?;
        for word in [seconds, fraction, captured, length] {
            out.write_all(&word.to_ne_bytes())?;
        }
        out.write_all(&frame[..captured as usize])?;
    }
    out.flush().with_context(|| file.clone())
}
