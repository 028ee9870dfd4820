//! Remotes that the operator lists.
//!
//! In: networks of the settings and of files. Out: [`Remotes`], which says whether they have an
//! address.
//! The decision held here: rules share the networks of a file, which may be millions.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::address::{Network, NetworkSet};

/// Listed remotes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remotes {
    /// As the settings have them.
    listed: Vec<Network>,
    /// The same, and those of the files.
    sets: Vec<Arc<NetworkSet>>,
    files: Vec<PathBuf>,
}

impl Remotes {
    /// Adds the networks of a file.
    #[must_use]
    pub(crate) fn with_file(mut self, path: PathBuf, networks: Arc<NetworkSet>) -> Self {
        self.sets.push(networks);
        self.files.push(path);
        self
    }

    /// Whether nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Whether one of the networks contains the address.
    pub fn contains(&self, remote: IpAddr) -> bool {
        self.sets.iter().any(|set| set.contains(remote))
    }

    /// The networks of the settings.
    pub(crate) fn listed(&self) -> &[Network] {
        &self.listed
    }

    /// The files that have more.
    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

impl From<Vec<Network>> for Remotes {
    fn from(listed: Vec<Network>) -> Self {
        let set: NetworkSet = listed.iter().copied().collect();
        let sets = (!listed.is_empty()).then(|| Arc::new(set));
        Self {
            sets: sets.into_iter().collect(),
            listed,
            files: Vec::new(),
        }
    }
}

impl FromIterator<Network> for Remotes {
    fn from_iter<I: IntoIterator<Item = Network>>(listed: I) -> Self {
        Self::from(Vec::from_iter(listed))
    }
}
