//! TLS to the peer of a sink.
//!
//! In: files of certificates and a key, which are read at the start. Out: an encrypted connection.
//! The decisions held here: rustls with ring, which links statically and takes no library of the
//! host; OpenSSL does not, and aws-lc-rs needs cmake and several minutes more. Nothing is read once
//! the agent runs: the sandbox hides the certificates of the system. A session is never resumed,
//! so that a peer has little to send that recon would leave unread.

use std::fs;
use std::io::{self, ErrorKind, Read as _, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use super::secret_file::read_secret;

/// How long the end waits for the peer's end.
const LAST_READ: Duration = Duration::from_millis(500);

/// The files of a sink whose peer speaks TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// Whose certificates the peer's must come from; those that the system trusts if unset.
    pub(crate) ca: Option<PathBuf>,
    /// The certificate that the peer gets, and its key.
    pub(crate) client: Option<(PathBuf, PathBuf)>,
}

/// What the files hold.
pub(super) struct Credentials {
    roots: Vec<CertificateDer<'static>>,
    client: Option<(Vec<CertificateDer<'static>>, ClientKey)>,
}

/// A key, as rustls and the HTTP client have it.
struct ClientKey {
    key: PrivateKeyDer<'static>,
    for_http: PrivateKey<'static>,
}

impl Credentials {
    /// Reads the files.
    ///
    /// # Errors
    /// A file can't be read, holds none of what it should, or others may read the key.
    pub(super) fn load(files: &TlsFiles) -> anyhow::Result<Self> {
        let roots = match &files.ca {
            Some(path) => certificates(path)?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        ensure!(
            !roots.is_empty(),
            "this host trusts no certificate authority: name the certificate of the peer's with `ca_file`"
        );
        let client = files.client.as_ref().map(|(certificate, key)| {
            let pem = read_secret(key)?;
            let no_key = || format!("no private key in {}", key.display());
            let key = ClientKey {
                key: PrivateKeyDer::from_pem_slice(pem.as_bytes()).with_context(no_key)?,
                for_http: PrivateKey::from_pem(pem.as_bytes()).with_context(no_key)?,
            };
            anyhow::Ok((certificates(certificate)?, key))
        });
        Ok(Self {
            roots,
            client: client.transpose()?,
        })
    }

    /// What a connection is made with.
    ///
    /// # Errors
    /// A certificate is none, or the key is of another one.
    pub(super) fn config(&self) -> anyhow::Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        let (usable, _) = roots.add_parsable_certificates(self.roots.iter().cloned());
        ensure!(usable > 0, "no certificate authority can be used");
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match &self.client {
            Some((chain, key)) => builder
                .with_client_auth_cert(chain.clone(), key.key.clone_key())
                .context("the client's certificate can't be used")?,
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    /// The same for the HTTP client.
    pub(super) fn for_http(&self) -> TlsConfig {
        let certificates = |chain: &[CertificateDer<'_>]| -> Vec<_> {
            let chain = chain.iter();
            chain
                .map(|it| Certificate::from_der(it).to_owned())
                .collect()
        };
        let client = self.client.as_ref().map(|(chain, key)| {
            ClientCert::new_with_certs(&certificates(chain), key.for_http.to_owned())
        });
        TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&certificates(&self.roots)))
            .client_cert(client)
            .unversioned_rustls_crypto_provider(provider())
            .build()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// All certificates of a file.
fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let name = path.display();
    let pem = fs::read(path).with_context(|| format!("can't read {name}"))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.with_context(|| format!("{name} is no file of certificates (PEM)"))?;
    ensure!(!found.is_empty(), "no certificate in {name}: use PEM");
    Ok(found)
}

/// Whom a connection must be with.
#[derive(Clone)]
pub(crate) struct TlsPeer {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsPeer {
    /// A peer with a certificate for that name, which is a host's or an address.
    ///
    /// # Errors
    /// A file can't be used, or the name is none.
    pub(super) fn load(files: &TlsFiles, name: &str) -> anyhow::Result<Self> {
        let valid = ServerName::try_from(name.to_owned());
        Ok(Self {
            config: Credentials::load(files)?.config()?,
            name: valid.with_context(|| format!("`{name}` is no name of a server"))?,
        })
    }

    /// Connects, and waits until both sides agree on a key, for `patience` each.
    pub(super) fn connect(
        &self,
        address: &SocketAddr,
        patience: Duration,
    ) -> io::Result<TlsStream> {
        let stream = TcpStream::connect_timeout(address, patience)?;
        self.encrypt(stream, patience)
    }

    /// Waits until both sides of a connection agree on a key.
    pub(super) fn encrypt(
        &self,
        mut stream: TcpStream,
        patience: Duration,
    ) -> io::Result<TlsStream> {
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let connection = ClientConnection::new(Arc::clone(&self.config), self.name.clone());
        let mut connection = connection.map_err(io::Error::other)?;
        shake_hands(&mut connection, &mut stream, patience)?;
        stream.set_write_timeout(None)?;
        Ok(TlsStream {
            stream: Box::new(StreamOwned::new(connection, stream)),
            broken: None,
        })
    }
}

/// Agrees on a key. A peer that sends a byte at a time has no longer than others.
fn shake_hands(
    connection: &mut ClientConnection,
    stream: &mut TcpStream,
    patience: Duration,
) -> io::Result<()> {
    let late = || {
        io::Error::new(
            ErrorKind::TimedOut,
            "the peer does not end its TLS handshake",
        )
    };
    let end = Instant::now() + patience;
    loop {
        while connection.wants_write() {
            connection.write_tls(stream)?;
        }
        if !connection.is_handshaking() {
            return Ok(());
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(late());
        }
        stream.set_read_timeout(Some(left))?;
        match connection.read_tls(stream) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(late()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if let Err(error) = connection.process_new_packets() {
            // The peer hears why, if it still listens.
            let _ = connection.write_tls(stream);
            return Err(io::Error::new(ErrorKind::InvalidData, error));
        }
    }
}

/// An encrypted connection.
pub(super) struct TlsStream {
    stream: Box<StreamOwned<ClientConnection, TcpStream>>,
    /// Why the kernel did not take all that was written.
    broken: Option<io::Error>,
}

impl Write for TlsStream {
    /// All bytes go to the kernel, since what rustls still holds is lost with the connection. If
    /// that fails, they count as sent, and the next write returns the error.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        let written = self.stream.write(bytes)?;
        self.broken = self.stream.flush().err();
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl TlsStream {
    /// What the peer has said of why it ends the connection, if it has.
    pub(super) fn last_alert(&mut self) -> Option<io::Error> {
        let StreamOwned { conn, sock } = &mut *self.stream;
        sock.set_nonblocking(true).ok()?;
        while conn.read_tls(sock).is_ok_and(|read| read > 0) {
            if let Err(error) = conn.process_new_packets() {
                return Some(io::Error::new(ErrorKind::InvalidData, error));
            }
        }
        None
    }

    /// Whether some of what was written is with nobody.
    pub(super) const fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// What the kernel knows of.
    pub(super) fn tcp(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    /// Reads what the peer sends. An alert of TLS is an error that names it.
    pub(super) fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.read(bytes)
    }

    /// Says that nothing more comes, and reads what the peer has sent: the kernel would otherwise
    /// reset the connection, and the peer lose what it has not read. Returns whether the peer has
    /// ended it in order.
    pub(super) fn close(&mut self) -> bool {
        self.stream.conn.send_close_notify();
        let _ = self.stream.flush();
        if self.stream.sock.shutdown(Shutdown::Write).is_err() {
            return false;
        }
        let end = Instant::now() + LAST_READ;
        let mut ignored = [0; 512];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            // No time at all is refused as a timeout, and an end as well.
            if self.stream.sock.set_read_timeout(Some(left)).is_err() {
                return false;
            }
            match self.stream.sock.read(&mut ignored) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }
}
