//! Two of bpf(2)'s commands: to load a program that lets every packet pass, and to have the kernel run a program again and again.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Commands of enum bpf_cmd, linux/bpf.h.
const PROG_LOAD: libc::c_int = 5;
const PROG_TEST_RUN: libc::c_int = 10;

/// What a program that lets every packet pass says, and what its type is in enum bpf_prog_type.
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

/// The start of what `BPF_PROG_LOAD` takes.
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
}

/// What `BPF_PROG_TEST_RUN` takes.
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

/// Loads a program that says `verdict` and nothing else.
pub(crate) fn pass(verdict: Verdict) -> Result<OwnedFd> {
    /// `BPF_ALU64 | BPF_MOV | BPF_K` and `BPF_JMP | BPF_EXIT`.
    const MOVE: u8 = 0xb7;
    const EXIT: u8 = 0x95;
    let (kind, value) = verdict.kind_and_value();
    let instruction = |code, value| Instruction {
        code,
        registers: 0,
        offset: 0,
        value,
    };
    let program = [instruction(MOVE, value), instruction(EXIT, 0)];
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
        flags: 0,
    };
    let descriptor = bpf(PROG_LOAD, &mut load).context("loading a program that passes all")?;
    // SAFETY: the kernel has just opened it for this process, and nothing else holds it.
    Ok(unsafe { OwnedFd::from_raw_fd(RawFd::try_from(descriptor)?) })
}

/// Nanoseconds that a run on `frame` takes, of `repeat` runs by one system call. What the call itself takes, up to 20 ms of waiting for
/// other processors, is measured by a call for one run and taken away.
pub(crate) fn time(program: RawFd, frame: &[u8], repeat: u32) -> Result<f64> {
    const ONCE: u32 = 1;
    let call = run(program, frame, ONCE)?;
    let runs = run(program, frame, repeat)?.saturating_sub(call);
    Ok(runs.as_nanos() as f64 / f64::from(repeat - ONCE))
}

/// How long the call for `repeat` runs takes.
pub(crate) fn run(program: RawFd, frame: &[u8], repeat: u32) -> Result<Duration> {
    let mut run = TestRun {
        program: program.cast_unsigned(),
        size_in: frame.len() as u32,
        data_in: frame.as_ptr() as u64,
        repeat,
        ..TestRun::default()
    };
    let begin = Instant::now();
    bpf(PROG_TEST_RUN, &mut run).context("BPF_PROG_TEST_RUN")?;
    Ok(begin.elapsed())
}

fn bpf<T>(command: libc::c_int, attributes: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: the attributes are as the command takes them, with their own size, and what they point to outlives the call.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    match result {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}
