//! Whether what was given of the table is what the programs have counted.
//!
//! In: the growth of the counters, and the rows that were given. Out: how many signals the two
//! differ by, beyond what the order of events explains.
//! The decisions held here:
//! - The programs count each signal twice: first in the table (or as lost, if that is full), then
//!   in a counter. So whoever deletes keys, and takes them from the number of keys, still has the
//!   counters against him.
//! - Two looks at the counters bracket a generation: one just before it is retired, of which it has
//!   everything, and one after all programs that wrote to it have ended, which has everything of
//!   it. Only the signals between the two looks may be on either side.
//! - What an earlier process has left is not known, nor is anything once somebody has moved the
//!   generations: the first generation that this process retires itself is where it begins. What is
//!   reported is not reported again.

use recon_common::{Counter, Direction, FrameClass, Loss};

/// Signals, and signals that found the table full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) signals: u64,
    pub(super) lost: u64,
}

impl Sums {
    /// The counters that are summed.
    pub(super) const COUNTERS: [Counter; 4] = [
        Counter::Frames(Direction::In, FrameClass::Signal),
        Counter::Frames(Direction::Out, FrameClass::Signal),
        Counter::SocketSignals,
        Counter::Lost(Loss::TableFull),
    ];

    /// Adds the growth of a counter, if it is one of those.
    pub(super) const fn add(&mut self, counter: Counter, growth: u64) {
        match counter {
            Counter::Frames(_, FrameClass::Signal) | Counter::SocketSignals => {
                self.signals += growth;
            }
            Counter::Lost(Loss::TableFull) => self.lost += growth,
            _ => {}
        }
    }
}

/// The sums of both sides since the start.
#[derive(Debug)]
pub(super) struct Balance {
    /// What the counters have grown by, at the last look after a generation was retired.
    counted: Sums,
    /// The same, just before the generation was retired that is given next. `None` if an earlier
    /// process has retired it.
    retired: Option<Sums>,
    /// The signals of all rows.
    given: u64,
    /// Where both sides were last known to agree, and how well.
    agreed: Option<Agreed>,
    /// So many comparisons would say nothing.
    doubted: u8,
}

/// Signals that were counted then and not given, and by how many that may be wrong.
#[derive(Clone, Copy, Debug, Default)]
struct Agreed {
    open: i128,
    doubt: u64,
}

impl Balance {
    /// Of maps that nobody has used before, or of an earlier process.
    pub(super) fn new(is_adopted: bool) -> Self {
        Self {
            counted: Sums::default(),
            retired: None,
            given: 0,
            agreed: (!is_adopted).then(Agreed::default),
            doubted: 0,
        }
    }

    /// Notes that a counter has grown by so much since the last look at it.
    pub(super) const fn add_counted(&mut self, counter: Counter, growth: u64) {
        self.counted.add(counter, growth);
    }

    /// Notes that the live generation is retired now. The counters have grown by so much since the
    /// last look. `None` if somebody else has moved the generations.
    pub(super) fn retire(&mut self, growth: Option<Sums>) {
        if growth.is_none() {
            self.agreed = None;
        }
        self.retired = growth.map(|growth| Sums {
            signals: self.counted.signals + growth.signals,
            lost: self.counted.lost + growth.lost,
        });
    }

    /// Notes that a program may still count in the generation that is given next. What it counts is
    /// given with that generation's next turn.
    pub(super) const fn doubt(&mut self) {
        /// Of this generation and of the other one.
        const TURNS: u8 = 2;
        self.doubted = TURNS;
    }

    /// Notes that all programs have ended, and both generations are given.
    pub(super) fn retire_all(&mut self) {
        self.retired = Some(self.counted);
    }

    /// Notes a row that was given.
    pub(super) fn add_given(&mut self, count: u64) {
        self.given += count;
    }

    /// Compares after a generation was given as a whole. Returns how many signals are missing, or
    /// too many.
    pub(super) fn settle(&mut self) -> u64 {
        if let Some(left) = self.doubted.checked_sub(1) {
            self.doubted = left;
            self.agreed = None;
            return 0;
        }
        let Some(retired) = self.retired else {
            return 0;
        };
        let Sums { signals, lost } = self.counted;
        let open = i128::from(signals) - i128::from(self.given) - i128::from(lost);
        // Somebody may have lowered the counters between the two looks.
        let most = signals.saturating_sub(retired.signals);
        let doubt = lost.saturating_sub(retired.lost);
        let difference = self.agreed.map_or(0, |agreed| {
            let open = open - agreed.open;
            let below = -i128::from(doubt + agreed.doubt) - open;
            let above = open - i128::from(most + agreed.doubt);
            below.max(above).max(0)
        });
        if self.agreed.is_none() || difference > 0 {
            self.agreed = Some(Agreed {
                open,
                doubt: most + doubt,
            });
        }
        u64::try_from(difference).unwrap_or(u64::MAX)
    }
}
