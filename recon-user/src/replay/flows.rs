//! The userspace twin of the kernel's flow state: what is remembered of earlier packets.
//!
//! In: flows. Out: an implementation of [`recon_common::FlowState`], so that replies, backscatter
//! and refusals are resolved by the code that the kernel programs run.
//! The decisions held here: the same direct-mapped array of fingerprints as in the kernel, so that
//! memory is constant however long the capture, and a flow is forgotten here when the kernel would
//! forget it. What the kernel asks its sockets is asked of [`super::connections`].

use std::cell::Cell;

use recon_common::flow::{ANSWERED, FLOW_SLOTS, accepted_slot, media_slot};
use recon_common::{Flow, FlowMarks, FlowState, Sent};

use super::connections::Connections;
use crate::seed::hash_secrets;

/// Fingerprints of two flows; see [`recon_common::flow`].
#[derive(Clone, Copy, Default)]
struct FlowSlot {
    /// The latest flow on which this host sent.
    sent: u32,
    /// The latest flow that a remote began, with [`ANSWERED`] once this host has answered.
    reached: u32,
}

/// What is remembered of flows, by slot.
pub(super) struct Flows(Vec<Cell<FlowSlot>>);

impl Default for Flows {
    fn default() -> Self {
        Self(vec![Cell::default(); FLOW_SLOTS as usize])
    }
}

impl Flows {
    /// What is remembered of that flow.
    #[inline]
    pub(super) fn marks(&self, flow: &Flow) -> Marks<'_> {
        let (number, fingerprint) = flow.fingerprint(hash_secrets());
        self.at(number, fingerprint)
    }

    fn at(&self, number: u32, fingerprint: u32) -> Marks<'_> {
        Marks {
            flows: self,
            slot: &self.0[number as usize],
            number,
            fingerprint,
        }
    }
}

/// The state as one packet finds it.
pub(super) struct PacketState<'a> {
    pub(super) flows: &'a Flows,
    pub(super) connections: &'a Connections,
    /// The number of the interface, 0 if it has none.
    pub(super) interface: u32,
}

impl FlowState for PacketState<'_> {
    fn marks(&self, flow: &Flow) -> impl FlowMarks {
        self.flows.marks(flow)
    }

    fn is_connected(&self, flow: &Flow) -> Option<bool> {
        self.connections.is_connected(flow)
    }

    /// A capture has both ways of a flow, or is known to have one of them only.
    fn awaits_datagram(&self, _: &Flow) -> bool {
        false
    }

    /// Whoever is named as local is this host.
    fn is_from_guest(&self) -> bool {
        false
    }

    fn interface(&self) -> u32 {
        self.interface
    }

    /// No packet says which process sent it.
    fn sender_pid(&self) -> u32 {
        0
    }
}

/// What is remembered of a flow.
#[derive(Clone, Copy)]
pub(super) struct Marks<'a> {
    flows: &'a Flows,
    slot: &'a Cell<FlowSlot>,
    number: u32,
    fingerprint: u32,
}

impl Marks<'_> {
    fn reached(&self) -> Option<u32> {
        let mark = self.slot.get().reached;
        (mark & !ANSWERED == self.fingerprint).then_some(mark)
    }

    fn set_reached(&self, reached: u32) {
        self.slot.update(|slot| FlowSlot { reached, ..slot });
    }
}

impl FlowMarks for Marks<'_> {
    fn accepted(&self) -> Self {
        self.flows.at(accepted_slot(self.number), self.fingerprint)
    }

    fn media(&self) -> Self {
        self.flows.at(media_slot(self.number), self.fingerprint)
    }

    fn expect_answers(&self) -> bool {
        let is_new = !self.expects_answers();
        let sent = self.fingerprint;
        self.slot.update(|slot| FlowSlot { sent, ..slot });
        is_new
    }

    fn expects_answers(&self) -> bool {
        self.slot.get().sent == self.fingerprint
    }

    fn mark_reached(&self) -> bool {
        let is_new = !self.was_reached();
        if is_new {
            self.set_reached(self.fingerprint);
        }
        is_new
    }

    fn was_reached(&self) -> bool {
        self.reached().is_some()
    }

    fn mark_sent(&self) -> Sent {
        match self.reached() {
            _ if self.expects_answers() => Sent::Again,
            Some(mark) if mark & ANSWERED != 0 => Sent::Again,
            Some(mark) => {
                self.set_reached(mark | ANSWERED);
                Sent::Answers
            }
            None => {
                self.expect_answers();
                Sent::Begins
            }
        }
    }

    fn was_answered(&self) -> bool {
        self.reached().is_some_and(|mark| mark & ANSWERED != 0)
    }

    fn clear_reached(&self) -> bool {
        /// No flow has it.
        const EMPTY: u32 = 0;
        let was_marked = self.was_reached();
        if was_marked {
            self.set_reached(EMPTY);
        }
        was_marked
    }
}
