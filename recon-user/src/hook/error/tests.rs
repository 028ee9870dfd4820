//! What each error says, without a kernel.

use super::*;

use std::collections::HashSet;

use aya::{EbpfLoader, VerifierLogLevel};
use aya_obj::{Object, VerifierLog};

use crate::diagnostic::error_chain;
use crate::hook::object::OBJECT;

const LOG: &str = "0: R1=ctx()\n 0: (85) call bpf_probe_read#4\n unknown func bpf_probe_read#4\nverification time 4 usec\nstack depth 0\nprocessed 1 insns (limit 1000000)\n\n";

fn os_error(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

fn create_error(number: i32) -> EbpfError {
    EbpfError::MapError(MapError::CreateError {
        name: "COUNTS_0".to_owned(),
        io_error: os_error(number),
    })
}

fn load_error(number: i32, log: &str) -> ProgramError {
    ProgramError::LoadError {
        io_error: os_error(number),
        verifier_log: VerifierLog::new(log.to_owned()),
    }
}

/// An object of another format, as a truncated file is.
fn parse_error() -> HookError {
    let loaded = EbpfLoader::new()
        .verifier_log_level(VerifierLogLevel::DISABLE)
        .load(b"no ELF file");
    loaded.expect_err("it is no object").into()
}

/// An object whose programs name maps that are not there.
fn relocation_error() -> HookError {
    let mut object = Object::parse(OBJECT).expect("the agent's own object");
    let functions = &object.functions;
    let code: HashSet<usize> = functions.keys().map(|&(section, _)| section).collect();
    let none = std::iter::empty::<(&str, i32, &aya_obj::Map)>();
    let relocated = object.relocate_maps(none, &code);
    EbpfError::RelocationError(relocated.expect_err("there are no maps")).into()
}

#[test]
fn messages_name_the_thing_the_cost_the_remedy_and_the_cause() {
    // (error, its variant, what its message and causes must say)
    for (error, variant, says) in [
        (
            parse_error(),
            "ParseObject",
            &["does not parse", "can't load any program", "rebuild", "ELF"][..],
        ),
        (
            relocation_error(),
            "RelocateObject",
            &[
                "can't be relocated",
                "can't load any program",
                "rebuild",
                "section",
            ],
        ),
        (
            create_error(libc::ENOMEM).into(),
            "CreateMap",
            &["COUNTS_0", "can't count", "--table-entries", "os error 12"],
        ),
        (
            create_error(libc::EPERM).into(),
            "CreateMap",
            &["COUNTS_0", "can't count", "seccomp", "os error 1)"],
        ),
        (
            create_error(libc::ENOSYS).into(),
            "CreateMap",
            &[
                "COUNTS_0",
                "can't count",
                "CONFIG_BPF_SYSCALL",
                "os error 38",
            ],
        ),
        (
            create_error(libc::EMFILE).into(),
            "CreateMap",
            &["COUNTS_0", "can't count", "ulimit -n", "os error 24"],
        ),
        (
            create_error(libc::EINVAL).into(),
            "CreateMap",
            &["COUNTS_0", "can't count", "uname -r", "os error 22"],
        ),
        (
            EbpfError::MapError(MapError::KeyNotFound).into(),
            "SetUpMaps",
            &["can't be set up", "can't count", "key not found"],
        ),
        (
            EbpfError::NoBTF.into(),
            "LoadObject",
            &["can't be loaded", "no BTF parsed"],
        ),
        (
            HookError::of_program("recon_xdp", load_error(libc::EACCES, LOG)),
            "VerifierRejects",
            &[
                "recon_xdp",
                "can't watch any packet",
                "uname -r",
                "call bpf_probe_read#4 | unknown func bpf_probe_read#4: ",
                "os error 13",
            ],
        ),
        (
            HookError::of_program("recon_xdp", load_error(libc::EPERM, "\n")),
            "RefuseProgram",
            &[
                "recon_xdp",
                "can't watch any packet",
                "lockdown",
                "os error 1)",
            ],
        ),
        (
            HookError::of_program("recon_xdp", ProgramError::UnexpectedProgramType),
            "LoadProgram",
            &[
                "recon_xdp",
                "can't watch any packet",
                "unexpected program type",
            ],
        ),
    ] {
        assert!(format!("{error:?}").starts_with(variant), "{error:?}");
        assert!(std::error::Error::source(&error).is_some(), "{error:?}");
        let text = error_chain(&error);
        for part in says {
            assert!(text.contains(part), "no {part:?} in: {text}");
        }
        assert!(!text.contains('\n'), "{text}");
    }
}

#[test]
fn a_reason_takes_one_line() {
    let reason = format!("refused: {LOG}");
    for (reason, expected) in [
        (
            reason.as_str(),
            "refused: 0: R1=ctx() ... unknown func bpf_probe_read#4",
        ),
        ("no such file", "no such file"),
        ("refused:\nprocessed 0 insns\n", "refused:"),
        ("", ""),
    ] {
        assert_eq!(summarise_reason(reason), expected);
    }
}
