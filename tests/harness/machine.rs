//! The machines of the scenarios: the hardware and the kernel options of their guests.
//!
//! In: nothing. Out: descriptions, from which `cargo xtask test --vm` builds guests. The decision
//! held here: a row of the scenarios names its machine, the machine knows nothing of rows.

use crate::lab::{HOST_MAC, Mac};

/// The environment variable that tells a test inside of a guest which machine that guest is.
pub const MACHINE: &str = "RECON_MACHINE";
/// The environment variable that selects scenarios: a part of their names.
pub const SELECTED: &str = "RECON_SCENARIOS";

/// A guest's hardware, kernel modules and kernel options.
#[derive(Debug)]
pub struct GuestMachine {
    /// Identifies the machine in [`MACHINE`] and in messages.
    pub name: &'static str,
    /// How many processors it has.
    pub processors: u8,
    /// The host's cards, `eth0` and so on. The attacker's card follows them.
    pub cards: &'static [Card],
    /// Kernel modules to load in addition to those of every guest.
    pub modules: &'static [&'static str],
    /// Appended to the kernel's command line.
    pub kernel_options: &'static str,
}

/// A virtio network card.
#[derive(Debug, Clone, Copy)]
pub struct Card {
    /// Its hardware address.
    pub mac: Mac,
    /// Queues in each direction.
    pub queues: u8,
    /// Properties of qemu's virtio-net-pci that differ from its defaults, each after a comma.
    pub options: &'static str,
}

impl Card {
    /// A card with qemu's defaults.
    #[must_use]
    pub const fn plain(mac: Mac) -> Self {
        Self {
            mac,
            queues: 1,
            options: "",
        }
    }
}

/// One card, one processor.
pub const ONE_CARD: GuestMachine = GuestMachine {
    name: "one card",
    processors: 1,
    cards: &[Card::plain(HOST_MAC)],
    modules: &[],
    kernel_options: "",
};

/// One card, with the modules for VLANs and bridges.
pub const OTHER_NETWORKS: GuestMachine = GuestMachine {
    name: "other networks",
    modules: &["8021q", "bridge"],
    ..ONE_CARD
};

/// Two cards with a queue for each processor, and one whose driver refuses native XDP.
pub const SEVERAL_CARDS: GuestMachine = GuestMachine {
    name: "three cards, two processors",
    processors: 2,
    cards: &[
        Card {
            queues: 2,
            ..Card::plain(HOST_MAC)
        },
        Card {
            queues: 2,
            ..Card::plain(Mac([2, 0, 0, 0, 1, 1]))
        },
        Card {
            options: ",ctrl_guest_offloads=off",
            ..Card::plain(Mac([2, 0, 0, 0, 2, 1]))
        },
    ],
    ..ONE_CARD
};

/// A kernel that protects its own integrity.
pub const LOCKED_FOR_INTEGRITY: GuestMachine = GuestMachine {
    name: "lockdown for integrity",
    kernel_options: "lockdown=integrity",
    ..ONE_CARD
};

/// A kernel that also keeps its memory confidential.
pub const LOCKED_FOR_CONFIDENTIALITY: GuestMachine = GuestMachine {
    name: "lockdown for confidentiality",
    kernel_options: "lockdown=confidentiality",
    ..ONE_CARD
};

/// All machines, those with the most rows first.
pub const MACHINES: [&GuestMachine; 5] = [
    &ONE_CARD,
    &OTHER_NETWORKS,
    &SEVERAL_CARDS,
    &LOCKED_FOR_INTEGRITY,
    &LOCKED_FOR_CONFIDENTIALITY,
];
