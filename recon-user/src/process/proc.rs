//! What /proc says of one process.
//!
//! In: the root of /proc and a pid. Out: what could be read; nothing for a process that is gone.
//! The decision held here: the parts are read one by one, and each may be missing: the process may
//! end meanwhile, or belong to another user, whose executable takes CAP_SYS_PTRACE to see.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::reader;
use super::text::COMMAND_LINE_LENGTH;

/// The most bytes read of a file. A line of /proc/PID/cgroup has up to `PATH_MAX`, and there are
/// about ten.
const FILE_LENGTH: usize = 1 << 16;
/// What the kernel appends to the name of a deleted file or folder.
pub(super) const DELETED: &str = " (deleted)";

/// What /proc/PID/stat says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ProcStat {
    /// The task's name.
    pub(super) name: Vec<u8>,
    /// The parent's id.
    pub(super) parent: Option<u32>,
    /// Whether it has executed a program since it was forked.
    pub(super) has_executed: bool,
    /// When it started, in clock ticks since boot. Together with the pid it identifies a process.
    pub(super) start: u64,
}

/// What /proc has of a process.
#[derive(Debug)]
pub(super) struct ProcFiles {
    pub(super) stat: ProcStat,
    /// The executable's path.
    pub(super) executable: Option<Vec<u8>>,
    /// Its arguments, `argv[0]` first. Empty if it has none, as the kernel's own threads.
    pub(super) arguments: Vec<Vec<u8>>,
    /// The text of /proc/PID/cgroup.
    pub(super) cgroups: Option<String>,
}

/// Reads everything in [`ProcFiles`].
pub(super) fn read_process(root: &Path, pid: u32) -> Option<ProcFiles> {
    let stat = read_stat(root, pid)?;
    let link = pid_folder(root, pid).join("exe");
    let executable = reader::read(move || fs::read_link(link).ok()).flatten();
    let file = pid_folder(root, pid).join("cmdline");
    // Of the process's own memory, which it may keep from being read.
    let arguments = reader::read(move || read_path(&file, COMMAND_LINE_LENGTH + 1)).flatten();
    let cgroups = read_file(root, pid, "cgroup", FILE_LENGTH);
    Some(ProcFiles {
        stat,
        executable: executable.map(|path| strip_deleted(path.into_os_string().into_vec())),
        arguments: arguments.as_deref().map_or_else(Vec::new, parse_arguments),
        cgroups: cgroups.map(|text| String::from_utf8_lossy(&text).into_owned()),
    })
}

/// Reads when a process started, its name and parent.
pub(super) fn read_stat(root: &Path, pid: u32) -> Option<ProcStat> {
    parse_stat(&read_file(root, pid, "stat", FILE_LENGTH)?)
}

/// What /proc/PID/status says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ProcStatus {
    /// The real user id.
    pub(super) user: u32,
    /// Whether the process is in a PID namespace below the one that /proc shows.
    pub(super) is_nested: bool,
}

/// Reads whose a process is.
pub(super) fn read_status(root: &Path, pid: u32) -> Option<ProcStatus> {
    parse_status(&read_file(root, pid, "status", FILE_LENGTH)?)
}

/// Reads the real user id of a process.
pub(super) fn read_user(root: &Path, pid: u32) -> Option<u32> {
    read_status(root, pid).map(|status| status.user)
}

/// The pids of all processes.
pub(super) fn list_pids(root: &Path) -> impl Iterator<Item = u32> + use<> {
    fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The folder of a process.
pub(super) fn pid_folder(root: &Path, pid: u32) -> PathBuf {
    root.join(pid.to_string())
}

fn read_file(root: &Path, pid: u32, name: &str, limit: usize) -> Option<Vec<u8>> {
    read_path(&pid_folder(root, pid).join(name), limit)
}

fn read_path(path: &Path, limit: usize) -> Option<Vec<u8>> {
    // Most files are short and fit the first allocation.
    let mut contents = Vec::with_capacity(1024);
    let file = File::open(path).ok()?;
    file.take(limit as u64).read_to_end(&mut contents).ok()?;
    Some(contents)
}

/// By proc_pid_stat(5). The name may hold anything, also `)` and line feeds; only numbers follow
/// its last `)`.
fn parse_stat(text: &[u8]) -> Option<ProcStat> {
    // Positions of fields 4, 9 and 22 behind the name.
    const PARENT: usize = 4 - 3;
    const FLAGS: usize = 9 - 3;
    const START: usize = 22 - 3;
    /// `PF_FORKNOEXEC` of linux/sched.h.
    const FORKED_WITHOUT_EXECUTION: u32 = 0x40;
    let from = text.iter().position(|&byte| byte == b'(')? + 1;
    let to = text.iter().rposition(|&byte| byte == b')')?;
    let name = text.get(from..to)?.to_vec();
    let mut fields = str::from_utf8(text.get(to + 1..)?).ok()?.split_whitespace();
    let parent = fields.nth(PARENT)?.parse().ok()?;
    let flags: u32 = fields.nth(FLAGS - PARENT - 1)?.parse().ok()?;
    let start = fields.nth(START - FLAGS - 1)?.parse().ok()?;
    Some(ProcStat {
        name,
        // The first process and the kernel's first thread have none.
        parent: Some(parent).filter(|&parent| parent != 0),
        has_executed: flags & FORKED_WITHOUT_EXECUTION == 0,
        start,
    })
}

/// By proc_pid_status(5): `Uid:` real, effective, saved, file system; `NSpid:` the pid in each
/// namespace from that of /proc on, which a kernel without such namespaces lacks. The kernel
/// escapes line feeds in the name before them.
fn parse_status(status: &[u8]) -> Option<ProcStatus> {
    let words = |key: &[u8]| {
        let mut lines = status.split(|&byte| byte == b'\n');
        let line = lines.find_map(|line| line.strip_prefix(key))?;
        Some(str::from_utf8(line).ok()?.split_whitespace())
    };
    let user = words(b"Uid:")?.next()?.parse().ok()?;
    let namespaces = words(b"NSpid:").map_or(1, Iterator::count);
    Some(ProcStatus {
        user,
        is_nested: namespaces > 1,
    })
}

/// Each argument ends with a 0. A process that writes its title over them leaves several at the
/// end.
fn parse_arguments(text: &[u8]) -> Vec<Vec<u8>> {
    if text.is_empty() {
        return Vec::new();
    }
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    let mut arguments: Vec<_> = text.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect();
    if arguments.ends_with(&[vec![], vec![]]) {
        while arguments.pop_if(|argument| argument.is_empty()).is_some() {}
    }
    arguments
}

pub(super) fn strip_deleted(mut path: Vec<u8>) -> Vec<u8> {
    if path.ends_with(DELETED.as_bytes()) {
        path.truncate(path.len() - DELETED.len());
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_with_any_name_is_parsed() {
        // The fields from the state on; the start is the last one that is needed.
        let rest = "S 77 5 5 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4242 99 100";
        for name in [
            "nmap",
            "",
            "a b",
            ")",
            "a) R 1 1 1 (b",
            "x\n1 (y) Z 1",
            "((()))",
            "\u{fffd}",
        ] {
            let stat = parse_stat(format!("12 ({name}) {rest}\n").as_bytes());
            let expected = ProcStat {
                name: name.as_bytes().to_vec(),
                parent: Some(77),
                has_executed: true,
                start: 4242,
            };
            assert_eq!(stat, Some(expected), "{name:?}");
        }
        let forked = format!("12 (sshd) {}", rest.replacen("4194304", "4194368", 1));
        let stat = parse_stat(forked.as_bytes()).expect("a stat");
        assert!(!stat.has_executed);
        let not_utf8 = [b"12 (\xff\xc3) ", rest.as_bytes()].concat();
        let stat = parse_stat(&not_utf8).expect("a stat");
        assert_eq!(stat.name, b"\xff\xc3");
        let first = format!("1 (init) {}", rest.replacen("77", "0", 1));
        assert_eq!(
            parse_stat(first.as_bytes()).map(|stat| stat.parent),
            Some(None)
        );
    }

    #[test]
    fn a_broken_stat_is_none() {
        for text in [
            &b""[..],
            b"\0",
            b"12",
            b"12 (",
            b"12 )(",
            b")",
            b"12 (a)",
            b"12 (a) S",
            b"12 (a) S 1 2 3",
            b"12 (a) S x 5 5 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4242",
            b"12 (a) S 1 5 5 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 -4",
            b"12 (a) S -1 5 5 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4",
            b"12 (a) S 1 5 5 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 99999999999999999999999",
            b"12 (a) S 1 5 5 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 \xff",
        ] {
            assert_eq!(parse_stat(text), None, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn whose_a_process_is_is_parsed() {
        let (own, nested) = (false, true);
        for (status, expected) in [
            (
                &b"Name:\tx\nUid:\t1000\t0\t0\t0\nGid:\t5\n"[..],
                Some((1000, own)),
            ),
            (b"Name:\tUid:\\n\nUid:\t0\t1\t1\t1\n", Some((0, own))),
            (b"Uid:\t4294967295\n", Some((u32::MAX, own))),
            (b"Uid:\t5\t5\nNSpid:\t77\nNSpgid:\t7\t1\n", Some((5, own))),
            (b"Uid:\t5\t5\nNSpid:\t77\t1\n", Some((5, nested))),
            (b"Uid:\t5\t5\nNSpid:\t77\t8\t1\n", Some((5, nested))),
            (b"Uid:\t4294967296\n", None),
            (b"Uid:\n", None),
            (b"Uid:\t\xff\n", None),
            (b"Name:\tx\n", None),
            (b"", None),
        ] {
            let found = parse_status(status).map(|status| (status.user, status.is_nested));
            assert_eq!(found, expected, "{}", status.escape_ascii());
        }
    }

    #[test]
    fn arguments_are_split() {
        for (text, expected) in [
            (&b""[..], &[][..]),
            (b"a\0", &[&b"a"[..]]),
            (b"a", &[b"a"]),
            (b"a\0b c\0", &[b"a", b"b c"]),
            (b"a\0\0b\0", &[b"a", b"", b"b"]),
            (b"a\0\0", &[b"a", b""]),
            (b"\0", &[b""]),
            (b"sshd: x\0\0\0\0", &[b"sshd: x"]),
            (b"\0\0\0", &[]),
            (b"\x1b\n\xff\0", &[b"\x1b\n\xff"]),
        ] {
            assert_eq!(parse_arguments(text), expected, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn the_mark_of_deleted_files_is_stripped() {
        for (path, expected) in [
            ("/bin/nmap", "/bin/nmap"),
            ("/bin/nmap (deleted)", "/bin/nmap"),
            (" (deleted)", ""),
            ("(deleted)", "(deleted)"),
            ("", ""),
        ] {
            assert_eq!(strip_deleted(path.into()), expected.as_bytes());
        }
    }

    #[test]
    fn missing_files_are_none() {
        let root = tempfile::tempdir().expect("a folder");
        assert!(read_process(root.path(), 1).is_none());
        assert_eq!(
            (read_user(root.path(), 1), list_pids(root.path()).count()),
            (None, 0)
        );
        assert_eq!(list_pids(&root.path().join("none")).count(), 0);
        for name in ["1", "self", "02x", "4294967296", "-3"] {
            fs::create_dir(root.path().join(name)).expect("a folder");
        }
        assert_eq!(list_pids(root.path()).collect::<Vec<_>>(), [1]);
        assert!(read_process(root.path(), 1).is_none());
        // A folder in place of a file.
        fs::create_dir(root.path().join("1/stat")).expect("a folder");
        assert!(read_process(root.path(), 1).is_none());
        fs::remove_dir(root.path().join("1/stat")).expect("a folder");
        let stat = "1 (a) S 1 5 5 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4";
        fs::write(root.path().join("1/stat"), stat).expect("a file");
        let found = read_process(root.path(), 1).expect("a stat is enough");
        assert_eq!(
            (found.executable, found.arguments.len(), found.cgroups),
            (None, 0, None)
        );
    }
}
