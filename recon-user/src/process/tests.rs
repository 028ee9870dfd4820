//! The process table, over a /proc made of files and over the real one.

use super::*;

mod images;
mod logins;

use recon_common::process::NAME_LENGTH;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A /proc made of files.
pub(super) struct Tree(TempDir);

impl Tree {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn write(&self, path: &str, contents: &[u8]) {
        let path = self.made(path);
        fs::write(path, contents).expect("a file");
    }

    pub(super) fn link(&self, path: &str, target: &str) {
        symlink(target, self.made(path)).expect("a link");
    }

    /// A process with only a stat.
    pub(super) fn process(&self, pid: u64, parent: u32, name: &str, start: u64) {
        let stat =
            format!("{pid} ({name}) S {parent} 5 5 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 {start} 9\n");
        self.write(&format!("{pid}/stat"), stat.as_bytes());
    }

    fn end(&self, pid: u32) {
        fs::remove_dir_all(self.path().join(pid.to_string())).expect("it was there");
    }

    fn made(&self, path: &str) -> std::path::PathBuf {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("a path below")).expect("a folder");
        path
    }

    /// A table over this /proc that trusts no record without a look.
    pub(super) fn processes(&self, limit: usize) -> ProcessTable {
        ProcessTable {
            trusted_for: Duration::ZERO,
            ..ProcessTable::new(self.path(), limit)
        }
    }
}

/// A child process that is killed at the end of its test.
pub(super) struct Guard(pub(super) Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) fn event(pid: u32, filename: &str) -> ExecEvent {
    let mut event = ExecEvent {
        cgroup: 0,
        image: pid,
        user: 1000,
        name: [0; NAME_LENGTH],
        filename: [0; FILENAME_LENGTH],
    };
    let name = filename.rsplit('/').next().unwrap_or_default();
    let length = name.len().min(NAME_LENGTH - 1);
    event.name[..length].copy_from_slice(&name.as_bytes()[..length]);
    let length = filename.len().min(FILENAME_LENGTH - 1);
    event.filename[..length].copy_from_slice(&filename.as_bytes()[..length]);
    event
}

/// The program of a process that has executed none.
const fn first(pid: u32) -> ImageId {
    ImageId { pid, number: 0 }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn a_program_that_is_there() {
    let tree = Tree::new();
    tree.process(70, 60, "nm\nap)", 5);
    tree.link("70/exe", "/usr/bin/nmap (deleted)");
    tree.write("70/cmdline", b"nmap\0-e x\0\x1b[2J\0");
    tree.write("70/cgroup", b"0::/system.slice/cron.service\n");
    let mut processes = tree.processes(9);
    processes.record_exec(&event(70, "/usr/local/bin/scan"));
    let expected = Process {
        pid: 70,
        parent: Some(60),
        user: Some(1000),
        user_name: None,
        name: some("nm\\u{a}ap)"),
        executable: some("/usr/bin/nmap"),
        command_line: some("nmap '-e x' \\u{1b}[2J"),
        container: None,
        unit: some("cron.service"),
        start: processes.get(70).start,
    };
    assert!(expected.start.is_some());
    assert_eq!(processes.get(70), expected);
    for name in ["nmap", "scan"] {
        assert!(processes.is_tool(first(70), &names(&["x", name])), "{name}");
    }
    assert!(!processes.is_tool(first(70), &names(&["nm\nap)", "-e x", "70"])));
    // It stays the same process: with another parent, and after its end.
    tree.process(70, 1, "nmap", 5);
    assert_eq!(processes.get(70), expected);
    tree.end(70);
    assert_eq!(processes.get(70), expected);
    assert!(processes.is_tool(first(70), &names(&["nmap"])));
    // Another process with that pid, which was forked without executing a program.
    tree.process(70, 2, "cat", 6);
    tree.write("70/status", b"Uid:\t0\t1\t1\t1\n");
    let other = Process {
        pid: 70,
        parent: Some(2),
        user: Some(0),
        name: some("cat"),
        start: processes.get(70).start,
        ..Process::default()
    };
    let entity = |process: &Process| process.start.map(|start| start.entity);
    assert_ne!(entity(&other), entity(&expected));
    assert_eq!(processes.get(70), other);
    assert!(!processes.is_tool(first(70), &names(&["nmap"])));
    // A program replaces the previous one.
    processes.record_exec(&event(70, "/bin/dog"));
    assert!(processes.is_tool(first(70), &names(&["dog"])));
}

#[test]
fn a_program_that_was_gone() {
    let id = "0123456789abcdef".repeat(4);
    let cgroups = Tree::new();
    let folder = format!("system.slice/docker-{id}.scope");
    cgroups.write(&format!("{folder}/cgroup.procs"), b"");
    let folder = fs::metadata(cgroups.path().join(folder)).expect("it was made");
    let tree = Tree::new();
    let mut processes = tree
        .processes(9)
        .with_cgroups(Some(cgroups.path().to_owned()));
    processes.record_exec(&ExecEvent {
        cgroup: folder.ino(),
        ..event(70, "./the\nHarvester.py")
    });
    let expected = Process {
        pid: 70,
        parent: None,
        user: Some(1000),
        user_name: None,
        name: some("the\\u{a}Harvester.p"),
        executable: some("./the\\u{a}Harvester.py"),
        command_line: None,
        container: Some(id),
        unit: some("system.slice"),
        start: None,
    };
    assert_eq!(processes.get(70), expected);
    processes.record_exec(&event(71, "/x/masscan"));
    processes.record_exec(&event(
        72,
        &format!("/{}/masscan", "x".repeat(FILENAME_LENGTH)),
    ));
    processes.record_exec(&event(73, ""));
    for (pid, is_tool) in [
        (70, false),
        (71, true),
        (72, false),
        (73, false),
        (74, false),
    ] {
        assert_eq!(
            processes.is_tool(first(pid), &names(&["masscan", ""])),
            is_tool
        );
    }
    // That pid now belongs to another process.
    tree.process(71, 1, "cat", 5);
    assert!(!processes.is_tool(first(71), &names(&["masscan"])));
}

#[test]
fn what_is_not_known_has_but_an_id() {
    let tree = Tree::new();
    tree.write(
        "0/stat",
        b"0 (x) S 1 5 5 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 5 9",
    );
    tree.write("5/stat", b"\xff\0 garbage");
    tree.write("5/cmdline", b"nmap\0");
    let mut processes = tree.processes(9);
    for pid in [0, 5, 6, u32::MAX] {
        let nothing = Process {
            pid,
            ..Process::default()
        };
        assert_eq!(processes.get(pid), nothing);
        assert!(!processes.is_tool(first(pid), &names(&["nmap", ""])));
    }
    tree.process(6, 1, "late", 5);
    assert_eq!(processes.get(6).name, some("late"));
}

#[test]
fn the_rows_of_one_scan_cost_one_look() {
    let tree = Tree::new();
    tree.process(70, 1, "a", 5);
    let mut processes = ProcessTable {
        trusted_for: Duration::MAX,
        ..tree.processes(9)
    };
    assert_eq!(processes.get(70).name, some("a"));
    tree.process(70, 1, "b", 6);
    assert_eq!(processes.get(70).name, some("a"));
    processes.trusted_for = Duration::ZERO;
    assert_eq!(processes.get(70).name, some("b"));
}

#[test]
fn who_is_gone_makes_room_first() {
    const LIMIT: u32 = 80;
    let tree = Tree::new();
    let mut processes = tree.processes(LIMIT as usize);
    // The oldest half exists, then follow ended ones, one of which is used again, and an unknown
    // one.
    for pid in 1..LIMIT {
        if pid < LIMIT / 2 {
            tree.process(pid.into(), 1, "server", 5);
        }
        processes.record_exec(&event(pid, "/bin/true"));
    }
    processes.get(LIMIT);
    let asked = LIMIT / 2;
    processes.get(asked);
    assert_eq!((processes.records.len(), processes.take_evicted()), (80, 0));
    processes.record_exec(&event(500, "/bin/true"));
    // An eighth was evicted, one of them unknown.
    assert_eq!(processes.records.len(), 71);
    assert_eq!((processes.take_evicted(), processes.take_evicted()), (9, 0));
    let kept = |processes: &ProcessTable, pid| processes.records.contains_key(&pid);
    for pid in 1..LIMIT {
        let went = pid > asked && pid <= asked + 9;
        assert_eq!(kept(&processes, pid), !went, "{pid}");
    }
    for pid in 1000..3000 {
        processes.record_exec(&event(pid, "/bin/true"));
        assert!(processes.records.len() <= LIMIT as usize);
    }
    assert!(
        (1..asked).all(|pid| kept(&processes, pid)),
        "those still there"
    );
    assert!(kept(&processes, 2999) && !kept(&processes, asked));
    // A program of a known process needs no room, and there is room for at least one.
    let mut one = tree.processes(0);
    for filename in ["/bin/a", "/bin/b"] {
        one.record_exec(&event(1, filename));
    }
    assert_eq!(one.take_evicted(), 0);
    one.record_exec(&event(2, "/bin/c"));
    assert_eq!((one.take_evicted(), one.records.len()), (1, 1));
}

#[test]
fn this_process() {
    let mut processes = ProcessTable::new("/proc", 9);
    let process = processes.get(std::process::id());
    let executable = std::env::current_exe().expect("a path");
    assert_eq!(process.executable.as_deref(), executable.to_str());
    assert_eq!(process.parent, Some(std::os::unix::process::parent_id()));
    assert_eq!(process.user, Some(nix::unistd::getuid().as_raw()));
    assert!(process.name.is_some() && process.command_line.is_some());
}

/// `spawn` returns while the kernel still loads the program: its arguments come last.
fn wait_for_arguments(pid: u32) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let path = format!("/proc/{pid}/cmdline");
    while fs::read(&path).expect("a process").is_empty() {
        assert!(Instant::now() < deadline, "{path} stays empty");
        thread::yield_now();
    }
}

#[test]
fn argv0_neither_hides_nor_fakes() {
    let folder = tempfile::tempdir().expect("a folder");
    let tool = folder.path().join("nmap");
    // Another process makes the copy: a file open for writing can't be executed, not even while a
    // child of this process inherits it.
    let mut copy = Command::new("/bin/cp");
    let copied = copy.arg("/bin/sleep").arg(&tool).status();
    assert!(copied.is_ok_and(|status| status.success()));
    let run = |program: &Path, argv0: &str| {
        let mut command = Command::new(program);
        let child = Guard(command.arg0(argv0).arg("600").spawn().expect("it runs"));
        wait_for_arguments(child.0.id());
        child
    };
    let mut processes = ProcessTable::new("/proc", 9);
    let hidden = run(&tool, "[kworker/0:1]");
    let faked = run(Path::new("/bin/sleep"), "nmap");
    let tools = names(&["nmap"]);
    for (child, path, is_tool) in [
        (&hidden, tool.as_path(), true),
        (&faked, Path::new("/bin/sleep"), false),
    ] {
        let pid = child.0.id();
        // As a process that existed before, and as a program that starts.
        assert_eq!(processes.is_tool(first(pid), &tools), is_tool, "{path:?}");
        processes.record_exec(&event(pid, path.to_str().expect("text")));
        assert_eq!(processes.is_tool(first(pid), &tools), is_tool, "{path:?}");
    }
    let pid = hidden.0.id();
    let process = processes.get(pid);
    assert_eq!(process.executable.as_deref(), tool.to_str());
    assert_eq!(process.name, some("nmap"));
    assert_eq!(process.command_line, some("[kworker/0:1] 600"));
    assert_eq!(process.parent, Some(std::process::id()));
    drop(hidden);
    assert_eq!(processes.get(pid), process, "it is gone, and still known");
}

#[test]
fn a_script_is_a_tool() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("scan.sh");
    fs::write(&script, "echo ready\nread line\n").expect("a file");
    let mut command = Command::new("/bin/sh");
    command
        .arg(&script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = Guard(command.spawn().expect("it runs"));
    let mut line = String::new();
    let stdout = child.0.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("text");
    assert_eq!(line, "ready\n");
    let mut processes = ProcessTable::new("/proc", 9);
    let pid = child.0.id();
    for (tools, is_tool) in [(["scan"], true), (["scan.sh"], true), (["read"], false)] {
        assert_eq!(
            processes.is_tool(first(pid), &names(&tools)),
            is_tool,
            "{tools:?}"
        );
    }
}
