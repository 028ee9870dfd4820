//! All interfaces of this network namespace, as the kernel last announced them.
//!
//! In: announcements. Out: the interfaces, and which indexes are gone since the last look.
//! The decision held here: an interface that is deleted and created again between two looks may
//! have its old index, and still has no hooks. So what is gone is remembered, whatever is there.

use std::collections::{BTreeMap, HashSet};

use crate::diagnostic::error_chain;
use crate::hook::{HookError, Interface, LinkChange, LinkEvents, list_interfaces};

/// The interfaces by index.
pub(super) struct LinkTable {
    events: LinkEvents,
    interfaces: BTreeMap<u32, Interface>,
    gone: HashSet<u32>,
    /// Whether announcements were lost since the interfaces were last listed.
    is_stale: bool,
}

impl LinkTable {
    /// Lists the interfaces, and follows them from now on.
    ///
    /// # Errors
    /// [`HookError::ListInterfaces`].
    pub(super) fn open() -> Result<Self, HookError> {
        // Before the interfaces are listed, so that no change in between is missed.
        let events = LinkEvents::subscribe()?;
        let interfaces = list_interfaces()?;
        Ok(Self {
            events,
            interfaces: by_index(interfaces),
            gone: HashSet::new(),
            is_stale: false,
        })
    }

    /// Waits for announcements.
    pub(super) async fn wait(&mut self) {
        self.events.wait().await;
    }

    /// Reads the announcements. Returns whether an interface has changed.
    pub(super) fn update(&mut self) -> bool {
        let Self {
            events,
            interfaces,
            gone,
            is_stale,
        } = self;
        let mut has_changed = false;
        events.drain(|change| match change {
            LinkChange::Present(interface) => {
                has_changed |= interfaces.get(&interface.index) != Some(&interface);
                interfaces.insert(interface.index, interface);
            }
            LinkChange::Gone(index) => {
                has_changed |= interfaces.remove(&index).is_some();
                gone.insert(index);
            }
            LinkChange::Unknown => *is_stale = true,
        });
        if self.is_stale {
            match list_interfaces() {
                Ok(all) => {
                    self.is_stale = false;
                    self.interfaces = by_index(all);
                    has_changed = true;
                }
                Err(error) => tracing::warn!("{}; trying again", error_chain(&error)),
            }
        }
        has_changed
    }

    /// The indexes that are gone since the last call, also if an interface has them again.
    pub(super) fn take_gone(&mut self) -> HashSet<u32> {
        std::mem::take(&mut self.gone)
    }

    /// The interface with that index.
    pub(super) fn find(&self, index: u32) -> Option<&Interface> {
        self.interfaces.get(&index)
    }

    /// All interfaces.
    pub(super) fn all(&self) -> impl Iterator<Item = &Interface> {
        self.interfaces.values()
    }
}

fn by_index(interfaces: Vec<Interface>) -> BTreeMap<u32, Interface> {
    let interfaces = interfaces.into_iter();
    interfaces
        .map(|interface| (interface.index, interface))
        .collect()
}
