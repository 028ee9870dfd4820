//! Sinks whose peer accepts each connection and closes it: no line counts as written, and both the
//! log and `recon check` say so.

use std::io::Read as _;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::{Result, anyhow, ensure};
use recon_tests::Lab;
use recon_tests::scan::{PORTS, ensure_alert};
use rustls::{ServerConfig, ServerConnection, Stream};

use super::Watched;
use super::tls::Authority;

/// What a peer does with each connection.
enum Closer {
    Unix(UnixListener),
    Tcp(TcpListener),
    /// Reads what comes first, and closes then.
    Reader(TcpListener),
    /// Wants a certificate that recon does not have.
    Tls(TcpListener, Arc<ServerConfig>),
}

/// A peer, until it is ended.
struct Peer {
    descriptor: i32,
    thread: JoinHandle<()>,
}

impl Closer {
    fn start(self) -> Peer {
        let descriptor = match &self {
            Self::Unix(listener) => listener.as_raw_fd(),
            Self::Tcp(it) | Self::Reader(it) | Self::Tls(it, _) => it.as_raw_fd(),
        };
        let thread = thread::spawn(move || while self.accept_and_close().is_ok() {});
        Peer { descriptor, thread }
    }

    fn accept_and_close(&self) -> Result<()> {
        match self {
            Self::Unix(listener) => drop(listener.accept()?),
            Self::Tcp(listener) => drop(listener.accept()?),
            Self::Reader(listener) => {
                let (mut stream, _) = listener.accept()?;
                // A client that goes is a next one, too.
                let _ = stream.read(&mut [0; 1 << 16]);
            }
            Self::Tls(listener, config) => {
                let (mut stream, _) = listener.accept()?;
                let mut connection = ServerConnection::new(Arc::clone(config))?;
                // The refusal is sent, and the connection closed.
                let _ = Stream::new(&mut connection, &mut stream).read(&mut [0]);
                let _ = stream.shutdown(Shutdown::Write);
            }
        }
        Ok(())
    }
}

impl Peer {
    fn end(self) -> Result<()> {
        nix::sys::socket::shutdown(self.descriptor, nix::sys::socket::Shutdown::Both)?;
        self.thread.join().map_err(|_| anyhow!("a peer panicked"))
    }
}

fn bind(lab: &Lab) -> Result<(TcpListener, SocketAddr)> {
    let listener = lab.host().enter(|| Ok(TcpListener::bind("127.0.0.1:0")?))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Lines wait, none is written or lost, and `says` is the reason. If `is_checked`, `recon check`
/// has it too.
fn check_closer(
    lab: Lab,
    folder: &Path,
    closer: Closer,
    settings: &str,
    says: &str,
    is_checked: bool,
) -> Result<()> {
    let peer = closer.start();
    let table = format!("[sinks.peer]\n{settings}\nlines = ['alerts', 'rows']\nqueue = 5000\n");
    let watched = Watched::start(lab, folder, &table)?;
    watched.scan(PORTS)?;
    ensure_alert(&watched.agent)?;
    watched.wait_problem("peer", says)?;
    watched.wait_logged(says)?;
    let waiting = watched.state("peer")?;
    ensure!(waiting.dropped == 0, "{waiting:?}");
    if is_checked {
        ensure!(waiting.written == 0 && waiting.waiting > 0, "{waiting:?}");
        let report = watched.check(folder)?;
        ensure!(report.contains(says), "{report}");
    }
    let ended = watched.stop()?;
    let totals = ended.totals("peer")?;
    ensure!(
        totals.written == 0 && totals.dropped == ended.sent.len() as u64,
        "{totals:?} of {}",
        ended.sent.len()
    );
    peer.end()
}

const CLOSES: &str = "closes each connection at once";

#[test]
fn a_tcp_peer_that_closes_at_once_gets_no_line() -> Result<()> {
    let (folder, lab) = (tempfile::tempdir()?, Lab::new()?);
    let (listener, address) = bind(&lab)?;
    let settings = format!("type = 'tcp'\naddress = '{address}'");
    check_closer(
        lab,
        folder.path(),
        Closer::Tcp(listener),
        &settings,
        CLOSES,
        true,
    )
}

#[test]
fn a_unix_peer_that_closes_at_once_gets_no_line() -> Result<()> {
    let (folder, lab) = (tempfile::tempdir()?, Lab::new()?);
    let path = folder.path().join("peer.sock");
    let closer = Closer::Unix(UnixListener::bind(&path)?);
    let settings = format!("type = 'unix'\npath = '{}'", path.display());
    check_closer(lab, folder.path(), closer, &settings, CLOSES, true)
}

/// What it has read it has read: nobody can say how much, so it counts as dropped at the end.
#[test]
fn a_tcp_peer_that_reads_and_closes_is_named() -> Result<()> {
    let (folder, lab) = (tempfile::tempdir()?, Lab::new()?);
    let (listener, address) = bind(&lab)?;
    let settings = format!("type = 'tcp'\naddress = '{address}'");
    let closer = Closer::Reader(listener);
    check_closer(lab, folder.path(), closer, &settings, CLOSES, false)
}

/// In TLS 1.3 the client's handshake is over before the server has judged its certificate.
#[test]
fn a_refused_certificate_is_named() -> Result<()> {
    let (folder, lab) = (tempfile::tempdir()?, Lab::new()?);
    let authority = Authority::new(folder.path(), "ca.pem")?;
    let config = authority.server(&["127.0.0.1"], true)?;
    let (listener, address) = bind(&lab)?;
    let settings = format!(
        "type = 'tcp'\ntls = true\naddress = '{address}'\nca_file = '{}'",
        authority.file.display()
    );
    let closer = Closer::Tls(listener, config);
    check_closer(
        lab,
        folder.path(),
        closer,
        &settings,
        "received fatal alert: CertificateRequired",
        true,
    )
}

/// A server of NATS says who it is first; one that does not gets nothing.
#[test]
fn a_nats_server_that_closes_at_once_gets_no_line() -> Result<()> {
    let (folder, lab) = (tempfile::tempdir()?, Lab::new()?);
    let (listener, address) = bind(&lab)?;
    let settings = format!("type = 'nats'\naddress = '{address}'");
    let says = "the server has closed the connection";
    check_closer(
        lab,
        folder.path(),
        Closer::Tcp(listener),
        &settings,
        says,
        true,
    )
}
