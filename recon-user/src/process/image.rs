//! The programs of one process, one after the other.
//!
//! In: records of a pid. Out: [`Image`], what was known while it ran a program.
//! The decisions held here: a process keeps its last three programs besides the current one. A
//! program is looked up by its exact number. Once the numbers have come round, after 255 programs,
//! no program is known: a wrong name is worse than none.

use recon_common::ImageId;

use super::Process;
use super::record::ProcessRecord;

/// How many programs before the current one are kept.
const KEPT: usize = 3;
/// So many programs later, the same number is given again.
const ROUND: u32 = 1 << u8::BITS;

/// What is known of a process while it ran one program.
#[derive(Clone, Debug)]
pub(super) struct Image {
    /// The kernel's number of the program.
    pub(super) number: u8,
    pub(super) process: Process,
    /// The names of the program, see [`super::tool::program_names`].
    pub(super) names: Vec<String>,
}

impl ProcessRecord {
    /// The program with that number.
    pub(super) fn find_image(&self, number: u8) -> Option<&Image> {
        let is_round = self.executed >= ROUND - 1;
        let mut images = self.earlier.iter().chain([&self.image]);
        images.rfind(|image| image.number == number && !is_round)
    }

    /// Records that the process began as `child`, as a copy of a parent that ran `image`.
    pub(super) fn begin_as(&mut self, child: ImageId, parent: u32, image: Image) {
        let image = Image {
            number: child.number,
            process: Process {
                pid: child.pid,
                parent: Some(parent),
                start: self.image.process.start,
                ..image.process
            },
            names: image.names,
        };
        if self.image.number == child.number {
            self.image = image;
        } else if self.earlier.len() < KEPT {
            // Older than the others.
            self.earlier.insert(0, image);
        }
    }

    /// Takes over what the same process ran before, if `before` is of the same process.
    pub(super) fn inherit(&mut self, before: Self) {
        match self.is_same_process(&before) {
            Some(true) => {
                self.start = self.start.or(before.start);
                let first_seen = before.image.process.start;
                self.image.process.start = first_seen.or(self.image.process.start);
            }
            Some(false) => return,
            // Numbers tell programs apart, whichever process ran them. A start is of one process.
            None => {}
        }
        self.executed = self.executed.saturating_add(before.executed);
        self.earlier = before.earlier;
        if before.image.number != self.image.number {
            self.earlier.push(before.image);
        }
        let surplus = self.earlier.len().saturating_sub(KEPT);
        self.earlier.drain(..surplus);
    }
}

/// Whether a program is of the process that began as `child`, and not of an earlier one of that
/// pid: of those, only the last few may be reported after the fork.
pub(super) fn is_of_process(number: u8, child: ImageId) -> bool {
    const MOST_LATE: u8 = 16;
    child.number.wrapping_sub(number) >= MOST_LATE
}
