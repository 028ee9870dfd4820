//! Where it happened what the kernel counts.
//!
//! In: the watched interfaces at each poll, and the keys of its counts. Out: the name of a key's
//! interface.
//! The decision held here: the kernel counts by index, and an interface may be renamed or gone by
//! the time of the poll. So the names of the poll before are kept too, and an index that nobody
//! knows has no name. Indexes are those of this network namespace, where all hooks on packets are.

use std::collections::HashMap;

use recon_common::{Detail, Key};

use crate::row::{Name, RowKey};

/// The names of interfaces by index.
#[derive(Debug, Default)]
pub(super) struct Places {
    interfaces: HashMap<u32, Known>,
    poll: u64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    name: Option<Name>,
    /// The last poll at which there was such an interface.
    poll: u64,
}

impl Places {
    /// With the interfaces that are there at the start.
    pub(super) fn of<'a>(interfaces: impl Iterator<Item = (u32, &'a str)>) -> Self {
        let mut places = Self::default();
        places.begin_poll(interfaces);
        places
    }

    /// Begins a poll with the interfaces that are there.
    pub(super) fn begin_poll<'a>(&mut self, interfaces: impl Iterator<Item = (u32, &'a str)>) {
        self.poll += 1;
        let poll = self.poll;
        for (index, name) in interfaces {
            let name = Name::new(name);
            self.interfaces.insert(index, Known { name, poll });
        }
        self.interfaces.retain(|_, known| known.poll + 1 >= poll);
    }

    /// A key as a row's, with the name of its interface. `None` for a signal of another layout.
    pub(super) fn unpack(&self, key: &Key) -> Option<RowKey> {
        let mut row = RowKey::unpack(key)?;
        if let Some(Detail::Interface(index)) = key.detail() {
            let known = self.interfaces.get(&index.get());
            row.interface = known.and_then(|known| known.name);
        }
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    use recon_common::{Address, Signal};

    use super::*;

    fn name(places: &Places, signal: Signal, detail: u32) -> &'static str {
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
        let mut places = Places::default();
        // (the interfaces of each poll, the names of 2 and 3)
        for (interfaces, expected) in [
            (&[(2, "eth0"), (3, "veth7")][..], ["eth0", "veth7"]),
            (&[(2, "lan0")], ["lan0", "veth7"]),
            (&[(2, "lan0")], ["lan0", ""]),
            (&[], ["lan0", ""]),
            (&[(3, "eth0")], ["", "eth0"]),
        ] {
            places.begin_poll(interfaces.iter().copied());
            let names = [2, 3].map(|index| name(&places, Signal::Syn, index));
            assert_eq!(names, expected, "{interfaces:?}");
        }
    }

    #[test]
    fn what_is_no_interface_has_no_name() {
        let places = Places::of([(2, "eth0")].into_iter());
        for (signal, detail, expected) in [
            (Signal::Datagram, 2, "eth0"),
            (Signal::Datagram, 0, ""),
            (Signal::Datagram, 9, ""),
            (Signal::SynSent, 2, ""),
            (Signal::Ended, 2, ""),
            (Signal::RefusedTcp, 2, ""),
        ] {
            let found = name(&places, signal, detail);
            assert_eq!(found, expected, "{} {detail}", signal.name());
        }
    }
}
