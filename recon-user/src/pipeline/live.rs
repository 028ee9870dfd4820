//! What a running pipeline shows: sources, open incidents, one incident.
//!
//! In: a pipeline between two polls. Out: what is known at that moment, in a bounded number.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use recon_common::Address;

use super::Pipeline;
use crate::contact::{KnownSource, KnownSources, SourceSelection};
use crate::incident::{CurrentIncident, Surroundings};
use crate::kql::Severity;
use crate::stable_hash::StableHash;
use crate::stream::{GroupKey, Query};

impl Pipeline {
    /// The first sources of an order.
    pub(crate) fn list_sources(&self, selection: SourceSelection) -> KnownSources {
        self.contacts.list_sources(selection)
    }

    /// All that is known of one source.
    pub(crate) fn known_source(&self, remote: Address) -> Option<KnownSource> {
        self.contacts.known_source(remote)
    }

    /// The operator's name of an address.
    pub(crate) fn label(&self, address: IpAddr) -> Option<Arc<str>> {
        self.labels.find(address)
    }

    /// Findings below are not reported.
    pub(crate) const fn min_severity(&self) -> Severity {
        self.min_severity
    }

    /// The open incidents, the most severe first. `known` are those that have lines.
    pub(crate) fn list_incidents<'a>(
        &self,
        now: Timestamp,
        known: impl Iterator<Item = (&'a Query, &'a GroupKey)>,
        limit: usize,
    ) -> Vec<CurrentIncident> {
        let around = self.surroundings(now);
        self.incidents.list_open(around, known, limit)
    }

    /// The incident of a group that has lines.
    pub(crate) fn incident_of(
        &self,
        now: Timestamp,
        query: &Query,
        key: &GroupKey,
    ) -> Option<CurrentIncident> {
        self.incidents.of_key(self.surroundings(now), query, key)
    }

    /// An open incident, by its id.
    pub(crate) fn find_incident(
        &self,
        now: Timestamp,
        is_it: impl Fn(StableHash) -> bool,
    ) -> Option<CurrentIncident> {
        self.incidents.find_open(self.surroundings(now), is_it)
    }

    fn surroundings(&self, now: Timestamp) -> Surroundings<'_> {
        Surroundings {
            stream: &self.stream,
            contacts: &self.contacts,
            now,
        }
    }
}
