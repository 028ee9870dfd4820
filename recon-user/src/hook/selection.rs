//! Which interfaces to watch.
//!
//! In: the operator's names and patterns, and the interfaces that there are. Out: those to watch
//! now, and why others are not.
//! The decisions held here:
//! - A packet is watched once, at the lowest interface. A bridge, a bond or a VLAN interface shows
//!   its members' packets again, and counting them twice would halve every threshold. This holds of
//!   what recon chooses by itself or by a pattern. What the operator names is watched.
//! - Without names, every interface that is up but loopback: a container's veth and a VM's tap
//!   besides the uplink. A packet that the host forwards comes in at one interface and goes out at
//!   another, and counts as a hit only where it comes in.
//! - What is chosen so is chosen again at each change. An interface that is watched and goes down
//!   stays, so that a flap costs nothing.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use glob::Pattern;

use super::{HookError, Interface};

/// What stands before the name or the pattern of an interface that is not to be watched.
const EXCLUDES: char = '!';
/// What a pattern has and a name lacks.
const WILDCARDS: [char; 3] = ['*', '?', '['];

/// One `-i`: a name, a pattern, or either to exclude.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceTerm {
    is_excluded: bool,
    wanted: Wanted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Name(String),
    Pattern(Pattern),
}

impl FromStr for InterfaceTerm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (is_excluded, text) = match text.strip_prefix(EXCLUDES) {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if is_excluded && text.is_empty() {
            let example = "name an interface ('!docker0') or a pattern ('!veth*') to exclude";
            return Err(format!("no name; {example}"));
        }
        if is_excluded && text.starts_with(EXCLUDES) {
            return Err(format!("`{EXCLUDES}` stands twice; once excludes"));
        }
        // No interface has a control character in its name, and no message may have one raw.
        let is_pattern = text.contains(WILDCARDS) && !text.contains(char::is_control);
        // A name that is asked for is compared with those that there are, which says more.
        if is_pattern || is_excluded {
            check_can_match(text)?;
        }
        let wanted = match is_pattern {
            true => Wanted::Pattern(Pattern::new(text).map_err(|error| {
                format!(
                    "{} (at character {}); patterns have *, ? and [a-z]",
                    error.msg,
                    error.pos + 1
                )
            })?),
            false => Wanted::Name(text.to_owned()),
        };
        Ok(Self {
            is_excluded,
            wanted,
        })
    }
}

/// Fails if no interface can ever have such a name.
fn check_can_match(text: &str) -> Result<(), String> {
    /// What the kernel allows in no name, besides blanks.
    const NEVER: [char; 2] = ['/', ':'];
    if let Some(letter) = text.chars().find(|letter| NEVER.contains(letter)) {
        return Err(format!("no interface has `{letter}` in its name"));
    }
    let letters: Vec<char> = text.chars().collect();
    let mut ranges = letters.windows(3).enumerate();
    let backwards = ranges.find(|(at, range)| {
        let is_inside = letters[..*at].contains(&'[') && range[1] == '-' && range[2] != ']';
        is_inside && range[0] > range[2] && range[0] != '['
    });
    match backwards {
        Some((_, range)) => {
            let [first, last] = [range[0], range[2]];
            Err(format!(
                "the range {first}-{last} is empty; write it as {last}-{first}"
            ))
        }
        None => Ok(()),
    }
}

impl fmt::Display for InterfaceTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_excluded {
            write!(f, "{EXCLUDES}")?;
        }
        match &self.wanted {
            Wanted::Name(name) => f.write_str(name),
            Wanted::Pattern(pattern) => write!(f, "{pattern}"),
        }
    }
}

impl InterfaceTerm {
    fn matches(&self, interface: &Interface) -> bool {
        match &self.wanted {
            Wanted::Name(name) => interface.has_name(name),
            Wanted::Pattern(pattern) => interface.names().any(|name| pattern.matches(name)),
        }
    }

    /// The name that it asks for, if it is one.
    fn asked_name(&self) -> Option<&str> {
        match &self.wanted {
            Wanted::Name(name) if !self.is_excluded => Some(name),
            _ => None,
        }
    }
}

/// All of the operator's terms.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection(Vec<InterfaceTerm>);

/// What to watch of the interfaces that there are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Chosen<'a> {
    /// In the order of the operator's names, then in the kernel's.
    pub(crate) watch: Vec<&'a Interface>,
    /// Those whose packets are watched on the interfaces below them.
    pub(crate) shown_below: Vec<&'a Interface>,
    /// Those whose packets recon does not read.
    pub(crate) unreadable: Vec<&'a Interface>,
}

impl Selection {
    /// The selection of these terms.
    pub(crate) fn new(terms: &[InterfaceTerm]) -> Self {
        Self(terms.to_vec())
    }

    /// Whether the operator has named the interface.
    pub(crate) fn names(&self, interface: &Interface) -> bool {
        let Self(terms) = self;
        let mut names = terms.iter().filter_map(InterfaceTerm::asked_name);
        names.any(|name| interface.has_name(name))
    }

    /// The patterns that match none of these interfaces.
    pub(crate) fn idle_patterns(&self, all: &[Interface]) -> Vec<&InterfaceTerm> {
        let Self(terms) = self;
        let is_idle = |term: &&InterfaceTerm| {
            let is_pattern = matches!(term.wanted, Wanted::Pattern(_)) && !term.is_excluded;
            is_pattern && !all.iter().any(|interface| term.matches(interface))
        };
        terms.iter().filter(is_idle).collect()
    }

    /// Fails if a name is wrong, or if there is nothing to watch and nothing to wait for.
    pub(crate) fn check(&self, all: &[Interface]) -> Result<(), HookError> {
        let Self(terms) = self;
        for term in terms.iter().filter(|term| !term.is_excluded) {
            let mut excluded = terms.iter().filter(|other| other.is_excluded);
            if excluded.any(|other| other.wanted == term.wanted) {
                return Err(HookError::BothWays {
                    term: term.to_string(),
                });
            }
        }
        for name in terms.iter().filter_map(InterfaceTerm::asked_name) {
            let Some(interface) = all.iter().find(|interface| interface.has_name(name)) else {
                return Err(HookError::NoSuchInterface {
                    name: name.to_owned(),
                    known: join_names(all),
                });
            };
            if !interface.is_readable() {
                return Err(HookError::Unreadable {
                    name: name.to_owned(),
                });
            }
        }
        if self.waits_for_patterns() || self.has_any(all) {
            return Ok(());
        }
        Err(HookError::NothingToWatch {
            known: join_names(all),
        })
    }

    /// Whether an interface may be chosen that nobody has named.
    pub(crate) fn may_choose_more(&self) -> bool {
        let Self(terms) = self;
        self.waits_for_patterns() || terms.iter().all(|term| term.is_excluded)
    }

    /// Whether it has a pattern, for which an interface may come.
    fn waits_for_patterns(&self) -> bool {
        let Self(terms) = self;
        let is_pattern = |term: &InterfaceTerm| matches!(term.wanted, Wanted::Pattern(_));
        terms
            .iter()
            .any(|term| !term.is_excluded && is_pattern(term))
    }

    fn has_any(&self, all: &[Interface]) -> bool {
        let nothing = HashSet::new();
        !self.choose(all, &nothing, &nothing).watch.is_empty()
    }

    /// Chooses among all interfaces. Those of `kept` are followed whatever they are named now;
    /// those of `watched` count as up.
    pub(crate) fn choose<'a>(
        &self,
        all: impl IntoIterator<Item = &'a Interface>,
        kept: &HashSet<u32>,
        watched: &HashSet<u32>,
    ) -> Chosen<'a> {
        let mut chosen = Chosen::default();
        let mut candidates = Vec::new();
        for interface in all {
            let is_named = kept.contains(&interface.index) || self.names(interface);
            let is_up = interface.is_up || watched.contains(&interface.index);
            let is_wanted = is_up && !interface.is_loopback && self.wants(interface);
            match (is_named, is_wanted) {
                (true, _) if interface.is_readable() => chosen.watch.push(interface),
                (_, true) if interface.is_readable() => candidates.push(interface),
                (_, true) => chosen.unreadable.push(interface),
                _ => {}
            }
        }
        let lower = chosen.watch.iter().chain(&candidates);
        let indexes: HashSet<u32> = lower.clone().map(|interface| interface.index).collect();
        let with_members: HashSet<u32> = lower.filter_map(|of| of.controller).collect();
        self.sort(&mut chosen.watch);
        for interface in candidates {
            let is_above = interface
                .lower
                .is_some_and(|lower| indexes.contains(&lower));
            match is_above || with_members.contains(&interface.index) {
                true => chosen.shown_below.push(interface),
                false => chosen.watch.push(interface),
            }
        }
        chosen
    }

    /// Whether a pattern, or the default, includes the interface.
    fn wants(&self, interface: &Interface) -> bool {
        let Self(terms) = self;
        let mut is_default = true;
        let mut is_included = false;
        for term in terms {
            let matches = term.matches(interface);
            if term.is_excluded && matches {
                return false;
            }
            is_default &= term.is_excluded;
            is_included |= !term.is_excluded && matches;
        }
        is_default || is_included
    }

    /// Puts the named interfaces into the order of the names.
    fn sort(&self, named: &mut [&Interface]) {
        let Self(terms) = self;
        named.sort_by_key(|interface| {
            let is_it = |term: &InterfaceTerm| {
                term.asked_name()
                    .is_some_and(|name| interface.has_name(name))
            };
            terms.iter().position(is_it).unwrap_or(terms.len())
        });
    }
}

fn join_names(all: &[Interface]) -> String {
    let names: Vec<&str> = all
        .iter()
        .map(|interface| interface.name.as_str())
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;
