//! Whether recon does what it is there for.
//!
//! In: when a poll last drained the counts, and the open incidents of recon-blind and
//! recon-tampered. Out: nothing, or why not.
//! The decision held here: an answer of the process is no sign of life. Only a poll that has
//! drained the counts is one, as for the service manager.

use std::time::Duration;

use crate::blind::BlindPart;
use crate::diagnostic::visible;

/// A poll may be late by so many intervals, and by so long at least: a busy host is.
const LATE_INTERVALS: u32 = 3;
const LATE: Duration = Duration::from_secs(5);

/// Says why recon is not healthy. `age` is the time since a poll has drained the counts.
pub(super) fn check_health(
    age: Option<Duration>,
    interval: Duration,
    blind: &[BlindPart],
) -> Result<(), String> {
    let Some(age) = age else {
        return Err("starting: no poll has drained the counts yet".to_owned());
    };
    if age > LATE.max(interval.saturating_mul(LATE_INTERVALS)) {
        return Err(format!(
            "polls are overdue: the last one that drained the counts ended {:.1} s ago, and one is due every {interval:?}",
            age.as_secs_f64()
        ));
    }
    match blind {
        [] => Ok(()),
        parts => {
            let parts = parts
                .iter()
                .map(|part| visible(part.to_string().as_bytes()));
            let parts: Vec<_> = parts.collect();
            Err(format!("blind or tampered with: {}", parts.join("; ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_that_drain_are_the_only_sign_of_life() {
        let seconds = Duration::from_secs_f64;
        let table = [BlindPart::Table];
        let two = [BlindPart::Table, BlindPart::Interface("a\x1bb".to_owned())];
        // (seconds since the last poll, of the interval, what is blind, what is said)
        for (age, interval, blind, expected) in [
            (None, 1.0, &[][..], Some("starting: no poll has drained")),
            (None, 1.0, &table, Some("starting")),
            (Some(0.0), 1.0, &[], None),
            (Some(5.0), 1.0, &[], None),
            (
                Some(5.1),
                1.0,
                &[],
                Some("ended 5.1 s ago, and one is due every 1s"),
            ),
            (Some(5.1), 0.01, &[], Some("polls are overdue")),
            (Some(180.0), 60.0, &[], None),
            (Some(180.1), 60.0, &[], Some("polls are overdue")),
            (
                Some(1.0),
                1.0,
                &table,
                Some("blind or tampered with: the kernel's table is full"),
            ),
            (Some(9.0), 1.0, &table, Some("polls are overdue")),
            (
                Some(1.0),
                1.0,
                &two,
                Some(
                    "blind or tampered with: the kernel's table is full; the interface a\\u{1b}b is gone",
                ),
            ),
        ] {
            let found = check_health(age.map(seconds), seconds(interval), blind);
            match (found, expected) {
                (Ok(()), None) => {}
                (Err(reason), Some(part)) => assert!(reason.contains(part), "{reason}"),
                (found, expected) => panic!("{age:?} of {interval}: {found:?}, not {expected:?}"),
            }
        }
    }
}
