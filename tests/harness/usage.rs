//! What a process has taken of the processors and of memory.
//!
//! In: the number of a process. Out: times and sizes, as the kernel counts them.
//! The decision held here: the process's own clock, which counts nanoseconds, where /proc's utime and stime count hundredths of a second.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// The time that processors have worked for a process, all its threads together.
///
/// # Errors
/// When it has ended.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid.cast_signed()))?;
    Ok(clock_gettime(clock)?.into())
}

/// The same of the thread that asks, for measuring what it does however busy the machine is.
///
/// # Errors
/// None that Linux has.
pub fn own_cpu_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// The most memory that a process has had so far, in bytes: `VmHWM` of proc_pid_status(5).
///
/// # Errors
/// When it has ended.
pub fn peak_memory(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    peak(&status).with_context(|| format!("no VmHWM of process {pid}"))
}

fn peak(status: &str) -> Option<u64> {
    const UNIT: u64 = 1024;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let number: u64 = line.strip_suffix("kB")?.trim().parse().ok()?;
    Some(number * UNIT)
}

/// What a process takes from the meter's start on.
#[derive(Debug)]
pub struct Meter {
    pid: u32,
    begin: Instant,
    before: Duration,
}

impl Meter {
    /// Starts one.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn start(pid: u32) -> Result<Self> {
        Ok(Self {
            pid,
            begin: Instant::now(),
            before: cpu_time(pid)?,
        })
    }

    /// The time that processors have worked for it.
    ///
    /// # Errors
    /// When it has ended.
    pub fn spent(&self) -> Result<Duration> {
        Ok(cpu_time(self.pid)?.saturating_sub(self.before))
    }

    /// The same in hundredths of the time that has passed: 100 is one processor, all the time.
    ///
    /// # Errors
    /// When it has ended.
    pub fn percent(&self) -> Result<f64> {
        let spent = self.spent()?;
        Ok(100.0 * spent.as_secs_f64() / self.begin.elapsed().as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;

    #[test]
    fn peaks_are_read() {
        for (status, expected) in [
            ("VmPeak:\t  99 kB\nVmHWM:\t    2048 kB\n", Some(2 << 20)),
            ("VmPeak:\t  99 kB\n", None),
            ("VmHWM:\t x kB\n", None),
        ] {
            assert_eq!(peak(status), expected, "{status}");
        }
    }

    #[test]
    fn work_is_counted() -> Result<()> {
        let meter = Meter::start(process::id())?;
        let begin = own_cpu_time()?;
        while own_cpu_time()? == begin {}
        assert!(meter.spent()? > Duration::ZERO && peak_memory(process::id())? > 0);
        Ok(())
    }
}
