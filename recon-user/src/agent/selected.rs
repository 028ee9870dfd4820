//! What to watch, before anything is attached.
//!
//! In: the operator's terms and the interfaces that there are. Out: the interfaces to attach to, or
//! an error; log lines on those that are not watched.

use std::collections::HashSet;

use super::links::LinkTable;
use crate::hook::{self, Chosen, HookError, Interface, InterfaceTerm, Pins, Selection, XdpChoice};

/// What is selected, before anything is attached.
pub(super) struct Selected {
    pub(super) selection: Selection,
    pub(super) choice: XdpChoice,
    pub(super) links: LinkTable,
    pub(super) interfaces: Vec<Interface>,
}

impl Selected {
    /// Selects among the interfaces that there are, and logs which are not watched.
    ///
    /// # Errors
    /// A name is wrong, an interface can't be watched, none is left, or one has another XDP program
    /// and `choice` allows no other hook.
    pub(super) fn new(
        terms: &[InterfaceTerm],
        choice: XdpChoice,
        pins: Option<&Pins>,
    ) -> Result<Self, HookError> {
        let links = LinkTable::open()?;
        let selection = Selection::new(terms);
        let all: Vec<Interface> = links.all().cloned().collect();
        selection.check(&all)?;
        for term in selection.idle_patterns(&all) {
            tracing::info!("{term}: no interface has such a name yet; recon waits for one");
        }
        let nothing = HashSet::new();
        let Chosen {
            watch,
            shown_below,
            unreadable,
        } = selection.choose(&all, &nothing, &nothing);
        for interface in unreadable {
            tracing::warn!(
                "{}: not watched: its packets start neither with Ethernet's header nor with IP's, and recon reads no others",
                interface.name
            );
        }
        for interface in shown_below {
            tracing::info!(
                "{}: not watched: recon sees its packets on the interfaces below it",
                interface.name
            );
        }
        let own = pins.map(Pins::found_programs).unwrap_or_default();
        Ok(Self {
            interfaces: hook::check_conflicts(&watch, choice, &own)?,
            selection,
            choice,
            links,
        })
    }
}
