//! A real nats-server with JetStream, and a client of it.
//!
//! In: a lab, settings of the server. Out: a server that listens; what is in its stream.
//! The decision held here: the client speaks the few lines of the protocol that a test needs. It
//! shares nothing with recon's own code, so that a mistake there is not made twice.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::report::skip;
use crate::{Lab, PATIENCE, Process};

/// Where `cargo xtask test` installs it, relative to this package.
const PROGRAM: &str = "../target/tools/nats/bin/nats-server";
/// As many messages as come.
pub const NO_LIMIT: i64 = -1;
/// The stream, and its subjects: those that recon has by default.
const STREAM: &str = "LINES";
const SUBJECTS: &str = "recon.>";
/// Where the client gets its answers.
const INBOX: &str = "_INBOX.test";

/// A server in the lab's host. Dropping it kills it.
#[derive(Debug)]
pub struct NatsServer {
    process: Process,
    /// Where it listens.
    pub address: SocketAddr,
}

/// The program, if it is there.
#[must_use]
pub fn installed() -> Option<PathBuf> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join(PROGRAM);
    found.exists().then_some(found)
}

/// The program, if it is there. A test says that it skips what needs it.
#[must_use]
pub fn program() -> Option<PathBuf> {
    let found = installed();
    if found.is_none() {
        skip("nats-server", "cargo xtask test installs it");
    }
    found
}

/// An address of the lab's host that nobody listens on.
///
/// # Errors
/// When the host has none left.
pub fn free_address(lab: &Lab) -> Result<SocketAddr> {
    let listener = lab.host().enter(|| Ok(TcpListener::bind("127.0.0.1:0")?))?;
    Ok(listener.local_addr()?)
}

impl NatsServer {
    /// Starts it with more lines of its configuration, and waits until it listens. What its folder
    /// holds of an earlier one is there again.
    ///
    /// # Errors
    /// When it can't be started, or does not listen: with its log.
    pub fn start(
        lab: &Lab,
        program: &Path,
        folder: &Path,
        address: SocketAddr,
        more: &str,
    ) -> Result<Self> {
        let file = folder.join("nats.conf");
        fs::write(
            &file,
            format!(
                "listen: \"{address}\"\njetstream {{ store_dir: \"{}\" }}\n{more}\n",
                folder.join("jetstream").display()
            ),
        )?;
        let log = fs::File::create(folder.join("nats.log"))?;
        let mut command = Command::new(program);
        command
            .arg("-c")
            .arg(&file)
            .stdout(log.try_clone()?)
            .stderr(log);
        let process = Process::spawn(lab.host(), command)?;
        let server = Self { process, address };
        let until = Instant::now() + PATIENCE;
        while lab
            .host()
            .enter(|| Ok(TcpStream::connect(address).is_err()))?
        {
            ensure!(
                Instant::now() < until,
                "nats-server does not listen: {}",
                fs::read_to_string(folder.join("nats.log"))?
            );
            std::thread::yield_now();
        }
        Ok(server)
    }

    /// Ends it as `kill -9` does. The end of its lab may have done so.
    ///
    /// # Errors
    /// When it does not end.
    pub fn kill(mut self) -> Result<()> {
        let _ = self.process.signal(Signal::SIGKILL);
        self.process.wait(PATIENCE)?;
        Ok(())
    }

    /// The subject and the line of each message that a server which has ended left in that folder.
    ///
    /// # Errors
    /// When no server can be started on it, or none has a stream there.
    pub fn stored(program: &Path, folder: &Path) -> Result<Vec<(String, String)>> {
        let lab = Lab::new()?;
        let server = Self::start(&lab, program, folder, free_address(&lab)?, "")?;
        server.client(&lab, &Value::Null)?.messages()
    }

    /// A client, with what it says of itself.
    ///
    /// # Errors
    /// When it can't connect.
    pub fn client(&self, lab: &Lab, credentials: &Value) -> Result<Client> {
        let stream = lab.host().enter(|| Ok(TcpStream::connect(self.address)?))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Client {
            reader: BufReader::new(stream),
        };
        let mut connect = json!({ "verbose": false, "headers": true, "no_responders": true });
        if let (Some(all), Some(own)) = (connect.as_object_mut(), credentials.as_object()) {
            all.extend(own.clone());
        }
        client.send(&format!("CONNECT {connect}\r\nSUB {INBOX} 1\r\n"))?;
        Ok(client)
    }
}

/// A client that asks one thing at a time.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    fn send(&mut self, text: &str) -> Result<()> {
        Ok(self.reader.get_mut().write_all(text.as_bytes())?)
    }

    /// Asks, and returns the headers and the rest of the answer.
    fn ask(&mut self, subject: &str, payload: &str) -> Result<(String, String)> {
        let length = payload.len();
        self.send(&format!("PUB {subject} {INBOX} {length}\r\n{payload}\r\n"))?;
        loop {
            let mut line = String::new();
            ensure!(
                self.reader.read_line(&mut line)? > 0,
                "the server has closed"
            );
            let words: Vec<_> = line.split_whitespace().collect();
            let (headers, whole) = match words.as_slice() {
                ["PING"] => {
                    self.send("PONG\r\n")?;
                    continue;
                }
                ["MSG", .., whole] => (0, whole.parse::<usize>()?),
                ["HMSG", .., headers, whole] => (headers.parse::<usize>()?, whole.parse()?),
                ["-ERR", ..] => bail!("{line}"),
                _ => continue,
            };
            let mut bytes = vec![0; whole + 2];
            self.reader.read_exact(&mut bytes)?;
            let text = String::from_utf8(bytes)?;
            return Ok((text[..headers].to_owned(), text[headers..whole].to_owned()));
        }
    }

    fn ask_stream(&mut self, what: &str, payload: &Value) -> Result<Value> {
        let subject = format!("$JS.API.STREAM.{what}.{STREAM}");
        let (_, answer) = self.ask(&subject, &payload.to_string())?;
        let answer: Value = serde_json::from_str(&answer)?;
        ensure!(answer["error"].is_null(), "{what}: {answer}");
        Ok(answer)
    }

    /// Creates the stream, or changes how many messages it takes.
    ///
    /// # Errors
    /// What the server says against it.
    pub fn set_stream(&mut self, what: &str, most: i64) -> Result<()> {
        let settings = json!({
            "name": STREAM, "subjects": [SUBJECTS], "storage": "file", "retention": "limits",
            "discard": "new", "max_msgs": most, "allow_direct": true, "num_replicas": 1,
        });
        self.ask_stream(what, &settings).map(drop)
    }

    /// The subject and the line of each message of the stream, in its order.
    ///
    /// # Errors
    /// When there is no stream, or a message of it is gone.
    pub fn messages(&mut self) -> Result<Vec<(String, String)>> {
        let info = self.ask_stream("INFO", &json!({}))?;
        let last = info["state"]["last_seq"].as_u64().context("last_seq")?;
        let subject = format!("$JS.API.DIRECT.GET.{STREAM}");
        let message = |number: u64| {
            let (headers, line) = self.ask(&subject, &json!({ "seq": number }).to_string())?;
            let mut of = headers.lines().filter_map(|it| it.split_once(": "));
            let subject = of.find(|(name, _)| *name == "Nats-Subject");
            let (_, subject) = subject.with_context(|| headers.clone())?;
            Ok((subject.to_owned(), line))
        };
        (1..=last).map(message).collect()
    }
}
