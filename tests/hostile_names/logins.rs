//! Who logged in, as the environment of a program says, which any user can set.
//!
//! In: sessions of a true server, and what a user makes look like one. Out: the remotes of the rows
//! of logins. The decision held here: a forged login excuses the guesses of another remote, so none
//! may come from a user's own word.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use recon_tests::lab::{ATTACKER, HOST};
use recon_tests::process::{run, shell};
use recon_tests::program::{PYTHON, Renamed};
use recon_tests::{Agent, Lab, Server, rows};
use serde_json::Value;

const DEADLINE: Duration = Duration::from_secs(60);
/// Starts a brother of itself, as whose parent /proc shows the server.
const BROTHER: &str = "\
import ctypes, os, sys
CLONE, CLONE_PARENT, SIGCHLD = 56 if os.uname().machine == 'x86_64' else 220, 0x8000, 17
if ctypes.CDLL(None).syscall(CLONE, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0) == 0:
    os.execve('/bin/sleep', ['sleep', '0.5'], {'SSH_CONNECTION': sys.argv[1]})
";

struct Row {
    name: &'static str,
    /// A shell command. `SERVER` (a copy of a shell), `SESSION` (logs in at the true server and
    /// runs what follows), `BROTHER` and `FORGED` are placeholders. Each program lasts longer than
    /// the agent takes to look at it.
    line: &'static str,
    /// The address that it forges. It stands for one that guesses passwords meanwhile. Each row
    /// has one of its own, since an agent sees the programs of all rows.
    forged: &'static str,
    /// Whether the true remote logs in.
    is_login: bool,
}

const ROWS: &[Row] = &[
    Row {
        name: "a user's shell under the name of a server",
        line: "setpriv --reuid=65534 --clear-groups SERVER -c \
               'for i in 1 2 3; do SSH_CONNECTION=\"FORGED\" sleep 0.5; done; true'",
        forged: "198.18.9.1",
        is_login: false,
    },
    Row {
        name: "another program in the place of a session's first one",
        line: "SESSION 'sleep 0.5; SSH_CONNECTION=\"FORGED\" exec sleep 0.5'",
        forged: "198.18.9.3",
        is_login: true,
    },
    Row {
        name: "a session's program that makes the server its parent",
        line: "SESSION 'sleep 0.5; BROTHER \"FORGED\"; sleep 1'",
        forged: "198.18.9.4",
        is_login: true,
    },
];

fn check(row: &Row) -> Result<()> {
    let lab = Lab::new()?;
    let (folder, shell_copy) = (tempfile::tempdir()?, Renamed::copy("bash", "sshd")?);
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("brother.py"), BROTHER)?;
    let _server = dropbear(&lab, &path("server_key"), &path("client_key"))?;
    let events = path("events");
    let agent = Agent::start(&lab, &format!("--interval 100ms --events {events}"))?;
    let session = format!("dbclient -y -y -i {} root@{HOST}", path("client_key"));
    let forged = format!("{} 1000 {HOST} 22", row.forged);
    let line = row
        .line
        .replace("SESSION", &session)
        .replace("SERVER", &shell_copy.path().display().to_string())
        .replace("BROTHER", &format!("{PYTHON} {}", path("brother.py")))
        .replace("FORGED", &forged);
    run(lab.attacker(), shell(&line), DEADLINE)?.success()?;
    for _ in 0..2 {
        agent.wait_poll()?;
    }
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    let found = remotes(&events)?;
    ensure!(!found.contains(row.forged), "forged: {found:?}");
    let has_true = found.contains(&ATTACKER.to_string());
    ensure!(has_true || !row.is_login, "only {found:?}");
    Ok(())
}

/// An SSH server on the host, which lets root in by the client's key.
fn dropbear(lab: &Lab, server_key: &str, client_key: &str) -> Result<Server> {
    for key in [server_key, client_key] {
        let mut make = Command::new("dropbearkey");
        let made = make.args(["-t", "ed25519", "-f", key]).output()?;
        ensure!(made.status.success(), "dropbearkey: {}", made.status);
    }
    // A mount namespace of its own leaves root's folder alone, and is what a container has.
    let line = format!(
        "exec unshare --mount sh -c 'home=$(getent passwd root | cut -d: -f6) && \
         mount -t tmpfs -o mode=700 tmpfs $home && mkdir -m 700 $home/.ssh && \
         dropbearkey -y -f {client_key} | grep ^ssh- > $home/.ssh/authorized_keys && \
         exec dropbear -F -E -p 22 -r {server_key}'"
    );
    Server::start(lab.host(), shell(&line), "Not backgrounding")
}

/// Whom the rows of logins name.
fn remotes(events: &str) -> Result<BTreeSet<String>> {
    let mut remotes = BTreeSet::new();
    for line in fs::read_to_string(events)?.lines() {
        let row: Value = serde_json::from_str(line).context("a row")?;
        if row["ActionType"] == "Login" {
            let remote = row["RemoteIP"]
                .as_str()
                .context("a login without a remote")?;
            remotes.insert(remote.to_owned());
        }
    }
    Ok(remotes)
}

#[test]
fn nobody_forges_a_login() {
    rows::check(ROWS, |row| row.name, check);
}
