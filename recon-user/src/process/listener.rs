//! Who listens on a port of this host.
//!
//! In: addresses. Out: a pid, by /proc/net/tcp and tcp6 and by the sockets that each process holds.
//! The decision held here: of several processes that hold one socket, recon reports the one that
//! was started for it. That is not a manager that passes sockets on (systemd), and of a server with
//! workers it is the server. Nothing is kept between calls. Any user may hold as many descriptors
//! as he likes, so the processes of who made the socket are read first, and the others only if
//! these don't hold it or pass it on; and a deadline ends the search.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use recon_common::protocol::linux::{TCP_LISTEN, TCP_SYN_RECV};

use super::proc;
use super::socket::{Endpoint, TcpSocket, parse_row, parse_socket_inode};

/// The tables of TCP's sockets below /proc. `net` is `self/net`, the agent's network namespace.
const TABLES: [&str; 2] = ["net/tcp", "net/tcp6"];
/// The name of the tasks that listen for others: systemd's for the system and for each user.
const MANAGER: &[u8] = b"systemd";
/// Descriptors that are read between two looks at the clock.
const BETWEEN_CHECKS: usize = 64;

/// Looks up processes by their TCP sockets. Those of other users take CAP_SYS_PTRACE and
/// CAP_DAC_READ_SEARCH; without them they are not found.
#[derive(Clone, Debug)]
pub(crate) struct Listeners {
    proc_root: PathBuf,
}

impl Listeners {
    /// Looks up below that root of /proc.
    #[must_use]
    pub(crate) fn new(proc_root: impl Into<PathBuf>) -> Self {
        Self {
            proc_root: proc_root.into(),
        }
    }

    /// The process that accepts connections to that address and port: by a socket of the address
    /// itself, else of all of IPv4 (for an IPv4 address), else of all of IPv6, which serves IPv4 as
    /// well. Reads the open files of many processes. `None` after the deadline.
    #[must_use]
    pub(crate) fn find_listener(&self, local: IpAddr, port: u16, deadline: Instant) -> Option<u32> {
        let local = local.to_canonical();
        let mut best = None;
        let mut sockets = Vec::new();
        for socket in TABLES
            .iter()
            .flat_map(|table| self.listening_sockets(table))
        {
            let fit = rank_fit(socket.local, local, port);
            if fit.is_none() || fit < best {
                continue;
            }
            if fit > best {
                sockets.clear();
            }
            best = fit;
            sockets.push(socket);
        }
        self.find_holder(&sockets, deadline)
    }

    /// The listening sockets. The kernel lists them first, and up to a hundred thousand others may
    /// follow.
    fn listening_sockets(&self, table: &str) -> impl Iterator<Item = TcpSocket> {
        File::open(self.proc_root.join(table))
            .into_iter()
            .flat_map(|file| BufReader::new(file).split(b'\n').map_while(Result::ok))
            .filter_map(|line| parse_row(&line))
            .take_while(|socket| matches!(socket.state, TCP_LISTEN | TCP_SYN_RECV))
            .filter(|socket| socket.state == TCP_LISTEN)
    }

    /// The process that one of the sockets is for.
    fn find_holder(&self, sockets: &[TcpSocket], deadline: Instant) -> Option<u32> {
        if sockets.is_empty() {
            return None;
        }
        let is_owner = |&pid: &u32| {
            let user = proc::read_user(&self.proc_root, pid);
            user.is_some_and(|user| sockets.iter().any(|socket| socket.user == user))
        };
        let (owners, others): (Vec<u32>, Vec<u32>) =
            proc::list_pids(&self.proc_root).partition(is_owner);
        let mut holders = Vec::new();
        for pids in [owners, others] {
            for pid in pids {
                if self.holds(pid, sockets, deadline)? {
                    holders.push(pid);
                }
            }
            let chosen = self.choose_holder(&holders);
            if chosen.is_some_and(|pid| !self.is_manager(pid)) {
                return chosen;
            }
        }
        self.choose_holder(&holders)
    }

    /// Whether the process has one of the sockets open. `None` after the deadline.
    fn holds(&self, pid: u32, sockets: &[TcpSocket], deadline: Instant) -> Option<bool> {
        let descriptors = fs::read_dir(proc::pid_folder(&self.proc_root, pid).join("fd"));
        for (number, entry) in descriptors.into_iter().flatten().flatten().enumerate() {
            if number % BETWEEN_CHECKS == 0 && Instant::now() >= deadline {
                return None;
            }
            let target = fs::read_link(entry.path()).ok();
            let inode = target.and_then(|target| parse_socket_inode(target.as_os_str().as_bytes()));
            if inode.is_some_and(|inode| sockets.iter().any(|socket| socket.inode == inode)) {
                return Some(true);
            }
        }
        Some(false)
    }

    /// Whether the process passes sockets on.
    fn is_manager(&self, pid: u32) -> bool {
        let stat = || proc::read_stat(&self.proc_root, pid);
        pid == 1 || stat().is_some_and(|stat| stat.name == MANAGER)
    }

    /// Chooses among processes that hold a socket: none that passes it on, none that inherited it
    /// from its parent, then the lowest pid.
    fn choose_holder(&self, holders: &[u32]) -> Option<u32> {
        if let [only] = *holders {
            return Some(only);
        }
        let stats: Vec<_> = holders
            .iter()
            .map(|&pid| (pid, proc::read_stat(&self.proc_root, pid)))
            .collect();
        let is_manager = |pid: u32| {
            pid == 1
                || stats.iter().any(|(other, stat)| {
                    *other == pid && stat.as_ref().is_some_and(|stat| stat.name == MANAGER)
                })
        };
        stats
            .iter()
            .map(|(pid, stat)| {
                let parent = stat.as_ref().and_then(|stat| stat.parent);
                let is_heir =
                    parent.is_some_and(|parent| holders.contains(&parent) && !is_manager(parent));
                (is_manager(*pid), is_heir, *pid)
            })
            .min()
            .map(|(_, _, pid)| pid)
    }
}

/// How well a listening socket fits the requested address, the best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ListenerFit {
    AllOfV6,
    AllOfV4,
    Address,
}

fn rank_fit(socket: Endpoint, local: IpAddr, port: u16) -> Option<ListenerFit> {
    let (address, socket_port) = socket;
    if socket_port != port {
        None
    } else if address == local {
        Some(ListenerFit::Address)
    } else if address == Ipv4Addr::UNSPECIFIED && local.is_ipv4() {
        Some(ListenerFit::AllOfV4)
    } else if address == Ipv6Addr::UNSPECIFIED {
        Some(ListenerFit::AllOfV6)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::tests::Tree;
    use std::net::TcpListener;
    use std::time::Duration;

    const PROC: &str = "/proc";

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn ip(address: &str) -> IpAddr {
        address.parse().expect("an address")
    }

    /// A table of sockets: local and remote end, state, inode.
    fn table(rows: &[(&str, &str, u8, u64)]) -> String {
        let row = |(local, remote, state, inode): &(&str, &str, u8, u64)| {
            format!("  0: {local} {remote} {state:02X} 0:0 00:0 0 0 0 {inode} 1 0\n")
        };
        "  sl  local_address rem_address   st\n".to_owned()
            + &rows.iter().map(row).collect::<String>()
    }

    #[test]
    fn the_best_fitting_socket_is_chosen() {
        const ALL: &str = "00000000000000000000000000000000";
        let tree = Tree::new();
        let none = "00000000:0000";
        let none6 = format!("{ALL}:0000");
        tree.write(
            "net/tcp",
            table(&[
                ("0100007F:0050", none, TCP_LISTEN, 10),
                ("00000000:0050", none, TCP_LISTEN, 20),
                ("0100007F:0051", "0200007F:0400", TCP_SYN_RECV, 0),
                ("00000000:0016", none, TCP_LISTEN, 30),
                ("00000000:0016", none, TCP_LISTEN, 40),
                ("0100007F:0016", "076433C6:0400", 1, 50),
                ("0100007F:0016", "076433C6:0401", 6, 0),
                ("0100007F:0052", none, TCP_LISTEN, 99),
            ])
            .as_bytes(),
        );
        tree.write(
            "net/tcp6",
            table(&[
                (&format!("{ALL}:0050"), &none6, TCP_LISTEN, 60),
                (&format!("{ALL}:0051"), &none6, TCP_LISTEN, 70),
                (
                    "0000000000000000FFFF000009000A0A:0050",
                    &none6,
                    TCP_LISTEN,
                    80,
                ),
            ])
            .as_bytes(),
        );
        for inode in (10..=90).step_by(10) {
            tree.process(inode, 1, "a", 1);
            tree.link(&format!("{inode}/fd/3"), &format!("socket:[{inode}]"));
        }
        let listeners = Listeners::new(tree.path());
        for (address, port, pid) in [
            ("127.0.0.1", 80, Some(10)),
            ("::ffff:127.0.0.1", 80, Some(10)),
            ("127.0.0.2", 80, Some(20)),
            ("10.10.0.9", 80, Some(80)),
            ("::1", 80, Some(60)),
            ("127.0.0.1", 81, Some(70)),
            ("192.0.2.1", 22, Some(30)),
            ("::1", 22, None),
            ("127.0.0.1", 82, None),
            ("127.0.0.1", 9, None),
        ] {
            let listener = listeners.find_listener(ip(address), port, later());
            assert_eq!(listener, pid, "{address} {port}");
        }
    }

    #[test]
    fn of_several_holders_the_server_is_chosen() {
        // (pid, parent, name) of the processes that hold the socket, and the one that is chosen.
        for (holders, expected) in [
            (&[(1, 0, "systemd")][..], 1),
            (
                &[(1, 0, "systemd"), (900, 1, "nginx"), (901, 900, "nginx")],
                900,
            ),
            // Pids have wrapped around between the server and its workers.
            (
                &[(900, 1, "nginx"), (30, 900, "nginx"), (31, 900, "nginx")],
                900,
            ),
            // systemd of a user.
            (
                &[(700, 1, "systemd"), (800, 700, "sshd"), (750, 800, "sshd")],
                800,
            ),
            (&[(1, 0, "init"), (1000, 1, "inetd")], 1000),
            // Two servers that share a port.
            (&[(62, 1, "b"), (61, 1, "a")], 61),
        ] {
            let tree = Tree::new();
            tree.write(
                "net/tcp",
                table(&[("00000000:0050", "00000000:0000", TCP_LISTEN, 7)]).as_bytes(),
            );
            for &(pid, parent, name) in holders {
                tree.process(pid, parent, name, 1);
                tree.link(&format!("{pid}/fd/0"), "/dev/null");
                tree.link(&format!("{pid}/fd/3"), "socket:[7]");
            }
            let listener = Listeners::new(tree.path()).find_listener(ip("127.0.0.1"), 80, later());
            assert_eq!(listener, Some(expected), "{holders:?}");
        }
    }

    #[test]
    fn the_processes_of_who_made_the_socket_are_read_first() {
        let tree = Tree::new();
        tree.write(
            "net/tcp",
            table(&[("00000000:0050", "00000000:0000", TCP_LISTEN, 7)]).as_bytes(),
        );
        for pid in [30, 40] {
            tree.process(pid, 1, "a", 1);
            tree.link(&format!("{pid}/fd/3"), "socket:[7]");
        }
        let user = |pid: u32, user: u32| {
            let status = format!("Uid:\t{user}\t{user}\t{user}\t{user}\n");
            tree.write(&format!("{pid}/status"), status.as_bytes());
        };
        // The table's sockets are of the user 0.
        user(30, 1000);
        user(40, 0);
        let listeners = Listeners::new(tree.path());
        let found = |deadline| listeners.find_listener(ip("127.0.0.1"), 80, deadline);
        assert_eq!(found(later()), Some(40));
        // Without one of his own, another user's is the holder.
        user(40, 1000);
        assert_eq!(found(later()), Some(30));
        assert_eq!(found(Instant::now()), None, "there is no time");
    }

    #[test]
    fn missing_and_broken_tables_have_no_listener() {
        let tree = Tree::new();
        let listeners = Listeners::new(tree.path());
        assert_eq!(listeners.find_listener(ip("127.0.0.1"), 80, later()), None);
        tree.write("net/tcp", b"\xff\0\n\n: : : :\nsl local");
        tree.write("net/tcp6/file", b"");
        tree.write("5/fd", b"no folder");
        assert_eq!(listeners.find_listener(ip("127.0.0.1"), 80, later()), None);
    }

    #[test]
    fn this_process_is_found_as_listener() {
        let listeners = Listeners::new(PROC);
        let this = Some(std::process::id());
        for (bound, asked) in [
            ("127.0.0.1", &["127.0.0.1"][..]),
            ("::", &["::1", "127.0.0.1"]),
        ] {
            let listener = TcpListener::bind((ip(bound), 0)).expect("a free port");
            let port = listener.local_addr().expect("it is bound").port();
            for address in asked {
                assert_eq!(
                    listeners.find_listener(ip(address), port, later()),
                    this,
                    "{bound} {address}"
                );
            }
        }
    }
}
