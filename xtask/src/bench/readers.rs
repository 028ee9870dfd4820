//! Readers at the other ends of all kinds of sinks.
//!
//! In: a lab, a folder. Out: tables of recon.toml; threads that read whatever comes.
//! The decision held here: they do as little as they may, since they share the processors with the
//! agent that is measured. They end with the process.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::thread;

use anyhow::Result;
use recon_tests::Lab;

/// The longest entry of a journal that is read.
const ENTRY: usize = 1 << 16;

/// Listens on one of each kind, and returns the sinks' tables.
pub(super) fn start(lab: &Lab, folder: &Path) -> Result<String> {
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
    let both = "lines = ['alerts', 'rows']";
    Ok(format!(
        "[sinks.file]\ntype = 'file'\npath = '{}'\n{both}\n\
         [sinks.journal]\ntype = 'journald'\npath = '{}'\n\
         [sinks.unix]\ntype = 'unix'\npath = '{}'\n{both}\n\
         [sinks.tcp]\ntype = 'tcp'\naddress = '{}'\n{both}\n\
         [sinks.webhook]\ntype = 'webhook'\nurl = 'http://{}/'\n{both}\n\
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
