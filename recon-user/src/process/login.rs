//! Logins: who is behind a session in which a program starts.
//!
//! In: a program that a process has just executed. Out: the [`Session`] whose server started it.
//! The decisions held here:
//! - SSH servers (OpenSSH, Dropbear) tell the programs of a session where it comes from, in the
//!   environment variable `SSH_CONNECTION`. Anybody can set it, so only a server's word counts: of
//!   the first program of a process that the server itself has forked.
//! - A server is a process of root whose executable has a server's name, is root's, and can be
//!   written by nobody else; or the process for a session's user that such a one has forked and
//!   that has executed nothing since. A user's own server, or a copy of another program under the
//!   name, is none.
//! - Who forked whom is the kernel's record: a process can choose its parent (`CLONE_PARENT`).
//! - If the process executes another program before the agent looks, as a shell with one command
//!   does, that one's environment is read: a user who has logged in may forge one login by it.
//! - What is unsure is no login. Without CAP_SYS_PTRACE neither link nor environment of another
//!   user's process can be read: no login counts, and a remote that often comes for a moment is
//!   reported as if it guessed.

use std::fs;
use std::net::IpAddr;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use recon_common::ImageId;

use super::ProcessTable;
use super::proc::{pid_folder, read_stat, read_user, strip_deleted};
use super::reader;

/// The variable: addresses and ports of both ends, the remote's first.
const VARIABLE: &[u8] = b"SSH_CONNECTION=";
/// The names of servers, as a task's name shows them. OpenSSH has one program each for the port,
/// the key exchange and the session since 9.8.
const SERVERS: [&str; 4] = ["sshd", "sshd-session", "sshd-auth", "dropbear"];
/// The file that holds all programs of Dropbear.
const MULTI_CALL: &str = "dropbearmulti";
const ROOT: u32 = 0;
/// Write permission of a file's group and of all others.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The ends of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// Who has logged in.
    pub(crate) remote: IpAddr,
    /// The address of this host that it reached.
    pub(crate) local: IpAddr,
    /// The port of that address.
    pub(crate) port: u16,
}

impl ProcessTable {
    /// The session that the program is the first one of, if an SSH server has started it.
    pub(crate) fn login(&mut self, executed: ImageId) -> Option<Session> {
        let pid = executed.pid;
        let (child, server) = self.forks.find(pid)?;
        let is_first =
            self.record(pid)?.executed == 1 && executed.number == child.number.wrapping_add(1);
        // A server that executes another for each connection has no session yet.
        if !is_first || self.is_named_server(pid) || !self.is_named_server(server.pid) {
            return None;
        }
        if !self.is_server(server.pid) {
            return None;
        }
        // A shell with one command executes it at once, in its own place. What that one's
        // environment says is the word of a user who has logged in.
        session_of(&self.proc_root, pid)
    }

    fn is_named_server(&mut self, pid: u32) -> bool {
        let name = self.find(pid).and_then(|process| process.name.as_deref());
        name.is_some_and(|name| SERVERS.contains(&name))
    }

    /// Whether nobody but root decides what the process does.
    fn is_server(&self, pid: u32) -> bool {
        let root = &self.proc_root;
        if read_user(root, pid) == Some(ROOT) {
            return runs_server(root, pid);
        }
        // The kernel lets no user look into or change a process that was root's before. The look
        // at the user's executable could take as long as the user likes.
        let has_executed = read_stat(root, pid).is_none_or(|stat| stat.has_executed);
        let parent = self.forks.find(pid).map(|(_, parent)| parent.pid);
        !has_executed
            && parent.is_some_and(|parent| {
                read_user(root, parent) == Some(ROOT) && runs_server(root, parent)
            })
    }
}

/// Whether the process executes a server's file, which only root can write. The link leads to the
/// file itself, in whichever mount namespace, and if it was replaced since.
fn runs_server(root: &Path, pid: u32) -> bool {
    let link = pid_folder(root, pid).join("exe");
    reader::read(move || is_server(&link)).unwrap_or_default()
}

fn is_server(link: &Path) -> bool {
    let path = fs::read_link(link).map(|path| strip_deleted(path.into_os_string().into_vec()));
    let is_named = path.is_ok_and(|path| {
        let name = path.rsplit(|&byte| byte == b'/').next();
        let mut names = SERVERS.iter().chain([&MULTI_CALL]);
        names.any(|server| name == Some(server.as_bytes()))
    });
    is_named
        && fs::metadata(link)
            .is_ok_and(|file| file.uid() == ROOT && file.mode() & WRITABLE_BY_OTHERS == 0)
}

/// The session of a process, as its environment says.
fn session_of(proc_root: &Path, pid: u32) -> Option<Session> {
    let file = pid_folder(proc_root, pid).join("environ");
    parse(&reader::read(move || fs::read(file).ok())??)
}

fn parse(environment: &[u8]) -> Option<Session> {
    let mut variables = environment.split(|&byte| byte == 0);
    let value = variables.find_map(|variable| variable.strip_prefix(VARIABLE))?;
    let mut parts = str::from_utf8(value).ok()?.split(' ');
    let remote = parts.next()?.parse().ok()?;
    let local = parts.nth(1)?.parse().ok()?;
    let port = parts.next()?.parse().ok()?;
    Some(Session {
        remote,
        local,
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_names_both_ends() {
        let session = |remote: &str, local: &str, port| {
            Some(Session {
                remote: remote.parse().expect("an address"),
                local: local.parse().expect("an address"),
                port,
            })
        };
        for (environment, expected) in [
            (
                "PATH=/bin\0SSH_CONNECTION=198.51.100.7 50022 203.0.113.1 22\0HOME=/\0",
                session("198.51.100.7", "203.0.113.1", 22),
            ),
            (
                "SSH_CONNECTION=2001:db8::7 50022 2001:db8::1 2222",
                session("2001:db8::7", "2001:db8::1", 2222),
            ),
            ("XSSH_CONNECTION=198.51.100.7 50022 203.0.113.1 22\0", None),
            ("SSH_CONNECTION=198.51.100.7 50022 203.0.113.1\0", None),
            ("SSH_CONNECTION=UNKNOWN 65535 UNKNOWN 65535\0", None),
            ("", None),
        ] {
            assert_eq!(parse(environment.as_bytes()), expected, "{environment}");
        }
    }
}
