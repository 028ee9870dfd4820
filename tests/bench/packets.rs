//! What a frame costs: the kernel programs as they are shipped, against ones that let every frame pass at once.
//!
//! In: nothing. Out: on stdout a line for each round of each frame: what it is, nanoseconds a run without recon and with it, between tabs.
//! `cargo xtask bench` starts it and makes a table of it.
//! The decision held here: the kernel repeats a run by itself (`BPF_PROG_TEST_RUN`), so that system calls don't count; the two programs take
//! turns on the same frame, so that what drifts on the machine falls on both.

#[path = "packets/raw.rs"]
mod raw;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, RawFd};

use anyhow::{Context, Result, bail, ensure};
use aya::programs::Program;
use etherparse::TcpHeader;
use nix::sched::{CloneFlags, unshare};
use recon_tests::dns::{self, QUERY};
use recon_tests::frame::{CLIENT_PORT, Path, data, segment, syn};
use recon_user::drain::{Drain, Grace};
use recon_user::hook::Hooks;

use raw::{Verdict, pass, run, time};

const ROUNDS: u32 = 9;
const REPEAT: u32 = 1_000_000;
/// Keys that the tables hold here: few, so that they are soon full.
const TABLE_ENTRIES: u32 = 64;

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
    /// Whether the tables have no room for its key.
    tables_full: bool,
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
        tables_full: false,
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
            tables_full: true,
            ..case(
                "SYN, new source, tables full",
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
        let _drain = Drain::new(hooks.ebpf(), Grace::detect())?;
        let program = descriptor(&mut hooks, case.program)?;
        let baseline = baselines.iter().find(|(name, _)| *name == case.program);
        let baseline = baseline.context("a baseline")?.1.as_raw_fd();
        if case.tables_full {
            fill(program)?;
        }
        for round in 0..ROUNDS {
            let mut figures = [0.0; 2];
            let with_first = usize::from(round % 2 == 1);
            for with in [with_first, 1 - with_first] {
                let program = if with == 1 { program } else { baseline };
                figures[with] = time(program, &case.frame, REPEAT)?;
            }
            let [without, with] = figures;
            println!("{}\t{without}\t{with}", case.what);
        }
    }
    Ok(())
}

fn descriptor(hooks: &mut Hooks, name: &str) -> Result<RawFd> {
    let program = hooks.ebpf().program(name);
    Ok(match program.with_context(|| name.to_owned())? {
        Program::Xdp(program) => program.fd()?.as_fd().as_raw_fd(),
        Program::SchedClassifier(program) => program.fd()?.as_fd().as_raw_fd(),
        other => bail!("{name} is of another type: {other:?}"),
    })
}

/// Sends from as many sources as the tables hold.
fn fill(program: RawFd) -> Result<()> {
    const ONCE: u32 = 1;
    let sources = 2 * TABLE_ENTRIES;
    ensure!(sources < 256, "sources of one octet");
    for source in 0..sources {
        let source = Ipv4Addr::new(198, 18, 0, source as u8);
        let frame = Path::new(source, LOCAL).tcp(syn(SERVICE), &[])?;
        run(program, &frame, ONCE)?;
    }
    Ok(())
}
