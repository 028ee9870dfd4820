//! Whether each thread is reduced, whatever it does meanwhile, and who says so if not.

use nix::mount::{MsFlags, mount};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::SigSet;
use nix::unistd::{geteuid, gettid};

use super::*;
use crate::process::reader::ORDER_SIGNAL;

#[test]
fn every_thread_is_reduced() {
    alone("threads::every_thread_is_reduced", |_| {
        let (ready, started) = channel();
        let (end, ended) = channel::<()>();
        // A thread of before, which waits for a lock, as the writers do.
        let before = thread::spawn(move || {
            ready.send(()).expect("a reader");
            ended.recv().ok();
        });
        started.recv().expect("a thread");
        let reduced = reduce(&Paths::default(), &SpecialThreads::default());
        assert_eq!(reduced.missing, [""; 0]);
        let keep = format!("{:016x}", reduced.capabilities.expect("fewer").bits());
        let mut threads = 0;
        for thread in fs::read_dir("/proc/self/task").expect("threads") {
            let path = thread.expect("a thread").path().join("status");
            let status = fs::read_to_string(&path).expect("its status");
            let field = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                line.map(str::trim).unwrap_or_default().to_owned()
            };
            for (name, expected) in [
                ("CapEff:", keep.as_str()),
                ("CapPrm:", &keep),
                ("CapInh:", "0000000000000000"),
                ("CapAmb:", "0000000000000000"),
                ("NoNewPrivs:", "1"),
                ("Seccomp:", "2"),
            ] {
                assert_eq!(field(name), expected, "{name} of {status}");
            }
            threads += 1;
        }
        // Those of the test, the one of before, the reader.
        assert!(threads >= 4, "{threads}");
        drop(end);
        before.join().expect("its end");
    });
}

/// Whether a signal waits for this thread, which holds it back.
fn is_pending(signal: libc::c_int) -> bool {
    // SAFETY: all bytes of a set may be 0, and the kernel fills it.
    unsafe {
        let mut pending: libc::sigset_t = std::mem::zeroed();
        libc::sigpending(&raw mut pending);
        libc::sigismember(&raw const pending, signal) == 1
    }
}

/// One that is about to end does not hear the order, and is not waited for.
#[test]
fn a_thread_that_ends_is_not_waited_for() {
    alone("threads::a_thread_that_ends_is_not_waited_for", |_| {
        let (ready, started) = channel();
        let ending = thread::spawn(move || {
            SigSet::all().thread_block().expect("a mask");
            ready.send(()).expect("a reader");
            while !is_pending(ORDER_SIGNAL) {
                thread::yield_now();
            }
        });
        started.recv().expect("a thread");
        let reduced = reduce(&Paths::default(), &SpecialThreads::default());
        assert_eq!(reduced.missing, [""; 0]);
        ending.join().expect("its end");
    });
}

/// Other processes of its user may have filled that user's queue of signals.
#[test]
fn a_full_queue_of_signals_changes_nothing() {
    alone("threads::a_full_queue_of_signals_changes_nothing", |_| {
        setrlimit(Resource::RLIMIT_SIGPENDING, 0, 0).expect("a limit");
        let reduced = reduce(&Paths::default(), &SpecialThreads::default());
        assert_eq!(reduced.missing, [""; 0]);
        assert!(reduced.capabilities.is_some(), "{reduced}");
    });
}

/// Whom nobody can list nobody can limit, and the log says so.
#[test]
fn without_proc_nothing_is_said_to_be_reduced() {
    alone(
        "threads::without_proc_nothing_is_said_to_be_reduced",
        |_| {
            if !geteuid().is_root() {
                return;
            }
            unshare(CloneFlags::CLONE_NEWNS).expect("a namespace");
            let here = |target: &str, kind: Option<&str>, flags| {
                mount(kind, target, kind, flags, None::<&str>).expect("a mount");
            };
            here("/", None, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
            here("/proc", Some("tmpfs"), MsFlags::empty());
            let reduced = reduce(&Paths::default(), &SpecialThreads::default());
            let missing = reduced.missing.join("\n");
            assert!(
                missing.contains("the same limits for each thread"),
                "{missing}"
            );
            assert_eq!(reduced.capabilities, None, "{reduced}");
        },
    );
}

/// The kernel holds it for as long as strangers like. It is named, and all others are reduced.
#[test]
fn a_thread_that_lists_delays_no_other() {
    alone("threads::a_thread_that_lists_delays_no_other", |_| {
        let (ready, started) = channel();
        let (end, ended) = channel::<()>();
        let listing = thread::spawn(move || {
            // As one that waits in the kernel and hears nothing.
            SigSet::all().thread_block().expect("a mask");
            ready.send(gettid().as_raw()).expect("a reader");
            ended.recv().ok();
        });
        let thread = started.recv().expect("a thread");
        let special = SpecialThreads {
            listing: vec![thread],
            ..SpecialThreads::default()
        };
        let reduced = reduce(&Paths::default(), &special);
        assert!(reduced.capabilities.is_some(), "{reduced}");
        assert!(reduced.has_no_new_privileges, "{reduced}");
        let missing = reduced.missing.join("\n");
        assert_eq!(reduced.missing.len(), 1, "{missing}");
        assert!(missing.contains("looks for another recon"), "{missing}");
        drop(end);
        listing.join().expect("its end");
    });
}

/// Only the thread of a sink that has a TCP peer may make a socket for it, and no other kind; only
/// that of journald a file in memory. A thread that another one starts may do what that one may.
#[test]
fn a_sink_may_do_what_it_needs_and_others_may_not() {
    use std::net::TcpStream;
    use std::sync::mpsc::Receiver;

    use nix::sys::memfd::{MFdFlags, memfd_create};

    /// Whether a TCP, a UDP socket and a file in memory could be made.
    fn try_all(port: u16, other_port: u16) -> [bool; 4] {
        [
            TcpStream::connect(("127.0.0.1", port)).is_ok(),
            TcpStream::connect(("127.0.0.1", other_port)).is_ok(),
            UdpSocket::bind(("127.0.0.1", 0)).is_ok(),
            memfd_create(c"test", MFdFlags::MFD_CLOEXEC).is_ok(),
        ]
    }

    alone(
        "threads::a_sink_may_do_what_it_needs_and_others_may_not",
        |_| {
            let listeners =
                [0; 2].map(|port| TcpListener::bind(("127.0.0.1", port)).expect("a port"));
            let [port, other] = listeners
                .each_ref()
                .map(|it| it.local_addr().expect("an address"));
            let (told, tells) = channel();
            let start = || {
                let told = told.clone();
                let (go, waits): (_, Receiver<()>) = channel();
                let (answer, answers) = channel();
                thread::spawn(move || {
                    told.send(nix::unistd::gettid().as_raw()).expect("the test");
                    waits.recv().expect("the test");
                    answer
                        .send(try_all(port.port(), other.port()))
                        .expect("the test");
                });
                (tells.recv().expect("a thread"), go, answers)
            };
            let (peer, journal, neither) = (start(), start(), start());
            // Before Linux 6.7, Landlock knows no ports. A reduced process can't ask.
            const KNOWS_PORTS: u32 = 4;
            let any_port = landlock_version().is_none_or(|version| version < KNOWS_PORTS);
            let mut paths = Paths::default();
            paths.connect(port);
            let special = SpecialThreads {
                peers: vec![peer.0],
                journals: vec![journal.0],
                ..SpecialThreads::default()
            };
            let reduced = reduce(&paths, &special);
            assert_eq!(reduced.missing, [""; 0]);
            assert!(
                reduced
                    .to_string()
                    .contains(&format!("except for sinks to {port}")),
                "{reduced}"
            );
            for (what, (_, go, answers), expected) in [
                ("peer", peer, [true, any_port, false, false]),
                ("journal", journal, [false, false, false, true]),
                ("neither", neither, [false; 4]),
            ] {
                go.send(()).expect("a thread");
                assert_eq!(answers.recv().expect("an answer"), expected, "{what}");
            }
            let started = thread::spawn(move || try_all(port.port(), other.port()));
            assert_eq!(started.join().expect("an answer"), [false; 4]);
        },
    );
}
