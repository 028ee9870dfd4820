//! A connection to a NATS server.
//!
//! In: an address, and files with credentials and certificates. Out: frames to and from the server.
//! The decisions held here:
//! - The crate async-nats takes the name in the server's certificate from the URL that it connects
//!   to, and so looks that name up; recon looks up no names. It brings 42 crates, and decides
//!   itself when to connect again and what waits, as `worker` does here. What publishing takes of
//!   the protocol is in `nats_frame`.
//! - Nothing is sent before the server is who it should be: not the credentials either. Servers
//!   that this one names are not asked: the sandbox lets recon connect to one port.
//! - What a server says before TLS could be anybody's: nothing of it outlives the handshake.
//! - Answers go to a subject that is new with each connection. Its first words are those of this
//!   host, so that the permission of one host need not include the answers of others.
//! - A server that never stops talking has no more time than a silent one.
//! - The server answers PONG only once it has judged the credentials, so a connection that is
//!   there is one that takes lines.

use std::io::{self, ErrorKind, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::connection::watch;
use super::destination::TlsSettings;
use super::nats_credentials::{NatsCredentials, read_credentials};
use super::nats_frame::{Frame, Info, StoreAnswer, read_frame};
use super::nats_stream::{NatsStream, TimedWriter};
use super::nats_subject::{NatsSubject, one_word};
use super::tls::TlsPeer;
use super::whole_lines::write_whole;
use crate::seed::random_number;

/// How long the server may take to accept, and to say so.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long it may take to read what is sent.
const WRITE_TIME: Duration = Duration::from_secs(10);
/// What a server takes that does not say: the default of nats-server.
const USUAL_PAYLOAD: usize = 1 << 20;
/// The shortest time that a socket waits: none at all is refused.
const LEAST_WAIT: Duration = Duration::from_millis(1);

/// What a server says of a subject, of a message for its size, and of who recon is.
const NOT_PERMITTED: &str = "Permissions Violation";
const TOO_LARGE: &str = "Maximum Payload";
const REFUSALS: [&str; 4] = [NOT_PERMITTED, "Authoriz", "Authent", "Account"];

/// Where lines are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NatsDestination {
    pub(crate) address: SocketAddr,
    pub(crate) subject: NatsSubject,
    pub(crate) tls: Option<TlsSettings>,
    /// A user and a password, or a token.
    pub(crate) credentials_file: Option<PathBuf>,
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
    credentials: &'a NatsCredentials,
}

/// A server to connect to.
pub(super) struct NatsPeer {
    address: SocketAddr,
    tls: Option<TlsPeer>,
    credentials: NatsCredentials,
    /// The first words of where it sends its answers to.
    inbox: String,
}

/// A connection whose server has accepted recon.
pub(super) struct NatsConnection {
    stream: NatsStream,
    /// Where answers come: only who sees a line can know that.
    inbox: String,
    /// What has been read, and how many bytes of it are done.
    bytes: Vec<u8>,
    done: usize,
    max_payload: usize,
    /// The server has asked whether recon is there.
    is_asked: bool,
}

/// What came of waiting for a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The answer to the line of this number.
    Answer(u64, StoreAnswer),
    Pong,
    /// The server takes no line with the subject that it names.
    NotPermitted(String),
    /// Nothing yet.
    Nothing,
}

impl NatsPeer {
    /// Reads the files; connects when there is something to send.
    ///
    /// # Errors
    /// A file can't be used.
    pub(super) fn load(destination: &NatsDestination, host: &str) -> anyhow::Result<Self> {
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
            inbox: format!("_INBOX.recon.{}", one_word(host)),
        })
    }

    /// Connects, and waits until the server has accepted recon.
    pub(super) fn connect(&self) -> io::Result<NatsConnection> {
        let until = Instant::now() + CONNECT_TIME;
        let tcp = TcpStream::connect_timeout(&self.address, CONNECT_TIME)?;
        watch(&tcp)?;
        let inbox = format!(
            "{}.{:016x}{:016x}",
            self.inbox,
            random_number(),
            random_number()
        );
        let mut connection = NatsConnection::new(NatsStream::Tcp(tcp), inbox);
        let info = connection.read_info(until)?;
        let mut connection = self.encrypt(connection, &info)?;
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
        let inbox = connection.inbox();
        let hello = format!("CONNECT {connect}\r\nSUB {inbox}.* 1\r\nPING\r\n");
        connection.send(hello.as_bytes())?;
        while Instant::now() < until {
            match connection.wait_answer(until)? {
                Heard::Pong => return Ok(connection),
                Heard::NotPermitted(says) => return Err(refusal(&says)),
                Heard::Answer(..) => {}
                Heard::Nothing => break,
            }
        }
        Err(late("the server does not answer"))
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
        let NatsConnection { stream, inbox, .. } = connection;
        match stream {
            NatsStream::Tcp(tcp) if is_clean => {
                let encrypted = NatsStream::Tls(tls.encrypt(tcp, CONNECT_TIME)?);
                Ok(NatsConnection::new(encrypted, inbox))
            }
            _ => Err(io::Error::new(
                ErrorKind::InvalidData,
                "the server sends more than INFO before TLS",
            )),
        }
    }
}

impl NatsConnection {
    const fn new(stream: NatsStream, inbox: String) -> Self {
        Self {
            stream,
            inbox,
            bytes: Vec::new(),
            done: 0,
            max_payload: USUAL_PAYLOAD,
            is_asked: false,
        }
    }

    /// The largest message that the server takes, headers and all.
    pub(super) const fn max_payload(&self) -> usize {
        self.max_payload
    }

    /// Where it sends its answers to: below that, by the number of the line.
    pub(super) fn inbox(&self) -> &str {
        &self.inbox
    }

    /// Sends all of it. After an error, nobody knows how much of it.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut writer = TimedWriter {
            stream: &mut self.stream,
            until: Instant::now() + WRITE_TIME,
        };
        let written = write_whole(&mut writer, bytes, &mut 0);
        written.map_err(|error| match is_late(&error) {
            true => late("the server does not read"),
            false => self.read_last_error().unwrap_or(error),
        })
    }

    /// Waits for what the server says, but no longer than that, and reads at least once. Answers
    /// its questions.
    ///
    /// # Errors
    /// The connection is over, or the server refuses something.
    pub(super) fn wait_answer(&mut self, until: Instant) -> io::Result<Heard> {
        let mut has_read = false;
        loop {
            let Some(frame) = self.next_frame()? else {
                // Once for all questions that came together.
                if std::mem::take(&mut self.is_asked) {
                    self.send(b"PONG\r\n")?;
                }
                let is_late = has_read && Instant::now() >= until;
                has_read = true;
                if is_late || !self.fill(until)? {
                    return Ok(Heard::Nothing);
                }
                continue;
            };
            match frame {
                Frame::Answer(number, answer) => return Ok(Heard::Answer(number, answer)),
                Frame::Pong => return Ok(Heard::Pong),
                Frame::Ping => self.is_asked = true,
                Frame::Info(info) => self.note_info(&info),
                Frame::Error(says) if says.starts_with(NOT_PERMITTED) => {
                    return Ok(Heard::NotPermitted(says));
                }
                Frame::Error(says) => return Err(refusal(&says)),
                Frame::Other => {}
            }
        }
    }

    /// The first thing that a server says.
    fn read_info(&mut self, until: Instant) -> io::Result<Info> {
        while Instant::now() < until {
            match self.next_frame()? {
                Some(Frame::Info(info)) if info.headers => {
                    self.note_info(&info);
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
                None => break,
            }
        }
        Err(late("the server does not say who it is"))
    }

    const fn note_info(&mut self, info: &Info) {
        if let Some(most) = info.max_payload {
            self.max_payload = most;
        }
    }

    /// The next frame of what has been read.
    fn next_frame(&mut self) -> io::Result<Option<Frame>> {
        let read = read_frame(&self.bytes[self.done..], &self.inbox)?;
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
        let read = self.stream.read(&mut self.bytes[before..]);
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
    fn read_last_error(&mut self) -> Option<io::Error> {
        let now = Instant::now();
        // The kernel holds no more than this, unless the server goes on.
        let until = now + CONNECT_TIME;
        while Instant::now() < until && self.fill(now).is_ok_and(|is_more| is_more) {
            while let Ok(Some(frame)) = self.next_frame() {
                if let Frame::Error(says) = frame {
                    return Some(refusal(&says));
                }
            }
        }
        None
    }

    fn tcp(&self) -> &TcpStream {
        self.stream.tcp()
    }
}

/// Why the server ends the connection.
fn refusal(says: &str) -> io::Error {
    if says.starts_with(TOO_LARGE) {
        let text = format!("the server refuses a line: {says}");
        return io::Error::new(ErrorKind::FileTooLarge, text);
    }
    let is_of_recon = REFUSALS.iter().any(|it| says.starts_with(it));
    let what = match is_of_recon {
        true => "refuses recon",
        false => "ends the connection",
    };
    io::Error::other(format!("the server {what}: {says}"))
}

fn late(what: &str) -> io::Error {
    io::Error::new(ErrorKind::TimedOut, what)
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
