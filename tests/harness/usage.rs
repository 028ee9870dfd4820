//! The processor time and the memory of a process.
//!
//! In: a process id. Out: times and sizes from the kernel.
//! The decision held here: the process's own clock has a resolution of nanoseconds, utime and stime
//! in /proc one of ten milliseconds.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io};

use anyhow::{Context, Result, ensure};
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

/// The processor time of a process's first thread, without what it waited for a processor: the
/// first number of `schedstat`, in nanoseconds (Documentation/scheduler/sched-stats.rst).
///
/// # Errors
/// When it has ended.
pub fn first_thread_cpu_time(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/task/{pid}/schedstat");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let first = text.split(' ').next().unwrap_or_default();
    Ok(Duration::from_nanos(first.parse().context(path)?))
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

/// What a command has taken from its start to its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spent {
    /// Its processor time.
    pub processor: Duration,
    /// Its peak memory in bytes: `ru_maxrss` of getrusage(2).
    pub peak_memory: u64,
}

/// Runs a command to its end, without input.
///
/// # Errors
/// When it can't be started, or fails.
pub fn run_measured(command: &mut Command) -> Result<Spent> {
    const KIB: u64 = 1024;
    let name = format!("{command:?}");
    let child = command.stdin(Stdio::null()).spawn();
    let pid = child.with_context(|| name.clone())?.id().cast_signed();
    let mut status = 0;
    // SAFETY: numbers, of which any bytes are some.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both places outlive the call.
        let ended = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        let error = io::Error::last_os_error();
        match ended == pid {
            true => break,
            false if error.kind() == io::ErrorKind::Interrupted => {}
            false => return Err(error).with_context(|| format!("wait4: {name}")),
        }
    }
    let status = ExitStatus::from_raw(status);
    ensure!(status.success(), "{name}: {status}");
    let time = |time: libc::timeval| -> Result<Duration> {
        let seconds = Duration::from_secs(u64::try_from(time.tv_sec)?);
        Ok(seconds + Duration::from_micros(u64::try_from(time.tv_usec)?))
    };
    Ok(Spent {
        processor: time(usage.ru_utime)? + time(usage.ru_stime)?,
        peak_memory: u64::try_from(usage.ru_maxrss)? * KIB,
    })
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
    fn what_a_command_takes_is_measured() -> Result<()> {
        let spent = run_measured(
            Command::new("sh").args(["-c", "i=0; while [ $i -lt 9999 ]; do i=$((i+1)); done"]),
        )?;
        assert!(
            spent.processor > Duration::ZERO && spent.peak_memory > 1 << 16,
            "{spent:?}"
        );
        assert!(run_measured(&mut Command::new("false")).is_err());
        Ok(())
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
