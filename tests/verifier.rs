//! What the kernel's verifier says of each program: how far it is from the limits.
//!
//! In: the kernel object in the agent, and the maps that the agent creates. Out: a line for each
//! program with the instructions that the verifier processed and the program's stack, which `cargo
//! xtask build --verify` reads; a failure if one is near its limit.
//! The decision held here: aya drops the verifier's log of a program that loads, so each is loaded
//! once more with bpf(2) itself and the agent's own maps, whose constants decide which branches the
//! verifier sees.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use anyhow::{Context, Result, bail, ensure};
use aya::maps::Map;
use aya_obj::generated::{BPF_F_XDP_HAS_FRAGS, bpf_attach_type, bpf_attr, bpf_cmd, bpf_prog_type};
use aya_obj::{Object, Program, ProgramSection};
use recon_tests::kernel::{MOST_INSTRUCTIONS, MOST_STACK};
use recon_tests::report;
use recon_user::hook::{Hooks, Netns, ProgramOptions};

/// What a program may take: half of the limits.
const MOST: Statistics = Statistics {
    instructions: MOST_INSTRUCTIONS / 2,
    stack: MOST_STACK / 2,
};
/// The same of a program that logs, which has a way and a stack of its own for that: four fifths.
const MOST_LOGGING: Statistics = Statistics {
    instructions: MOST_INSTRUCTIONS / 5 * 4,
    stack: MOST_STACK / 5 * 4,
};

/// The same of a program that does all of it. Its functions do not call each other, so that no call
/// takes the stack of all of them.
const MOST_TOGETHER: Statistics = Statistics {
    instructions: MOST_INSTRUCTIONS / 5 * 4,
    stack: MOST_STACK,
};

/// What the verifier says of a program.
#[derive(Debug, PartialEq, Eq)]
struct Statistics {
    /// Processed instructions, each once per path that leads to it.
    instructions: u64,
    /// Bytes of all functions together.
    stack: u64,
}

impl Statistics {
    /// Reads the verifier's log, with lines such as `stack depth 96+8`, since Linux 7 with ` max
    /// 104` behind it, and `processed 310 insns (limit 1000000) ...`.
    fn parse_log(log: &str) -> Option<Self> {
        let after = |start| log.lines().find_map(|line| line.strip_prefix(start));
        let depths = after("stack depth ")?.split(' ').next()?.split('+');
        let instructions = after("processed ")?.split(' ').next()?;
        Some(Self {
            instructions: instructions.parse().ok()?,
            stack: depths
                .map(|depth| depth.parse::<u64>().ok())
                .sum::<Option<u64>>()?,
        })
    }

    fn is_within(&self, most: &Self) -> bool {
        self.instructions <= most.instructions && self.stack <= most.stack
    }
}

#[test]
fn every_program_is_far_from_the_verifiers_limits() -> Result<()> {
    const OFF: Option<u32> = None;
    /// Whether bytes of a payload are taken along makes no other instructions.
    const ON: Option<u32> = Some(0);
    for (kernel_log, dns_names, record, suffix, most) in [
        (false, false, OFF, Some(""), MOST),
        (true, false, OFF, Some(LOGGING), MOST_LOGGING),
        (false, true, OFF, Some(NAMING), MOST_LOGGING),
        (false, false, ON, Some(RECORDING), MOST_LOGGING),
        // A program has the instructions of each.
        (true, true, ON, None, MOST_TOGETHER),
    ] {
        let options = ProgramOptions {
            table_entries: TABLE_ENTRIES,
            netns: Netns::Watched,
            kernel_log,
            dns_names,
            record,
        };
        verify_all(options, suffix, &most).with_context(|| format!("{options:?}"))?;
    }
    Ok(())
}

/// What the names of programs that log have behind them.
const LOGGING: &str = " --kernel-log";
/// And of those that hand over DNS messages.
const NAMING: &str = " enrich.names";
/// And of those that record headers.
const RECORDING: &str = " record";
/// Any size will do: the verifier does not look at it.
const TABLE_ENTRIES: u32 = 64;

/// Has the kernel verify all programs, as the agent loads them with those options. Records what it
/// says if their names have a suffix.
fn verify_all(options: ProgramOptions, suffix: Option<&str>, most: &Statistics) -> Result<()> {
    let mut hooks = Hooks::create_maps(options)?;
    let maps = map_descriptors(&mut hooks)?;
    let object = relocate_object(&maps)?;
    let mut names: Vec<_> = object.programs.keys().collect();
    names.sort();
    ensure!(!names.is_empty(), "the object has no programs");
    let (mut near, mut refused) = (Vec::new(), Vec::new());
    for name in names {
        let program = &object.programs[name];
        let statistics = match verify_program(&object, program) {
            Ok(statistics) => statistics,
            Err(error) => {
                refused.push(format!("{name}: {error:#}"));
                continue;
            }
        };
        let (instructions, stack) = (statistics.instructions, statistics.stack);
        if let Some(suffix) = suffix {
            report::record(
                report::PROGRAM,
                &format!("{name}{suffix}"),
                &format!("{instructions} {stack}"),
            );
        }
        if !statistics.is_within(most) {
            near.push((name, statistics));
        }
    }
    ensure!(
        refused.is_empty(),
        "the kernel refuses: {}",
        refused.join("\n")
    );
    ensure!(
        near.is_empty(),
        "too near to the verifier's limits, which are {MOST_INSTRUCTIONS} instructions and {MOST_STACK} bytes: {near:?}"
    );
    Ok(())
}

/// The agent's maps by name.
fn map_descriptors(hooks: &mut Hooks) -> Result<HashMap<String, RawFd>> {
    let named = hooks.ebpf().maps().map(|(name, map)| {
        let (Map::Array(data) | Map::HashMap(data) | Map::PerCpuArray(data) | Map::RingBuf(data)) =
            map
        else {
            bail!("{name} is a map of a kind that this test does not know");
        };
        Ok((name.to_owned(), data.fd().as_fd().as_raw_fd()))
    });
    named.collect()
}

/// The object, with these maps in its instructions.
fn relocate_object(descriptors: &HashMap<String, RawFd>) -> Result<Object> {
    let mut object = Object::parse(&Hooks::object())?;
    let maps = std::mem::take(&mut object.maps);
    let code = object
        .functions
        .keys()
        .map(|&(section, _)| section)
        .collect();
    let maps = maps.iter().filter_map(|(name, map)| {
        let descriptor = descriptors.get(name)?;
        Some((name.as_str(), *descriptor, map))
    });
    object.relocate_maps(maps, &code)?;
    object.relocate_calls(&code)?;
    Ok(object)
}

/// Has the kernel verify the program, and reads the verifier's log.
fn verify_program(object: &Object, program: &Program) -> Result<Statistics> {
    /// `BPF_LOG_STATS` of the kernel's linux/bpf_verifier.h.
    const LOG_STATISTICS: u32 = 4;
    const LOG_BYTES: usize = 1 << 16;
    let function = object.functions.get(&program.function_key());
    let instructions = &function.context("no such function")?.instructions;
    let (kind, attach, flags) = load_parameters(&program.section)?;
    let mut log = vec![0_u8; LOG_BYTES];
    // SAFETY: all members of the union are integers, of which zero is valid.
    let mut attributes: bpf_attr = unsafe { std::mem::zeroed() };
    // SAFETY: as above, and so is every bit pattern.
    let load = unsafe { &mut attributes.__bindgen_anon_3 };
    load.prog_type = kind as u32;
    load.expected_attach_type = attach.map_or(0, |attach| attach as u32);
    load.prog_flags = flags;
    load.insns = instructions.as_ptr() as u64;
    load.insn_cnt = u32::try_from(instructions.len())?;
    load.license = object.license.as_ptr() as u64;
    load.log_level = LOG_STATISTICS;
    load.log_buf = log.as_mut_ptr() as u64;
    load.log_size = u32::try_from(log.len())?;
    // SAFETY: the attributes have the size that is passed; they, the instructions, the licence and
    // the log outlive the call.
    let descriptor = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            bpf_cmd::BPF_PROG_LOAD,
            &raw mut attributes,
            size_of::<bpf_attr>(),
        )
    };
    let error = io::Error::last_os_error();
    let text = String::from_utf8_lossy(&log);
    let text = text.trim_end_matches('\0');
    ensure!(descriptor >= 0, "BPF_PROG_LOAD: {error}\n{text}");
    // SAFETY: the kernel has just opened it for this process, and nothing else holds it.
    drop(unsafe { OwnedFd::from_raw_fd(RawFd::try_from(descriptor)?) });
    Statistics::parse_log(text).with_context(|| format!("no statistics in the log: {text:?}"))
}

/// How a program of that section is loaded: its type, attach type and flags.
fn load_parameters(
    section: &ProgramSection,
) -> Result<(bpf_prog_type, Option<bpf_attach_type>, u32)> {
    Ok(match section {
        ProgramSection::Xdp { frags, .. } => (
            bpf_prog_type::BPF_PROG_TYPE_XDP,
            Some(bpf_attach_type::BPF_XDP),
            if *frags { BPF_F_XDP_HAS_FRAGS } else { 0 },
        ),
        ProgramSection::SchedClassifier => (bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS, None, 0),
        ProgramSection::CgroupSockAddr { attach_type } => (
            bpf_prog_type::BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
            Some((*attach_type).into()),
            0,
        ),
        ProgramSection::CgroupSock { attach_type } => (
            bpf_prog_type::BPF_PROG_TYPE_CGROUP_SOCK,
            Some((*attach_type).into()),
            0,
        ),
        ProgramSection::SockOps => (
            bpf_prog_type::BPF_PROG_TYPE_SOCK_OPS,
            Some(bpf_attach_type::BPF_CGROUP_SOCK_OPS),
            0,
        ),
        ProgramSection::TracePoint => (bpf_prog_type::BPF_PROG_TYPE_TRACEPOINT, None, 0),
        other => bail!("a program of a kind that this test does not know: {other:?}"),
    })
}

#[test]
fn statistics_are_read_from_a_log() {
    for depths in [
        "stack depth 96+8",
        "stack depth 96+8 max 104\ninsns processed 310",
    ] {
        let log = format!(
            "verification time 412 usec\n{depths}\nprocessed 310 insns (limit 1000000) max_states_per_insn 4 total_states 20\n"
        );
        let expected = Statistics {
            instructions: 310,
            stack: 104,
        };
        assert_eq!(Statistics::parse_log(&log), Some(expected));
    }
    assert_eq!(Statistics::parse_log("processed 310 insns"), None);
}

#[test]
fn a_program_is_within_both_limits() {
    for (instructions, stack, expected) in
        [(500_000, 256, true), (500_001, 0, false), (0, 257, false)]
    {
        let statistics = Statistics {
            instructions,
            stack,
        };
        assert_eq!(statistics.is_within(&MOST), expected, "{statistics:?}");
    }
}
