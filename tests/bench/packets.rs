//! Measures the cost of a frame: the shipped kernel programs, against programs that pass every
//! frame.
//!
//! In: nothing. Out: on stdout, a line for each round of each frame, separated by tabs: the frame,
//! and the nanoseconds per run without recon and with it. `cargo xtask bench` runs this and formats
//! a table.
//! The decisions held here: the kernel repeats a run itself (`BPF_PROG_TEST_RUN`), so that system
//! calls do not count. The two programs take turns on the same frame, so that drift of the machine
//! affects both. If every packet needs a new source, a program changes the source and calls the
//! measured program; its own cost is measured separately and subtracted.

#[path = "packets/copied.rs"]
mod copied;
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
use recon_user::hook::{Hooks, Netns, ProgramOptions};

use copied::measure_copies;
use raw::{SourceEnd, Verdict, pass, run, time, with_new_sources};

const ROUNDS: u32 = 9;
/// Enough runs that the tick of the kernel's clock does not show.
const REPEAT: u32 = 4_000_000;
/// Packets with new sources before the measurement: after a few full tables, a flood is in its
/// steady state.
const FLOOD: u32 = 4 * TABLE_ENTRIES;

const REMOTE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const LOCAL: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const REMOTE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
const LOCAL6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 1);
const SERVICE: u16 = 443;
const HTTP: u16 = 80;

/// A frame and the program that receives it.
struct Case {
    what: &'static str,
    program: &'static str,
    frame: Vec<u8>,
    /// Whether each packet has a new source and the table is full.
    has_new_sources: bool,
    /// Whether the headers of what counts are recorded, of which the source has enough.
    is_recorded: bool,
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
        is_recorded: false,
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
        Case {
            is_recorded: true,
            ..case(
                "SYN, repeated, with --record",
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
        let mut hooks = load(case.is_recorded)?;
        // The maps must outlive the runs.
        let mut drain = Drain::open(hooks.ebpf(), Grace::detect())?;
        let program = descriptor(&mut hooks, case.program)?;
        let baseline = baselines.iter().find(|(name, _)| *name == case.program);
        let baseline = baseline.context("a baseline")?.1.as_raw_fd();
        if case.has_new_sources {
            measure_flood(&case, baseline, program)?;
            let tally = drain.finish(|_, _, _| {})?;
            // A program that is never called would look fast.
            ensure!(
                tally.sketched > u64::from(ROUNDS * REPEAT / 2),
                "{}: {tally}",
                case.what
            );
        } else {
            measure(case.what, |with| {
                let program = if with { program } else { baseline };
                time(program, &case.frame, REPEAT)
            })?;
        }
    }
    let (v4, v6) = (Path::new(REMOTE, LOCAL), Path::new(REMOTE6, LOCAL6));
    let syn4 = v4.tcp(syn(SERVICE), &[])?;
    let syn6 = v6.tcp(syn(SERVICE), &[])?;
    let [(_, baseline), _] = &baselines;
    let baseline = baseline.as_raw_fd();
    measure_copies(baseline, "SYN, new sources", &syn4, SourceEnd::V4)?;
    measure_copies(baseline, "SYN, new sources, IPv6", &syn6, SourceEnd::V6)
}

/// The programs as the agent loads them, with or without `--record`.
fn load(is_recorded: bool) -> Result<Hooks> {
    let options = ProgramOptions {
        table_entries: TABLE_ENTRIES,
        netns: Netns::Watched,
        kernel_log: false,
        dns_names: false,
        record: is_recorded.then_some(0),
    };
    Ok(Hooks::load_pinned(options, None)?)
}

/// Prints a line for each round: the figures without recon and with it.
fn measure(what: &str, figure: impl Fn(bool) -> Result<f64>) -> Result<()> {
    for round in 0..ROUNDS {
        let with_first = round % 2 == 1;
        let first = figure(with_first)?;
        let second = figure(!with_first)?;
        let (without, with) = if with_first {
            (second, first)
        } else {
            (first, second)
        };
        println!("{what}\t{without}\t{with}");
    }
    Ok(())
}

/// The same for packets that each have a new source.
fn measure_flood(case: &Case, baseline: RawFd, program: RawFd) -> Result<()> {
    let flooding = with_new_sources(program, SourceEnd::V4)?;
    let changing = with_new_sources(baseline, SourceEnd::V4)?;
    run(flooding.program(), &case.frame, FLOOD)?;
    measure(case.what, |with| {
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
