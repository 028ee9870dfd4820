//! The real programs, run on bytes by the kernel.
//!
//! In: a frame and its direction. Out: for each program of that direction, its verdict and what it
//! counted.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use anyhow::{Context, Result, bail};
use aya::TestRunOptions;
use aya::maps::Map;
use aya::programs::{Program, ProgramError, TestRun};
use aya_obj::generated::{bpf_attr, bpf_cmd};
use nix::sched::{CloneFlags, unshare};
use recon_common::protocol::{ETHERNET_HEADER, IPV4_HEADER, IPV6_HEADER, ethertype};
use recon_common::{Direction, Key};
use recon_user::drain::{Drain, Grace, Tally};
use recon_user::hook::{Hooks, Netns};

use crate::model::{FrameResult, Model, interpret};

const XDP: &str = "recon_xdp";
/// The programs that see inbound frames.
pub(crate) const INBOUND: [&str; 2] = [XDP, "recon_ingress"];
/// The program that sees outbound frames.
pub(crate) const OUTBOUND: &str = "recon_egress";

/// The same for packets without Ethernet header.
const BARE_INBOUND: &str = "recon_ip_in";
const BARE_OUTBOUND: &str = "recon_ip_out";

/// Keys that the tables hold here: few, since emptying them walks all entries.
const TABLE_ENTRIES: u32 = 64;
/// `XDP_PASS` of linux/bpf.h.
const XDP_PASS: u32 = 2;
/// `TCX_NEXT` of linux/bpf.h, -1.
const TCX_NEXT: u32 = u32::MAX;

/// What a program did with a frame.
pub(crate) struct Outcome {
    program: &'static str,
    verdict: u32,
    result: FrameResult,
}

impl Outcome {
    /// What was counted, after checking that the packet goes on.
    pub(crate) fn unwrap_verdict(self) -> FrameResult {
        let go_on = if self.program == XDP {
            XDP_PASS
        } else {
            TCX_NEXT
        };
        assert_eq!(self.verdict, go_on, "{}: the verdict", self.program);
        self.result
    }
}

pub(crate) struct Kernel {
    hooks: Hooks,
    drain: Drain,
}

impl Kernel {
    /// Moves this thread to a new network namespace, without sockets and routes that could matter,
    /// and loads the programs.
    pub(crate) fn in_own_namespace() -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET).context("a network namespace: these tests need root")?;
        Self::load(TABLE_ENTRIES, Grace::Membarrier)
    }

    pub(crate) fn load(table_entries: u32, grace: Grace) -> Result<Self> {
        let mut hooks = Hooks::load(table_entries, Netns::Watched)?;
        let drain = Drain::open(hooks.ebpf(), grace)?;
        Ok(Self { hooks, drain })
    }

    /// Runs the frame through every program that sees frames of that direction.
    pub(crate) fn run(&mut self, direction: Direction, frame: &[u8]) -> Result<Vec<Outcome>> {
        let programs: &[&'static str] = match direction {
            Direction::In => &INBOUND,
            Direction::Out => &[OUTBOUND],
        };
        programs
            .iter()
            .filter(|&&name| name == XDP || makes_an_skb(frame))
            .map(|&name| self.run_program(name, frame, &[]))
            .collect()
    }

    /// Runs a packet without Ethernet header through the program for that direction. `None` if the
    /// kernel takes it for no frame: it makes one of the first bytes, whatever they are.
    pub(crate) fn run_bare(
        &mut self,
        direction: Direction,
        packet: &[u8],
    ) -> Result<Option<Outcome>> {
        let name = match direction {
            Direction::In => BARE_INBOUND,
            Direction::Out => BARE_OUTBOUND,
        };
        if packet.len() <= ETHERNET_HEADER || !makes_an_skb(packet) {
            return Ok(None);
        }
        match self.hooks.ebpf().program_mut(name) {
            Some(Program::SchedClassifier(program)) => match program.load() {
                Ok(()) | Err(ProgramError::AlreadyLoaded) => {}
                Err(error) => return Err(error).context(name),
            },
            _ => bail!("no program {name}"),
        }
        self.run_program(name, packet, &[]).map(Some)
    }

    /// Runs the frame through one program, with that `struct __sk_buff` if it is not empty.
    pub(crate) fn run_program(
        &mut self,
        name: &'static str,
        frame: &[u8],
        context: &[u8],
    ) -> Result<Outcome> {
        let program = self
            .hooks
            .ebpf()
            .program(name)
            .with_context(|| format!("no program {name}"))?;
        let verdict = test_run_with(program, frame, context)?;
        let mut rows = Vec::new();
        let tally = self
            .drain
            .finish(|key, count, _| rows.push((*key, count)))?;
        Ok(Outcome {
            program: name,
            verdict,
            result: interpret(&tally, &rows),
        })
    }

    /// Empties what the programs remember of flows. To load them anew would take the verifier far
    /// longer.
    pub(crate) fn forget_flows(&mut self) -> Result<()> {
        for name in ["FLOWS", "ACCEPTED"] {
            let map = self.hooks.ebpf().map(name);
            let Map::Array(data) = map.with_context(|| format!("no map {name}"))? else {
                bail!("{name} is no array");
            };
            let (slots, bytes) = (data.info()?.max_entries(), data.info()?.value_size());
            zero(data.fd().as_fd().as_raw_fd(), slots, bytes).context(name)?;
        }
        Ok(())
    }

    /// The same after frames of which the host build may have remembered nothing.
    pub(crate) fn forget_flows_of(&mut self, host: &Model) -> Result<()> {
        match host.remembers() {
            true => self.forget_flows(),
            false => Ok(()),
        }
    }

    /// Both parts, for tests that run programs and drain at the same time.
    pub(crate) fn parts(&mut self) -> (&mut Hooks, &mut Drain) {
        (&mut self.hooks, &mut self.drain)
    }
}

/// Sets all slots of an array to 0.
fn zero(map: i32, slots: u32, bytes: u32) -> io::Result<()> {
    let keys: Vec<u32> = (0..slots).collect();
    let values = vec![0_u8; slots as usize * bytes as usize];
    // SAFETY: all members of the union are integers, of which zero is valid.
    let mut attributes: bpf_attr = unsafe { std::mem::zeroed() };
    // SAFETY: as above, and so is every bit pattern.
    let batch = unsafe { &mut attributes.batch };
    batch.keys = keys.as_ptr() as u64;
    batch.values = values.as_ptr() as u64;
    batch.count = slots;
    batch.map_fd = map.cast_unsigned();
    // SAFETY: the attributes have the size that is passed; the keys and the values outlive the call
    // and have as many elements as it says.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            bpf_cmd::BPF_MAP_UPDATE_BATCH,
            &raw mut attributes,
            size_of::<bpf_attr>(),
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether the kernel makes an skb of the frame for a test run: not if the frame ends inside its IP
/// header.
fn makes_an_skb(frame: &[u8]) -> bool {
    let kind = u16::from_be_bytes([frame[ETHERNET_HEADER - 2], frame[ETHERNET_HEADER - 1]]);
    let network = match kind {
        ethertype::IPV4 => IPV4_HEADER,
        ethertype::IPV6 => IPV6_HEADER,
        _ => 1,
    };
    frame.len() >= ETHERNET_HEADER + network
}

/// Runs one program on a frame and returns its verdict.
pub(crate) fn test_run(program: &Program, frame: &[u8]) -> Result<u32> {
    test_run_with(program, frame, &[])
}

fn test_run_with(program: &Program, frame: &[u8], context: &[u8]) -> Result<u32> {
    let options = TestRunOptions {
        data_in: Some(frame),
        ctx_in: (!context.is_empty()).then_some(context),
        ..TestRunOptions::default()
    };
    let result = match program {
        Program::Xdp(program) => program.test_run(options),
        Program::SchedClassifier(program) => program.test_run(options),
        other => bail!("a program of an unexpected type: {other:?}"),
    };
    Ok(result.context("BPF_PROG_TEST_RUN")?.return_value)
}

/// Drained rows and the tally of a poll.
pub(crate) type Drained = (Tally, Vec<(Key, u64)>);
