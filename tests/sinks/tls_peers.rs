//! Sinks to a TCP peer with TLS.

use std::io::{BufRead as _, BufReader, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::{Result, anyhow, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use recon_tests::scan::{PORTS, ensure_alert};
use recon_tests::{Lab, PATIENCE};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::tls::Authority;
use super::{Watched, lines};

/// A listener for one connection at a time.
struct TlsListener {
    listener: TcpListener,
    config: Arc<ServerConfig>,
}

/// A connection whose lines are read to its end.
struct Reader {
    stream: TcpStream,
    /// The lines, and whether the end was one of TLS.
    thread: JoinHandle<Result<(Vec<String>, bool)>>,
}

impl TlsListener {
    fn bind(lab: &Lab, address: SocketAddr, config: &Arc<ServerConfig>) -> Result<Self> {
        Ok(Self {
            listener: lab.host().enter(|| Ok(TcpListener::bind(address)?))?,
            config: Arc::clone(config),
        })
    }

    fn accept(&self) -> Result<Reader> {
        use std::os::fd::AsFd as _;
        let mut ask = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut ask, PollTimeout::try_from(PATIENCE)?)?;
        ensure!(ready > 0, "nobody connects");
        let (stream, _) = self.listener.accept()?;
        let own = stream.try_clone()?;
        let connection = ServerConnection::new(Arc::clone(&self.config))?;
        let thread = thread::spawn(move || {
            let mut reader = BufReader::new(StreamOwned::new(connection, stream));
            let mut text = String::new();
            loop {
                let mut line = String::new();
                let is_ended = match reader.read_line(&mut line) {
                    Ok(0) => Some(true),
                    Ok(_) if line.ends_with('\n') => None,
                    Ok(_) => Some(true),
                    Err(error) => Some(error.kind() != ErrorKind::UnexpectedEof),
                };
                if let Some(is_clean) = is_ended {
                    return Ok((lines(&text)?, is_clean));
                }
                text += &line;
            }
        });
        Ok(Reader {
            stream: own,
            thread,
        })
    }
}

impl Reader {
    fn joined(self) -> Result<(Vec<String>, bool)> {
        self.thread
            .join()
            .map_err(|_| anyhow!("a reader panicked"))?
    }
}

#[test]
fn a_peer_with_tls_goes_and_is_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let lab = Lab::new()?;
    let authority = Authority::new(folder.path(), "ca.pem")?;
    let config = authority.server(&["127.0.0.1"], false)?;
    let listener = TlsListener::bind(&lab, "127.0.0.1:0".parse()?, &config)?;
    let address = listener.listener.local_addr()?;
    let table = format!(
        "[sinks.peer]\ntype = 'tcp'\ntls = true\naddress = '{address}'\nca_file = '{}'\n\
         lines = ['alerts', 'rows']\nqueue = 5000\n",
        authority.file.display()
    );
    let watched = Watched::start(lab, folder.path(), &table)?;
    let first = listener.accept()?;
    watched.scan(PORTS)?;
    ensure_alert(&watched.agent)?;
    watched.wait_empty("peer")?;

    drop(listener);
    first.stream.shutdown(Shutdown::Both)?;
    let (mut received, _) = first.joined()?;
    watched.scan(PORTS)?;
    watched.wait_logged("recon tries on")?;

    let listener = TlsListener::bind(&watched.lab, address, &config)?;
    let second = listener.accept()?;
    watched.wait_empty("peer")?;
    watched.scan(PORTS)?;
    watched.wait_logged("can be written again")?;
    watched.wait_empty("peer")?;
    let ended = watched.stop()?;
    let (more, is_clean) = second.joined()?;
    ensure!(is_clean, "the end was cut off");
    received.extend(more);
    let totals = ended.ensure_all_came("peer", &received)?;
    ensure!(
        totals.dropped == 0 && received.len() as u64 <= totals.written + totals.repeated,
        "{} received, {totals:?}",
        received.len()
    );
    Ok(())
}
