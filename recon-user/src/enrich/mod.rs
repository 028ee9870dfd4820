//! What databases and DNS answers say of an address.
//!
//! In: addresses; DNS messages. Out: [`AddressFacts`].
//! The decisions held here: facts are for the reader of an alert, never a reason to count less.
//! They are looked up when a line is written, so that an address without a line costs nothing. All
//! texts are foreign: bounded here, and escaped by whoever shows them on a terminal.

mod database;
mod dns;
mod names;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub(crate) use database::{Content, Database, DatabaseError};
pub(crate) use names::{NamedBy, Names};

/// What is known of an address. Unknown facts are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AddressFacts {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) domain: Option<String>,
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) domain_by: Option<NamedBy>,
    /// The number of the autonomous system that announces it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) as_number: Option<u32>,
    /// Who runs that system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) as_organization: Option<String>,
    /// The country that it is said to be in, by ISO 3166-1: two capital letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) country: Option<String>,
}

impl AddressFacts {
    /// Network and country in one line, for a terminal.
    pub(crate) fn network(&self) -> String {
        let number = self.as_number.map(|number| format!("AS{number}"));
        let parts = [&number, &self.as_organization, &self.country];
        let known: Vec<_> = parts.into_iter().flatten().map(String::as_str).collect();
        known.join(" ")
    }
}

impl fmt::Display for AddressFacts {
    /// All in one line. Nothing if nothing is known.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domain = self.domain.as_deref().unwrap_or_default();
        let network = self.network();
        let blank = match domain.is_empty() || network.is_empty() {
            true => "",
            false => " ",
        };
        write!(formatter, "{domain}{blank}{network}")
    }
}

/// All that addresses are looked up in.
#[derive(Debug, Default)]
pub(crate) struct Enrichment {
    pub(crate) databases: Databases,
    pub(crate) names: Names,
}

impl Enrichment {
    /// What is known of an address.
    pub(crate) fn find(&self, address: IpAddr) -> AddressFacts {
        let (domain, domain_by) = self.names.find(address).unzip();
        AddressFacts {
            domain: domain.map(str::to_owned),
            domain_by,
            ..self.databases.find(address)
        }
    }
}

/// The databases in force.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Databases {
    pub(crate) asn: Option<Arc<Database>>,
    pub(crate) country: Option<Arc<Database>>,
}

impl Databases {
    /// What they know of an address.
    pub(crate) fn find(&self, address: IpAddr) -> AddressFacts {
        let asn = self.asn.as_ref().and_then(|it| it.find_asn(address));
        let (as_number, as_organization) = asn.unwrap_or_default();
        let country = self.country.as_ref();
        AddressFacts {
            domain: None,
            domain_by: None,
            as_number,
            as_organization,
            country: country.and_then(|it| it.find_country(address)),
        }
    }

    /// The memory that they take. One file may be both.
    pub(crate) fn bytes(&self) -> u64 {
        let asn = self.asn.as_ref();
        let other = |it: &&Arc<Database>| !asn.is_some_and(|asn| Arc::ptr_eq(asn, it));
        let country = self.country.as_ref().filter(other);
        asn.into_iter().chain(country).map(|it| it.bytes).sum()
    }

    /// Each setting's database.
    pub(crate) fn files(&self) -> impl Iterator<Item = (Content, &Arc<Database>)> {
        let asn = self.asn.iter().map(|it| (Content::Asn, it));
        asn.chain(self.country.iter().map(|it| (Content::Country, it)))
    }

    /// What differs from `before` in files that have the same path: a line for each.
    pub(crate) fn changes(&self, before: &Self) -> Vec<String> {
        let pairs = [(&self.asn, &before.asn), (&self.country, &before.country)];
        let both = pairs.into_iter().filter_map(|(new, old)| {
            let (new, old) = (new.as_ref()?, old.as_ref()?);
            (new.path() == old.path() && new != old)
                .then(|| format!("{}: {} -> {}", new.name(), old.version(), new.version()))
        });
        let mut lines: Vec<_> = both.collect();
        // One file may be both.
        lines.dedup();
        lines
    }
}

#[cfg(test)]
pub(crate) mod tests;
