//! Sinks to a stream of NATS JetStream: a real nats-server is killed and started again, refuses
//! recon, has no stream, and has a stream that is full.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use recon_tests::Lab;
use recon_tests::scan::{PORTS, ensure_alert};
use serde_json::{Value, json};

use super::nats_server::{NatsServer, free_address, program};
use super::tls::Authority;
use super::{Ended, Totals, Watched};

/// As many messages as come.
const NO_LIMIT: i64 = -1;

/// The sink `peer`.
fn table(address: impl std::fmt::Display, more: &str) -> String {
    format!(
        "[sinks.peer]\ntype = 'nats'\naddress = '{address}'\nlines = ['alerts', 'rows']\n{more}\n"
    )
}

/// A file that only its owner may read.
fn secret(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let file = folder.join(name);
    fs::write(&file, text)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Checks that each line that counts as written is in the stream, once, and below the subject of
/// its kind.
fn ensure_stored_once(ended: &Ended, program: &Path, folder: &Path) -> Result<Totals> {
    let messages = NatsServer::stored(program, folder)?;
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

#[test]
fn lines_are_in_the_stream_once_whenever_the_server_is_killed() -> Result<()> {
    let Some(program) = program() else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let lab = Lab::new()?;
    let address = free_address(&lab)?;
    let start = |lab: &Lab| NatsServer::start(lab, &program, folder.path(), address, "");
    let mut server = start(&lab)?;
    server
        .client(&lab, &json!({}))?
        .set_stream("CREATE", NO_LIMIT)?;
    let watched = Watched::start(lab, folder.path(), &table(address, ""))?;
    watched.scan(PORTS)?;
    ensure_alert(&watched.agent)?;
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
        server = start(&watched.lab)?;
        watched.wait_empty("peer")?;
    }
    watched.wait_logged("can be written again")?;
    let ended = watched.stop()?;
    server.kill()?;
    let totals = ensure_stored_once(&ended, &program, folder.path())?;
    // What was on its way when the server was killed is sent again, and may be counted so.
    ensure!(totals.dropped == 0, "{totals:?}");
    Ok(())
}

#[test]
fn what_a_server_refuses_is_named_and_kept() -> Result<()> {
    let Some(program) = program() else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let lab = Lab::new()?;
    let address = free_address(&lab)?;
    let users = |password: &str| {
        format!("authorization {{ users: [ {{ user: u, password: \"{password}\" }} ] }}")
    };
    let start =
        |lab: &Lab, more: &str| NatsServer::start(lab, &program, folder.path(), address, more);
    let file = secret(
        folder.path(),
        "credentials",
        "# of a test\nuser: u\npassword: secret-1\n",
    )?;
    let server = start(&lab, &users("another"))?;
    let more = format!("credentials_file = '{}'", file.display());
    let watched = Watched::start(lab, folder.path(), &table(address, &more))?;
    watched.scan(PORTS)?;
    ensure_alert(&watched.agent)?;
    watched.wait_problem("peer", "Authorization Violation")?;
    let says = watched.check(folder.path())?;
    ensure!(says.contains("Authorization Violation"), "{says}");
    server.kill()?;

    let server = start(&watched.lab, &users("secret-1"))?;
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
    let totals = ensure_stored_once(&ended, &program, folder.path())?;
    ensure!(totals.dropped == 0 && totals.repeated == 0, "{totals:?}");
    let log = ended.stopped.seen.log.join("\n");
    ensure!(!log.contains("secret-1"), "{log}");
    Ok(())
}

/// A line that no server would ever take is dropped, and named; those around it are stored.
#[test]
fn a_line_that_is_too_large_is_lost_alone() -> Result<()> {
    let Some(program) = program() else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let lab = Lab::new()?;
    let address = free_address(&lab)?;
    // Rows of scans have some 500 bytes, alerts some 2 KiB.
    let server = NatsServer::start(&lab, &program, folder.path(), address, "max_payload: 1024")?;
    server
        .client(&lab, &json!({}))?
        .set_stream("CREATE", NO_LIMIT)?;
    let watched = Watched::start(lab, folder.path(), &table(address, ""))?;
    watched.scan(PORTS)?;
    ensure_alert(&watched.agent)?;
    watched.wait_logged("raise its max_payload")?;
    watched.wait_empty("peer")?;
    let ended = watched.stop()?;
    server.kill()?;
    let totals = ensure_stored_once(&ended, &program, folder.path())?;
    ensure!(totals.dropped > 0 && totals.written > 0, "{totals:?}");
    Ok(())
}

/// With TLS, the server must be who it should, and recon who the server wants.
#[test]
fn tls_and_a_token_are_judged() -> Result<()> {
    let Some(program) = program() else {
        return Ok(());
    };
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
        let folder = tempfile::tempdir()?;
        let lab = Lab::new()?;
        let address = free_address(&lab)?;
        let _server = NatsServer::start(&lab, &program, folder.path(), address, &tls)?;
        let more = format!(
            "tls = true\nserver_name = '{name}'\nca_file = '{}'\ncert_file = '{}'\nkey_file = '{}'\n\
             credentials_file = '{}'",
            ca.file.display(),
            client[0].display(),
            client[1].display(),
            token.display()
        );
        let watched = Watched::start(lab, folder.path(), &table(address, &more))?;
        watched.scan(PORTS)?;
        match says {
            Some(says) => watched.wait_problem("peer", says)?,
            None => watched.wait_problem("peer", "no stream answers for this subject")?,
        }
        let ended = watched.stop()?;
        let totals = ended.totals("peer")?;
        ensure!(totals.written == 0 && totals.repeated == 0, "{totals:?}");
    }
    Ok(())
}
