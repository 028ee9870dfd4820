//! The filter and the domain, tried in processes of their own: a reduced process can't get back
//! what it gave up, so each test starts this test binary again for one test only.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::{env, thread};

use nix::sched::{CloneFlags, unshare};

use super::*;
use crate::hook::Capability;

#[path = "tests/threads.rs"]
mod threads;

/// Set in a process that reduces itself, to a folder of its own.
const INSIDE: &str = "RECON_TEST_INSIDE";

/// Runs `work` in a process of its own: this test, once more. `test` is its path from here.
fn alone(test: &str, work: impl FnOnce(&Path)) {
    if let Some(folder) = env::var_os(INSIDE) {
        return work(Path::new(&folder));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let this = env::current_exe().expect("this binary");
    let output = Command::new(this)
        .args(["--exact", &format!("sandbox::tests::{test}"), "--nocapture"])
        .env(INSIDE, folder.path())
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("a process");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

fn number<T>(result: nix::Result<T>) -> Option<nix::errno::Errno> {
    result.err()
}

/// The error number of a call by its number, with arguments that harm nobody.
fn refusal(call: libc::c_long, arguments: [usize; 4]) -> Option<i32> {
    let [a, b, c, d] = arguments;
    // SAFETY: the pointers among the arguments are null, so no call succeeds in doing anything.
    let result = unsafe { libc::syscall(call, a, b, c, d) };
    let error = std::io::Error::last_os_error();
    (result < 0).then(|| error.raw_os_error()).flatten()
}

#[test]
fn refused_calls_fail_and_needed_ones_work() {
    alone("refused_calls_fail_and_needed_ones_work", |_| {
        let reduced = reduce(&Paths::default(), &SpecialThreads::default());
        assert!(reduced.has_filter, "{reduced}: {:?}", reduced.missing);
        const LOAD: usize = 5;
        const CREATE: usize = 0;
        const RAW_TRACEPOINT: usize = 17;
        const EXECUTABLE: usize = libc::PROT_EXEC as usize;
        const PAGE: usize = 1 << 12;
        let inet = libc::AF_INET as usize;
        let stream = libc::SOCK_STREAM as usize;
        for (what, call, arguments) in [
            ("execve", libc::SYS_execve, [0; 4]),
            ("execveat", libc::SYS_execveat, [0; 4]),
            ("ptrace", libc::SYS_ptrace, [0; 4]),
            ("mount", libc::SYS_mount, [0; 4]),
            ("umount2", libc::SYS_umount2, [0; 4]),
            ("pivot_root", libc::SYS_pivot_root, [0; 4]),
            ("chroot", libc::SYS_chroot, [0; 4]),
            ("unshare", libc::SYS_unshare, [0; 4]),
            ("init_module", libc::SYS_init_module, [0; 4]),
            ("finit_module", libc::SYS_finit_module, [0; 4]),
            ("delete_module", libc::SYS_delete_module, [0; 4]),
            ("kexec_load", libc::SYS_kexec_load, [0; 4]),
            ("reboot", libc::SYS_reboot, [0; 4]),
            ("keyctl", libc::SYS_keyctl, [0; 4]),
            ("add_key", libc::SYS_add_key, [0; 4]),
            ("userfaultfd", libc::SYS_userfaultfd, [0; 4]),
            ("process_vm_readv", libc::SYS_process_vm_readv, [0; 4]),
            ("process_vm_writev", libc::SYS_process_vm_writev, [0; 4]),
            ("pidfd_getfd", libc::SYS_pidfd_getfd, [0; 4]),
            ("kill", libc::SYS_kill, [0; 4]),
            ("tgkill of another", libc::SYS_tgkill, [1, 1, 0, 0]),
            ("io_uring_setup", libc::SYS_io_uring_setup, [0; 4]),
            ("perf_event_open", libc::SYS_perf_event_open, [0; 4]),
            ("open_by_handle_at", libc::SYS_open_by_handle_at, [0; 4]),
            ("setuid", libc::SYS_setuid, [0; 4]),
            ("bpf: load", libc::SYS_bpf, [LOAD, 0, 0, 0]),
            ("bpf: create", libc::SYS_bpf, [CREATE, 0, 0, 0]),
            ("bpf: raw", libc::SYS_bpf, [RAW_TRACEPOINT, 0, 0, 0]),
            ("socket: TCP", libc::SYS_socket, [inet, stream, 0, 0]),
            ("fork", libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0, 0]),
            ("setns: any", libc::SYS_setns, [0, 0, 0, 0]),
            ("mmap: code", libc::SYS_mmap, [0, PAGE, EXECUTABLE, 0x22]),
            ("prlimit: set", libc::SYS_prlimit64, [0, 7, 1, 0]),
        ] {
            assert_eq!(refusal(call, arguments), Some(libc::EPERM), "{what}");
        }
        assert_eq!(refusal(libc::SYS_clone3, [0; 4]), Some(libc::ENOSYS));
        let unshared = unshare(CloneFlags::CLONE_NEWUSER);
        assert_eq!(number(unshared), Some(nix::errno::Errno::EPERM));
        assert!(TcpListener::bind("127.0.0.1:0").is_err());
        assert!(UdpSocket::bind("127.0.0.1:0").is_err());
        UnixDatagram::unbound().expect("a local socket");
        let answer = thread::spawn(|| 7).join();
        assert_eq!(answer.expect("a thread"), 7);
        fs::read_to_string("/proc/self/status").expect("/proc is readable");
    });
}

/// The thread that answers scrapes accepts and answers, and can do nothing else.
#[test]
fn the_server_only_answers() {
    alone("the_server_only_answers", |_| {
        let (said, heard) = channel();
        let (reduced, is_reduced) = channel::<()>();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut client = std::net::TcpStream::connect(address).expect("a listener");
        let server = thread::spawn(move || {
            said.send(nix::unistd::gettid().as_raw())
                .expect("it listens");
            is_reduced.recv().expect("an order");
            let (mut accepted, _) = listener.accept().expect("a client");
            std::io::Write::write_all(&mut accepted, b"answer").expect("a client");
            drop(accepted);
            const OBJECT_INFO: usize = 15;
            let unix = libc::AF_UNIX as usize;
            for (what, call, arguments) in [
                ("open", libc::SYS_openat, [0; 4]),
                ("socket", libc::SYS_socket, [unix, 1, 0, 0]),
                ("connect", libc::SYS_connect, [0; 4]),
                ("bind", libc::SYS_bind, [0; 4]),
                ("listen", libc::SYS_listen, [0; 4]),
                ("bpf", libc::SYS_bpf, [OBJECT_INFO, 0, 0, 0]),
                ("setns", libc::SYS_setns, [0; 4]),
                (
                    "clone",
                    libc::SYS_clone,
                    [libc::CLONE_THREAD as usize, 0, 0, 0],
                ),
                ("unlink", libc::SYS_unlinkat, [0; 4]),
                ("rename", libc::SYS_renameat, [0; 4]),
                ("ioctl", libc::SYS_ioctl, [0; 4]),
                (
                    "mmap: code",
                    libc::SYS_mmap,
                    [0, 1 << 12, libc::PROT_EXEC as usize, 0x22],
                ),
            ] {
                assert_eq!(refusal(call, arguments), Some(libc::EPERM), "{what}");
            }
            assert_eq!(refusal(libc::SYS_clone3, [0; 4]), Some(libc::ENOSYS));
        });
        let thread = heard.recv().expect("its id");
        let special = SpecialThreads {
            server: Some(thread),
            ..SpecialThreads::default()
        };
        let reduced_to = reduce(&Paths::default(), &special);
        assert!(
            reduced_to.has_filter,
            "{reduced_to}: {:?}",
            reduced_to.missing
        );
        let status = fs::read_to_string(format!("/proc/self/task/{thread}/status"));
        let status = status.expect("its status");
        assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
        reduced.send(()).expect("it waits");
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut client, &mut answer).expect("an answer");
        assert_eq!(answer, "answer");
        server.join().expect("it was refused what it should be");
    });
}

#[test]
fn files_are_written_below_their_folders_only() {
    alone("files_are_written_below_their_folders_only", |folder| {
        let has_landlock = landlock_version().is_some();
        let [events, rules, other] = ["log", "rules", "other"].map(|name| {
            let path = folder.join(name);
            fs::create_dir(&path).expect("a folder");
            fs::write(path.join("file"), "text").expect("a file");
            path
        });
        let mut paths = Paths::default();
        paths.write_file(&events.join("rows.jsonl"));
        paths.read(&rules.join("file"));
        let reduced = reduce(&paths, &SpecialThreads::default());
        if !has_landlock {
            let missing = reduced.missing.join("\n");
            return assert!(missing.contains("without Landlock"), "{missing}");
        }
        let append = |path: &Path| File::options().append(true).create(true).open(path);
        append(&events.join("rows.jsonl")).expect("the file that was named");
        fs::rename(events.join("rows.jsonl"), events.join("rows.1")).expect("a rotation");
        append(&events.join("rows.jsonl")).expect("again");
        assert_eq!(
            fs::read_to_string(rules.join("file")).expect("rules"),
            "text"
        );
        for (what, result) in [
            ("another file", append(&other.join("file")).map(drop)),
            ("a new file", append(&other.join("new")).map(drop)),
            ("reading it", File::open(other.join("file")).map(drop)),
            ("a rule", append(&rules.join("file")).map(drop)),
            ("a folder", fs::create_dir(other.join("folder"))),
            ("a removal", fs::remove_file(rules.join("file"))),
            ("/etc", append(Path::new("/etc/recon-test")).map(drop)),
        ] {
            let kind = result.expect_err(what).kind();
            assert_eq!(kind, ErrorKind::PermissionDenied, "{what}");
        }
    });
}

/// The log says of each layer that it is there only if each thread has it.
#[test]
fn a_layer_that_failed_is_said_to_be_missing_and_not_to_be_there() {
    const DONE: Failures = Failures::NONE;
    let calls = format!(
        "{} system calls, none that executes, loads a program or connects to a network",
        syscalls::count()
    );
    // What failed, the filter, the folders of the domain, the line after "sandbox: ", and how many
    // layers are missing.
    for (failures, has_filter, written, expected, missing) in [
        (
            DONE,
            true,
            Some(&["/a", "/b"][..]),
            format!("keeps CAP_BPF, no new privileges; {calls}; writes only below /a, /b"),
            0,
        ),
        (
            DONE,
            false,
            Some(&[]),
            "keeps CAP_BPF, no new privileges; writes no file".to_owned(),
            0,
        ),
        (
            DONE,
            true,
            None,
            format!("keeps CAP_BPF, no new privileges; {calls}"),
            0,
        ),
        (
            Failures::BOUNDING,
            false,
            None,
            "keeps CAP_BPF, no new privileges".to_owned(),
            0,
        ),
        (
            Failures::CAPABILITIES,
            false,
            Some(&["/a"]),
            "no new privileges; writes only below /a".to_owned(),
            1,
        ),
        (
            Failures::NEW_PRIVILEGES,
            true,
            None,
            format!("keeps CAP_BPF; {calls}"),
            1,
        ),
        (
            Failures::DOMAIN,
            false,
            Some(&["/a"]),
            "keeps CAP_BPF, no new privileges".to_owned(),
            1,
        ),
        (Failures::THREAD, true, Some(&["/a"]), calls.clone(), 1),
        (
            Failures::THREAD,
            false,
            Some(&["/a"]),
            "nothing is reduced".to_owned(),
            1,
        ),
    ] {
        let mut reduced = Reduced {
            has_filter,
            ..Reduced::default()
        };
        let written = written.map(|of| of.iter().map(|of| of.to_string()).collect());
        reduced.note_reduced(Capabilities::of(&[Capability::Bpf]), written, failures);
        assert_eq!(reduced.to_string(), format!("sandbox: {expected}"));
        assert_eq!(reduced.missing.len(), missing, "{expected}");
    }
}

#[test]
fn a_reader_sees_other_processes_and_writes_nothing() {
    alone(
        "a_reader_sees_other_processes_and_writes_nothing",
        |folder| {
            let has_landlock = landlock_version().is_some();
            // It ends with the pipe: a reduced process may not send signals.
            let mut cat = Command::new("cat");
            let mut child = cat.stdin(Stdio::piped()).spawn().expect("a process");
            let link = format!("/proc/{}/exe", child.id());
            let program = fs::read_link(&link).expect("its program");
            let new = folder.join("new");
            let mut paths = Paths::default();
            paths.write_file(&new);
            reduce(&paths, &SpecialThreads::default());
            let by_reader = {
                let link = link.clone();
                crate::process::reader::read(move || fs::read_link(link))
            };
            let written = {
                let new = new.clone();
                crate::process::reader::read(move || fs::write(new, ""))
            };
            let thread = crate::process::reader::read(|| thread::spawn(|| 7).join().ok());
            let by_agent = fs::read_link(&link);
            fs::write(&new, "").expect("the agent may");
            drop(child.stdin.take());
            // Refused, too: whoever started this process reaps it.
            assert!(child.wait().is_err());
            assert_eq!(thread.flatten(), Some(7), "a thread that enters namespaces");
            assert_eq!(by_reader.expect("a reader").ok(), Some(program));
            assert_eq!(by_agent.is_err(), has_landlock);
            let kind = written.expect("a reader").expect_err("it may not").kind();
            assert_eq!(kind, ErrorKind::PermissionDenied);
        },
    );
}
