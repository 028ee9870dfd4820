//! Sinks to a webhook, which refuses, hangs, closes, is killed and started again.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use recon_tests::Lab;
use recon_tests::scan::{PORTS, ensure_alert};

use super::http_server::{HttpServer, Mode, Received};
use super::tls::Authority;
use super::{Ended, Watched, lines};

const ANY_PORT: &str = "127.0.0.1:0";
/// The name in the certificate of the server.
const NAME: &str = "collector.example";

/// The sink `peer`.
fn table(url: &str, more: &str) -> String {
    format!(
        "[sinks.peer]\ntype = 'webhook'\nurl = '{url}'\nlines = ['alerts', 'rows']\nqueue = 5000\n{more}\n"
    )
}

/// The lines of the requests that were taken.
pub(super) fn lines_of(received: &[Received]) -> Result<Vec<String>> {
    let taken = received.iter().filter(|it| it.is_taken);
    let bodies = taken.map(|it| lines(&it.body));
    Ok(bodies.collect::<Result<Vec<_>>>()?.concat())
}

/// Checks that written lines came, that all others were dropped, and that no more came than is
/// counted.
fn ensure_agrees(ended: &Ended, received: &[Received]) -> Result<super::Totals> {
    let received = lines_of(received)?;
    let totals = ended.ensure_all_came("peer", &received)?;
    ensure!(
        received.len() as u64 <= totals.written + totals.repeated,
        "{} received, {totals:?}",
        received.len()
    );
    Ok(totals)
}

#[test]
fn a_webhook_refuses_hangs_and_closes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let lab = Lab::new()?;
    let server = HttpServer::start(&lab, ANY_PORT.parse()?, None)?;
    let url = format!("http://{}/recon?source=1", server.address);
    let watched = Watched::start(lab, folder.path(), &table(&url, ""))?;
    let begun = Instant::now();
    watched.scan(PORTS)?;
    ensure_alert(&watched.agent)?;
    watched.wait_empty("peer")?;
    let first = server.received();
    let head = &first.first().expect("lines have come").head;
    for part in [
        "post /recon?source=1 http/1.1\r\n",
        "content-type: application/x-ndjson\r\n",
        "user-agent: recon/",
    ] {
        ensure!(head.contains(part), "{head}");
    }

    for (mode, says) in [
        (Mode::Answers(500), "the peer answers 500"),
        (Mode::Answers(301), "the peer answers 301"),
        (Mode::Closes, "disconnected"),
        (Mode::Hangs, "the peer does not answer"),
    ] {
        server.set_mode(mode);
        let before = watched.state("peer")?;
        watched.scan(PORTS)?;
        watched.wait_problem("peer", says)?;
        let during = watched.state("peer")?;
        ensure!(
            during.written == before.written && during.waiting > 0 && during.dropped == 0,
            "{mode:?}: {during:?}"
        );
        // The other sink has all.
        watched.wait_empty(super::ALL)?;
        server.set_mode(Mode::Answers(200));
        watched.wait_empty("peer")?;
    }
    watched.wait_logged("can be written again")?;

    // What the peer would never take is lost, and what follows is not.
    server.set_mode(Mode::Answers(413));
    watched.scan(PORTS)?;
    watched.wait_state("peer", "lines are dropped", |it| {
        it.dropped > 0 && it.waiting == 0
    })?;
    server.set_mode(Mode::Answers(200));
    let before = watched.state("peer")?;
    watched.scan(PORTS)?;
    watched.wait_state("peer", "lines are written", |it| {
        it.written > before.written && it.waiting == 0
    })?;
    let ended = watched.stop()?;
    let received = server.kill()?;
    // A peer that fails and recovers all the time does not set the rate of the log.
    let log = ended.stopped.seen.log.iter();
    let failures = log.filter(|line| line.contains("recon tries on")).count() as u64;
    let minutes = begun.elapsed().as_secs() / 60;
    ensure!(
        failures <= 1 + minutes,
        "{failures} failures are logged: {}",
        ended.stopped.seen
    );
    let totals = ensure_agrees(&ended, &received)?;
    ensure!(
        lines_of(&received)?.len() as u64 == totals.written + totals.repeated
            && totals.repeated > 0,
        "{totals:?}"
    );
    Ok(())
}

/// The files of a sink with TLS, with a certificate of its own.
fn tls_settings(authority: &Authority, folder: &Path) -> Result<String> {
    let [certificate, key] = authority.client(folder)?;
    let headers = folder.join("headers");
    fs::write(&headers, "# a comment\nAuthorization: Bearer secret-1\n")?;
    fs::set_permissions(&headers, fs::Permissions::from_mode(0o640))?;
    Ok(format!(
        "ca_file = '{}'\ncert_file = '{}'\nkey_file = '{}'\nheaders_file = '{}'\n",
        authority.file.display(),
        certificate.display(),
        key.display(),
        headers.display()
    ))
}

#[test]
fn a_webhook_with_tls_is_killed_and_started_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let lab = Lab::new()?;
    let authority = Authority::new(folder.path(), "ca.pem")?;
    let config = authority.server(&[NAME], true)?;
    let server = HttpServer::start(&lab, ANY_PORT.parse()?, Some(config.clone()))?;
    let address = server.address;
    let more = tls_settings(&authority, folder.path())?;
    let table = table(
        &format!("https://{NAME}/"),
        &format!("address = '{address}'\n{more}"),
    );
    let watched = Watched::start(lab, folder.path(), &table)?;
    watched.scan(PORTS)?;
    ensure_alert(&watched.agent)?;
    watched.wait_empty("peer")?;
    let mut received = server.kill()?;
    let head = &received.first().expect("lines have come").head;
    for part in [
        "authorization: bearer secret-1\r\n",
        &format!("host: {NAME}\r\n"),
    ] {
        ensure!(head.contains(part), "{head}");
    }

    watched.scan(PORTS)?;
    watched.wait_logged("recon tries on")?;
    let waiting = watched.state("peer")?;
    ensure!(waiting.waiting > 0 && waiting.dropped == 0, "{waiting:?}");
    let server = HttpServer::start(&watched.lab, address, Some(config))?;
    watched.wait_empty("peer")?;
    watched.scan(PORTS)?;
    watched.wait_logged("can be written again")?;
    watched.wait_empty("peer")?;
    let ended = watched.stop()?;
    received.extend(server.kill()?);
    let totals = ensure_agrees(&ended, &received)?;
    ensure!(totals.dropped == 0, "{totals:?}");
    // The secret is in no log.
    let log = ended.stopped.seen.log.join("\n");
    ensure!(!log.contains("secret-1"), "{log}");
    Ok(())
}

/// A server that is not the one of the settings gets no line. The right one gets each once.
#[test]
fn a_webhook_that_is_another_gets_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let [own, other] = ["ca.pem", "other.pem"].map(|name| Authority::new(folder.path(), name));
    let (own, other) = (own?, other?);
    for (signer, name, says) in [
        (&other, NAME, "UnknownIssuer"),
        (&own, "another.example", "not valid for name"),
    ] {
        let folder = tempfile::tempdir()?;
        let lab = Lab::new()?;
        let config = signer.server(&[name], false)?;
        let server = HttpServer::start(&lab, ANY_PORT.parse()?, Some(config))?;
        let table = table(
            &format!("https://{NAME}/"),
            &format!(
                "address = '{}'\nca_file = '{}'",
                server.address,
                own.file.display()
            ),
        );
        let watched = Watched::start(lab, folder.path(), &table)?;
        watched.scan(PORTS)?;
        watched.wait_logged(says)?;
        let address = server.address;
        ensure!(server.kill()?.is_empty(), "it has got lines");
        let right = own.server(&[NAME], false)?;
        let server = HttpServer::start(&watched.lab, address, Some(right))?;
        watched.wait_state("peer", "lines come", |it| it.written > 0 && it.waiting == 0)?;
        let ended = watched.stop()?;
        let totals = ensure_agrees(&ended, &server.kill()?)?;
        ensure!(totals.dropped == 0 && totals.repeated == 0, "{totals:?}");
    }
    Ok(())
}
