//! The lines of `--kernel-log`.
//!
//! In: the frames that the kernel programs could not read. Out: a line of the log for each that is
//! allowed, and one that says how many more there were.
//! The decision held here: the values are fields, so that the log as JSON needs no parsing. A
//! remote chooses the bytes; as digits they are no text that a terminal or a log could obey.

use std::fmt::Write as _;

use recon_common::Direction;

use super::Agent;
use super::interfaces::WatchedInterfaces;
use crate::drain::{CountMaps, KernelLog, LoggedFrame};

/// Bytes of the frame in a line.
const SHOWN: usize = 32;

impl<M: CountMaps> Agent<M> {
    /// Logs the frames of which the kernel programs have left a record, if they were asked to.
    pub(super) fn log_lost_frames(&mut self, interfaces: &WatchedInterfaces) {
        if let Some(log) = &mut self.kernel_log {
            let more = log.read(|frame| log_frame(&frame, interfaces.named()));
            log_more(more.unwrap_or_default());
        }
    }

    /// Logs the last ones, by the names that interfaces had.
    pub(super) fn end_kernel_log(&mut self, names: &[(u32, String)]) {
        let log = self.kernel_log.take();
        let named = || names.iter().map(|(index, name)| (*index, name.as_str()));
        let more = log.map(|log: KernelLog| log.finish(|frame| log_frame(&frame, named())));
        log_more(more.unwrap_or_default());
    }
}

fn log_frame<'a>(frame: &LoggedFrame, named: impl Iterator<Item = (u32, &'a str)>) {
    let named = named.filter(|(index, _)| *index == frame.interface);
    // The last one has the name that it has now.
    let interface = match named.last() {
        Some((_, name)) => name.to_owned(),
        None => frame.interface.to_string(),
    };
    let direction = match frame.lost.origin.direction {
        Direction::In => "in",
        Direction::Out => "out",
    };
    tracing::info!(
        target: "recon::kernel",
        reason = %frame.lost.loss.name(),
        offset = frame.stop(),
        length = frame.length,
        interface = %interface,
        direction = %direction,
        bytes = %digits(&frame.bytes),
        "a frame can't be read:"
    );
}

fn log_more(frames: u64) {
    if frames > 0 {
        tracing::info!(
            target: "recon::kernel",
            frames,
            "more frames that can't be read, over what --kernel-log shows:"
        );
    }
}

/// The first bytes as hexadecimal digits.
fn digits(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * SHOWN);
    for byte in bytes.iter().take(SHOWN) {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_bytes_are_shown() {
        assert_eq!(digits(&[0, 0x1f, 0xff]), "001fff");
        assert_eq!(digits(&[0x1b; 256]), "1b".repeat(SHOWN));
    }
}
