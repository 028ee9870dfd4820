//! An HTTP peer that gets bodies by POST.
//!
//! In: a body. Out: the peer's answer, or what has become of the body.
//! The decisions held here: ureq is a blocking client, and sinks have threads of their own; hyper's
//! and reqwest's need a runtime, minreq keeps no connection. recon looks up no names: the sandbox
//! has no sockets for that, and a static binary no NSS. So the settings say where the host of a URL
//! is. No proxy is asked, whatever the environment says, and no redirection followed: the sandbox
//! lets recon connect to one port.

use std::io::{self, ErrorKind, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use ureq::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Timeout};

use super::http_url::HttpUrl;
use super::secret_file::read_secret;
use super::tls::{Credentials, TlsFiles};

/// How long the peer may take to accept, and to answer.
const CONNECT_TIME: Duration = Duration::from_secs(5);
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// What is read of an answer. A connection with more is not used again.
const LONGEST_ANSWER: u64 = 64 << 10;

/// Where bodies go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpDestination {
    pub(crate) url: HttpUrl,
    /// Where the host of the URL is.
    pub(crate) address: SocketAddr,
    pub(crate) tls: TlsFiles,
    /// Headers of each request, which may be secret.
    pub(crate) headers_file: Option<PathBuf>,
}

/// What became of a body that was not taken.
#[derive(Debug)]
pub(super) enum PostError {
    /// The peer does not want it, and would not another time.
    Refused(io::Error),
    /// The peer has not taken it.
    NotTaken(io::Error),
    /// Nobody knows whether the peer has taken it.
    Unknown(io::Error),
}

/// What a peer says that has taken a body.
#[derive(Debug)]
pub(super) enum PostAnswer {
    Whole(Vec<u8>),
    /// It is longer than recon reads.
    TooLong,
    /// The connection has ended within it, or it is late.
    CutOff,
}

/// A peer, and the connection to it.
pub(super) struct HttpPeer {
    agent: Agent,
    uri: Uri,
    headers: HeaderMap,
}

impl HttpPeer {
    /// Reads the files; connects when there is something to send.
    ///
    /// # Errors
    /// A file can't be used.
    pub(super) fn load(
        destination: &HttpDestination,
        content_type: &'static str,
    ) -> anyhow::Result<Self> {
        let HttpDestination { url, address, .. } = destination;
        let mut headers = match &destination.headers_file {
            Some(path) => read_headers(path)?,
            None => HeaderMap::new(),
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let mut config = Agent::config_builder()
            .user_agent(concat!("recon/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIME))
            .timeout_global(Some(ANSWER_TIME));
        if url.is_secure() {
            let credentials = Credentials::load(&destination.tls)?;
            // The client would find a mistake only when it connects.
            credentials.config()?;
            config = config.tls_config(credentials.for_http());
        }
        let connector = DefaultConnector::new();
        Ok(Self {
            agent: Agent::with_parts(config.build(), connector, Fixed(*address)),
            uri: url.uri().clone(),
            headers,
        })
    }

    /// Sends a body, and returns the answer of a peer that has taken it.
    pub(super) fn post(&self, body: &[u8]) -> Result<PostAnswer, PostError> {
        let mut request = Request::post(&self.uri);
        if let Some(headers) = request.headers_mut() {
            headers.clone_from(&self.headers);
        }
        let request = request.body(body).map_err(io::Error::other);
        let request = request.map_err(PostError::NotTaken)?;
        let answer = self.agent.run(request).map_err(sort_error)?;
        let status = answer.status();
        let mut text = Vec::new();
        let reader = answer.into_body().into_reader();
        let read = reader.take(LONGEST_ANSWER + 1).read_to_end(&mut text);
        if status.is_success() {
            return Ok(match read {
                Ok(length) if length as u64 > LONGEST_ANSWER => PostAnswer::TooLong,
                Ok(_) => PostAnswer::Whole(text),
                Err(_) => PostAnswer::CutOff,
            });
        }
        let error = io::Error::other(format!("the peer answers {status}"));
        Err(match status {
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => PostError::Refused(error),
            // Whoever stands before it does not know.
            StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => PostError::Unknown(error),
            _ => PostError::NotTaken(error),
        })
    }
}

/// Whether the body was on its way when that happened.
fn sort_error(error: ureq::Error) -> PostError {
    let is_before = match &error {
        ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => true,
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => true,
        ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => true,
        ureq::Error::Io(error) => is_before_handshake(error),
        _ => false,
    };
    let text = match error {
        ureq::Error::Io(error) => error,
        ureq::Error::Timeout(_) => io::Error::new(ErrorKind::TimedOut, "the peer does not answer"),
        other => io::Error::other(other),
    };
    match is_before {
        true => PostError::NotTaken(text),
        false => PostError::Unknown(text),
    }
}

/// Whether nothing of the request was sent: there was no connection, or TLS failed before. ureq
/// returns errors of rustls as errors of reading.
fn is_before_handshake(error: &io::Error) -> bool {
    let of_tls = error.get_ref();
    let of_tls = of_tls.and_then(|error| error.downcast_ref::<rustls::Error>());
    matches!(
        of_tls,
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::PeerIncompatible(_))
    ) || matches!(
        error.kind(),
        ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::PermissionDenied
    )
}

/// The headers of a file: a name, a colon and a value in each line. `#` begins a comment.
fn read_headers(path: &Path) -> anyhow::Result<HeaderMap> {
    let text = read_secret(path)?;
    let mut headers = HeaderMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // Not the line itself, which may be a secret.
        let place = || format!("{}:{}", path.display(), number + 1);
        let Some((name, value)) = line.split_once(':') else {
            bail!("{}: no header: use NAME: VALUE", place());
        };
        let name = HeaderName::from_bytes(name.trim().as_bytes())
            .with_context(|| format!("{}: no name of a header", place()))?;
        ensure!(
            ![CONTENT_TYPE, CONTENT_LENGTH, TRANSFER_ENCODING, HOST].contains(&name),
            "{}: recon sets the header {name} itself; remove it",
            place()
        );
        let mut value = HeaderValue::from_str(value.trim())
            .with_context(|| format!("{}: no value of a header", place()))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

/// The only address that is connected to.
#[derive(Debug)]
struct Fixed(SocketAddr);

impl Resolver for Fixed {
    fn resolve(
        &self,
        _: &Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut found = self.empty();
        found.push(self.0);
        Ok(found)
    }
}
