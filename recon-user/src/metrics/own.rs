//! The processor time and memory of this process.
//!
//! In: what the kernel says. Out: [`OwnUsage`].
//! The decision held here: the file is opened before the thread gives up opening files.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::unistd::{SysconfVar, sysconf};

/// What this process has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OwnUsage {
    /// The processor time of all its threads.
    pub(super) cpu: Option<Duration>,
    /// The memory that is resident, in bytes.
    pub(super) resident: Option<u64>,
}

/// Where it is read.
#[derive(Debug)]
pub(super) struct UsageReader {
    statm: Option<File>,
    page_bytes: Option<u64>,
}

impl UsageReader {
    /// Opens what it reads. Without /proc the memory is not known.
    pub(super) fn open() -> Self {
        let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
        Self {
            statm: File::open("/proc/self/statm").ok(),
            page_bytes: page.and_then(|page| page.try_into().ok()),
        }
    }

    /// Reads it.
    pub(super) fn read(&self) -> OwnUsage {
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok();
        let cpu = usage.map(|usage| duration(usage.user_time()) + duration(usage.system_time()));
        OwnUsage {
            cpu,
            resident: self.resident(),
        }
    }

    fn resident(&self) -> Option<u64> {
        /// Seven numbers.
        const MOST_BYTES: usize = 256;
        let mut bytes = [0; MOST_BYTES];
        let length = self.statm.as_ref()?.read_at(&mut bytes, 0).ok()?;
        let text = str::from_utf8(&bytes[..length]).ok()?;
        let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
        pages.checked_mul(self.page_bytes?)
    }
}

fn duration(time: TimeVal) -> Duration {
    let micros = time.tv_sec().saturating_mul(1_000_000) + time.tv_usec();
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    const LOOKS: usize = 20;

    #[test]
    fn this_process_uses_something() {
        let reader = UsageReader::open();
        let usage = reader.read();
        assert!(usage.resident > Some(1 << 20), "{usage:?}");
        // It grows with what is written to. Another test of this process may give memory back at
        // that moment, so it may take more than one look.
        let has_grown = (0..LOOKS).any(|_| {
            let before = reader.read().resident;
            let memory = black_box(vec![1_u8; 64 << 20]);
            let grown = reader.read().resident.zip(before);
            grown.is_some_and(|(after, before)| after > before + memory.len() as u64 / 2)
        });
        assert!(has_grown);
        let more = reader.read();
        assert!(more.cpu >= usage.cpu && more.cpu > Some(Duration::ZERO));
    }
}
