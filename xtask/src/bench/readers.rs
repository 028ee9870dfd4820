//! Readers at the other ends of all kinds of sinks.
//!
//! In: a lab, a folder, the program of a NATS server. Out: tables of recon.toml; threads and a
//! server that take whatever comes.
//! The decisions held here: they do as little as they may, since they share the processors with the
//! agent that is measured. The threads end with the process, the server with its guard. Only NATS
//! has a real server: a publisher waits for what its stream has stored.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::thread;

use anyhow::Result;
use recon_tests::Lab;
use recon_tests::nats_server::{NO_LIMIT, NatsServer, free_address};
use serde_json::json;

/// The longest entry of a journal that is read.
const ENTRY: usize = 1 << 16;

/// The sink to the NATS server.
pub(super) const BUS: &str = "bus";
/// What each sink gets that can.
const BOTH: &str = "lines = ['alerts', 'rows']";

/// What the sinks need.
pub(super) struct Readers {
    /// The sinks' tables of recon.toml.
    pub(super) tables: String,
    _nats: Option<NatsServer>,
}

impl Readers {
    /// One of each kind; none of NATS without its program.
    pub(super) fn start(lab: &Lab, folder: &Path, nats: Option<&Path>) -> Result<Self> {
        let mut tables = listen(lab, folder)?;
        let nats = nats
            .map(|program| start_nats(lab, folder, program))
            .transpose()?;
        if let Some(server) = &nats {
            tables += &format!(
                "[sinks.{BUS}]\ntype = 'nats'\naddress = '{}'\n{BOTH}\n",
                server.address
            );
        }
        Ok(Self {
            tables,
            _nats: nats,
        })
    }
}

/// A server with a stream that takes all lines.
fn start_nats(lab: &Lab, folder: &Path, program: &Path) -> Result<NatsServer> {
    let server = NatsServer::start(lab, program, folder, free_address(lab)?, "")?;
    server
        .client(lab, &json!({}))?
        .set_stream("CREATE", NO_LIMIT)?;
    Ok(server)
}

/// Listens on one of each other kind, and returns the sinks' tables.
fn listen(lab: &Lab, folder: &Path) -> Result<String> {
    let [file, journal, unix] = ["lines", "journal", "unix"].map(|name| folder.join(name));
    let entries = UnixDatagram::bind(&journal)?;
    thread::spawn(move || {
        let mut entry = [0; ENTRY];
        while entries.recv(&mut entry).is_ok() {}
    });
    let stream = UnixListener::bind(&unix)?;
    thread::spawn(move || stream.incoming().flatten().for_each(read_all));
    let [tcp, webhook, otlp] = [(); 3].map(|()| {
        lab.host()
            .enter(|| Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?))
    });
    let (tcp, webhook, otlp) = (tcp?, webhook?, otlp?);
    let places = [&tcp, &webhook, &otlp].map(TcpListener::local_addr);
    thread::spawn(move || tcp.incoming().flatten().for_each(read_all));
    for listener in [webhook, otlp] {
        thread::spawn(move || listener.incoming().flatten().for_each(answer_all));
    }
    let [tcp, webhook, otlp] = places;
    Ok(format!(
        "[sinks.file]\ntype = 'file'\npath = '{}'\n{BOTH}\n\
         [sinks.journal]\ntype = 'journald'\npath = '{}'\n\
         [sinks.unix]\ntype = 'unix'\npath = '{}'\n{BOTH}\n\
         [sinks.tcp]\ntype = 'tcp'\naddress = '{}'\n{BOTH}\n\
         [sinks.webhook]\ntype = 'webhook'\nurl = 'http://{}/'\n{BOTH}\n\
         [sinks.otlp]\ntype = 'otlp'\nendpoint = 'http://{}'\n",
        file.display(),
        journal.display(),
        unix.display(),
        tcp?,
        webhook?,
        otlp?,
    ))
}

/// Reads a connection to its end.
fn read_all(mut stream: impl Read + Send + 'static) {
    thread::spawn(move || io::copy(&mut stream, &mut io::sink()));
}

/// Takes each request of a connection.
fn answer_all(stream: TcpStream) {
    thread::spawn(move || answer(&stream));
}

fn answer(stream: &TcpStream) -> io::Result<()> {
    const TAKEN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    let mut requests = BufReader::new(stream);
    let mut to = stream;
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if requests.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let header = line.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        io::copy(&mut requests.by_ref().take(length), &mut io::sink())?;
        to.write_all(TAKEN)?;
    }
}
