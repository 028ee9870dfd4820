//! What incidents know of the groups and sources that the stream may evict.
//!
//! In: tags, remotes. Out: whether they were reported, and proven.

use jiff::Timestamp;
use recon_common::Address;

use super::Incidents;
use crate::contact::Contacts;
use crate::stream::{Tag, Watcher};

/// Incidents, and the evidence about remotes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) incidents: &'a Incidents,
    pub(crate) contacts: &'a Contacts,
}

impl Watcher for Known<'_> {
    fn is_reported(&self, tag: Tag, since: Timestamp) -> bool {
        self.incidents.protects(tag, since)
    }

    fn is_proven(&self, remote: Address) -> bool {
        self.contacts.is_proven(remote)
    }

    fn is_network_proven(&self, remote: Address) -> bool {
        self.contacts.is_network_proven(remote)
    }
}
