//! The names of the places where the kernel counts.
//!
//! In: the watched interfaces at each poll, and the keys of its counts. Out: the names of a key's
//! interface and of its network namespace.
//! The decision held here: the kernel counts by index, and an interface may be renamed or gone by
//! the time of the poll. So the names of the poll before are kept too, and an index that nobody
//! knows has no name. Alerts call an interface what it is called now: one that was renamed within a
//! window would have two names otherwise. Indexes are those of this network namespace, where all
//! hooks on packets are.

use std::collections::HashMap;

use recon_common::{Detail, Key, Signal};

use super::namespaces::Namespaces;
use crate::drain::Callers;
use crate::incident::Finding;
use crate::row::{Name, RowKey};

/// The names of interfaces and namespaces.
#[derive(Debug)]
pub(super) struct PlaceNames {
    /// In the order of the indexes.
    interfaces: Vec<NamedInterface>,
    poll: u64,
    namespaces: Namespaces,
    callers: Callers,
    /// What an interface is called that had another name, by that name.
    renamed: HashMap<&'static str, &'static str>,
}

#[derive(Debug)]
struct NamedInterface {
    index: u32,
    text: String,
    /// Its name once a key has named it. There is room for so many names in a process, and
    /// containers that nobody scans may bring more.
    name: Option<Name>,
    /// The last poll at which there was such an interface.
    poll: u64,
}

impl PlaceNames {
    /// With the interfaces that are there at the start.
    pub(super) fn new<'a>(
        callers: Callers,
        interfaces: impl Iterator<Item = (u32, &'a str)>,
    ) -> Self {
        let mut places = Self {
            interfaces: Vec::new(),
            poll: 0,
            namespaces: Namespaces::default(),
            callers,
            renamed: HashMap::new(),
        };
        places.begin_poll(interfaces);
        places
    }

    /// Begins a poll with the interfaces that are there.
    pub(super) fn begin_poll<'a>(&mut self, interfaces: impl Iterator<Item = (u32, &'a str)>) {
        self.namespaces.begin_poll();
        self.poll += 1;
        let poll = self.poll;
        for (index, name) in interfaces {
            // The name is another one's by now.
            self.renamed.remove(name);
            let place = self.find_interface(index);
            if let Ok(place) = place
                && self.interfaces[place].text == name
            {
                self.interfaces[place].poll = poll;
                continue;
            }
            let named = NamedInterface {
                index,
                text: name.to_owned(),
                name: None,
                poll,
            };
            match place {
                Ok(place) => self.interfaces[place] = named,
                Err(place) => self.interfaces.insert(place, named),
            }
        }
        self.interfaces.retain(|named| named.poll + 1 >= poll);
    }

    /// Notes the names that have changed: before and now.
    pub(super) fn rename(&mut self, names: Vec<[String; 2]>) {
        for name in names {
            let [Some(before), Some(now)] = name.map(|name| Name::new(&name).map(Name::text))
            else {
                continue;
            };
            let later = self.renamed.values_mut().filter(|to| **to == before);
            later.for_each(|to| *to = now);
            self.renamed.insert(before, now);
            self.renamed.remove(now);
        }
    }

    /// Gives the interfaces of a finding the names that they have now.
    pub(super) fn update_finding(&self, finding: Option<&mut Finding>) {
        if let Some(finding) = finding {
            self.update_names(&mut finding.interfaces);
        }
    }

    /// Replaces the names of interfaces by those that they have now.
    fn update_names(&self, names: &mut Vec<&'static str>) {
        for name in &mut *names {
            *name = self.renamed.get(name).unwrap_or(name);
        }
        names.sort_unstable();
        names.dedup();
    }

    /// Where an interface is, or else belongs.
    fn find_interface(&self, index: u32) -> Result<usize, usize> {
        let interfaces = &self.interfaces;
        interfaces.binary_search_by_key(&index, |named| named.index)
    }

    /// The name of the interface with that index, if it is known.
    pub(super) fn interface_name(&mut self, index: u32) -> Option<Name> {
        let place = self.find_interface(index).ok()?;
        let NamedInterface { name, text, .. } = self.interfaces.get_mut(place)?;
        *name = name.or_else(|| Name::new(text));
        *name
    }

    /// A key as a row's, with the names of its interface and its namespace. `None` for a signal of
    /// another layout.
    pub(super) fn unpack(&mut self, key: &Key) -> Option<RowKey> {
        let (mut row, detail) = RowKey::unpack_detail(key)?;
        let netns = match detail {
            Some(Detail::Interface(index)) => {
                row.interface = self.interface_name(index.get());
                None
            }
            Some(Detail::Connection { netns, .. }) => netns,
            Some(Detail::Sender(sender)) if is_of_call(&row) => self.callers.find(sender),
            Some(Detail::Sender(_)) | None => None,
        };
        row.netns = netns.map(|netns| self.namespaces.name(netns));
        Some(row)
    }
}

/// Whether a socket hook has counted it. Packets that leave are those of the agent's namespace, and
/// the local address of a call is not known yet.
fn is_of_call(row: &RowKey) -> bool {
    match row.signal {
        Signal::ConnectFailed => true,
        Signal::SynSent | Signal::DatagramSent => row.local.is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use recon_common::{Address, ImageId, NetnsId};

    use super::*;

    fn name(places: &mut PlaceNames, signal: Signal, detail: u32) -> &'static str {
        let key = Key {
            remote: Address::v4([198, 51, 100, 7]),
            local: Address::v4([203, 0, 113, 1]),
            detail,
            port: 22,
            signal: signal as u8,
            tool: 0,
        };
        let row = places.unpack(&key).expect("a signal");
        row.interface.map_or("", Name::text)
    }

    #[test]
    fn an_interface_keeps_its_name_for_a_poll_after_it_is_gone() {
        let mut places = PlaceNames::new(Callers::unrecorded(), std::iter::empty());
        // (the interfaces of each poll, the names of 2 and 3)
        for (interfaces, expected) in [
            (&[(2, "eth0"), (3, "veth7")][..], ["eth0", "veth7"]),
            (&[(2, "lan0")], ["lan0", "veth7"]),
            (&[(2, "lan0")], ["lan0", ""]),
            (&[], ["lan0", ""]),
            (&[(3, "eth0")], ["", "eth0"]),
        ] {
            places.begin_poll(interfaces.iter().copied());
            let names = [2, 3].map(|index| name(&mut places, Signal::Syn, index));
            assert_eq!(names, expected, "{interfaces:?}");
        }
    }

    #[test]
    fn an_alert_has_the_names_of_today() {
        let renames = |names: &[[&str; 2]]| {
            let names = names.iter().map(|name| name.map(str::to_owned));
            names.collect::<Vec<_>>()
        };
        // (the renames of a poll, its interfaces, the names in an alert, those that it shows)
        let mut places = PlaceNames::new(Callers::unrecorded(), std::iter::empty());
        for (renamed, interfaces, before, now) in [
            (&[][..], &[(2, "eth0")][..], &["eth0"][..], &["eth0"][..]),
            (
                &[["eth0", "lan0"]],
                &[(2, "lan0")],
                &["eth0", "lan0"],
                &["lan0"],
            ),
            (
                &[["lan0", "lan1"]],
                &[(2, "lan1")],
                &["eth0", "lan0", "wg0"],
                &["lan1", "wg0"],
            ),
            // Another interface has the first name.
            (
                &[],
                &[(2, "lan1"), (3, "eth0")],
                &["eth0", "lan0"],
                &["eth0", "lan1"],
            ),
            (&[["lan1", "lan0"]], &[(2, "lan0")], &["lan0"], &["lan0"]),
        ] {
            places.rename(renames(renamed));
            places.begin_poll(interfaces.iter().copied());
            let mut names = before.to_vec();
            places.update_names(&mut names);
            assert_eq!(names, now, "{renamed:?}");
        }
    }

    /// Containers come and go by the thousand, and there is room for 65,535 names.
    #[test]
    fn an_interface_takes_a_name_when_a_key_names_it() {
        const SCANNED: &str = "veth-scanned";
        const IDLE: &str = "veth-idle";
        let there = [(2, SCANNED), (3, IDLE)];
        let mut places = PlaceNames::new(Callers::unrecorded(), there.into_iter());
        places.begin_poll(there.into_iter());
        assert_eq!(name(&mut places, Signal::Syn, 2), SCANNED);
        assert_eq!([SCANNED, IDLE].map(Name::is_known), [true, false]);
    }

    #[test]
    fn what_is_no_interface_has_no_name() {
        let eth0 = [(2, "eth0")].into_iter();
        let mut places = PlaceNames::new(Callers::unrecorded(), eth0);
        for (signal, detail, expected) in [
            (Signal::Datagram, 2, "eth0"),
            (Signal::Datagram, 0, ""),
            (Signal::Datagram, 9, ""),
            (Signal::SynSent, 2, ""),
            (Signal::Ended, 2, ""),
            (Signal::RefusedTcp, 2, ""),
        ] {
            let found = name(&mut places, signal, detail);
            assert_eq!(found, expected, "{} {detail}", signal.name());
        }
    }

    /// No namespace has a cookie that does not fit, so that none is looked for.
    #[test]
    fn what_sockets_show_has_a_namespace() {
        const LOCAL: Address = Address::v4([203, 0, 113, 1]);
        let great = NetnsId::word(u64::MAX);
        let sender = ImageId { pid: 7, number: 2 };
        let callers = Callers::of_test(sender, great);
        let mut places = PlaceNames::new(callers, std::iter::empty());
        let accepted = Detail::connection_word(0, great);
        for (signal, local, detail, expected) in [
            (Signal::Accepted, LOCAL, accepted, "unknown"),
            (Signal::Accepted, LOCAL, 0, ""),
            (Signal::Ended, LOCAL, accepted | 1, "unknown"),
            (
                Signal::SynSent,
                Address::UNSPECIFIED,
                sender.pack(),
                "unknown",
            ),
            (Signal::SynSent, LOCAL, sender.pack(), ""),
            (Signal::SynSent, Address::UNSPECIFIED, 7, ""),
            (Signal::ConnectFailed, LOCAL, sender.pack(), "unknown"),
            (Signal::Syn, LOCAL, accepted, ""),
        ] {
            let key = Key {
                remote: Address::v4([198, 51, 100, 7]),
                local,
                detail,
                port: 22,
                signal: signal as u8,
                tool: 0,
            };
            let row = places.unpack(&key).expect("a signal");
            let found = row.netns.map_or("", Name::text);
            assert_eq!(found, expected, "{} {detail}", signal.name());
        }
    }
}
