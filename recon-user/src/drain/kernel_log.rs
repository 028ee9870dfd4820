//! The kernel programs' log: frames that they could not read.
//!
//! In: records of aya-log in the kernel's ring. Out: each [`LoggedFrame`], and how many more frames
//! there were; the limit to which the programs log.
//! The decisions held here: whoever can send a frame can send malformed ones, so a record is
//! allowed each second, and a few at once. The programs keep to that themselves ([`ALLOWED`]), and
//! count what they would have logged: what is missing in the ring, for whatever reason, is counted
//! as well. A record has numbers, which [`LoggedFrame`] reads: aya-log can't send a text that it
//! has not been compiled with.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};
use recon_common::LostFrame;
use recon_common::lost_frame::{ALLOWED, FOUND, LIMIT, LIMIT_WORDS, RING};

use super::shared_array::SharedArray;
use super::{DrainError, parsed_again};

/// A frame that the kernel programs could not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoggedFrame {
    pub(crate) lost: LostFrame,
    /// The index of its interface.
    pub(crate) interface: u32,
    /// How long it is.
    pub(crate) length: usize,
    /// Its first bytes.
    pub(crate) bytes: Vec<u8>,
}

impl LoggedFrame {
    /// The offset at which parsing stopped, if these bytes show it.
    pub(crate) fn stop(&self) -> Option<usize> {
        parsed_again::stop_of(self.lost, &self.bytes, self.length)
    }

    /// Reads the text of a record: numbers, and the bytes as hexadecimal digits.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut number = || words.next()?.parse::<u32>().ok();
        let lost = LostFrame::unpack(number()?)?;
        let (interface, length, captured) = (number()?, number()?, number()?);
        let digits = words.next()?.get(..2 * captured as usize)?;
        let bytes = (0..digits.len()).step_by(2);
        let bytes = bytes.map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok());
        Some(Self {
            lost,
            interface,
            length: length as usize,
            bytes: bytes.collect::<Option<_>>()?,
        })
    }
}

/// What has been read of the ring, and is not given to anybody yet.
#[derive(Debug, Default)]
struct Records(Mutex<Vec<LoggedFrame>>);

impl Log for Records {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if let Some(frame) = LoggedFrame::parse(&record.args().to_string()) {
            lock(self).push(frame);
        }
    }

    fn flush(&self) {}
}

/// Reads the log and limits it.
pub(crate) struct KernelLog {
    reader: EbpfLogger<Arc<Records>>,
    records: Arc<Records>,
    limit: SharedArray<u64>,
    allowance: Allowance,
}

impl KernelLog {
    /// Takes the ring out of a loaded kernel object, and allows the first records.
    ///
    /// # Errors
    /// [`DrainError`] if the object is not the one this agent was built with, or the kernel does
    /// not share a map.
    pub(crate) fn open(ebpf: &mut Ebpf) -> Result<Self, DrainError> {
        let map = |data| SharedArray::map(data, LIMIT_WORDS);
        let records = Arc::<Records>::default();
        let log = Self {
            limit: super::map_shared(ebpf, LIMIT, map)?,
            reader: EbpfLogger::init_with_logger(ebpf, Arc::clone(&records))
                .map_err(|_| DrainError::NoMap { name: RING })?,
            records,
            allowance: Allowance::new(Instant::now()),
        };
        log.allow(log.allowance.most());
        Ok(log)
    }

    /// Reads what has been logged since the last call, and allows what has become due. Returns how
    /// many more frames there were, if that is to be said now.
    pub(crate) fn read(&mut self, frame: impl FnMut(LoggedFrame)) -> Option<u64> {
        let more = self.read_until(Instant::now(), frame);
        self.allow(self.allowance.most());
        more
    }

    /// Reads the rest. Returns how many more frames there were of which nothing was said.
    pub(crate) fn finish(mut self, frame: impl FnMut(LoggedFrame)) -> u64 {
        let more = self.read_until(Instant::now(), frame).unwrap_or_default();
        more + self.allowance.unsaid()
    }

    fn read_until(&mut self, now: Instant, frame: impl FnMut(LoggedFrame)) -> Option<u64> {
        // Asked first: a record is in the ring once its frame has been counted, or a moment later.
        let found = self.found();
        // It panics on a record that is none of aya-log, and only this agent's programs write.
        self.reader.flush();
        let records = std::mem::take(&mut *lock(&self.records));
        let logged = records.len() as u64;
        records.into_iter().for_each(frame);
        self.allowance.end_poll(now, found, logged)
    }

    /// How many frames the programs would have logged since they were loaded.
    fn found(&self) -> u64 {
        // SAFETY: the word is within the mapping. The kernel may write to it meanwhile, and a read
        // of 8 bytes is whole.
        unsafe { self.limit.value(FOUND as usize).read_volatile() }
    }

    fn allow(&self, most: u64) {
        // SAFETY: as above; nobody else writes to this word.
        unsafe { self.limit.value(ALLOWED as usize).write_volatile(most) };
    }
}

impl fmt::Debug for KernelLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelLog").finish_non_exhaustive()
    }
}

/// A thread that panicked while it logged has left whole records.
fn lock(records: &Records) -> MutexGuard<'_, Vec<LoggedFrame>> {
    records.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many records the programs may write.
#[derive(Debug)]
struct Allowance {
    /// The frames that were found and logged by the last poll.
    found: u64,
    logged: u64,
    /// Of those that were not logged, how many have been said.
    said: u64,
    said_at: Instant,
    /// For how many records there is time, at [`PERIOD`] each.
    time: Duration,
    last: Instant,
}

/// Records that may come at once.
const BURST: u32 = 20;
/// After them, one is allowed in this time: a day of a flood makes some 25 MB of log.
const PERIOD: Duration = Duration::from_secs(1);
/// How often it is said during a flood how many more frames there were.
const PAUSE: Duration = Duration::from_secs(60);

impl Allowance {
    fn new(now: Instant) -> Self {
        Self {
            found: 0,
            logged: 0,
            said: 0,
            said_at: now,
            time: PERIOD * BURST,
            last: now,
        }
    }

    /// The number of found frames up to which the programs log.
    fn most(&self) -> u64 {
        self.found + self.time.as_secs() / PERIOD.as_secs()
    }

    /// Ends a poll by which so many frames were found, and in which so many were logged. Returns
    /// how many were not of which nothing has been said: when no more come, or after a while.
    fn end_poll(&mut self, now: Instant, found: u64, logged: u64) -> Option<u64> {
        let used = PERIOD.saturating_mul(u32::try_from(logged).unwrap_or(u32::MAX));
        let time = self.time.saturating_sub(used) + now.duration_since(self.last);
        self.time = time.min(PERIOD * BURST);
        self.last = now;
        let before = self.unlogged();
        self.found = found;
        self.logged += logged;
        let is_over = self.unlogged() <= before;
        let unsaid = self.unsaid();
        if unsaid == 0 || !(is_over || now.duration_since(self.said_at) >= PAUSE) {
            return None;
        }
        self.said += unsaid;
        self.said_at = now;
        Some(unsaid)
    }

    /// The frames that were not logged.
    const fn unlogged(&self) -> u64 {
        self.found.saturating_sub(self.logged)
    }

    const fn unsaid(&self) -> u64 {
        self.unlogged().saturating_sub(self.said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use recon_common::lost_frame::CAPTURED;
    use recon_common::{Direction, FrameOrigin, Loss};

    #[test]
    fn a_record_is_read() {
        let digits = format!("0a0bff{}", "00".repeat(CAPTURED - 3));
        let frame = LoggedFrame {
            lost: LostFrame {
                loss: Loss::Malformed,
                origin: FrameOrigin::of::<[u8]>(Direction::Out),
            },
            interface: 7,
            length: 3,
            bytes: vec![0x0a, 0x0b, 0xff],
        };
        let lost = frame.lost.pack();
        for (text, expected) in [
            (format!("{lost} 7 3 3 {digits}"), Some(frame)),
            (format!("{lost} 7 3 257 {digits}"), None),
            (format!("{lost} 7 3 3 0a0bgg"), None),
            (format!("{lost} 7 3 3 {}", "\u{e4}".repeat(CAPTURED)), None),
            (format!("99 7 3 3 {digits}"), None),
            (format!("{lost} 7 3"), None),
            (String::new(), None),
        ] {
            assert_eq!(LoggedFrame::parse(&text), expected, "{text}");
        }
    }

    /// (second, frames found by then, records since the poll before; what is said, and how many
    /// more may be logged)
    type Poll = (u64, u64, u64, Option<u64>, u64);

    #[test]
    fn a_flood_gets_a_burst_and_then_a_record_a_second() {
        let burst = u64::from(BURST);
        let polls: [Poll; 10] = [
            (1, 3, 3, None, burst - 2),
            (2, 3, 0, None, burst - 1),
            (3, 3, 0, None, burst),
            (10, 3, 0, None, burst),
            (11, 1003, burst, None, 1),
            (12, 2003, 1, None, 1),
            (13, 3003, 1, None, 1),
            // It is over.
            (14, 3003, 0, Some(3000 - burst - 2), 2),
            // One that was in flight.
            (15, 3003, 1, None, 2),
            (16, 3006, 1, None, 2),
        ];
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        for (second, found, logged, said, more) in polls {
            let now = start + Duration::from_secs(second);
            assert_eq!(allowance.end_poll(now, found, logged), said, "{second}");
            assert_eq!(allowance.most() - found, more, "{second}");
        }
        // Two more, less the one that was in flight.
        assert_eq!(allowance.unsaid(), 1);
    }

    #[test]
    fn a_flood_without_an_end_is_said_each_minute() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let said: Vec<(u64, u64)> = (1..=150)
            .filter_map(|second| {
                let now = start + Duration::from_secs(second);
                let said = allowance.end_poll(now, 100 * second, 1)?;
                Some((second, said))
            })
            .collect();
        assert_eq!(said, [(60, 60 * 99), (120, 60 * 99)]);
    }
}
