//! Logins: who is behind a session in which a program starts.
//!
//! In: the pid of a process that has just executed a program. Out: the [`Session`] whose server
//! started it.
//! The decision held here: SSH servers (OpenSSH, Dropbear) tell the programs of a session where it
//! comes from, in the environment variable `SSH_CONNECTION`. Only the first program of a session is
//! asked, whose parent is the server: the others inherit the variable, and anybody can set it.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

/// The variable: addresses and ports of both ends, the remote's first.
const VARIABLE: &[u8] = b"SSH_CONNECTION=";
/// The names of servers, as far as a task's name shows them.
const SERVERS: [&str; 3] = ["sshd", "sshd-session", "dropbear"];

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

/// Whether a process of that name serves sessions.
pub(crate) fn is_server(name: &str) -> bool {
    SERVERS.contains(&name)
}

/// The session of a process, as its environment says.
pub(crate) fn session_of(proc_root: &Path, pid: u32) -> Option<Session> {
    parse(&fs::read(proc_root.join(pid.to_string()).join("environ")).ok()?)
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
