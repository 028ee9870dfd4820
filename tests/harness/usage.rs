//! The processor time and the memory of a process.
//!
//! In: a process id. Out: times and sizes from the kernel.
//! The decision held here: the process's own clock has a resolution of nanoseconds, utime and stime
//! in /proc one of ten milliseconds.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// The processor time of a process, all its threads together.
///
/// # Errors
/// When it has ended.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid.cast_signed()))?;
    Ok(clock_gettime(clock)?.into())
}

/// The processor time of the calling thread, which does not depend on the machine's other load.
///
/// # Errors
/// None on Linux.
pub fn own_cpu_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// The peak memory of a process in bytes: `VmHWM` of proc_pid_status(5).
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

/// Measures the processor time of a process from the meter's start on.
#[derive(Debug)]
pub struct Meter {
    pid: u32,
    begin: Instant,
    before: Duration,
}

impl Meter {
    /// Starts a meter.
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

    /// Its processor time since the start.
    ///
    /// # Errors
    /// When it has ended.
    pub fn spent(&self) -> Result<Duration> {
        Ok(cpu_time(self.pid)?.saturating_sub(self.before))
    }

    /// Its processor time in percent of the time that has passed: 100 is one processor, all the
    /// time.
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
