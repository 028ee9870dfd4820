//! A connection to a NATS server.
//!
//! In: an address, and files with credentials and certificates. Out: frames to and from the server.
//! The decisions held here:
//! - The crate async-nats takes the name in the server's certificate from the URL that it connects
//!   to, and so looks that name up; recon looks up no names. It brings 42 crates, and decides itself
//!   when to connect again and what waits, as `worker` does here. What publishing takes of the
//!   protocol is in `nats_frame`.
//! - Nothing is sent before the server is who it should be: not the credentials either. Servers
//!   that this one names are not asked: the sandbox lets recon connect to one port.
//! - The server answers PONG only once it has judged the credentials, so a connection that is
//!   there is one that takes lines.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use serde::Serialize;

use super::destination::TlsSettings;
use super::nats_frame::{Answer, Frame, Info, read_frame};
use super::nats_subject::NatsSubject;
use super::secret_file::read_secret;
use super::connection::watch;
use super::tls::{TlsPeer, TlsStream};
use crate::seed::random_number;

/// How long the server may take to accept, and to say so.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long it may take to read what is sent.
const WRITE_TIME: Duration = Duration::from_secs(10);
/// The shortest time that a socket waits: none at all is refused.
const LEAST_WAIT: Duration = Duration::from_millis(1);

/// Where lines are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NatsDestination {
    pub(crate) address: SocketAddr,
    pub(crate) subject: NatsSubject,
    pub(crate) tls: Option<TlsSettings>,
    /// A user and a password, or a token.
    pub(crate) credentials_file: Option<PathBuf>,
}

/// Who recon is to the server. Has no debug output.
#[derive(Clone, Default, Serialize)]
struct Credentials {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_token: Option<String>,
}

/// What a client says first.
#[derive(Serialize)]
struct Connect<'a> {
    verbose: bool,
    pedantic: bool,
    tls_required: bool,
    name: &'static str,
    lang: &'static str,
    version: &'static str,
    protocol: u8,
    echo: bool,
    headers: bool,
    no_responders: bool,
    #[serde(flatten)]
    credentials: &'a Credentials,
}

/// A server to connect to.
pub(super) struct NatsPeer {
    address: SocketAddr,
    tls: Option<TlsPeer>,
    credentials: Credentials,
    /// Where it sends its answers to: nobody else can foresee that.
    pub(super) inbox: String,
}

enum Stream {
    Tcp(TcpStream),
    Tls(TlsStream),
}

/// A connection whose server has accepted recon.
pub(super) struct NatsConnection {
    stream: Stream,
    /// What has been read, and how many bytes of it are done.
    bytes: Vec<u8>,
    done: usize,
    max_payload: usize,
}

/// What came of waiting for a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The answer to the line of this number.
    Answer(u64, Answer),
    Pong,
    /// Nothing yet.
    Nothing,
}

impl NatsPeer {
    /// Reads the files; connects when there is something to send.
    ///
    /// # Errors
    /// A file can't be used.
    pub(super) fn load(destination: &NatsDestination) -> anyhow::Result<Self> {
        let tls = destination.tls.as_ref();
        let tls = tls.map(|it| TlsPeer::load(&it.files, &it.server_name));
        let credentials = destination.credentials_file.as_deref();
        Ok(Self {
            address: destination.address,
            tls: tls.transpose()?,
            credentials: credentials
                .map(read_credentials)
                .transpose()?
                .unwrap_or_default(),
            inbox: format!(
                "_INBOX.recon{:016x}{:016x}",
                random_number(),
                random_number()
            ),
        })
    }

    /// Connects, and waits until the server has accepted recon.
    pub(super) fn connect(&self) -> io::Result<NatsConnection> {
        let until = Instant::now() + CONNECT_TIME;
        let tcp = TcpStream::connect_timeout(&self.address, CONNECT_TIME)?;
        watch(&tcp)?;
        let mut connection = NatsConnection {
            stream: Stream::Tcp(tcp),
            bytes: Vec::new(),
            done: 0,
            max_payload: 0,
        };
        let info = connection.read_info(until)?;
        let mut connection = self.encrypt(connection, &info)?;
        connection.tcp().set_write_timeout(Some(WRITE_TIME))?;
        let connect = Connect {
            verbose: false,
            pedantic: false,
            tls_required: self.tls.is_some(),
            name: "recon",
            lang: "rust",
            version: env!("CARGO_PKG_VERSION"),
            protocol: 1,
            echo: false,
            headers: true,
            no_responders: true,
            credentials: &self.credentials,
        };
        let connect = serde_json::to_string(&connect).map_err(io::Error::other)?;
        let inbox = &self.inbox;
        let hello = format!("CONNECT {connect}\r\nSUB {inbox}.* 1\r\nPING\r\n");
        connection.send(hello.as_bytes())?;
        loop {
            match connection.hear(until)? {
                Heard::Pong => return Ok(connection),
                Heard::Answer(..) => {}
                Heard::Nothing => return Err(late("the server does not answer")),
            }
        }
    }

    /// Has the connection encrypted, if it is to be.
    fn encrypt(&self, connection: NatsConnection, info: &Info) -> io::Result<NatsConnection> {
        let Some(tls) = &self.tls else {
            return match info.tls_required {
                true => Err(io::Error::other("the server wants TLS: set tls = true")),
                false => Ok(connection),
            };
        };
        if !info.tls_required && !info.tls_available {
            return Err(io::Error::other(
                "the server has no TLS, and gets nothing without it: turn it on there, or remove `tls`",
            ));
        }
        // What came before encryption could be anybody's, and is not read after it.
        let is_clean = connection.bytes.len() == connection.done;
        let max_payload = connection.max_payload;
        match connection.stream {
            Stream::Tcp(tcp) if is_clean => Ok(NatsConnection {
                stream: Stream::Tls(tls.encrypt(tcp, CONNECT_TIME)?),
                bytes: Vec::new(),
                done: 0,
                max_payload,
            }),
            _ => Err(io::Error::new(
                ErrorKind::InvalidData,
                "the server sends more than INFO before TLS",
            )),
        }
    }
}

impl NatsConnection {
    /// The largest message that the server takes, headers and all.
    pub(super) const fn max_payload(&self) -> usize {
        self.max_payload
    }

    /// Sends all of it. After an error, nobody knows how much of it.
    pub(super) fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = match &mut self.stream {
                Stream::Tcp(stream) => stream.write(bytes),
                Stream::Tls(stream) => stream.write(bytes),
            };
            match written {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_late(&error) => {
                    return Err(late("the server does not read"));
                }
                Err(error) => return Err(self.last_words().unwrap_or(error)),
            }
        }
        Ok(())
    }

    /// Waits for what the server says, but no longer than that. Answers its questions.
    ///
    /// # Errors
    /// The connection is over, or the server refuses something.
    pub(super) fn hear(&mut self, until: Instant) -> io::Result<Heard> {
        loop {
            let frame = match self.next_frame()? {
                Some(frame) => frame,
                None if self.fill(until)? => continue,
                None => return Ok(Heard::Nothing),
            };
            match frame {
                Frame::Answer(number, answer) => return Ok(Heard::Answer(number, answer)),
                Frame::Pong => return Ok(Heard::Pong),
                Frame::Ping => self.send(b"PONG\r\n")?,
                Frame::Info(info) => self.max_payload = info.max_payload,
                Frame::Error(says) => return Err(refusal(&says)),
                Frame::Other => {}
            }
        }
    }

    /// The first thing that a server says.
    fn read_info(&mut self, until: Instant) -> io::Result<Info> {
        loop {
            match self.next_frame()? {
                Some(Frame::Info(info)) if info.headers => {
                    self.max_payload = info.max_payload;
                    return Ok(info);
                }
                Some(Frame::Info(_)) => {
                    return Err(io::Error::other(
                        "the server takes no headers, without which lines would be stored twice: use nats-server 2.2 or later",
                    ));
                }
                Some(Frame::Error(says)) => return Err(refusal(&says)),
                Some(_) => {}
                None if self.fill(until)? => {}
                None => return Err(late("the server does not say who it is")),
            }
        }
    }

    /// The next frame of what has been read.
    fn next_frame(&mut self) -> io::Result<Option<Frame>> {
        let read = read_frame(&self.bytes[self.done..])?;
        Ok(read.map(|(frame, length)| {
            self.done += length;
            frame
        }))
    }

    /// Reads more, but waits no longer than that. Returns whether something came.
    fn fill(&mut self, until: Instant) -> io::Result<bool> {
        /// Some hundred answers.
        const PART: usize = 16 << 10;
        let left = until.saturating_duration_since(Instant::now());
        self.tcp().set_read_timeout(Some(left.max(LEAST_WAIT)))?;
        self.bytes.drain(..self.done);
        self.done = 0;
        let before = self.bytes.len();
        self.bytes.resize(before + PART, 0);
        let read = match &mut self.stream {
            Stream::Tcp(stream) => stream.read(&mut self.bytes[before..]),
            Stream::Tls(stream) => stream.read(&mut self.bytes[before..]),
        };
        self.bytes.truncate(before + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "the server has closed the connection",
            )),
            Ok(_) => Ok(true),
            Err(error) if is_late(&error) || error.kind() == ErrorKind::Interrupted => {
                Ok(error.kind() == ErrorKind::Interrupted)
            }
            Err(error) => Err(error),
        }
    }

    /// Why the server has closed a connection that can't be written to, if it has said so.
    fn last_words(&mut self) -> Option<io::Error> {
        let now = Instant::now();
        while self.fill(now).is_ok_and(|is_more| is_more) {}
        loop {
            match self.next_frame() {
                Ok(Some(Frame::Error(says))) => return Some(refusal(&says)),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return None,
            }
        }
    }

    fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Tcp(stream) => stream,
            Stream::Tls(stream) => stream.tcp(),
        }
    }
}

fn refusal(says: &str) -> io::Error {
    io::Error::other(format!("the server refuses recon: {says}"))
}

fn late(what: &str) -> io::Error {
    io::Error::new(ErrorKind::TimedOut, what)
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// What a file says of recon: `user` and `password`, or `token`, each a line with a colon. `#`
/// begins a comment.
fn read_credentials(path: &Path) -> anyhow::Result<Credentials> {
    let text = read_secret(path)?;
    let name = path.display();
    let mut found = Credentials::default();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // Not the line itself, which may be a secret.
        let place = format!("{name}:{}", number + 1);
        let (key, value) = line.split_once(':').unwrap_or_default();
        let part = match key.trim() {
            "user" => &mut found.user,
            "password" => &mut found.pass,
            "token" => &mut found.auth_token,
            _ => bail!("{place}: use `user: NAME` and `password: WORD`, or `token: WORD`"),
        };
        ensure!(part.is_none(), "{place}: this is there already; remove one");
        *part = Some(value.trim().to_owned());
    }
    ensure!(
        matches!(
            (&found.user, &found.pass, &found.auth_token),
            (Some(_), Some(_), None) | (None, None, Some(_))
        ),
        "{name}: use `user: NAME` and `password: WORD`, or `token: WORD`"
    );
    Ok(found)
}
