//! What a frame costs: the kernel programs as they are shipped, against ones that let every frame pass at once.
//!
//! In: nothing. Out: on stdout a line for each round of each frame: what it is, nanoseconds a run without recon and with it, between tabs.
//! `cargo xtask bench` starts it and makes a table of it.
//! The decision held here: the kernel repeats a run by itself (`BPF_PROG_TEST_RUN`), so that system calls don't count; the two programs take
//! turns on the same frame, so that what drifts on the machine falls on both. Where every packet is to have a new source, a program changes it and
//! calls the one that is measured; what that takes alone is measured beside, and taken away.

#[path = "packets/raw.rs"]
mod raw;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, RawFd};

use anyhow::{Context, Result, bail, ensure};
use aya::programs::Program;
use etherparse::TcpHeader;
use nix::sched::{CloneFlags, unshare};
use recon_common::table::TABLE_ENTRIES;
use recon_tests::dns::{self, QUERY};
use recon_tests::frame::{CLIENT_PORT, Path, data, segment, syn};
use recon_user::drain::{Drain, Grace};
use recon_user::hook::Hooks;

use raw::{Verdict, pass, run, time, with_new_sources};

const ROUNDS: u32 = 9;
/// As many that a tick of the kernel's, in which its waiting is measured, does not show.
const REPEAT: u32 = 4_000_000;
/// Packets of new sources before the first that counts: from a few tables' full on, a flood goes on as it will.
const FLOOD: u32 = 4 * TABLE_ENTRIES;

const REMOTE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const LOCAL: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const REMOTE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
const LOCAL6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 1);
const SERVICE: u16 = 443;
const HTTP: u16 = 80;

/// A frame and the program that sees it.
struct Case {
    what: &'static str,
    program: &'static str,
    frame: Vec<u8>,
    /// Whether each packet is of a source that was not there before, and the table has no room for more of them.
    has_new_sources: bool,
}

fn cases() -> Result<Vec<Case>> {
    let inward = Path::new(REMOTE, LOCAL);
    let inward6 = Path::new(REMOTE6, LOCAL6);
    let outward = Path::new(LOCAL, REMOTE);
    let fin = TcpHeader {
        fin: true,
        ack: true,
        ..segment([CLIENT_PORT, SERVICE])
    };
    let get = b"GET / HTTP/1.1\r\n\r\n";
    let case = |what, program, frame| Case {
        what,
        program,
        frame,
        has_new_sources: false,
    };
    Ok(vec![
        case(
            "data, established",
            XDP,
            inward.tcp(data(SERVICE), b"data")?,
        ),
        case(
            "data, established, IPv6",
            XDP,
            inward6.tcp(data(SERVICE), b"data")?,
        ),
        case("SYN, repeated", XDP, inward.tcp(syn(SERVICE), &[])?),
        case("SYN, repeated, IPv6", XDP, inward6.tcp(syn(SERVICE), &[])?),
        Case {
            has_new_sources: true,
            ..case(
                "SYN, ever-new sources, table full",
                XDP,
                inward.tcp(syn(SERVICE), &[])?,
            )
        },
        case("FIN of no connection", XDP, inward.tcp(fin, &[])?),
        case("UDP", XDP, inward.udp([CLIENT_PORT, SERVICE], b"data")?),
        case("echo request", XDP, inward.echo(1)?),
        case("GET", XDP, inward.tcp(data(HTTP), get)?),
        case(
            "DNS query",
            XDP,
            inward.udp([CLIENT_PORT, dns::PORT], QUERY)?,
        ),
        case(
            "data, established, outbound",
            EGRESS,
            outward.tcp(data(CLIENT_PORT), b"data")?,
        ),
        case(
            "UDP, outbound",
            EGRESS,
            outward.udp([SERVICE, CLIENT_PORT], b"data")?,
        ),
        case("SYN, outbound", EGRESS, outward.tcp(syn(SERVICE), &[])?),
    ])
}

const XDP: &str = "recon_xdp";
const EGRESS: &str = "recon_egress";

fn main() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("a network namespace: this needs root")?;
    let baselines = [(XDP, pass(Verdict::Xdp)?), (EGRESS, pass(Verdict::Tc)?)];
    for case in cases()? {
        let mut hooks = Hooks::load(TABLE_ENTRIES)?;
        // Its maps must outlive the runs.
        let mut drain = Drain::open(hooks.ebpf(), Grace::detect())?;
        let program = descriptor(&mut hooks, case.program)?;
        let baseline = baselines.iter().find(|(name, _)| *name == case.program);
        let baseline = baseline.context("a baseline")?.1.as_raw_fd();
        if case.has_new_sources {
            measure_flood(&case, baseline, program)?;
            let tally = drain.finish(|_, _, _| {})?;
            // A program that could not be called would look fast.
            ensure!(
                tally.sketched > u64::from(ROUNDS * REPEAT / 2),
                "{}: {tally}",
                case.what
            );
        } else {
            measure(&case, |with| {
                let program = if with { program } else { baseline };
                time(program, &case.frame, REPEAT)
            })?;
        }
    }
    Ok(())
}

/// Prints a line for each round of figures, without recon and with it.
fn measure(case: &Case, figure: impl Fn(bool) -> Result<f64>) -> Result<()> {
    for round in 0..ROUNDS {
        let with_first = round % 2 == 1;
        let first = figure(with_first)?;
        let second = figure(!with_first)?;
        let (without, with) = if with_first {
            (second, first)
        } else {
            (first, second)
        };
        println!("{}\t{without}\t{with}", case.what);
    }
    Ok(())
}

/// The same where each packet has a new source.
fn measure_flood(case: &Case, baseline: RawFd, program: RawFd) -> Result<()> {
    let flooding = with_new_sources(program)?;
    let changing = with_new_sources(baseline)?;
    run(flooding.program(), &case.frame, FLOOD)?;
    measure(case, |with| {
        let passing = time(baseline, &case.frame, REPEAT)?;
        if !with {
            return Ok(passing);
        }
        let change = time(changing.program(), &case.frame, REPEAT)? - passing;
        Ok(time(flooding.program(), &case.frame, REPEAT)? - change)
    })
}

fn descriptor(hooks: &mut Hooks, name: &str) -> Result<RawFd> {
    let program = hooks.ebpf().program(name);
    Ok(match program.with_context(|| name.to_owned())? {
        Program::Xdp(program) => program.fd()?.as_fd().as_raw_fd(),
        Program::SchedClassifier(program) => program.fd()?.as_fd().as_raw_fd(),
        other => bail!("{name} is of another type: {other:?}"),
    })
}
