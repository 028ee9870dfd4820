//! The names of network namespaces.
//!
//! In: namespaces as the kernel counts them. Out: their names.
//! The decisions held here:
//! - A look at all namespaces takes time and is needed for a new one only. So there is one look in
//!   a poll, and what it finds is kept: the kernel gives each cookie once. After a look that took
//!   too long there is none for a while.
//! - Only a namespace that is asked for gets a [`Name`], since names are bounded and never
//!   forgotten, and a host may have many namespaces.
//! - A namespace that is gone by then has the name [`Name::UNKNOWN`], as it still is not the
//!   agent's. So has one for whose name there is no room.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use recon_common::NetnsId;

use crate::process::netns::{Look, Namespace, NamespaceSearch};
use crate::row::Name;

/// How long one look may delay a poll.
const PATIENCE: Duration = Duration::from_millis(50);
/// After a look that took longer there is none for so many times as long: looks take two hundredths
/// of the agent's time at most.
const REST: u32 = 50;
/// Namespaces that are kept: those that were asked for, and as many others.
const MAX_KEPT: usize = 1 << 12;

/// The names by namespace.
#[derive(Debug, Default)]
pub(super) struct Namespaces {
    /// Those of namespaces that were asked for.
    names: HashMap<NetnsId, Name>,
    /// The texts of others that were found.
    found: HashMap<NetnsId, String>,
    search: NamespaceSearch,
    has_looked: bool,
    rests_until: Option<Instant>,
}

impl Namespaces {
    /// Begins a poll, which may have one look.
    pub(super) fn begin_poll(&mut self) {
        self.has_looked = false;
    }

    /// The name of that namespace.
    pub(super) fn name(&mut self, netns: NetnsId) -> Name {
        self.name_by(netns, Instant::now, |search| search.look(PATIENCE))
    }

    /// The same with a clock and a look of the caller's.
    fn name_by(
        &mut self,
        netns: NetnsId,
        now: impl Fn() -> Instant,
        look: impl FnOnce(&mut NamespaceSearch) -> Look,
    ) -> Name {
        if let Some(&name) = self.names.get(&netns) {
            return name;
        }
        if let Some(text) = self.found.remove(&netns) {
            return self.keep_name(netns, &text);
        }
        if netns.cookie().is_none() || self.has_looked || !self.has_rested(&now) {
            return Name::UNKNOWN;
        }
        self.has_looked = true;
        let begun = now();
        let Look {
            found,
            is_all,
            is_cut_short,
        } = look(&mut self.search);
        if is_cut_short {
            let now = now();
            self.rests_until = Some(now + REST * now.duration_since(begun));
        }
        match self.add_found(found, netns) {
            Some(text) => self.keep_name(netns, &text),
            None if is_all => self.keep_name(netns, Name::UNKNOWN.text()),
            None => Name::UNKNOWN,
        }
    }

    /// Whether there is time for a look.
    fn has_rested(&mut self, now: impl Fn() -> Instant) -> bool {
        if self.rests_until.is_some_and(|until| now() < until) {
            return false;
        }
        self.rests_until = None;
        true
    }

    /// Adds what was found, and returns the text of the one that is asked for.
    fn add_found(&mut self, found: Vec<Namespace>, asked: NetnsId) -> Option<String> {
        let mut text = None;
        for Namespace { cookie, name } in found {
            match NetnsId::read(NetnsId::word(cookie)) {
                Some(netns) if netns == asked => text = Some(name),
                Some(netns) if !self.names.contains_key(&netns) => {
                    if self.found.len() >= MAX_KEPT {
                        self.found.clear();
                    }
                    self.found.insert(netns, name);
                }
                _ => {}
            }
        }
        text
    }

    /// Keeps the name of a namespace.
    fn keep_name(&mut self, netns: NetnsId, text: &str) -> Name {
        if self.names.len() >= MAX_KEPT {
            self.names.clear();
        }
        let name = Name::new(text).unwrap_or(Name::UNKNOWN);
        self.names.insert(netns, name);
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::MAX_NAME;

    fn netns(cookie: u64) -> NetnsId {
        NetnsId::read(NetnsId::word(cookie)).expect("a namespace")
    }

    fn namespace((cookie, name): (u64, &str)) -> Namespace {
        let name = name.to_owned();
        Namespace { cookie, name }
    }

    #[test]
    fn a_poll_looks_once_and_keeps_what_it_finds() {
        const GREAT: u64 = 1 << 40;
        let long = &*"x".repeat(MAX_NAME + 1);
        let now = Instant::now();
        let mut namespaces = Namespaces::default();
        let mut looks = 0;
        // (cookies of a poll, what a look finds, whether that is all, names, looks so far)
        for (cookies, found, is_all, expected, expected_looks) in [
            (
                &[5][..],
                &[(5, "blue"), (6, "net:[77]")][..],
                true,
                &["blue"][..],
                1,
            ),
            (&[6, 5], &[], true, &["net:[77]", "blue"], 1),
            (&[7, 8], &[], true, &["unknown", "unknown"], 2),
            // What is gone does not come back, and the other one was not looked for.
            (&[7, 8], &[(8, "green")], true, &["unknown", "green"], 3),
            // A look that has not found all.
            (&[9], &[], false, &["unknown"], 4),
            (&[9], &[(9, "red")], false, &["red"], 5),
            (&[GREAT], &[], true, &["unknown"], 5),
            // It is not the agent's own, whatever its name.
            (&[10], &[(10, long)], true, &["unknown"], 6),
            (&[10], &[], true, &["unknown"], 6),
        ] {
            namespaces.begin_poll();
            let names = cookies.iter().map(|&cookie| {
                let look = |_: &mut NamespaceSearch| {
                    looks += 1;
                    Look {
                        found: found.iter().copied().map(namespace).collect(),
                        is_all,
                        is_cut_short: false,
                    }
                };
                let name = namespaces.name_by(netns(cookie), || now, look);
                name.text()
            });
            let names: Vec<_> = names.collect();
            assert_eq!(names, expected, "{cookies:?}");
            assert_eq!(looks, expected_looks, "{cookies:?}");
        }
    }

    #[test]
    fn after_a_look_that_was_cut_short_comes_a_rest() {
        let start = Instant::now();
        let mut namespaces = Namespaces::default();
        let mut looks = 0;
        // (milliseconds, how long a look takes and whether it is cut short, looks so far)
        for (at, (takes, is_cut_short), expected) in [
            (0, (40, false), 1),
            (41, (60, true), 2),
            (102, (60, true), 2),
            (3_100, (60, true), 2),
            (3_101, (10, false), 3),
            (3_200, (10, false), 4),
        ] {
            namespaces.begin_poll();
            let clock = std::cell::Cell::new(start + Duration::from_millis(at));
            let look = |_: &mut NamespaceSearch| {
                looks += 1;
                clock.set(clock.get() + Duration::from_millis(takes));
                Look {
                    is_cut_short,
                    ..Look::default()
                }
            };
            namespaces.name_by(netns(7), || clock.get(), look);
            assert_eq!(looks, expected, "after {at} ms");
        }
    }

    #[test]
    fn only_what_is_asked_for_gets_a_name() {
        const MOST: u64 = MAX_KEPT as u64;
        let now = Instant::now();
        let mut namespaces = Namespaces::default();
        let look = |_: &mut NamespaceSearch| Look {
            found: (1..=2 * MOST + 1)
                .map(|cookie| namespace((cookie, "pod")))
                .collect(),
            is_all: true,
            is_cut_short: false,
        };
        assert_eq!(namespaces.name_by(netns(1), || now, look).text(), "pod");
        assert_eq!(namespaces.names.len(), 1);
        assert!(
            namespaces.found.len() <= MAX_KEPT,
            "{}",
            namespaces.found.len()
        );
        for cookie in 1..=MOST + 2 {
            namespaces.begin_poll();
            let look = |_: &mut NamespaceSearch| Look {
                found: vec![namespace((cookie, "pod"))],
                ..Look::default()
            };
            let name = namespaces.name_by(netns(cookie), || now, look);
            assert_eq!(name.text(), "pod", "{cookie}");
            assert!(namespaces.names.len() <= MAX_KEPT, "{cookie}");
        }
    }
}
