//! Names that an operator has given to networks.
//!
//! In: networks with their names. Out: the name of an address.
//! The decisions held here: a name is for the reader of an alert, never a reason to count less. Of
//! several networks the longest prefix names the address.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::Network;

/// Networks with their names, the longest prefix first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Vec<(Network, Arc<str>)>);

impl Labels {
    /// The name of an address.
    pub(crate) fn find(&self, address: IpAddr) -> Option<Arc<str>> {
        let mut all = self.0.iter();
        let found = all.find(|(network, _)| network.contains(address));
        found.map(|(_, name)| Arc::clone(name))
    }
}

impl FromIterator<(Network, Arc<str>)> for Labels {
    fn from_iter<T: IntoIterator<Item = (Network, Arc<str>)>>(labels: T) -> Self {
        let mut labels: Vec<_> = labels.into_iter().collect();
        labels.sort_by_key(|(network, _)| Reverse(network.prefix_length()));
        Self(labels)
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = self.0.iter().map(|(network, name)| (network, &**name));
        serializer.collect_map(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_names_an_address() {
        let labels = [
            ("198.51.100.0/24", "customer"),
            ("198.51.100.7", "our scanner"),
            ("2001:db8::/32", "lab"),
        ];
        let network = |text: &str| text.parse::<Network>().expect("a network");
        let labels = labels.map(|(of, name)| (network(of), Arc::from(name)));
        let labels: Labels = labels.into_iter().collect();
        for (address, expected) in [
            ("198.51.100.7", Some("our scanner")),
            ("::ffff:198.51.100.7", Some("our scanner")),
            ("198.51.100.8", Some("customer")),
            ("2001:db8::1", Some("lab")),
            ("203.0.113.1", None),
        ] {
            let found = labels.find(address.parse().expect("an address"));
            assert_eq!(found.as_deref(), expected, "{address}");
        }
    }
}
