//! Interfaces on which no hook attaches.
//!
//! In: refusals, and the interfaces as the kernel announces them. Out: which to try again.
//! The decision held here: recon tries again once the interface changes, and else ever more seldom.
//! Each time costs: outbound hooks come and go, and native XDP resets the queues of some cards.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::hook::Interface;

/// How long to wait after the first refusal.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// How long to wait at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// The refusals, by the interface's index.
#[derive(Debug, Default)]
pub(super) struct Refusals(HashMap<u32, Refusal>);

#[derive(Debug)]
struct Refusal {
    reason: String,
    /// The interface at that time.
    interface: Interface,
    due: Instant,
    pause: Duration,
}

impl Refusals {
    /// Notes why no hook attaches. Returns whether that is news.
    pub(super) fn note(&mut self, interface: &Interface, reason: &str, now: Instant) -> bool {
        let before = self.0.get(&interface.index);
        let is_new = before.is_none_or(|before| before.reason != reason);
        let pause = match before {
            Some(before) if before.interface == *interface => (before.pause * 2).min(LONGEST_PAUSE),
            _ => FIRST_PAUSE,
        };
        let refusal = Refusal {
            reason: reason.to_owned(),
            interface: interface.clone(),
            due: now + pause,
            pause,
        };
        self.0.insert(interface.index, refusal);
        is_new
    }

    /// Which to try again now. `find` gives the interface of an index as it is.
    pub(super) fn due<'a>(
        &self,
        find: impl Fn(u32) -> Option<&'a Interface>,
        now: Instant,
    ) -> Vec<u32> {
        let is_due = |(index, refusal): &(&u32, &Refusal)| {
            refusal.due <= now || find(**index) != Some(&refusal.interface)
        };
        let due = self.0.iter().filter(is_due);
        due.map(|(index, _)| *index).collect()
    }

    pub(super) fn contains(&self, index: u32) -> bool {
        self.0.contains_key(&index)
    }

    pub(super) fn remove(&mut self, index: u32) {
        self.0.remove(&index);
    }

    /// Forgets those for which `is_there` is false.
    pub(super) fn retain(&mut self, is_there: impl Fn(u32) -> bool) {
        self.0.retain(|index, _| is_there(*index));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_tried_again_when_it_changes_and_else_ever_more_seldom() {
        let start = Instant::now();
        let mut refusals = Refusals::default();
        let mut interface = Interface {
            index: 7,
            ..Interface::default()
        };
        let mut tried = Vec::new();
        assert!(refusals.note(&interface, "no", start));
        for second in 0..2_000 {
            let now = start + Duration::from_secs(second);
            interface.is_up = second >= 20;
            if !refusals.due(|_| Some(&interface), now).is_empty() {
                tried.push(second);
                assert!(!refusals.note(&interface, "no", now));
            }
        }
        assert_eq!(
            tried,
            [
                2, 6, 14, 20, 22, 26, 34, 50, 82, 146, 274, 530, 1_042, 1_642
            ]
        );
        assert!(refusals.note(&interface, "another", start));
        refusals.retain(|index| index != interface.index);
        assert!(!refusals.contains(interface.index));
    }
}
