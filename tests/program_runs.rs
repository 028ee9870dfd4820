//! The kernel programs under `BPF_PROG_TEST_RUN`, and the host build of the parser on the same
//! bytes.
//!
//! Each row is a frame, its direction, and what it must count as. Both builds must agree with the
//! row and with each other, on random and truncated bytes too. The verdict is always 'go on'.

#[path = "program_runs/bare.rs"]
mod bare;
#[path = "program_runs/classes.rs"]
mod classes;
#[path = "program_runs/exactness.rs"]
mod exactness;
#[path = "program_runs/fingerprints.rs"]
mod fingerprints;
#[path = "program_runs/inbound.rs"]
mod inbound;
#[path = "program_runs/kernel.rs"]
mod kernel;
#[path = "program_runs/mangle.rs"]
mod mangle;
#[path = "program_runs/media.rs"]
mod media;
#[path = "program_runs/model.rs"]
mod model;
#[path = "program_runs/outbound.rs"]
mod outbound;
#[path = "program_runs/outcomes.rs"]
mod outcomes;
#[path = "program_runs/stateful.rs"]
mod stateful;
#[path = "program_runs/story.rs"]
mod story;
#[path = "program_runs/strays.rs"]
mod strays;
#[path = "program_runs/syn_acks.rs"]
mod syn_acks;
#[path = "program_runs/traceroutes.rs"]
mod traceroutes;

use std::cell::RefCell;

use anyhow::Result;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use recon_common::{Direction, FrameClass, Loss, Signal};

use kernel::Kernel;
use model::Model;

/// What a frame must count as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    /// Nothing.
    Nothing,
    /// A signal at a port.
    As(Signal, u16),
    /// Lost, for that reason.
    Lost(Loss),
}

impl Counted {
    /// What a frame of that class counts as, unless it is a signal.
    fn in_class(class: FrameClass) -> Self {
        match class {
            FrameClass::Lost(loss) => Self::Lost(loss),
            _ => Self::Nothing,
        }
    }
}

/// A frame, and what it counts as when nothing came before.
struct Row {
    name: &'static str,
    direction: Direction,
    frame: Vec<u8>,
    counted: Counted,
}

fn rows() -> Result<Vec<Row>> {
    let mut rows = inbound::rows()?;
    rows.extend(outbound::rows()?);
    Ok(rows)
}

#[test]
fn each_frame_counts_as_its_row_says() -> Result<()> {
    let mut kernel = Kernel::in_own_namespace()?;
    for Row {
        name,
        direction,
        frame,
        counted,
    } in rows()?
    {
        let host = Model::default();
        let model = host.run(direction, &frame);
        assert_eq!(model.counted, counted, "{name}: the host build");
        for outcome in kernel.run(direction, &frame)? {
            assert_eq!(outcome.unwrap_verdict(), model, "{name}: the kernel");
        }
        kernel.forget_flows_of(&host)?;
    }
    Ok(())
}

#[test]
fn both_builds_agree_on_any_bytes() -> Result<()> {
    const CASES: u32 = 4000;
    // The runner takes a closure without state of its own.
    let kernel = RefCell::new(Kernel::in_own_namespace()?);
    let model = Model::default();
    let mut frames: Vec<Vec<u8>> = rows()?.into_iter().map(|row| row.frame).collect();
    frames.extend(fingerprints::frames()?);
    let strategy = (prop_oneof![mangled(frames), random()], any::<bool>());
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    });
    runner.run(&strategy, |(frame, inward)| {
        let direction = if inward {
            Direction::In
        } else {
            Direction::Out
        };
        let outcomes = kernel.borrow_mut().run(direction, &frame);
        for outcome in outcomes.map_err(|error| TestCaseError::fail(error.to_string()))? {
            // Once for each program: they share what they remember.
            let expected = model.run(direction, &frame);
            prop_assert_eq!(&outcome.unwrap_verdict(), &expected);
        }
        Ok(())
    })?;
    Ok(())
}

/// For a test run the kernel takes no frame shorter than an Ethernet header and a byte.
const SHORTEST: usize = 15;

/// A frame of the rows with some bytes changed, perhaps truncated.
fn mangled(frames: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<Index>(), any::<u8>()), 0..4);
    (
        prop::sample::select(frames),
        changes,
        any::<bool>(),
        any::<Index>(),
    )
        .prop_map(|(mut frame, changes, cut, length)| {
            for (place, byte) in changes {
                let place = place.index(frame.len());
                frame[place] = byte;
            }
            if cut {
                frame.truncate(SHORTEST + length.index(frame.len() - SHORTEST));
            }
            frame
        })
}

/// Bytes that half of the time start like IPv4 or IPv6 over Ethernet, so that the parser does not
/// stop at once.
fn random() -> impl Strategy<Value = Vec<u8>> {
    let start = prop::sample::select(vec![
        [0x08, 0x00, 0x45],
        [0x86, 0xdd, 0x60],
        [0x81, 0x00, 0x00],
    ]);
    (
        prop::collection::vec(any::<u8>(), SHORTEST..200),
        prop::option::of(start),
    )
        .prop_map(|(mut bytes, start)| {
            const ETHERTYPE: usize = 12;
            if let Some(start) = start {
                bytes[0] &= !1;
                bytes[ETHERTYPE..ETHERTYPE + start.len()].copy_from_slice(&start);
            }
            bytes
        })
}
