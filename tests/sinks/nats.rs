//! Sinks to a stream of NATS JetStream: a real nats-server is killed and started again, refuses
//! recon, has no stream, and has a stream that is full.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use recon_tests::Lab;
use recon_tests::nats_server::{NO_LIMIT, NatsServer, free_address, program};
use recon_tests::scan::{PORTS, ensure_alert};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::tls::Authority;
use super::{Ended, Totals, Watched};

/// A file that only its owner may read.
fn secret(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let file = folder.join(name);
    fs::write(&file, text)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Where the servers of a test are, one after the other.
struct Site {
    program: PathBuf,
    folder: TempDir,
    address: SocketAddr,
}

impl Site {
    /// `None` if there is no nats-server.
    fn new(lab: &Lab) -> Result<Option<Self>> {
        let Some(program) = program() else {
            return Ok(None);
        };
        Ok(Some(Self {
            program,
            folder: tempfile::tempdir()?,
            address: free_address(lab)?,
        }))
    }

    /// Starts a server with more lines of its configuration.
    fn start(&self, lab: &Lab, more: &str) -> Result<NatsServer> {
        NatsServer::start(lab, &self.program, self.folder.path(), self.address, more)
    }

    /// Starts a server with a stream that takes all lines.
    fn start_with_stream(&self, lab: &Lab, more: &str) -> Result<NatsServer> {
        let server = self.start(lab, more)?;
        let mut client = server.client(lab, &json!({}))?;
        client.set_stream("CREATE", NO_LIMIT)?;
        Ok(server)
    }

    /// Starts an agent with the sink `peer`, and scans.
    fn watch(&self, lab: Lab, more: &str) -> Result<Watched> {
        let address = self.address;
        let table = format!(
            "[sinks.peer]\ntype = 'nats'\naddress = '{address}'\nlines = ['alerts', 'rows']\n{more}\n"
        );
        let watched = Watched::start(lab, self.folder.path(), &table)?;
        watched.scan(PORTS)?;
        ensure_alert(&watched.agent)?;
        Ok(watched)
    }

    /// Checks that each line that counts as written is in the stream, once, and below the subject
    /// of its kind. No server runs.
    fn ensure_stored_once(&self, ended: &Ended) -> Result<Totals> {
        let messages = NatsServer::stored(&self.program, self.folder.path())?;
        for (subject, line) in &messages {
            let line: Value = serde_json::from_str(line)?;
            let kind = match line["event"].is_object() {
                true => "recon.alerts.",
                false => "recon.rows.",
            };
            ensure!(subject.starts_with(kind), "{subject}: {line}");
        }
        let stored: Vec<_> = messages.into_iter().map(|(_, line)| line).collect();
        let distinct: BTreeSet<_> = stored.iter().collect();
        ensure!(
            distinct.len() == stored.len(),
            "{} messages, {} different ones",
            stored.len(),
            distinct.len()
        );
        ended.ensure_all_came("peer", &stored)
    }
}

#[test]
fn lines_are_in_the_stream_once_whenever_the_server_is_killed() -> Result<()> {
    let lab = Lab::new()?;
    let Some(site) = Site::new(&lab)? else {
        return Ok(());
    };
    let mut server = site.start_with_stream(&lab, "")?;
    let watched = site.watch(lab, "")?;
    watched.wait_empty("peer")?;

    /// Ports that are scanned while the server is killed.
    const KILLED: [u16; 4] = [3000, 3400, 3800, 4200];
    for first in KILLED {
        let before = watched.state("peer")?;
        watched.scan(first..first + 300)?;
        // Some are written, and others are on their way or come later.
        watched.wait_state("peer", "lines are written", |it| {
            it.written > before.written || it.waiting > 0
        })?;
        server.kill()?;
        watched.scan(first + 300..first + 320)?;
        let down = watched.wait_state("peer", "lines wait", |it| it.waiting > 0)?;
        ensure!(down.dropped == 0, "{down:?}");
        watched.wait_problem("peer", "")?;
        server = site.start(&watched.lab, "")?;
        watched.wait_empty("peer")?;
    }
    watched.wait_logged("can be written again")?;
    let ended = watched.stop()?;
    server.kill()?;
    let totals = site.ensure_stored_once(&ended)?;
    // What was on its way when the server was killed is sent again, and may be counted so.
    ensure!(totals.dropped == 0, "{totals:?}");
    Ok(())
}

#[test]
fn what_a_server_refuses_is_named_and_kept() -> Result<()> {
    let lab = Lab::new()?;
    let Some(site) = Site::new(&lab)? else {
        return Ok(());
    };
    let users = |password: &str| {
        format!("authorization {{ users: [ {{ user: u, password: \"{password}\" }} ] }}")
    };
    let folder = site.folder.path();
    let text = "# of a test\nuser: u\npassword: secret-1\n";
    let file = secret(folder, "credentials", text)?;
    let server = site.start(&lab, &users("another"))?;
    let more = format!("credentials_file = '{}'", file.display());
    let watched = site.watch(lab, &more)?;
    watched.wait_problem("peer", "Authorization Violation")?;
    let says = watched.check(folder)?;
    ensure!(says.contains("Authorization Violation"), "{says}");
    server.kill()?;

    let server = site.start(&watched.lab, &users("secret-1"))?;
    watched.wait_problem("peer", "no stream answers for this subject")?;
    let none = watched.state("peer")?;
    ensure!(
        none.written == 0 && none.dropped == 0 && none.waiting > 0,
        "{none:?}"
    );
    let own = json!({ "user": "u", "pass": "secret-1" });
    let mut client = server.client(&watched.lab, &own)?;
    client.set_stream("CREATE", 5)?;
    watched.wait_problem("peer", "maximum messages exceeded")?;
    let full = watched.state("peer")?;
    ensure!(full.dropped == 0 && full.waiting > 0, "{full:?}");
    watched.scan(PORTS)?;
    client.set_stream("UPDATE", NO_LIMIT)?;
    watched.wait_empty("peer")?;
    watched.wait_logged("can be written again")?;
    let ended = watched.stop()?;
    server.kill()?;
    let totals = site.ensure_stored_once(&ended)?;
    ensure!(totals.dropped == 0 && totals.repeated == 0, "{totals:?}");
    let log = ended.stopped.seen.log.join("\n");
    ensure!(!log.contains("secret-1"), "{log}");
    Ok(())
}

/// A line that no server would ever take is dropped, and named; those around it are stored.
#[test]
fn a_line_that_is_too_large_is_lost_alone() -> Result<()> {
    let lab = Lab::new()?;
    let Some(site) = Site::new(&lab)? else {
        return Ok(());
    };
    // Rows of scans have some 500 bytes, alerts some 2 KiB.
    let server = site.start_with_stream(&lab, "max_payload: 1024")?;
    let watched = site.watch(lab, "")?;
    watched.wait_logged("raise its max_payload")?;
    watched.wait_empty("peer")?;
    let ended = watched.stop()?;
    server.kill()?;
    let totals = site.ensure_stored_once(&ended)?;
    ensure!(totals.dropped > 0 && totals.written > 0, "{totals:?}");
    Ok(())
}

/// With TLS, the server must be who it should, and recon who the server wants. Then it stores
/// lines.
#[test]
fn tls_and_a_token_are_judged() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new(folder.path(), "ca.pem")?;
    let other = Authority::new(folder.path(), "other.pem")?;
    let [certificate, key] = authority.files(folder.path(), "server", "nats.example")?;
    let tls = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}\n\
         authorization {{ token: \"secret-2\" }}",
        certificate.display(),
        key.display(),
        authority.file.display()
    );
    let token = secret(folder.path(), "token", "token: secret-2\n")?;
    let own = authority.client(folder.path())?;
    let strange = other.files(folder.path(), "strange", "recon.example")?;
    // (whose certificates recon trusts, its own, the server's name, what is wrong)
    for (ca, client, name, says) in [
        (&other, &own, "nats.example", Some("UnknownIssuer")),
        (
            &authority,
            &own,
            "another.example",
            Some("not valid for name"),
        ),
        (&authority, &strange, "nats.example", Some("alert")),
        (&authority, &own, "nats.example", None),
    ] {
        let lab = Lab::new()?;
        let Some(site) = Site::new(&lab)? else {
            return Ok(());
        };
        // The client of these tests speaks no TLS.
        site.start_with_stream(&lab, "")?.kill()?;
        let server = site.start(&lab, &tls)?;
        let more = format!(
            "tls = true\nserver_name = '{name}'\nca_file = '{}'\ncert_file = '{}'\nkey_file = '{}'\n\
             credentials_file = '{}'",
            ca.file.display(),
            client[0].display(),
            client[1].display(),
            token.display()
        );
        let watched = site.watch(lab, &more)?;
        match says {
            Some(says) => watched.wait_problem("peer", says)?,
            None => {
                watched.wait_state("peer", "all is written", |it| {
                    it.written > 0 && it.waiting == 0
                })?;
            }
        }
        let ended = watched.stop()?;
        server.kill()?;
        let totals = site.ensure_stored_once(&ended)?;
        let is_right = match says {
            Some(_) => totals.written == 0 && totals.repeated == 0,
            None => totals.written > 0 && totals.dropped == 0,
        };
        ensure!(is_right, "{says:?}: {totals:?}");
    }
    Ok(())
}
