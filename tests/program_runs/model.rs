//! The host build of the parser with flow state like the kernel's, and the result of a run in one
//! shape for both.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;

use recon_common::flow::{accepted_slot, media_slot};
use recon_common::{
    Address, Direction, Flow, FlowMarks, FlowState, FrameClass, HashSecrets, Key, Packet, Sent,
    Signal, Tool, parse,
};
use recon_user::drain::Tally;

use crate::Counted;

/// The result of a frame: its class, what was counted and between whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FrameResult {
    pub(crate) class: FrameClass,
    pub(crate) counted: Counted,
    /// Remote and local address, if a signal was counted.
    pub(crate) ends: Option<(Address, Address)>,
    /// The tool whose fingerprint it carries, if a probe was counted.
    pub(crate) tool: Option<Tool>,
}

/// What the programs counted for one frame.
pub(crate) fn interpret(tally: &Tally, rows: &[(Key, u64)]) -> FrameResult {
    let frames = [tally.frames_in, tally.frames_out];
    let mut classes = FrameClass::all().filter(|&class| frames.map(|of| of.of(class)) != [0, 0]);
    let class = classes.next().expect("the frame is in a class");
    assert_eq!(
        (classes.next(), tally.frames()),
        (None, 1),
        "in one class: {tally}"
    );
    let is_signal = class == FrameClass::Signal;
    assert_eq!(rows.len(), usize::from(is_signal), "{rows:?}, {tally}");
    let is_lost = matches!(class, FrameClass::Lost(_));
    assert_eq!(tally.lost_total(), u64::from(is_lost), "{tally}");
    let (counted, ends, tool) = match rows {
        [(key, count)] => {
            assert_eq!(*count, 1, "{key:?}");
            let signal = Signal::from_number(key.signal).expect("the kernel counts known signals");
            check_detail(key, signal);
            let ends = Some((key.remote, key.local));
            let tool = Tool::from_number(key.tool);
            assert_eq!(tool.map_or(0, |tool| tool as u8), key.tool, "{key:?}");
            (Counted::As(signal, key.port), ends, tool)
        }
        _ => (Counted::in_class(class), None, None),
    };
    FrameResult {
        class,
        counted,
        ends,
        tool,
    }
}

/// Checks what the key says of a frame that a test run sends, or receives on loopback.
fn check_detail(key: &Key, signal: Signal) {
    /// The index of a namespace's first interface.
    const LOOPBACK: u32 = 1;
    let possible = match signal {
        _ if signal.has_interface() => &[LOOPBACK][..],
        // A test run sends for this process, but not every kernel lets a TC program see it.
        _ if signal.is_outbound() => &[0, std::process::id()],
        _ => &[0],
    };
    assert!(possible.contains(&key.detail), "{key:?}");
}

/// The parser with a memory of sent flows. It knows no sockets, as a fresh network namespace has
/// none.
#[derive(Default)]
pub(crate) struct Model {
    sent: RefCell<HashSet<Fingerprint>>,
    reached: RefCell<HashSet<Fingerprint>>,
    answered: RefCell<HashSet<Fingerprint>>,
    /// Whether a guest sends the current frame.
    pub(crate) is_from_guest: Cell<bool>,
}

/// Slot and fingerprint of a flow.
type Fingerprint = (u32, u32);

impl Model {
    /// Whether it has anything to forget.
    pub(crate) fn remembers(&self) -> bool {
        let all = [&self.sent, &self.reached, &self.answered];
        all.iter().any(|flows| !flows.borrow().is_empty())
    }

    pub(crate) fn run(&self, direction: Direction, frame: &[u8]) -> FrameResult {
        self.run_packet(direction, frame)
    }

    /// The same, whatever the packet starts with.
    pub(crate) fn run_packet(
        &self,
        direction: Direction,
        packet: &(impl Packet + ?Sized),
    ) -> FrameResult {
        let nothing = |class| FrameResult {
            class,
            counted: Counted::in_class(class),
            ends: None,
            tool: None,
        };
        match parse(packet, direction) {
            Err(class) => nothing(class),
            Ok(parsed) => match parsed.resolve(self) {
                Err(ignored) => nothing(ignored.into()),
                Ok(signal) => {
                    let key = Key::for_flow(&parsed.flow, signal, 0).with_tool(signal, parsed.tool);
                    FrameResult {
                        class: FrameClass::Signal,
                        counted: Counted::As(signal, key.port),
                        ends: Some((key.remote, key.local)),
                        tool: Tool::from_number(key.tool),
                    }
                }
            },
        }
    }
}

impl FlowState for Model {
    fn marks(&self, flow: &Flow) -> impl FlowMarks {
        ModelMarks {
            model: self,
            flow: flow.fingerprint(&HashSecrets::from_seed(0)),
        }
    }

    fn is_connected(&self, _: &Flow) -> Option<bool> {
        Some(false)
    }

    fn awaits_datagram(&self, _: &Flow) -> bool {
        false
    }

    fn is_from_guest(&self) -> bool {
        self.is_from_guest.get()
    }

    fn interface(&self) -> u32 {
        0
    }

    fn sender_pid(&self) -> u32 {
        0
    }
}

/// What the model remembers of a flow.
struct ModelMarks<'a> {
    model: &'a Model,
    flow: Fingerprint,
}

impl FlowMarks for ModelMarks<'_> {
    fn accepted(&self) -> Self {
        let (slot, fingerprint) = self.flow;
        Self {
            flow: (accepted_slot(slot), fingerprint),
            ..*self
        }
    }

    fn media(&self) -> Self {
        let (slot, fingerprint) = self.flow;
        Self {
            flow: (media_slot(slot), fingerprint),
            ..*self
        }
    }

    fn expect_answers(&self) -> bool {
        self.model.sent.borrow_mut().insert(self.flow)
    }

    fn expects_answers(&self) -> bool {
        self.model.sent.borrow().contains(&self.flow)
    }

    fn mark_reached(&self) -> bool {
        self.model.reached.borrow_mut().insert(self.flow)
    }

    fn was_reached(&self) -> bool {
        self.model.reached.borrow().contains(&self.flow)
    }

    fn mark_sent(&self) -> Sent {
        if self.expects_answers() {
            return Sent::Again;
        }
        match (self.was_reached(), self.was_answered()) {
            (_, true) => Sent::Again,
            (true, false) => {
                self.model.answered.borrow_mut().insert(self.flow);
                Sent::Answers
            }
            (false, false) => {
                self.expect_answers();
                Sent::Begins
            }
        }
    }

    fn was_answered(&self) -> bool {
        self.model.answered.borrow().contains(&self.flow)
    }

    fn clear_reached(&self) -> bool {
        self.model.answered.borrow_mut().remove(&self.flow);
        self.model.reached.borrow_mut().remove(&self.flow)
    }
}
