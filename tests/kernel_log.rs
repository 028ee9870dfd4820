//! `recon run --kernel-log`: frames that the kernel programs can't read, and why.
//!
//! In: malformed frames on the wire. Out: a line for each, with the reason, the place and the first
//! bytes; of a flood only so many lines, which with the sum of the others are all frames.
//! The decision held here: a row is sent at each kind of hook, and its line is compared as a whole.

#[path = "kernel_log/malformed.rs"]
mod malformed;

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use aya::programs::Program;
use recon_tests::agent::recon;
use recon_tests::frame::{Path, syn};
use recon_tests::lab::{ATTACKER, HOST, HOST_LINK};
use recon_tests::pins::Bpffs;
use recon_tests::process::run;
use recon_tests::scan::{PORTS, ensure_alert, scan};
use recon_tests::seen::Seen;
use recon_tests::sender::Sender;
use recon_tests::{Agent, Lab, PATIENCE, rows};
use recon_user::hook::{Hooks, Netns, ProgramOptions};

use malformed::{Malformed, Way, cut_syn, malformed};

const INTERVAL: &str = "--interval 100ms";
const LOG: &str = "--kernel-log";
/// What a line says of a frame, and of those that it does not show.
const LINE: &str = "a frame can't be read: ";
const MORE: &str = "over what --kernel-log shows: frames=";
/// Bytes in a line.
const SHOWN: usize = 32;

/// The lines about frames so far, without their level.
fn lines(seen: &Seen) -> Vec<&str> {
    let places = seen.log.iter().map(|line| (line, line.find(LINE)));
    places
        .filter_map(|(line, place)| line.get(place?..))
        .collect()
}

/// What the log must say of that frame.
fn line(frame: &Malformed) -> String {
    let offset = frame.offset.map(|offset| format!("offset={offset} "));
    let bytes = frame.bytes.iter().take(SHOWN);
    format!(
        "{LINE}reason={} {}length={} interface={HOST_LINK} direction={} bytes={}",
        frame.reason,
        offset.unwrap_or_default(),
        frame.bytes.len(),
        match frame.way {
            Way::In => "in",
            Way::Out => "out",
        },
        bytes.map(|byte| format!("{byte:02x}")).collect::<String>(),
    )
}

/// Sends the frames of both ways.
fn send(lab: &Lab, frames: &[Malformed]) -> Result<()> {
    let inbound = lab.sender()?;
    let outbound = Sender::open(lab.host(), HOST_LINK)?;
    for frame in frames {
        let sender = match frame.way {
            Way::In => &inbound,
            Way::Out => &outbound,
        };
        sender.send(&frame.bytes).context(frame.name)?;
    }
    Ok(())
}

#[test]
fn each_malformed_frame_has_a_line() {
    rows::check(
        &["--xdp native", "--xdp generic", "--xdp off"],
        |mode| mode,
        |mode| {
            let frames = malformed()?;
            let lab = Lab::new()?;
            let agent = Agent::start(&lab, &format!("{INTERVAL} {LOG} {mode}"))?;
            for frame in &frames {
                let before = lines(&agent.seen()).len();
                send(&lab, std::slice::from_ref(frame))?;
                agent.wait_for(frame.name, |seen| {
                    (lines(seen).len() > before).then_some(())
                })?;
                let (seen, expected) = (agent.seen(), line(frame));
                let says = &lines(&seen)[before..];
                ensure!(
                    says == [&expected],
                    "{}: {says:?} is not {expected:?}",
                    frame.name
                );
            }
            let stopped = agent.stop()?;
            let lost: u64 = stopped
                .totals()?
                .classes
                .iter()
                .map(|[.., lost]| lost)
                .sum();
            ensure!(lost == frames.len() as u64, "{}", stopped.seen);
            ensure!(!stopped.seen.has_logged(MORE), "{}", stopped.seen);
            Ok(())
        },
    );
}

#[test]
fn the_log_changes_no_count() -> Result<()> {
    let mut totals = Vec::new();
    for option in ["", LOG] {
        let frames = malformed()?;
        let lab = Lab::new()?;
        let agent = Agent::start(&lab, &format!("{INTERVAL} {option}"))?;
        send(&lab, &frames)?;
        scan(&lab, PORTS)?;
        ensure_alert(&agent)?;
        let stopped = agent.stop()?;
        let has_lines = !lines(&stopped.seen).is_empty();
        ensure!(has_lines != option.is_empty(), "{}", stopped.seen);
        let tally = stopped.totals()?;
        // The attacker's kernel sends frames to groups when it likes, which are ignored.
        let classes = tally.classes.map(|[signals, _, _, lost]| [signals, lost]);
        totals.push((classes, tally.signals));
    }
    ensure!(totals[0] == totals[1], "{totals:?}");
    Ok(())
}

#[test]
fn a_flood_gets_few_lines_and_a_sum() -> Result<()> {
    const FRAMES: u64 = 20_000;
    /// At once, and each second from then on.
    const BURST: u64 = 20;
    let lab = Lab::new()?;
    let agent = Agent::start(&lab, &format!("{INTERVAL} {LOG}"))?;
    let began = Instant::now();
    let (sender, frame) = (lab.sender()?, cut_syn()?);
    for _ in 0..FRAMES {
        sender.send(&frame)?;
    }
    agent.wait_for("the sum", |seen| seen.has_logged(MORE).then_some(()))?;
    // It is as quick as without a flood.
    sender.send(&Path::new(ATTACKER, HOST).tcp(syn(80), &[])?)?;
    agent.wait_drained(1)?;
    let stopped = agent.stop()?;
    let seconds = began.elapsed().as_secs() + 1;
    let lines = lines(&stopped.seen).len() as u64;
    let more = stopped
        .seen
        .log
        .iter()
        .filter_map(|line| line.split_once(MORE));
    let more = more.map(|(_, frames)| frames.parse::<u64>());
    let more = more.sum::<Result<u64, _>>()?;
    ensure!(lines + more == FRAMES, "{lines} lines and {more} more");
    // Two processors that find the same number of frames log both.
    ensure!(
        (BURST..=BURST + seconds + processors()?).contains(&lines),
        "{lines} lines in {seconds} s"
    );
    let [[.., lost], _] = stopped.totals()?.classes;
    ensure!(lost == FRAMES, "{}", stopped.seen);
    Ok(())
}

fn processors() -> Result<u64> {
    Ok(std::thread::available_parallelism()?.get() as u64)
}

#[test]
fn pinned_programs_log_for_whoever_asks() -> Result<()> {
    let lab = Lab::new()?;
    let bpffs = Bpffs::mount()?;
    let frame = Malformed {
        name: "a cut SYN",
        way: Way::In,
        bytes: cut_syn()?,
        reason: "truncated",
        offset: Some(34),
    };
    let frames = std::slice::from_ref(&frame);
    for (number, option) in ["", LOG, "", LOG].into_iter().enumerate() {
        let arguments = format!("{INTERVAL} --pins {} {option}", bpffs.pins().display());
        let agent = Agent::start(&lab, &arguments)?;
        let polls = agent.wait_poll()?;
        send(&lab, frames)?;
        agent.wait_for("the frame", |seen| {
            (seen.polled.lost == 1 && seen.polls > polls).then_some(())
        })?;
        let stopped = agent.stop()?;
        let expected = match option {
            LOG => vec![line(&frame)],
            _ => Vec::new(),
        };
        ensure!(lines(&stopped.seen) == expected, "{}", stopped.seen);
        let went_on = stopped.seen.has_logged("went on with the maps");
        ensure!(went_on == (number > 0), "{}", stopped.seen);
        let pinned = bpffs.pinned();
        let is_of_log = |name: &String| name.contains("AYA_LOGS") || name.contains("/LOG_");
        ensure!(!pinned.iter().any(is_of_log), "{pinned:?}");
    }
    let mut command = recon("detach --pins")?;
    command.arg(bpffs.pins());
    run(lab.host(), command, PATIENCE)?.success()?;
    ensure!(bpffs.pinned().is_empty(), "{:?}", bpffs.pinned());
    Ok(())
}

/// Instructions of the loaded packet programs.
fn loaded_instructions(kernel_log: bool) -> Result<Vec<(&'static str, u32)>> {
    const PROGRAMS: [&str; 3] = ["recon_xdp", "recon_ingress", "recon_egress"];
    const INSTRUCTION: u32 = 8;
    let options = ProgramOptions {
        table_entries: 64,
        netns: Netns::Watched,
        kernel_log,
        dns_names: false,
        record: None,
    };
    let mut hooks = Hooks::load_pinned(options, None)?;
    let mut found = Vec::new();
    for name in PROGRAMS {
        let info = match hooks.ebpf().program(name) {
            Some(Program::Xdp(program)) => program.info()?,
            Some(Program::SchedClassifier(program)) => program.info()?,
            _ => bail!("no program {name}"),
        };
        let bytes = info.size_translated().context("no size")?;
        found.push((name, bytes / INSTRUCTION));
    }
    Ok(found)
}

#[test]
fn the_verifier_removes_a_log_that_is_off() -> Result<()> {
    /// The functions that log have more.
    const LOG_INSTRUCTIONS: u32 = 500;
    let (off, on) = (loaded_instructions(false)?, loaded_instructions(true)?);
    for ((name, off), (_, on)) in off.into_iter().zip(on) {
        println!("{name}: {off} instructions, with --kernel-log {on}");
        ensure!(off + LOG_INSTRUCTIONS < on, "{name}: {off}, {on}");
    }
    Ok(())
}
