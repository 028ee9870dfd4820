//! Programs that run before recon's on an inbound hook, and may take packets away unseen.
//!
//! In: an interface, and the ids of the programs in front. Out: who that is, and when recon may go
//! in front again.
//! The decisions held here:
//! - Another program may insist on being first, too. So recon goes in front again at once, and then
//!   ever more seldom: each time takes a moment in which no packet counts.
//! - A program never changes, and the kernel gives its id to no other one for a long time. So recon
//!   asks once for each id, however many programs the kernel has and however often it looks.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use super::XDP;
use super::bpf::{ProgramDescription, describe_program};

/// How long to wait after the first time.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// How long to wait at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// The most programs that are remembered.
const MOST_KNOWN: usize = 1024;

/// When recon may go in front again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Contest {
    /// The next time, and how long to wait after it. `None` before the first time.
    next: Option<(Instant, Duration)>,
}

impl Contest {
    /// Whether to go in front now. Counts as done if so.
    pub(super) fn try_again(&mut self, now: Instant) -> bool {
        let pause = match self.next {
            Some((due, _)) if now < due => return false,
            // Nobody has been in front for a while.
            Some((due, pause)) if now < due + pause => (pause * 2).min(LONGEST_PAUSE),
            _ => FIRST_PAUSE,
        };
        self.next = Some((now + pause, pause));
        true
    }

    /// How long to wait.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let due = self.next.map(|(due, _)| due.saturating_duration_since(now));
        due.unwrap_or_default()
    }
}

/// Whether the program with that id is recon's for XDP, by its name. Without CAP_SYS_ADMIN the
/// kernel does not tell.
pub(crate) fn is_recon_xdp(id: u32) -> bool {
    describe_program(id).is_ok_and(|program| program.name() == Some(XDP))
}

/// The programs that were found in front of recon's, by id. `None` of one that the kernel did not
/// describe.
#[derive(Debug, Default)]
pub(super) struct KnownPrograms(HashMap<u32, Option<ProgramDescription>>);

impl KnownPrograms {
    /// The first of these programs that is not one with that tag: recon's own, of another agent.
    /// Without CAP_SYS_ADMIN the kernel does not tell, and each counts as another one.
    pub(super) fn find_other(&mut self, ids: &[u32], tag: u64) -> Option<String> {
        self.find_other_by(ids, tag, describe_program)
    }

    /// The same, with what describes a program.
    fn find_other_by(
        &mut self,
        ids: &[u32],
        tag: u64,
        mut describe: impl FnMut(u32) -> io::Result<ProgramDescription>,
    ) -> Option<String> {
        ids.iter().find_map(|&id| {
            if id == 0 {
                return Some("a filter that is no BPF program".to_owned());
            }
            if self.0.len() >= MOST_KNOWN && !self.0.contains_key(&id) {
                self.0.clear();
            }
            let known = self.0.entry(id).or_insert_with(|| describe(id).ok());
            match known {
                Some(program) if program.tag() == tag => None,
                Some(program) if program.name().is_some() => {
                    let name = program.name().unwrap_or_default();
                    Some(format!("program {name} (id {id})"))
                }
                _ => Some(format!("program {id}")),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recon asks once for each program, however often it looks on however many interfaces.
    #[test]
    fn each_program_is_asked_for_once() {
        const OWN: u64 = 7;
        let described = ProgramDescription::of;
        let mut looks = Vec::new();
        let mut known = KnownPrograms::default();
        for _poll in 0..100 {
            for (ids, expected) in [
                (&[][..], None),
                (&[3], None),
                (&[3, 4], Some("program other (id 4)")),
                (&[5, 4], Some("program 5")),
                (&[6], Some("program 6")),
                (&[3, 0], Some("a filter that is no BPF program")),
            ] {
                let found = known.find_other_by(ids, OWN, |id| {
                    looks.push(id);
                    match id {
                        3 => Ok(described(OWN, b"recon_ingress")),
                        4 => Ok(described(1, b"other")),
                        5 => Ok(described(1, b"")),
                        _ => Err(io::ErrorKind::PermissionDenied.into()),
                    }
                });
                assert_eq!(found.as_deref(), expected, "{ids:?}");
            }
        }
        assert_eq!(looks, [3, 4, 5, 6]);
        for id in 7..7 + 2 * MOST_KNOWN as u32 {
            known.find_other_by(&[id], OWN, |_| Err(io::ErrorKind::NotFound.into()));
            assert!(known.0.len() <= MOST_KNOWN, "{id}");
        }
    }

    #[test]
    fn whoever_comes_back_is_met_ever_more_seldom() {
        let start = Instant::now();
        let mut contest = Contest::default();
        let mut tried = Vec::new();
        for second in 0..5_000 {
            if contest.try_again(start + Duration::from_secs(second)) {
                tried.push(second);
            }
        }
        assert_eq!(
            tried,
            [
                0, 2, 6, 14, 30, 62, 126, 254, 510, 1_022, 1_622, 2_222, 2_822, 3_422, 4_022, 4_622
            ]
        );
    }

    #[test]
    fn after_a_while_without_it_recon_is_quick_again() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut contest = Contest::default();
        for (second, expected, wait) in [
            (0, true, 2),
            (1, false, 1),
            (2, true, 4),
            (6, true, 8),
            // Due at 14, and quiet for 8 more.
            (22, true, 2),
        ] {
            assert_eq!(contest.try_again(at(second)), expected, "{second}");
            assert_eq!(contest.wait(at(second)).as_secs(), wait, "{second}");
        }
    }
}
