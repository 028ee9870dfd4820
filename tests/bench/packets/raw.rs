//! The commands of bpf(2) that the benchmark of frames needs.
//!
//! In: a frame, a program. Out: programs that pass every packet, programs that give every packet a
//! new source and then call another program, and the time that the kernel takes to repeat a run.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Commands of enum bpf_cmd, linux/bpf.h.
const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const PROG_LOAD: libc::c_int = 5;
const PROG_TEST_RUN: libc::c_int = 10;

/// The verdict that passes a packet, for each type of program.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict {
    /// `XDP_PASS`.
    Xdp,
    /// `TCX_NEXT`.
    Tc,
}

impl Verdict {
    const fn kind_and_value(self) -> (u32, i32) {
        match self {
            Self::Xdp => (6, 2),
            Self::Tc => (3, -1),
        }
    }
}

/// struct bpf_insn of linux/bpf.h.
#[repr(C)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    value: i32,
}

/// The first attributes of `BPF_PROG_LOAD`.
#[repr(C)]
struct Load {
    kind: u32,
    instructions: u32,
    start: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
}

/// The first attributes of `BPF_MAP_CREATE`.
#[repr(C)]
struct Create {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
}

/// The attributes of `BPF_MAP_UPDATE_ELEM`.
#[repr(C)]
struct Update {
    map: u64,
    key: u64,
    value: u64,
    flags: u64,
}

/// The attributes of `BPF_PROG_TEST_RUN`.
#[repr(C)]
#[derive(Default)]
struct TestRun {
    program: u32,
    verdict: u32,
    size_in: u32,
    size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_size_in: u32,
    context_size_out: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    reserved: u32,
}

/// `BPF_ALU64 | BPF_MOV`, from a number and from a register.
const MOVE: u8 = 0xb7;
const MOVE_REGISTER: u8 = 0xbf;
/// `BPF_JMP | BPF_EXIT` and `BPF_JMP | BPF_CALL`.
const EXIT: u8 = 0x95;
const CALL: u8 = 0x85;

const fn instruction(code: u8, registers: u8, offset: i16, value: i32) -> Instruction {
    Instruction {
        code,
        registers,
        offset,
        value,
    }
}

/// Loads a program that only returns `verdict`.
pub(crate) fn pass(verdict: Verdict) -> Result<OwnedFd> {
    let (kind, value) = verdict.kind_and_value();
    let program = [instruction(MOVE, 0, 0, value), instruction(EXIT, 0, 0, 0)];
    load(kind, &program).context("loading a program that passes all")
}

/// A program that calls another program.
pub(crate) struct Caller {
    program: OwnedFd,
    /// The kernel empties a map of programs that no process holds.
    _called: OwnedFd,
}

impl Caller {
    pub(crate) fn program(&self) -> RawFd {
        self.program.as_raw_fd()
    }
}

/// Where an Ethernet frame has the last four bytes of its IP source.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SourceEnd {
    V4 = 14 + 16,
    V6 = 14 + 24,
}

/// Loads an XDP program that gives such a frame a new source and then calls `program` on it.
pub(crate) fn with_new_sources(program: RawFd, end: SourceEnd) -> Result<Caller> {
    /// `BPF_LDX | BPF_MEM | BPF_W`, `BPF_STX | BPF_MEM | BPF_W`, `BPF_LD | BPF_DW | BPF_IMM`.
    const LOAD: u8 = 0x61;
    const STORE: u8 = 0x63;
    const LOAD_WIDE: u8 = 0x18;
    /// `BPF_ALU64 | BPF_ADD`, `BPF_ALU | BPF_ADD`, `BPF_JMP | BPF_JGT | BPF_X`.
    const ADD: u8 = 0x07;
    const ADD_WORD: u8 = 0x04;
    const GREATER: u8 = 0x2d;
    /// `BPF_PSEUDO_MAP_FD`, as the source register of a wide load.
    const MAP: u8 = 1 << 4;
    const TAIL_CALL: i32 = 12;
    const SOURCE_BYTES: i16 = 4;
    /// 2^32 divided by the golden ratio: odd, so that a source repeats after 2^32 packets, and with
    /// bits in all octets.
    const STEP: i32 = 0x9e37_79b1_u32.cast_signed();

    let source = end as i16 - SOURCE_BYTES;
    let (kind, verdict) = Verdict::Xdp.kind_and_value();
    let map = programs(program)?;
    let on = |target: u8, source: u8| source << 4 | target;
    let program = [
        instruction(MOVE_REGISTER, on(6, 1), 0, 0),
        instruction(LOAD, on(2, 1), 0, 0),
        instruction(LOAD, on(3, 1), 4, 0),
        instruction(MOVE_REGISTER, on(4, 2), 0, 0),
        instruction(ADD, 4, 0, end as i32),
        instruction(GREATER, on(4, 3), 8, 0),
        instruction(LOAD, on(5, 2), source, 0),
        instruction(ADD_WORD, 5, 0, STEP),
        instruction(STORE, on(2, 5), source, 0),
        instruction(MOVE_REGISTER, on(1, 6), 0, 0),
        instruction(LOAD_WIDE, 2 | MAP, 0, map.as_raw_fd()),
        instruction(0, 0, 0, 0),
        instruction(MOVE, 3, 0, 0),
        instruction(CALL, 0, 0, TAIL_CALL),
        instruction(MOVE, 0, 0, verdict),
        instruction(EXIT, 0, 0, 0),
    ];
    Ok(Caller {
        program: load(kind, &program).context("loading a program that changes sources")?,
        _called: map,
    })
}

/// A map that holds one program, for another program to call.
fn programs(program: RawFd) -> Result<OwnedFd> {
    /// `BPF_MAP_TYPE_PROG_ARRAY`
    const PROGRAM_ARRAY: u32 = 3;
    const WORD: u32 = 4;
    let mut create = Create {
        kind: PROGRAM_ARRAY,
        key_size: WORD,
        value_size: WORD,
        max_entries: 1,
        flags: 0,
    };
    let map = descriptor(bpf(MAP_CREATE, &mut create).context("a map of programs")?)?;
    let (key, value) = (0_u32, program.cast_unsigned());
    let mut update = Update {
        map: map.as_raw_fd().cast_unsigned().into(),
        key: &raw const key as u64,
        value: &raw const value as u64,
        flags: 0,
    };
    bpf(MAP_UPDATE_ELEM, &mut update).context("a program in a map")?;
    Ok(map)
}

fn load(kind: u32, program: &[Instruction]) -> Result<OwnedFd> {
    /// `BPF_F_XDP_HAS_FRAGS` and `BPF_XDP` of enum bpf_attach_type. They must be those of recon's
    /// program, or this program can't call it.
    const HAS_FRAGS: u32 = 1 << 5;
    const XDP: u32 = 37;
    let is_xdp = kind == Verdict::Xdp.kind_and_value().0;
    let license = c"GPL";
    let mut load = Load {
        kind,
        instructions: program.len() as u32,
        start: program.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: if is_xdp { HAS_FRAGS } else { 0 },
        name: [0; 16],
        interface: 0,
        attach_type: if is_xdp { XDP } else { 0 },
    };
    descriptor(bpf(PROG_LOAD, &mut load)?)
}

fn descriptor(number: libc::c_long) -> Result<OwnedFd> {
    // SAFETY: the kernel has just opened the descriptor for this process, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(RawFd::try_from(number)?) })
}

/// Nanoseconds per run on `frame`, over `repeat` runs in one system call. The cost of the call
/// itself, up to 20 ms of waiting for other processors, is measured with a call for two runs and
/// subtracted. A call for one run would not wait.
pub(crate) fn time(program: RawFd, frame: &[u8], repeat: u32) -> Result<f64> {
    const FEWEST: u32 = 2;
    let call = run(program, frame, FEWEST)?;
    let runs = run(program, frame, repeat)?.saturating_sub(call);
    Ok(runs.as_nanos() as f64 / f64::from(repeat - FEWEST))
}

/// The duration of the call for `repeat` runs.
pub(crate) fn run(program: RawFd, frame: &[u8], repeat: u32) -> Result<Duration> {
    let begin = Instant::now();
    test_run(program, frame, repeat)?;
    Ok(begin.elapsed())
}

/// Nanoseconds per run on `frame` as the kernel takes the time, in whole ones: of few runs, beside
/// which the call would take most of the time.
pub(crate) fn time_few(program: RawFd, frame: &[u8], repeat: u32) -> Result<u32> {
    Ok(test_run(program, frame, repeat)?.duration)
}

fn test_run(program: RawFd, frame: &[u8], repeat: u32) -> Result<TestRun> {
    let mut run = TestRun {
        program: program.cast_unsigned(),
        size_in: frame.len() as u32,
        data_in: frame.as_ptr() as u64,
        repeat,
        ..TestRun::default()
    };
    bpf(PROG_TEST_RUN, &mut run).context("BPF_PROG_TEST_RUN")?;
    Ok(run)
}

fn bpf<T>(command: libc::c_int, attributes: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: the attributes have the layout and the size that the command expects, and the memory
    // that they point to outlives the call.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    match result {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}
