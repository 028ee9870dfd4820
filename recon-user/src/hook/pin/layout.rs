//! The version of what the maps hold.
//!
//! In: the kernel object, and how recon-common encodes keys, flows and sources. Out: a number that
//! is another one whenever a program of one build could misread the maps of another.
//! The decision held here: the version is computed at the start, from the object's own definitions
//! of maps and from samples of every encoding, so that nobody has to remember to raise it. What
//! neither shows (the meaning of a bit that stays where it is) raises [`REVISION`] by hand.

use std::hint::black_box;

use aya_obj::{EbpfSectionKind, Object};
use recon_common::admission::AdmissionSlot;
use recon_common::flow::{ANSWERED, accepted_slot, media_slot, sender_slot};
use recon_common::process::{ExecEvent, pid_slot};
use recon_common::recent::{Recent, first_slot};
use recon_common::sources::Sketch;
use recon_common::{
    Address, Counter, Detail, Ending, Flow, HashSecrets, ImageId, Key, Loss, NetnsId, PackedKey,
    PendingConnect, Registers, Signal, Tool, dns_frame, hit_header, lost_frame,
};

use crate::stable_hash::StableHash;

/// Raised by hand when the maps mean something else and no definition shows it. A test patches the
/// digits in a copy of the binary.
static REVISION: [u8; 25] = *b"recon-layout-revision:001";

/// A map of the kernel object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MapDefinition {
    pub(super) name: String,
    pub(super) kind: u32,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
    pub(super) entries: u32,
    pub(super) flags: u32,
}

/// What the maps hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// All maps but those of constants, of the log, of names and of headers, ordered by name. These
    /// are their agent's: the next one has programs and a log of its own, whether or not it was
    /// asked for one.
    pub(super) maps: Vec<MapDefinition>,
    pub(super) version: u64,
}

/// Whether the map belongs to one agent and its programs.
fn is_of_one_agent(name: &str) -> bool {
    let own = [&lost_frame::MAPS[..], &dns_frame::MAPS, &hit_header::MAPS];
    own.concat().contains(&name)
}

impl Layout {
    /// That of a kernel object.
    ///
    /// # Errors
    /// The object does not parse.
    pub(super) fn of_object(object: &[u8]) -> Result<Self, aya_obj::ParseError> {
        let object = Object::parse(object)?;
        let maps = object.maps.iter();
        let maps = maps.filter(|(name, map)| {
            let section = map.section_kind();
            matches!(section, EbpfSectionKind::Maps | EbpfSectionKind::BtfMaps)
                && !is_of_one_agent(name)
        });
        let definition = |(name, map): (&String, &aya_obj::Map)| MapDefinition {
            name: name.clone(),
            kind: map.map_type(),
            key_size: map.key_size(),
            value_size: map.value_size(),
            entries: map.max_entries(),
            flags: map.map_flags(),
        };
        let mut maps: Vec<_> = maps.map(definition).collect();
        maps.sort_by(|one, other| one.name.cmp(&other.name));
        let version = version(&maps, black_box(&REVISION));
        Ok(Self { maps, version })
    }
}

fn version(maps: &[MapDefinition], revision: &[u8]) -> u64 {
    let mut hash = StableHash::EMPTY.with(revision);
    for map in maps {
        hash = hash.with(map.name.as_bytes());
        for number in [
            map.kind,
            map.key_size,
            map.value_size,
            map.entries,
            map.flags,
        ] {
            hash = hash.with(&number.to_be_bytes());
        }
    }
    for name in names() {
        hash = hash.with(name.as_bytes());
    }
    for number in encodings() {
        hash = hash.with(&number.to_be_bytes());
    }
    // The upper half is as good as the lower one.
    hash.upper_half()
}

/// The names whose positions are numbers in the maps.
fn names() -> impl Iterator<Item = String> {
    let signals = Signal::ALL.iter().map(|signal| format!("{signal:?}"));
    let losses = Loss::ALL.iter().map(|loss| format!("{loss:?}"));
    let tools = Tool::ALL.iter().map(|tool| format!("{tool:?}"));
    let classes = recon_common::FrameClass::all().map(|class| format!("{class:?}"));
    signals.chain(losses).chain(tools).chain(classes)
}

/// What recon-common makes of a sample.
fn encodings() -> Vec<u64> {
    let secrets = HashSecrets::from_seed(1);
    let flow = Flow {
        remote: Address::v6(*b"\x20\x01\x0d\xb8 sample addr"),
        local: Address::v4([203, 0, 113, 1]),
        remote_port: 50_123,
        local_port: 443,
        protocol: 6,
    };
    let key = Key {
        tool: 1,
        ..Key::for_flow(&flow, Signal::Syn, 0x1234_5678)
    };
    let packed = PackedKey::from(&key);
    let (slot, fingerprint) = flow.fingerprint(&secrets);
    let (control_slot, control_fingerprint) = Flow {
        remote_port: 30_001,
        local_port: 16_385,
        ..flow
    }
    .fingerprint(&secrets);
    let (sketch, tag) = packed.sketch_place(&secrets);
    let hash = packed.remote_hash(&secrets);
    let (register, bit) = Registers::locate(hash);
    let image = ImageId {
        pid: 4_194_303,
        number: 7,
    };
    let ending = Ending::new(5_000, 70_000, 9_000_000_000).pack();
    let words = [
        slot,
        fingerprint,
        sketch,
        tag,
        packed.recent_slot(&secrets),
        AdmissionSlot::index(hash),
        register as u32,
        bit,
        image.pack(),
        ImageId::place(image.pid).0,
        ending,
        Detail::connection_word(ending, 5),
        NetnsId::word(1 << 20),
        control_slot,
        control_fingerprint,
        accepted_slot(slot),
        media_slot(slot),
        sender_slot(slot, 443),
        pid_slot(image.pid),
        first_slot(3, 1),
        ANSWERED,
        Counter::COUNT,
        size_of::<Recent>() as u32,
        size_of::<Sketch>() as u32,
        size_of::<PendingConnect>() as u32,
        size_of::<ExecEvent>() as u32,
    ];
    let words = words.into_iter().map(u64::from);
    packed.0.into_iter().chain(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hook::Hooks;

    #[test]
    fn every_part_of_a_layout_changes_its_version() {
        let layout = Layout::of_object(&Hooks::object()).expect("this build's object");
        let names: Vec<&str> = layout.maps.iter().map(|map| map.name.as_str()).collect();
        for name in ["COUNTS_0", "COUNTERS", "GENERATION", "RECENT", "SKETCHED"] {
            assert!(names.contains(&name), "{name} of {names:?}");
        }
        assert!(names.iter().all(|name| !name.starts_with('.')), "{names:?}");
        assert!(names.iter().all(|name| !is_of_one_agent(name)), "{names:?}");
        let again = Layout::of_object(&Hooks::object()).expect("this build's object");
        assert_eq!(layout, again);
        let changes: [fn(&mut MapDefinition); 6] = [
            |map| map.name.push('x'),
            |map| map.kind += 1,
            |map| map.key_size += 4,
            |map| map.value_size += 8,
            |map| map.entries *= 2,
            |map| map.flags ^= 1,
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut maps = layout.maps.clone();
            change(&mut maps[0]);
            assert_ne!(version(&maps, &REVISION), layout.version, "{number}");
        }
        let revision = b"recon-layout-revision:002";
        assert_ne!(version(&layout.maps, revision), layout.version);
    }
}
