//! Logins, over a /proc made of files. The tests run as root, whose files a server's must be.

use super::*;

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};

/// root's server for the port, the process that it forked for a session's user, and a program.
const SERVER: u32 = 60;
const SESSION: u32 = 65;
const PROGRAM: u32 = 70;
const USER: u32 = 1000;
/// `PF_FORKNOEXEC` of linux/sched.h.
const FORKED: u32 = 0x40;
const ALL_READ: u32 = 0o755;

/// A process, its server and the file of that.
struct Row {
    name: &'static str,
    /// The path of the server's executable, its owner and mode.
    file: (&'static str, u32, u32),
    /// The name of the server's task, and its user.
    server: (&'static str, u32),
    /// The flags of the process for the session's user. `None` if the server forks the program.
    session: Option<u32>,
    /// Programs that the process executes before.
    before: u16,
    /// Whether it executes another before the agent looks.
    is_late: bool,
    is_login: bool,
}

const ROW: Row = Row {
    name: "",
    file: ("sbin/sshd", 0, ALL_READ),
    server: ("sshd", 0),
    session: None,
    before: 0,
    is_late: false,
    is_login: false,
};

const ROWS: &[Row] = &[
    Row {
        name: "root's session",
        is_login: true,
        ..ROW
    },
    Row {
        name: "a user's session",
        session: Some(FORKED),
        is_login: true,
        ..ROW
    },
    Row {
        name: "a user's session since OpenSSH 9.8",
        file: ("lib/openssh/sshd-session", 0, ALL_READ),
        server: ("sshd-session", 0),
        session: Some(FORKED),
        is_login: true,
        ..ROW
    },
    Row {
        name: "a server that was replaced since",
        file: ("sbin/sshd (deleted)", 0, ALL_READ),
        is_login: true,
        ..ROW
    },
    Row {
        name: "Dropbear among other programs",
        file: ("bin/dropbearmulti", 0, ALL_READ),
        server: ("dropbear", 0),
        is_login: true,
        ..ROW
    },
    Row {
        name: "a client of Dropbear's",
        file: ("bin/dropbearmulti", 0, ALL_READ),
        server: ("dbclient", 0),
        ..ROW
    },
    Row {
        name: "another program under the name of a server",
        file: ("bin/bash", 0, ALL_READ),
        ..ROW
    },
    Row {
        name: "a user's file",
        file: ("sbin/sshd", USER, ALL_READ),
        ..ROW
    },
    Row {
        name: "a file that others may write",
        file: ("sbin/sshd", 0, 0o775),
        ..ROW
    },
    Row {
        name: "a server that a user has started",
        server: ("sshd", USER),
        ..ROW
    },
    Row {
        name: "a server that a user has started and that has forked",
        server: ("sshd", USER),
        session: Some(FORKED),
        ..ROW
    },
    Row {
        name: "a server that a session's user has executed",
        session: Some(0),
        ..ROW
    },
    Row {
        name: "the second program of a process",
        before: 1,
        ..ROW
    },
    Row {
        name: "a process whose numbers have come round",
        before: 1 << u8::BITS,
        ..ROW
    },
    Row {
        name: "a shell that has executed its only command by then",
        is_late: true,
        is_login: true,
        ..ROW
    },
];

fn check(row: &Row) {
    let tree = Tree::new();
    let (path, owner, mode) = row.file;
    tree.write(path, b"");
    let file = tree.path().join(path);
    chown(&file, Some(owner), None).expect("root");
    fs::set_permissions(&file, Permissions::from_mode(mode)).expect("root");
    let file = file.to_str().expect("UTF-8");
    let process = |pid: u32, parent, name: &str, user, flags| {
        let stat =
            format!("{pid} ({name}) S {parent} 5 5 0 -1 {flags} 1 2 3 4 5 6 7 8 20 0 1 0 5 9\n");
        tree.write(&format!("{pid}/stat"), stat.as_bytes());
        let status = format!("Uid:\t{user}\t{user}\t{user}\t{user}\n");
        tree.write(&format!("{pid}/status"), status.as_bytes());
    };
    let (name, user) = row.server;
    process(SERVER, 1, name, user, 0);
    tree.link(&format!("{SERVER}/exe"), file);
    let mut processes = tree
        .processes(9)
        .with_images(ImageNumbers::of_test(), Forks::of_test());
    let mut server = first(SERVER);
    if let Some(flags) = row.session {
        process(SESSION, SERVER, name, USER, flags);
        processes.forks.record(first(SESSION), server);
        server = first(SESSION);
    }
    processes.forks.record(first(PROGRAM), server);
    process(PROGRAM, server.pid, "sh", USER, 0);
    let environ = b"HOME=/\0SSH_CONNECTION=198.51.100.7 50022 203.0.113.1 22\0";
    tree.write(&format!("{PROGRAM}/environ"), environ);
    let execute = |processes: &mut ProcessTable| {
        let image = processes.images.count(PROGRAM);
        processes.record_exec(&ExecEvent {
            image: image.pack(),
            ..event(PROGRAM, "/bin/sh")
        });
        image
    };
    for _ in 0..row.before {
        execute(&mut processes);
    }
    let executed = execute(&mut processes);
    if row.is_late {
        processes.images.count(PROGRAM);
    }
    assert_eq!(
        processes.login(executed).is_some(),
        row.is_login,
        "{}",
        row.name
    );
}

#[test]
fn only_a_server_says_who_logged_in() {
    ROWS.iter().for_each(check);
}

#[test]
fn a_process_of_an_unknown_parent_is_no_login() {
    let tree = Tree::new();
    tree.process(SERVER.into(), 1, "sshd", 5);
    tree.process(PROGRAM.into(), SERVER, "sh", 5);
    let mut processes = tree.processes(9);
    let executed = event(PROGRAM, "/bin/sh");
    processes.record_exec(&executed);
    assert_eq!(processes.login(ImageId::unpack(executed.image)), None);
}
