//! The watched interfaces while the agent runs: which are new, gone, back, or no longer chosen.
//!
//! In: announcements of the kernel, and what the operator selects. Out: hooks on each interface
//! that the selection chooses now, a log line for each change, and what recon is blind for.
//! The decisions held here:
//! - Hooks end with their interface. One that the operator has named, and a network card, is
//!   missed: recon is blind for it until an interface of that name is back. Guests' and tunnels'
//!   interfaces are let go.
//! - One that is renamed keeps its hooks. If a pattern excludes its new name, it is missed.
//! - Where a bridge or bond gets its first member, recon attaches to the member before it lets the
//!   bridge go: a packet in between counts twice rather than never.
//! - Attaching takes a bounded time at once, so that no poll waits for a thousand containers.
//! - An agent without any interface goes on and waits, since this host's own sockets are still
//!   watched.
//! - A bond has its members run the program of native XDP, so that packets carry their indexes:
//!   those are named after the bond that is watched.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::canary::Canary;
use super::change_log::ChangeLog;
use super::links::LinkTable;
use super::refusals::Refusals;
use super::selected::Selected;
use super::watched::{Unwanted, Watched, list_members, named};
use crate::blind::{Blind, BlindPart};
use crate::diagnostic::error_chain;
use crate::hook::{self, AttachedHooks, HookError, Hooks, Interface, Pins, Selection, XdpChoice};

/// How long attaching may take before the agent looks whether a poll is due.
const AT_ONCE: Duration = Duration::from_millis(50);

/// The hooks, and the interfaces that they are on.
pub(super) struct WatchedInterfaces {
    pub(super) hooks: Hooks,
    pub(super) choice: XdpChoice,
    pub(super) watched: Vec<Watched>,
    pub(super) canary: Canary,
    selection: Selection,
    links: LinkTable,
    refusals: Refusals,
    /// Whether there was no time to attach to all that is chosen.
    is_behind: bool,
    /// What is gone since the poll before, and before that: indexes and names.
    gone: [Vec<(u32, String)>; 2],
    /// Names that have changed since they were last taken: before and now.
    renamed: Vec<[String; 2]>,
    changes: ChangeLog,
    /// How many of those watched have had their hooks looked after in this turn.
    pub(super) repaired: usize,
}

impl WatchedInterfaces {
    /// Attaches `hooks` to what is selected.
    ///
    /// # Errors
    /// An interface that the operator has named can't be watched, or none can.
    pub(super) fn attach(
        hooks: Hooks,
        selected: Selected,
    ) -> Result<(Self, Vec<AttachedHooks>), HookError> {
        let Selected {
            selection,
            choice,
            links,
            interfaces,
        } = selected;
        let mut all = Self {
            hooks,
            choice,
            watched: Vec::with_capacity(interfaces.len()),
            canary: Canary::new(Instant::now()),
            selection,
            links,
            refusals: Refusals::default(),
            is_behind: false,
            gone: Default::default(),
            renamed: Vec::new(),
            changes: ChangeLog::new(Instant::now()),
            repaired: 0,
        };
        if all.selection.may_choose_more() {
            all.hooks.load_bare();
        }
        let mut taken = Vec::with_capacity(interfaces.len());
        let mut first_error = None;
        let results = all.hooks.attach_interfaces(&interfaces, choice);
        for (interface, result) in interfaces.iter().zip(results) {
            match result {
                Ok(attached) => {
                    taken.push(attached);
                    all.add(interface);
                }
                Err(error) if all.selection.names(interface) => return Err(error),
                Err(error) => {
                    all.refuse(interface, &error);
                    first_error = first_error.or(Some(error));
                }
            }
        }
        match first_error {
            Some(error) if taken.is_empty() => Err(error),
            _ => {
                all.hooks.look_for_agents_at_start();
                list_members(&mut all.watched, all.links.all());
                Ok((all, taken))
            }
        }
    }

    /// Waits for announcements, or not if there is still something to attach to.
    pub(super) async fn wait(&mut self) {
        if !self.is_behind {
            self.links.wait().await;
        }
    }

    /// The indexes of those that are there.
    pub(super) fn indexes(&self) -> impl Iterator<Item = u32> {
        self.watched.iter().filter_map(|watched| watched.index)
    }

    /// The same with their names, after those that are gone since the poll before, and after the
    /// members of bonds: one that is watched itself has its own name.
    pub(super) fn named(&self) -> impl Iterator<Item = (u32, &str)> {
        let gone = self.gone.iter().flatten();
        let gone = gone.map(|(index, name)| (*index, name.as_str()));
        gone.chain(named(&self.watched))
    }

    /// The names that have changed since the last call: before and now.
    pub(super) fn take_renamed(&mut self) -> Vec<[String; 2]> {
        std::mem::take(&mut self.renamed)
    }

    /// Detaches all hooks. If they are pinned they stay, and no other agent takes them over before
    /// the returned pins are dropped.
    pub(super) fn detach(self) -> Option<Pins> {
        match self.hooks.is_pinned() {
            true => self.hooks.leave(),
            false => {
                self.hooks.detach();
                None
            }
        }
    }

    /// Begins a poll: follows the announcements, and tries again what was refused.
    pub(super) fn begin_poll(&mut self, blind: &mut Blind, now: Timestamp) {
        self.hooks.look_for_agents();
        let [since, before] = &mut self.gone;
        *before = std::mem::take(since);
        if let Some(suppressed) = self.changes.end_period(Instant::now()) {
            tracing::info!(
                "{suppressed} more changes of interfaces in the last minute; -v logs each of them"
            );
        }
        let find = |index| self.links.find(index);
        let refused = self.refusals.due(find, Instant::now());
        self.follow(&refused, blind, now);
    }

    /// Follows the announcements since the last call.
    pub(super) fn follow_changes(&mut self, blind: &mut Blind, now: Timestamp) {
        self.follow(&[], blind, now);
    }

    fn follow(&mut self, again: &[u32], blind: &mut Blind, now: Timestamp) {
        let has_changed = self.links.update();
        let gone = self.links.take_gone();
        if !has_changed && !self.is_behind && again.is_empty() && gone.is_empty() {
            return;
        }
        let has_lost = self.lose(&gone, blind, now);
        self.follow_names();
        let (missing, unwanted) = self.compare(again, blind);
        self.is_behind = !self.attach_to(&missing, blind);
        if !self.is_behind {
            for (index, reason) in unwanted {
                self.let_go(index, reason, blind, now);
            }
        }
        list_members(&mut self.watched, self.links.all());
        if has_lost && self.indexes().next().is_none() {
            tracing::warn!(
                "no watched interface is left: recon sees no packets, and goes on until one is back; SIGTERM ends it"
            );
        }
    }

    /// Releases the interfaces that are gone. Returns whether there are any.
    fn lose(&mut self, gone: &HashSet<u32>, blind: &mut Blind, now: Timestamp) -> bool {
        let Self {
            hooks,
            watched,
            links,
            changes,
            ..
        } = self;
        self.refusals.retain(|index| links.find(index).is_some());
        let is_gone = |index: &u32| gone.contains(index) || links.find(*index).is_none();
        let mut has_lost = false;
        watched.retain_mut(|watched| {
            let Some(index) = watched.index.take_if(|index| is_gone(index)) else {
                return true;
            };
            has_lost = true;
            hooks.release_interface(index);
            self.gone[0].push((index, watched.name.clone()));
            blind.regain_hooks(&watched.name);
            if (watched.is_transient || watched.is_bridge) && !watched.is_named {
                changes.log(format_args!(
                    "{}: is gone, and recon's hooks with it",
                    watched.name
                ));
                return false;
            }
            blind.lose_interface(&watched.name, now);
            tracing::warn!(
                "{}: is gone, and recon's hooks with it: its packets are not seen until an interface of that name is back",
                watched.name
            );
            true
        });
        has_lost
    }

    /// Logs what has changed of the interfaces that still have their hooks.
    fn follow_names(&mut self) {
        let Self {
            watched,
            links,
            renamed,
            changes,
            ..
        } = self;
        for watched in watched {
            let interface = watched.index.and_then(|index| links.find(index));
            renamed.extend(interface.and_then(|interface| watched.follow(interface, changes)));
        }
    }

    /// The indexes that are chosen and have no hooks, and those that have some and are not chosen.
    /// What was refused is chosen if it is to be tried `again`.
    fn compare(&mut self, again: &[u32], blind: &mut Blind) -> (Vec<u32>, Vec<(u32, Unwanted)>) {
        let watched: HashSet<u32> = self.indexes().collect();
        let named: Vec<&Watched> = self.watched.iter().filter(|it| it.is_named).collect();
        // One that was named, then renamed, may come back under either name.
        let is_kept = |interface: &&Interface| {
            named.iter().any(|named| match named.index {
                Some(index) => index == interface.index,
                None => interface.has_name(&named.name),
            })
        };
        let kept = self.links.all().filter(is_kept);
        let kept = kept.map(|interface| interface.index).collect();
        let chosen = self.selection.choose(self.links.all(), &kept, &watched);
        let indexes = chosen.watch.iter().map(|interface| interface.index);
        let indexes: HashSet<u32> = indexes.collect();
        let is_missing = |index: &&u32| {
            !watched.contains(*index)
                && (again.contains(*index) || !self.refusals.contains(**index))
        };
        let mut missing: Vec<u32> = indexes.iter().filter(is_missing).copied().collect();
        missing.sort_unstable();
        let unwanted = watched.difference(&indexes);
        let unwanted = unwanted.map(|&index| (index, Unwanted::of(index, &chosen)));
        let unwanted = unwanted.collect();
        // A bridge that is back may have members by now, which are watched in its place.
        self.watched.retain(|watched| {
            let mut shown = chosen.shown_below.iter();
            let is_back =
                watched.index.is_none() && shown.any(|shown| shown.has_name(&watched.name));
            if is_back {
                blind.regain(&BlindPart::Interface(watched.name.clone()));
            }
            !is_back
        });
        for watched in &mut self.watched {
            if watched.index.is_some_and(|index| indexes.contains(&index)) {
                watched.chosen_as.clone_from(&watched.name);
            }
        }
        (missing, unwanted)
    }

    /// Attaches to these interfaces, as many as there is time for. Returns whether to all.
    fn attach_to(&mut self, missing: &[u32], blind: &mut Blind) -> bool {
        let end = Instant::now() + AT_ONCE;
        for (place, &index) in missing.iter().enumerate() {
            if place > 0 && Instant::now() >= end {
                return false;
            }
            // One that is gone by now is announced.
            let Ok(interface) = hook::find_interface(index) else {
                continue;
            };
            match self.attach_one(&interface) {
                Ok(attached) => self.welcome(&interface, &attached, blind),
                Err(error) => self.refuse(&interface, &error),
            }
        }
        true
    }

    fn attach_one(&mut self, interface: &Interface) -> Result<AttachedHooks, HookError> {
        let one = std::slice::from_ref(interface);
        match self.refusals.contains(interface.index) {
            // What it warns of was said at the first time.
            true => hook::check_xdp(one, self.choice)?,
            false => drop(hook::check_conflicts(
                &[interface],
                self.choice,
                &HashSet::new(),
            )?),
        }
        let mut results = self.hooks.attach_interfaces(one, self.choice);
        results.remove(0)
    }

    /// Watches an interface that is new, or that is back.
    fn welcome(&mut self, interface: &Interface, attached: &AttachedHooks, blind: &mut Blind) {
        self.refusals.remove(interface.index);
        self.canary.forget(interface.index);
        let mut missed = self.watched.iter_mut();
        match missed.find(|watched| watched.index.is_none() && interface.has_name(&watched.name)) {
            Some(watched) => {
                tracing::info!("is back: {attached}");
                blind.regain(&BlindPart::Interface(watched.name.clone()));
                watched.name.clone_from(&interface.name);
                watched.chosen_as.clone_from(&interface.name);
                watched.index = Some(interface.index);
                watched.is_up = interface.is_up;
            }
            None => {
                self.changes.log(format_args!("is new: {attached:#}"));
                self.add(interface);
            }
        }
    }

    fn add(&mut self, interface: &Interface) {
        self.watched.push(Watched {
            name: interface.name.clone(),
            chosen_as: interface.name.clone(),
            index: Some(interface.index),
            is_named: self.selection.names(interface),
            is_transient: interface.is_transient,
            is_bridge: interface.is_bridge,
            is_up: interface.is_up,
            members: Vec::new(),
        });
    }

    /// Releases what is held of an interface, and says once why hooks do not attach to it.
    fn refuse(&mut self, interface: &Interface, error: &HookError) {
        self.hooks.release_interface(interface.index);
        let refusal = error_chain(error);
        if self.refusals.note(interface, &refusal, Instant::now()) {
            tracing::error!(
                "{}: is not watched: {refusal}; trying again",
                interface.name
            );
        }
    }

    /// Releases an interface that is there and no longer chosen.
    fn let_go(&mut self, index: u32, reason: Unwanted, blind: &mut Blind, now: Timestamp) {
        self.hooks.release_interface(index);
        let is_it = |watched: &Watched| watched.index == Some(index);
        let Some(place) = self.watched.iter().position(is_it) else {
            return;
        };
        let why = reason.text();
        let watched = &mut self.watched[place];
        self.gone[0].push((index, watched.name.clone()));
        blind.regain_hooks(&watched.name);
        if reason == Unwanted::ShownBelow || watched.is_transient && !watched.is_named {
            let Watched { name, .. } = self.watched.swap_remove(place);
            let line = format_args!("{name}: is no longer watched: {why}");
            self.changes.log(line);
            return;
        }
        tracing::warn!(
            "{}: is no longer watched: {why}: its packets are not seen until an interface named {} is there",
            watched.name,
            watched.chosen_as
        );
        watched.index = None;
        watched.name.clone_from(&watched.chosen_as);
        blind.lose_interface(&watched.name, now);
    }
}
