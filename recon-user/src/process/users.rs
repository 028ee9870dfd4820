//! The names of users.
//!
//! In: the file of users as the first process sees it. Out: the name of a process's user.
//! The decisions held here:
//! - Only the file is read, at the start and at a reload, on the thread that may look into other
//!   processes. A name service (LDAP, SSSD) could take long, and would need sockets that the
//!   sandbox forbids. A user that the file does not have is only a number.
//! - The file is the one that the first process sees: an agent in a container that sees the host's
//!   processes needs the host's names. To look into that process takes CAP_SYS_PTRACE, so an agent
//!   with the same file system at / reads its own file, which is the same.
//! - A process in a container or in a PID namespace of its own has no name: its numbers mean the
//!   users of its own file. What is unsure has no name either.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::proc::{pid_folder, read_status};
use super::{Process, ProcessTable, reader};
use crate::diagnostic::visible;
use crate::passwd::{self, PASSWD};

/// The first process of the PID namespace.
const FIRST: u32 = 1;
/// The root of a process.
const ROOT: &str = "root";
/// The most bytes read of it: a hundred thousand users.
const LENGTH: u64 = 8 << 20;

/// Names by the number of the user.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Users(HashMap<u32, Box<str>>);

impl Users {
    /// Reads the file below that root of /proc. Nobody has a name where there is none. `None` if it
    /// can't be read, or not in time.
    fn read(proc_root: &Path) -> Option<Self> {
        let (own, first) = (proc_root.join("self"), pid_folder(proc_root, FIRST));
        let read = reader::read(move || {
            let has_same_root = root_mount(&own).is_some_and(|own| Some(own) == root_mount(&first));
            match has_same_root {
                true => read_regular(Path::new(PASSWD)),
                false => read_regular(&first.join(ROOT).join(&PASSWD[1..])),
            }
        });
        match read? {
            Ok(text) => Some(Self::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Self::default()),
            Err(_) => None,
        }
    }

    /// The first of several users with a number names it, as for getpwuid(3).
    fn parse(text: &[u8]) -> Self {
        let mut users = HashMap::new();
        for (name, user) in passwd::users(text) {
            users.entry(user).or_insert_with(|| visible(name).into());
        }
        Self(users)
    }
}

/// The device and the folder of it that a process has at /, by proc_pid_mountinfo(5).
fn root_mount(process: &Path) -> Option<(String, String)> {
    const DEVICE: usize = 2;
    let text = read_regular(&process.join("mountinfo")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let mut mounts = text.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(DEVICE);
        let (device, folder, place) = (fields.next()?, fields.next()?, fields.next()?);
        (place == "/").then(|| (device.to_owned(), folder.to_owned()))
    });
    // A later mount hides an earlier one.
    mounts.next_back()
}

/// Reads a file that is neither a folder nor a pipe, which could be waited for forever.
fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    if !path.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut text = Vec::new();
    File::open(path)?.take(LENGTH).read_to_end(&mut text)?;
    Ok(text)
}

impl ProcessTable {
    /// Reads the names of users, which name the users of processes that are recorded from now on.
    /// Those that are known stay if they can't be read. Returns whether they can.
    pub(crate) fn read_users(&mut self) -> bool {
        let read = Users::read(&self.proc_root);
        let can_be_read = read.is_some();
        if let Some(users) = read {
            self.users = users;
        }
        can_be_read
    }

    /// Names the user of a process that is there.
    pub(super) fn name_user(&self, process: &mut Process) {
        let name = process.user.and_then(|user| self.users.0.get(&user));
        let Some(name) = name.filter(|_| process.container.is_none()) else {
            return;
        };
        let status = read_status(&self.proc_root, process.pid);
        let is_of_host = status.is_some_and(|status| !status.is_nested);
        process.user_name = is_of_host.then(|| name.to_string());
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::process::tests::{Guard, Tree, event};

    /// Users of this host have names, those of containers have numbers.
    #[test]
    fn users_of_this_host_have_names() {
        const OWN: &str = "Uid:\t1000\t0\t0\t0\nNSpid:\t70\n";
        const NESTED: &str = "Uid:\t1000\t0\t0\t0\nNSpid:\t70\t1\n";
        const SERVICE: &str = "0::/system.slice/cron.service\n";
        let docker = format!("0::/system.slice/docker-{}.scope\n", "a".repeat(64));
        for (what, status, cgroup, expected) in [
            ("a process of this host", OWN, SERVICE, Some("alice")),
            ("one of a PID namespace", NESTED, SERVICE, None),
            ("one of a container", OWN, &*docker, None),
            ("one that is gone", "", SERVICE, None),
        ] {
            let tree = Tree::new();
            tree.process(70, 60, "nmap", 5);
            tree.write("70/status", status.as_bytes());
            tree.write("70/cgroup", cgroup.as_bytes());
            let mut processes = tree.processes(9);
            assert!(processes.read_users(), "no file: no names");
            assert_eq!(processes.users, Users::default());
            tree.write("1/root/etc/passwd", b"alice:x:1000:5::/:/bin/sh\n");
            assert!(processes.read_users());
            processes.record_exec(&event(70, "/usr/bin/nmap"));
            let found = processes.get(70);
            assert_eq!(found.user_name.as_deref(), expected, "{what}: executed");
            assert_eq!(found.user, Some(1000), "{what}");
            let mut processes = tree.processes(9);
            assert!(processes.read_users());
            let found = processes.get(70);
            assert_eq!(found.user_name.as_deref(), expected, "{what}: seen later");
        }
    }

    /// Of real processes: one like this one, and one in a PID namespace of its own.
    #[test]
    fn only_real_processes_of_this_namespace_have_names() {
        const DEADLINE: Duration = Duration::from_secs(60);
        let mut processes = ProcessTable::new("/proc", 9);
        assert!(
            processes.read_users(),
            "the first process can be looked into"
        );
        let id = Command::new("id").arg("-un").output().expect("id runs");
        let own = String::from_utf8(id.stdout).expect("a name");
        for (command, is_nested) in [
            (&["sleep", "60"][..], false),
            (
                &["unshare", "--pid", "--fork", "--kill-child", "sleep", "60"],
                true,
            ),
        ] {
            let mut command_of = Command::new(command[0]);
            let child = Guard(command_of.args(&command[1..]).spawn().expect("it runs"));
            let (pid, begun) = (child.0.id(), Instant::now());
            let children = format!("/proc/{pid}/task/{pid}/children");
            let pid = match is_nested {
                false => pid,
                true => loop {
                    let text = std::fs::read_to_string(&children).unwrap_or_default();
                    if let Ok(pid) = text.trim().parse() {
                        break pid;
                    }
                    assert!(begun.elapsed() < DEADLINE, "{command:?} starts nothing");
                },
            };
            let found = processes.get(pid);
            assert!(found.user.is_some(), "{command:?}: {found:?}");
            let expected = (!is_nested).then_some(own.trim());
            assert_eq!(found.user_name.as_deref(), expected, "{command:?}");
        }
    }

    #[test]
    fn the_last_mount_at_the_root_counts() {
        const DISK: &str = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n";
        let overlay = "30 22 0:44 / / rw - overlay overlay rw\n";
        for (what, own, first, expected) in [
            ("the same disk", DISK, DISK.to_owned(), true),
            ("an image", overlay, DISK.to_owned(), false),
            (
                "another place of it",
                DISK,
                DISK.replace("8:1 /", "8:1 /srv"),
                false,
            ),
            ("an image over it", DISK, format!("{DISK}{overlay}"), false),
            (
                "mounts below it",
                DISK,
                format!("{DISK}{}", DISK.replace("/ / rw", "/ /srv rw")),
                true,
            ),
            ("nothing known", "", String::new(), false),
        ] {
            let tree = Tree::new();
            tree.write("self/mountinfo", own.as_bytes());
            tree.write("1/mountinfo", first.as_bytes());
            let [own, first] = ["self", "1"].map(|process| root_mount(&tree.path().join(process)));
            assert_eq!(own.is_some() && own == first, expected, "{what}");
        }
    }

    #[test]
    fn names_that_are_known_outlive_a_file_that_cannot_be_read() {
        let tree = Tree::new();
        tree.process(70, 60, "nmap", 5);
        tree.write("70/status", b"Uid:\t1000\n");
        tree.write("1/root/etc/passwd", b"alice:x:1000:5::/:/bin/sh\n");
        let mut processes = tree.processes(9);
        assert!(processes.read_users());
        std::fs::remove_file(tree.path().join("1/root/etc/passwd")).expect("a file");
        std::fs::create_dir(tree.path().join("1/root/etc/passwd")).expect("a folder");
        assert!(!processes.read_users(), "no file of users");
        assert_eq!(processes.get(70).user_name.as_deref(), Some("alice"));
    }

    #[test]
    fn the_first_line_of_a_number_names_it() {
        let text = b"root:x:0:0:root:/root:/bin/sh\n\
            toor:x:0:0::/:/bin/sh\n\
            # a comment:x:5:5\n\
            +nis:x:6:6\n\
            -nis:x:7:7\n\
            :x:8:8\n\
            half:x\n\
            word:x:nine:9\n\
            least:x:10\n\
            odd\x1b:x:11:11\n\
            last:x:4294967295:0::/:";
        let users = Users::parse(text);
        for (user, expected) in [
            (0, Some("root")),
            (5, None),
            (6, None),
            (7, None),
            (8, None),
            (10, Some("least")),
            (11, Some("odd\\u{1b}")),
            (u32::MAX, Some("last")),
        ] {
            assert_eq!(users.0.get(&user).map(|name| &**name), expected, "{user}");
        }
        assert_eq!(users.0.len(), 4);
        assert_eq!(Users::parse(b""), Users::default());
    }
}
