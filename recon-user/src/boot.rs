//! The boot that this machine is in.
//!
//! In: /proc, the kernel's clocks. Out: which boot it is, how long ago it was, and when.
//! The decision held here: no call reads two clocks at once, and a thread may lose its processor
//! between two calls. Of several looks at both, the quickest one counts.

use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};

/// The kernel makes another one at each boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The id of this boot, unique among all machines. `None` if /proc does not say.
pub(crate) fn id() -> Option<String> {
    let text = fs::read_to_string(BOOT_ID).ok()?;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty())
}

/// The time since the boot, with the time that the machine was suspended.
pub(crate) fn elapsed() -> Option<Duration> {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?;
    Some(time.into())
}

/// What the wall clock, as it is set now, would have shown at the boot.
pub(crate) fn time() -> Option<Timestamp> {
    time_by(elapsed, Timestamp::now)
}

fn time_by(
    mut elapsed: impl FnMut() -> Option<Duration>,
    mut now: impl FnMut() -> Timestamp,
) -> Option<Timestamp> {
    const LOOKS: usize = 4;
    let looks = (0..LOOKS).filter_map(|_| {
        let before = elapsed()?;
        let now = now();
        Some((elapsed()?.saturating_sub(before), now, before))
    });
    let (_, now, uptime) = looks.min_by_key(|&(taken, ..)| taken)?;
    now.checked_sub(uptime).ok()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_wait_between_two_clocks_moves_no_boot() {
        const STEP: Duration = Duration::from_micros(1);
        const WAIT: Duration = Duration::from_secs(5);
        let booted: Timestamp = "2026-01-31T10:00:00Z".parse().expect("a time");
        // Each call takes a step, but one of them waits.
        for waits in 0..12 {
            let (calls, uptime) = (Cell::new(0), Cell::new(Duration::from_secs(100)));
            let pass = || {
                let passed = if calls.get() == waits { WAIT } else { STEP };
                calls.set(calls.get() + 1);
                uptime.set(uptime.get() + passed);
                uptime.get()
            };
            let time = time_by(|| Some(pass()), || booted + pass());
            let error = time.expect("a time").duration_since(booted);
            assert!(error.unsigned_abs() <= STEP, "{waits}: {error:?}");
        }
        assert_eq!(time_by(|| None, || booted), None);
    }

    #[test]
    fn this_boot_is_known() {
        let id = id().expect("an id");
        assert!(!id.contains(char::is_whitespace), "{id:?}");
        let uptime = Timestamp::now().duration_since(time().expect("a time"));
        let elapsed = elapsed().expect("a clock");
        assert!(
            uptime.unsigned_abs().abs_diff(elapsed) < Duration::from_secs(1),
            "{uptime:?} {elapsed:?}"
        );
    }
}
