//! What recording costs beside judging.

use std::time::{Duration, Instant};

use super::*;
use crate::pipeline::{Pipeline, PipelineSettings};
use crate::row::{Name, SignalSet};
use crate::rule::{Profile, defaults};
use crate::settings;

/// What a poll of a flood costs: each row is of another remote and port.
#[test]
fn recording_a_row_costs_less_than_judging_it() {
    const ROWS: u32 = 20_000;
    let in_force = settings::in_force(&Default::default(), |_| defaults(Profile::Outcomes));
    let settings = PipelineSettings::new(&in_force.expect("no file"), SignalSet::default());
    let to = Timestamp::UNIX_EPOCH + Duration::from_secs(7200);
    let from = to - Duration::from_secs(1);
    let interval = Interval { from, to };
    let rows = |push: &mut dyn FnMut(&Row<'_>)| {
        for number in 0..ROWS {
            let [_, _, third, last] = number.to_be_bytes();
            let key = Key {
                remote: Address::v4([198, 18, third, last]),
                local: Address::v4([203, 0, 113, 1]),
                detail: 0,
                port: number as u16,
                signal: Signal::Syn as u8,
                tool: 0,
            };
            push(&Row {
                device: "web1",
                listener: Some(true),
                ..Row::bare(
                    RowKey {
                        interface: Name::new("eth0"),
                        ..RowKey::unpack(&key).expect("a signal")
                    },
                    1,
                    to,
                )
            });
        }
    };
    let timed = |work: &mut dyn FnMut()| {
        let begin = Instant::now();
        work();
        begin.elapsed() / ROWS
    };
    // The least of some, since other tests run at the same time.
    let (mut recorded, mut judged, mut bytes) = (Duration::MAX, Duration::MAX, 0);
    for _ in 0..5 {
        let mut recorder = PollRecorder::default();
        recorded = recorded.min(timed(&mut || {
            rows(&mut |row| recorder.add(row));
            bytes = recorder.end_poll(&poll_head(1)).map_or(0, |of| of.len());
        }));
        let mut pipeline = Pipeline::new(settings.clone());
        judged = judged.min(timed(&mut || {
            rows(&mut |row| pipeline.push(row, interval));
            pipeline.end_poll(interval, false);
        }));
    }
    let each = bytes / ROWS as usize;
    println!("a row: {recorded:?} to record in {each} bytes, {judged:?} to judge");
    assert!(
        2 * recorded < judged,
        "{recorded:?} to record, {judged:?} to judge"
    );
}
