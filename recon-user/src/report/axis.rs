//! The time axis of a page: the main body of its times.
//!
//! In: the times of incidents and sources. Out: from when to when the axis goes.
//! The decision held here: a clock that was wrong, such as that of a host without a battery before
//! it has asked a server, leaves a few times of 1970 or 9999. Over all of them an axis shows
//! nothing. So it ends before what lies behind a pause of more than a year, and the few times that
//! lie behind a pause beside which the others are a point. The rest is listed beside it.

/// Milliseconds of a day.
const DAY: i64 = 24 * 60 * 60 * 1000;
/// Nothing of one page pauses for so long.
const WRONG_CLOCK: i64 = 365 * DAY;
/// A shorter pause leaves both sides readable.
const LEAST_PAUSE: i64 = 7 * DAY;
/// A body that takes less than a part of so many of the axis can't be read.
const PARTS: i64 = 20;
/// A side is few if the other one has so many times as many.
const FEW: usize = 10;

/// The main body of the times, or `None` if there are none.
pub(super) fn main_body(mut times: Vec<i64>) -> Option<[i64; 2]> {
    times.sort_unstable();
    let mut body = &times[..];
    while let Some(place) = widest_pause(body) {
        let (before, after) = body.split_at(place);
        let pause = pause_at(body, place);
        let (body_side, other) = match before.len() > after.len() {
            true => (before, after),
            // Of equal sides the newer one.
            false => (after, before),
        };
        let is_point = pause >= LEAST_PAUSE && pause / PARTS > length(before).max(length(after));
        let are_few = other.len() * FEW <= body_side.len();
        if pause <= WRONG_CLOCK && !(is_point && are_few) {
            break;
        }
        body = body_side;
    }
    Some([*body.first()?, *body.last()?])
}

/// The place behind the widest pause between times that follow each other.
fn widest_pause(times: &[i64]) -> Option<usize> {
    (1..times.len()).max_by_key(|&place| pause_at(times, place))
}

/// The pause before a time.
fn pause_at(times: &[i64], place: usize) -> i64 {
    times[place].saturating_sub(times[place - 1])
}

/// The time from the first to the last.
fn length(times: &[i64]) -> i64 {
    match times {
        [first, .., last] => last.saturating_sub(*first),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = DAY / 24;
    /// 2026-01-31.
    const NIGHT: i64 = 1_769_817_600_000;
    const YEAR_9999: i64 = 253_402_300_799_999;

    #[test]
    fn the_axis_is_the_main_body_of_times() {
        let night: Vec<i64> = (0..20).map(|number| NIGHT + number * HOUR / 2).collect();
        let end = NIGHT + 19 * HOUR / 2;
        let with = |others: &[i64]| [&night, others].concat();
        let years: Vec<i64> = (0..30).map(|number| NIGHT + number * 40 * DAY).collect();
        // (what, times, the axis)
        for (what, times, expected) in [
            ("nothing", vec![], None),
            ("one time", vec![NIGHT], Some([NIGHT, NIGHT])),
            ("a night", night.clone(), Some([NIGHT, end])),
            ("1970", with(&[0, 5000]), Some([NIGHT, end])),
            ("9999", with(&[YEAR_9999]), Some([NIGHT, end])),
            ("both", with(&[0, YEAR_9999, YEAR_9999]), Some([NIGHT, end])),
            (
                "the ends of all",
                with(&[i64::MIN, i64::MAX]),
                Some([NIGHT, end]),
            ),
            (
                "as many of 1970",
                [0, 1000, NIGHT, end].to_vec(),
                Some([NIGHT, end]),
            ),
            (
                "more of 1970",
                [0, 1000, 2000, NIGHT].to_vec(),
                Some([0, 2000]),
            ),
            (
                "years",
                [&years[..], &[0]].concat(),
                Some([NIGHT, NIGHT + 29 * 40 * DAY]),
            ),
            (
                "a clock a month ahead",
                with(&[end + 30 * DAY]),
                Some([NIGHT, end]),
            ),
            (
                "the day after",
                with(&[end + DAY]),
                Some([NIGHT, end + DAY]),
            ),
            (
                "a pause that is shown",
                with(&[end + LEAST_PAUSE - 1]),
                Some([NIGHT, end + LEAST_PAUSE - 1]),
            ),
            // Not few: both nights are news.
            (
                "two nights",
                with(&[end + 30 * DAY, end + 30 * DAY + 1, end + 30 * DAY + 2]),
                Some([NIGHT, end + 30 * DAY + 2]),
            ),
            (
                "a year",
                [NIGHT, NIGHT + WRONG_CLOCK].to_vec(),
                Some([NIGHT, NIGHT + WRONG_CLOCK]),
            ),
            (
                "over a year",
                [NIGHT, NIGHT + WRONG_CLOCK + 1].to_vec(),
                Some([NIGHT + WRONG_CLOCK + 1, NIGHT + WRONG_CLOCK + 1]),
            ),
        ] {
            assert_eq!(main_body(times), expected, "{what}");
        }
    }
}
