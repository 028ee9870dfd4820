//! Programs that run before recon's on an inbound hook, and may take packets away unseen.
//!
//! In: an interface, and the ids of the programs in front. Out: who that is, and when recon may go
//! in front again.
//! The decision held here: another program may insist on being first, too. So recon goes in front
//! again at once, and then ever more seldom: each time takes a moment in which no packet counts.

use std::time::{Duration, Instant};

use aya::programs::loaded_programs;

use super::XDP;

/// How long to wait after the first time.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// How long to wait at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

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
    let mut programs = loaded_programs().filter_map(Result::ok);
    programs.any(|info| info.id() == id && info.name_as_str() == Some(XDP))
}

/// The first of these programs that is not one with that tag: recon's own, of another agent.
/// Without CAP_SYS_ADMIN the kernel does not tell, and each counts as another one.
pub(super) fn find_other(ids: &[u32], tag: u64) -> Option<String> {
    ids.iter().find_map(|&id| {
        let info = loaded_programs().find(|info| info.as_ref().is_ok_and(|info| info.id() == id));
        let info = info.and_then(Result::ok);
        let name = info.as_ref().and_then(|info| info.name_as_str());
        match (&info, id) {
            (Some(info), _) if info.tag() == tag => None,
            (_, 0) => Some("a filter that is no BPF program".to_owned()),
            _ => Some(match name {
                Some(name) => format!("program {name} (id {id})"),
                None => format!("program {id}"),
            }),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
