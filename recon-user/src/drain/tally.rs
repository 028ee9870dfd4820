//! The sums of one poll.
//!
//! In: the growth of the kernel's counters and the rows of a poll. Out: [`Tally`], and its words in
//! the log.
//! The decision held here: frames are not counted beside their classes. So the log shows sums that
//! a reader can check: the frames of a direction are its signals, established, ignored and lost
//! ones, and the signals of frames and sockets are those of the rows and those that a full table
//! lost.

use std::fmt;

use recon_common::{Direction, FrameClass, Ignored, Key, Loss, Signal};

/// The frames that crossed the hooks of one direction, each once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frames([u64; FrameClass::COUNT]);

impl Frames {
    /// The frames of that class.
    #[must_use]
    pub const fn of(&self, class: FrameClass) -> u64 {
        self.0[class.index()]
    }

    /// All frames.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The frames that no rule asks about.
    #[must_use]
    pub fn ignored(&self) -> u64 {
        let kinds = Ignored::ALL.into_iter();
        kinds.map(|kind| self.of(FrameClass::Ignored(kind))).sum()
    }

    /// The frames that can't be read.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let losses = Loss::OF_FRAMES.into_iter();
        losses.map(|loss| self.of(FrameClass::Lost(loss))).sum()
    }

    /// Adds frames of a class.
    pub(crate) const fn add_frames(&mut self, class: FrameClass, frames: u64) {
        self.0[class.index()] += frames;
    }

    fn add(&mut self, other: &Self) {
        for (sum, frames) in self.0.iter_mut().zip(other.0) {
            *sum += frames;
        }
    }

    /// Writes the frames of each class as words of the log.
    fn write(&self, direction: Direction, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match direction {
            Direction::In => "in",
            Direction::Out => "out",
        };
        write!(
            f,
            "frames_{way}={} signals_{way}={} established_{way}={} ignored_{way}={} lost_{way}={}",
            self.total(),
            self.of(FrameClass::Signal),
            self.of(FrameClass::Established),
            self.ignored(),
            self.lost()
        )?;
        for kind in Ignored::ALL {
            match self.of(FrameClass::Ignored(kind)) {
                0 => {}
                frames => write!(f, " ignored_{way}_{}={frames}", kind.name())?,
            }
        }
        Ok(())
    }
}

/// The counts of all rows by the kind of their signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalCounts([u64; Signal::ALL.len()]);

impl Default for SignalCounts {
    fn default() -> Self {
        Self([0; Signal::ALL.len()])
    }
}

impl SignalCounts {
    /// The count of that kind.
    #[must_use]
    pub const fn of(&self, signal: Signal) -> u64 {
        self.0[signal as usize]
    }

    /// Adds to the count of a kind.
    pub(crate) const fn add_signals(&mut self, signal: Signal, count: u64) {
        self.0[signal as usize] += count;
    }

    fn add(&mut self, other: &Self) {
        for (sum, count) in self.0.iter_mut().zip(other.0) {
            *sum += count;
        }
    }
}

/// The sums of one poll, besides its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames that crossed an inbound hook.
    pub frames_in: Frames,
    /// Frames that crossed an outbound hook.
    pub frames_out: Frames,
    /// Signals that are no frames: what the socket hooks have seen, and connections that failed
    /// before their first packet.
    pub socket_signals: u64,
    /// Sum of the counts of all rows.
    pub signals: u64,
    /// The same by the kind of the signal.
    pub by_signal: SignalCounts,
    /// How many of these are signals of sources without a key of their own.
    pub sketched: u64,
    /// Number of rows.
    pub keys: u64,
    /// What could not be counted, by [`Loss`].
    pub lost: [u64; Loss::ALL.len()],
}

impl Tally {
    /// All losses together.
    #[must_use]
    pub fn lost_total(&self) -> u64 {
        self.lost.iter().sum()
    }

    /// All frames, of both directions.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames_in.total() + self.frames_out.total()
    }

    /// The losses for one reason.
    #[must_use]
    pub(crate) fn lost_for(&self, reason: Loss) -> u64 {
        let mut losses = Loss::ALL.into_iter().zip(self.lost);
        let found = losses.find(|(loss, _)| *loss == reason);
        found.map_or(0, |(_, lost)| lost)
    }

    /// Whether the counts are a lower bound.
    #[must_use]
    pub(crate) fn is_lower_bound(&self) -> bool {
        let mut losses = Loss::ALL.into_iter().zip(self.lost);
        self.sketched > 0 || losses.any(|(loss, count)| loss.lowers_counts() && count > 0)
    }

    /// Adds the growth of the frames of a class.
    pub(crate) const fn add_frames(
        &mut self,
        direction: Direction,
        class: FrameClass,
        frames: u64,
    ) {
        match direction {
            Direction::In => self.frames_in.add_frames(class, frames),
            Direction::Out => self.frames_out.add_frames(class, frames),
        }
        if let FrameClass::Lost(loss) = class {
            self.lost[loss as usize] += frames;
        }
    }

    /// Adds a row.
    pub(super) fn add_row(&mut self, key: &Key, count: u64) {
        self.signals += count;
        if let Some(signal) = Signal::from_number(key.signal) {
            self.by_signal.add_signals(signal, count);
        }
        // Of the rows and not of a counter: what has left its overflow key for a full table is
        // lost, and nothing else.
        if key.is_overflow() {
            self.sketched += count;
        }
        self.keys += 1;
    }

    /// Adds another tally to this one.
    pub fn add(&mut self, other: &Self) {
        self.frames_in.add(&other.frames_in);
        self.frames_out.add(&other.frames_out);
        self.socket_signals += other.socket_signals;
        self.signals += other.signals;
        self.by_signal.add(&other.by_signal);
        self.sketched += other.sketched;
        self.keys += other.keys;
        for (sum, lost) in self.lost.iter_mut().zip(other.lost) {
            *sum += lost;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            frames_in,
            frames_out,
            socket_signals,
            signals,
            by_signal: _,
            sketched,
            keys,
            lost: _,
        } = self;
        frames_in.write(Direction::In, f)?;
        f.write_str(" ")?;
        frames_out.write(Direction::Out, f)?;
        write!(
            f,
            " signals_sockets={socket_signals} signals={signals} admitted={} sketched={sketched} keys={keys} lost={}",
            signals.saturating_sub(*sketched),
            self.lost_total()
        )?;
        for (loss, count) in Loss::ALL.into_iter().zip(self.lost) {
            if count > 0 {
                write!(f, " lost_{}={count}", loss.name())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_shows_what_adds_up() {
        let mut tally = Tally {
            socket_signals: 2,
            signals: 11,
            sketched: 4,
            keys: 3,
            ..Tally::default()
        };
        for (direction, class, frames) in [
            (Direction::In, FrameClass::Signal, 10),
            (Direction::In, FrameClass::Established, 20),
            (Direction::In, FrameClass::Ignored(Ignored::NotIp), 3),
            (Direction::In, FrameClass::Ignored(Ignored::Group), 4),
            (Direction::Out, FrameClass::Lost(Loss::TooDeep), 5),
        ] {
            tally.add_frames(direction, class, frames);
        }
        tally.lost[Loss::TableFull as usize] = 1;
        assert_eq!(
            tally.to_string(),
            "frames_in=37 signals_in=10 established_in=20 ignored_in=7 lost_in=0 \
            ignored_in_not_ip=3 ignored_in_group=4 \
            frames_out=5 signals_out=0 established_out=0 ignored_out=0 lost_out=5 \
            signals_sockets=2 signals=11 admitted=7 sketched=4 keys=3 \
            lost=6 lost_too_deep=5 lost_table_full=1"
        );
    }
}
