//! The verdict on a remote: a sequential test over its attempts.
//!
//! In: how many distinct targets failed, and how many attempts succeeded. Out: a [`Verdict`].
//! The decisions held here (threshold random walk; Jung, Paxson, Berger, Balakrishnan: "Fast
//! Portscan Detection Using Sequential Hypothesis Testing", 2004):
//! - With the probability of a success 0.8 for a client and 0.2 for a scanner, a failure makes
//!   "scanner" four times as likely, and a success a quarter as likely. So the walk counts failures
//!   minus successes. Wrong verdicts of at most one in a hundred take odds of 99 to 1: four steps.
//! - A failure counts once for each address and port, so that a monitor of a dead port stays one
//!   failure.
//! - Against "scanner", successes weigh at most half of the failures plus two, so that nobody buys
//!   himself off with connections to an open port.

use crate::row::Verdict;

/// Steps to a verdict: 4^4 = 256 is more than 99, 4^3 = 64 is not.
pub(crate) const STEPS: u64 = 4;
/// What successes weigh at most: this share of the failures, and this many more.
const SUCCESS_SHARE: u64 = 2;
const SUCCESS_BASE: u64 = 2;

/// What so many successes weigh against so many failures.
#[must_use]
pub(crate) fn weight_of(successes: u64, failures: u64) -> u64 {
    successes.min(failures / SUCCESS_SHARE + SUCCESS_BASE)
}

/// The verdict after so many failures and successes.
#[must_use]
pub(crate) fn verdict(failures: u64, successes: u64) -> Verdict {
    let weight = weight_of(successes, failures);
    if failures >= weight + STEPS {
        Verdict::Scanner
    } else if successes >= failures + STEPS {
        Verdict::Client
    } else {
        Verdict::Undecided
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_steps_decide_and_successes_weigh_little_against_failures() {
        use Verdict::{Client, Scanner, Undecided};
        for (failures, successes, expected) in [
            (0, 0, Undecided),
            (3, 0, Undecided),
            (4, 0, Scanner),
            (0, 3, Undecided),
            (0, 4, Client),
            (1, 4, Undecided),
            (1, 5, Client),
            // A monitor of a dead port, a mail program that guesses seven ports.
            (1, 0, Undecided),
            (7, 5, Undecided),
            (7, 11, Client),
            (7, 2, Scanner),
            // Two hundred successes do not hide forty failures, nor a million.
            (10, 1_000_000, Client),
            (11, 1_000_000, Scanner),
            (40, 200, Scanner),
            (u64::MAX / 2, u64::MAX, Scanner),
        ] {
            assert_eq!(
                verdict(failures, successes),
                expected,
                "{failures} {successes}"
            );
        }
    }
}
