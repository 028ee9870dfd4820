//! The names of network namespaces.
//!
//! In: namespaces as the kernel counts them. Out: their names.
//! The decisions held here:
//! - A look at all namespaces takes time and is needed for a new one only. So there is one look in a
//!   poll, and what it finds is kept: the kernel gives each cookie once.
//! - A namespace that is gone by then has the name [`UNKNOWN`], as it still is not the agent's. It
//!   gets no name of its own: anybody may make namespaces, and names are bounded.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use recon_common::NetnsId;

use crate::process::netns::{Namespace, find_namespaces};
use crate::row::Name;

/// How long one look may delay a poll.
const PATIENCE: Duration = Duration::from_millis(50);
/// Names that are kept.
const MAX_NAMES: usize = 1 << 12;
/// What a namespace is called that is another one than the agent's, and not found.
const UNKNOWN: &str = "unknown";

/// The names by namespace.
#[derive(Debug, Default)]
pub(super) struct Namespaces {
    names: HashMap<NetnsId, Option<Name>>,
    has_looked: bool,
}

impl Namespaces {
    /// Begins a poll, which may have one look.
    pub(super) fn begin_poll(&mut self) {
        self.has_looked = false;
    }

    /// The name of that namespace.
    pub(super) fn name(&mut self, netns: NetnsId) -> Option<Name> {
        self.name_by(netns, || {
            find_namespaces(Path::new("/proc"), Instant::now() + PATIENCE)
        })
    }

    /// The same with a look of the caller's, which says whether it has found all.
    fn name_by(
        &mut self,
        netns: NetnsId,
        look: impl FnOnce() -> (Vec<Namespace>, bool),
    ) -> Option<Name> {
        if let Some(&name) = self.names.get(&netns) {
            return name;
        }
        let unknown = Name::new(UNKNOWN);
        if netns.cookie().is_none() || self.has_looked {
            return unknown;
        }
        self.has_looked = true;
        if self.names.len() >= MAX_NAMES {
            self.names.clear();
        }
        let (found, is_all) = look();
        for Namespace { cookie, name } in found {
            if let Some(of) = NetnsId::read(NetnsId::word(cookie)) {
                self.names.insert(of, Name::new(&name));
            }
        }
        match self.names.get(&netns) {
            Some(&name) => name,
            None => {
                if is_all {
                    self.names.insert(netns, unknown);
                }
                unknown
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn netns(cookie: u64) -> NetnsId {
        NetnsId::read(NetnsId::word(cookie)).expect("a namespace")
    }

    #[test]
    fn a_poll_looks_once_and_keeps_what_it_finds() {
        const GREAT: u64 = 1 << 40;
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
            // A look that was cut short.
            (&[9], &[], false, &["unknown"], 4),
            (&[9], &[(9, "red")], false, &["red"], 5),
            (&[GREAT], &[], true, &["unknown"], 5),
        ] {
            namespaces.begin_poll();
            let names = cookies.iter().map(|&cookie| {
                let name = namespaces.name_by(netns(cookie), || {
                    looks += 1;
                    let found = found.iter().map(|&(cookie, name)| Namespace {
                        cookie,
                        name: name.to_owned(),
                    });
                    (found.collect(), is_all)
                });
                name.map_or("", Name::text)
            });
            let names: Vec<_> = names.collect();
            assert_eq!(names, expected, "{cookies:?}");
            assert_eq!(looks, expected_looks, "{cookies:?}");
        }
    }
}
