//! The poll loop over fake maps: what is written, also when polls fail. No root, no kernel
//! programs.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::blind::BlindPart;
use crate::drain::Tally;
use crate::drain::fake::{Failure, FakeMaps, drain, syn};
use crate::row::SignalSet;
use crate::rule::{Profile, defaults};
use crate::settings;
use crate::sink::OpenFiles;

/// One step of the programs or of the agent.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The programs count a SYN to each of these ports.
    Count(u16, u16),
    /// The agent polls.
    Poll,
    /// The agent polls, and a system call fails.
    Fail(Failure),
}

/// An agent that writes its alerts to `file`, and its rows to `events`.
fn agent(grace: Grace, file: &File, events: Option<&Path>) -> Agent<FakeMaps> {
    let in_force =
        settings::in_force(&Default::default(), |_| defaults(Profile::Source)).expect("no file");
    Agent {
        drain: drain(grace),
        actors: Actors::new(
            BTreeSet::new(),
            None,
            ImageNumbers::uncounted(),
            Forks::unrecorded(),
        )
        .expect("a thread"),
        pipeline: Pipeline::new(PipelineSettings::new(&in_force, SignalSet::default())),
        calls: Calls::default(),
        served: ServedPorts::default(),
        places: PlaceNames::new(Callers::unrecorded(), std::iter::empty()),
        private: PrivateSignals::new(false),
        output: AgentOutput::new(file, events, true, &OpenFiles::default()).expect("a sink"),
        blind: Blind::new(in_force.settings.quiet.0),
        table_entries: 1 << 16,
        host: "web1".to_owned(),
        lines: AlertLines::of("web1"),
        logins: Vec::new(),
        last: now(),
        totals: Totals::default(),
        frozen: None,
        saving: None,
        meter: None,
        incident_log: IncidentLog::default(),
        kernel_log: None,
        name_feed: None,
        recorder: None,
    }
}

/// Runs the steps and the end. Returns the count and the phase of each alert of `port-scan` by its
/// ports, and the totals.
fn run(grace: Grace, steps: &[Step]) -> (Vec<(u64, String)>, u64, u64) {
    let mut file = tempfile::tempfile().expect("a file");
    let mut agent = agent(grace, &file, None);
    for step in steps {
        match *step {
            Step::Count(first, last) => {
                (first..=last).for_each(|port| agent.drain.count(syn(port), 1));
            }
            Step::Poll => assert!(agent.poll(|drain, row| drain.poll(row))),
            Step::Fail(failure) => {
                agent.drain.fail_at(Some(failure));
                let failed = agent.totals.failed_polls;
                let has_drained = agent.poll(|drain, row| drain.poll(row));
                assert_eq!(has_drained, agent.totals.failed_polls == failed);
                agent.drain.fail_at(None);
            }
        }
    }
    let (polls, failed) = (agent.totals.polls, agent.totals.failed_polls);
    agent.end(false);
    let alerts = lines_of(&mut file).into_iter();
    let scans = alerts.filter(|alert| alert["recon"]["measure"] == "distinct_ports");
    let scans = scans.map(|alert| {
        let recon = &alert["recon"];
        let count = recon["count"].as_u64().expect("a number");
        (count, recon["phase"].as_str().expect("a phase").to_owned())
    });
    (scans.collect(), polls, failed)
}

/// What was written to a file.
fn lines_of(file: &mut File) -> Vec<Value> {
    let mut lines = String::new();
    std::io::Seek::rewind(file).expect("a file");
    file.read_to_string(&mut lines).expect("text");
    lines
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

#[test]
fn what_a_full_table_loses_is_reported() {
    // (keys of a poll, sketched and lost signals, what is lost for lack of keys)
    for (keys, sketched, lost, expected) in [
        (0, 0, 0, None),
        (1 << 15, 1_000_000, 0, None),
        ((1 << 16) - (1 << 13) - 1, 1_000, 0, None),
        ((1 << 16) - (1 << 13), 1_000, 0, Some(1_000)),
        (1 << 16, 0, 0, None),
        (1 << 16, 0, 7, Some(7)),
        (1 << 16, 1_000, 7, Some(1_007)),
    ] {
        let file = tempfile::tempfile().expect("a file");
        let mut agent = agent(Grace::NextPoll, &file, None);
        let mut tally = Tally {
            keys,
            sketched,
            signals: 10_000_000,
            ..Tally::default()
        };
        tally.lost[recon_common::Loss::TableFull as usize] = lost;
        agent.note_losses(&tally);
        let reports = agent.blind.end_poll(now());
        let found: Vec<_> = reports.iter().map(|of| (&of.part, of.lost)).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|&lost| (&BlindPart::Table, lost))
            .collect();
        assert_eq!(
            found, expected,
            "{keys} keys, {sketched} sketched, {lost} lost"
        );
    }
}

#[test]
fn a_scan_is_reported_whatever_happens_to_polls() {
    use Step::{Count, Fail, Poll};
    // (what, steps before the end, alerts, polls and failed polls before the end)
    for (what, steps, alerts, polls, failed) in [
        ("20 ports", &[Count(1, 20), Poll][..], &[][..], 1, 0),
        ("21 ports", &[Count(1, 21), Poll], &[(21, "began")], 1, 0),
        (
            "over two polls",
            &[Count(1, 15), Poll, Count(16, 21), Poll],
            &[(21, "began")],
            2,
            0,
        ),
        (
            "in the last poll, at the end",
            &[Poll, Count(1, 21)],
            &[(21, "began")],
            1,
            0,
        ),
        (
            "one that grows until the end",
            // The second poll is the one that drains a generation one poll later.
            &[Count(1, 21), Poll, Poll, Count(22, 40)],
            &[(21, "began"), (40, "ended")],
            2,
            0,
        ),
        (
            "a poll that fails halfway through the table",
            &[Count(1, 21), Fail(Failure::Table(7)), Poll],
            &[(21, "began")],
            2,
            1,
        ),
        (
            "a poll that fails before the generations change",
            &[Count(1, 21), Fail(Failure::SetLive), Poll],
            &[(21, "began")],
            2,
            1,
        ),
        (
            "every poll fails but the last, at the end",
            &[
                Count(1, 10),
                Fail(Failure::Table(0)),
                Count(11, 21),
                Fail(Failure::Wait),
            ],
            &[(21, "began")],
            2,
            2,
        ),
    ] {
        for grace in [Grace::Membarrier, Grace::NextPoll] {
            let (found, of_polls, of_failed) = run(grace, steps);
            let found: Vec<_> = found
                .iter()
                .map(|(count, phase)| (*count, &**phase))
                .collect();
            assert_eq!(found, alerts, "{what}, {grace:?}");
            assert_eq!(of_polls, polls, "{what}, {grace:?}");
            // Drained one poll later, a generation meets a failure later or never.
            if matches!(grace, Grace::Membarrier) {
                assert_eq!(of_failed, failed, "{what}, {grace:?}");
            }
        }
    }
}

/// The hooks stay, and what recon does not read now may be removed with them.
#[test]
fn the_end_over_pins_gives_what_a_late_poll_has_left() {
    let mut file = tempfile::tempfile().expect("a file");
    let mut agent = agent(Grace::Membarrier, &file, None);
    agent.drain = drain(Grace::Membarrier).pinned();
    (1..=15).for_each(|port| agent.drain.count(syn(port), 1));
    agent.drain.fail_at(Some(Failure::Wait));
    assert!(!agent.poll(|drain, row| drain.poll(row)));
    agent.drain.fail_at(None);
    (16..=21).for_each(|port| agent.drain.count(syn(port), 1));
    agent.end(true);
    let alerts = lines_of(&mut file);
    let scan = alerts
        .iter()
        .find(|alert| alert["recon"]["measure"] == "distinct_ports");
    assert_eq!(scan.map(|scan| &scan["recon"]["count"]), Some(&21.into()));
}

#[test]
fn losses_are_written_among_the_rows_of_their_poll() {
    for (sketched, counts) in [(0, &[][..]), (3, &[3][..])] {
        let mut file = tempfile::tempfile().expect("a file");
        let mut agent = agent(Grace::Membarrier, &file, Some(Path::new("-")));
        agent.drain.count(syn(81), 1);
        agent.poll(|drain, row| {
            let tally = drain.poll(row)?;
            Ok(Tally { sketched, ..tally })
        });
        agent.end(false);
        let lines = lines_of(&mut file);
        let row = &lines[0];
        assert_eq!(row["ActionType"], "SYN", "{lines:?}");
        let losses: Vec<_> = lines
            .iter()
            .filter(|line| line["Type"] == "ReconLosses")
            .collect();
        let found: Vec<_> = losses.iter().map(|loss| &loss["Count"]).collect();
        assert_eq!(found, counts, "{lines:?}");
        for loss in losses {
            assert_eq!(loss["TimeGenerated"], row["TimeGenerated"]);
        }
    }
}

/// An agent that saves its state in a folder, and goes on with what is there.
fn saving_agent(folder: &Path, file: &File) -> Agent<FakeMaps> {
    let in_force =
        settings::in_force(&Default::default(), |_| defaults(Profile::Source)).expect("no file");
    let settings = PipelineSettings::new(&in_force, SignalSet::default());
    let (saving, loaded) = saving::open(Some(folder)).expect("a folder");
    let mut agent = Agent {
        saving,
        ..agent(Grace::Membarrier, file, None)
    };
    agent.restore(loaded, settings);
    agent
}

#[test]
fn a_restart_loses_no_count_and_repeats_no_alert() {
    // (ports before and after the restart, whether the process is killed, the mark of its last poll
    // is there; counts and phases of all lines, and whether they have one id)
    let began = |count| (count, "began".to_owned());
    for (what, before, after, is_killed, has_mark, expected) in [
        ("a scan in progress", 15, 30, false, true, vec![began(30)]),
        (
            "a scan in progress, killed",
            15,
            30,
            true,
            true,
            vec![began(30)],
        ),
        ("a reported scan", 25, 30, false, true, vec![began(25)]),
        (
            "a reported scan, killed",
            25,
            30,
            true,
            true,
            vec![began(25)],
        ),
        (
            "killed before its mark",
            25,
            30,
            true,
            false,
            vec![began(25), began(25)],
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut file = tempfile::tempfile().expect("a file");
        let mut agent = saving_agent(folder.path(), &file);
        // The first poll saves a snapshot, and the next one has the journal.
        agent.poll(|drain, row| drain.poll(row));
        (1..=before).for_each(|port| agent.drain.count(syn(port), 1));
        agent.poll(|drain, row| drain.poll(row));
        match is_killed {
            true => {
                agent.output.flush(Duration::from_secs(10));
                drop(agent);
            }
            false => drop(agent.end(false)),
        }
        if !has_mark {
            drop_last_record(folder.path());
        }
        let mut agent = saving_agent(folder.path(), &file);
        (before + 1..=after).for_each(|port| agent.drain.count(syn(port), 1));
        agent.poll(|drain, row| drain.poll(row));
        agent.end(false);
        let alerts = lines_of(&mut file).into_iter();
        let scans: Vec<_> = alerts
            .filter(|alert| alert["recon"]["measure"] == "distinct_ports")
            .filter(|alert| alert["rule"]["category"] == "port-scan")
            .collect();
        let found = scans.iter().map(|alert| {
            let recon = &alert["recon"];
            let count = recon["count"].as_u64().expect("a number");
            (count, recon["phase"].as_str().expect("a phase").to_owned())
        });
        assert_eq!(found.collect::<Vec<_>>(), expected, "{what}: {scans:?}");
        let ids: BTreeSet<_> = scans
            .iter()
            .map(|alert| alert["event"]["id"].to_string())
            .collect();
        assert_eq!(ids.len(), 1, "{what}: {ids:?}");
    }
}

/// A process that is killed in its first minute leaves what it has counted.
#[test]
fn there_is_a_snapshot_before_the_first_poll() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = tempfile::tempfile().expect("a file");
    let agent = saving_agent(folder.path(), &file);
    assert!(folder.path().join("snapshot").exists());
    drop(agent);
}

/// Cuts the last record of the last journal.
fn drop_last_record(folder: &Path) {
    let files = std::fs::read_dir(folder).expect("a folder").flatten();
    let journals = files.map(|file| file.path());
    let journals = journals.filter(|path| path.display().to_string().contains("journal."));
    let last = journals.max().expect("a journal");
    let whole = std::fs::read(&last).expect("a journal");
    // A mark is eight bytes of frame, its kind and a small number.
    std::fs::write(&last, &whole[..whole.len() - 10]).expect("a journal");
}
