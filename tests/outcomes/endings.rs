//! How accepted connections end: bytes each way and the time that they lived, in classes.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use recon_tests::lab::{ATTACKER, HOST, HOST6};
use recon_tests::{Lab, TestProcess};

use crate::{Counts, count};

/// A connection to a port of its own.
struct Row {
    name: &'static str,
    host: IpAddr,
    /// Bytes that the client sends.
    sends: usize,
    /// Bytes that the server sends, before it reads.
    greeting: usize,
    /// How long the client waits before it closes.
    waits: Duration,
    closes: By,
    /// The bytes received and sent and the seconds, the least of their classes.
    ending: [u64; 3],
}

/// Who closes first.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Client,
    /// By a reset.
    ClientAborting,
    Server,
}

const ROW: Row = Row {
    name: "",
    host: IpAddr::V4(HOST),
    sends: 0,
    greeting: 0,
    waits: Duration::ZERO,
    closes: By::Client,
    ending: [0, 0, 0],
};

const ROWS: &[Row] = &[
    Row {
        name: "no data",
        ..ROW
    },
    Row {
        name: "no data, aborted",
        closes: By::ClientAborting,
        ..ROW
    },
    Row {
        name: "no data, closed by the server",
        closes: By::Server,
        ..ROW
    },
    Row {
        name: "a byte from the client",
        sends: 1,
        ending: [1, 0, 0],
        ..ROW
    },
    Row {
        name: "a byte from the client, aborted",
        sends: 1,
        closes: By::ClientAborting,
        ending: [1, 0, 0],
        ..ROW
    },
    Row {
        name: "a greeting",
        greeting: 20,
        ending: [0, 1, 0],
        ..ROW
    },
    Row {
        name: "a greeting, closed by the server, over IPv6",
        host: IpAddr::V6(HOST6),
        greeting: 20,
        closes: By::Server,
        ending: [0, 1, 0],
        ..ROW
    },
    Row {
        name: "10 kB from the client, over IPv6",
        host: IpAddr::V6(HOST6),
        sends: 10_000,
        ending: [8192, 0, 0],
        ..ROW
    },
    Row {
        name: "10 kB each way",
        sends: 10_000,
        greeting: 10_000,
        ending: [8192, 8192, 0],
        ..ROW
    },
    Row {
        name: "200 kB from the server, which closes",
        sends: 100,
        greeting: 200_000,
        closes: By::Server,
        ending: [1, 131_072, 0],
        ..ROW
    },
    Row {
        name: "over a second",
        waits: Duration::from_millis(1200),
        ending: [0, 0, 1],
        ..ROW
    },
];

const FIRST_PORT: u16 = 9001;

fn connect(row: &Row, port: u16) -> Result<()> {
    let mut client = TcpStream::connect((row.host, port))?;
    client.write_all(&vec![0; row.sends])?;
    client.read_exact(&mut vec![0; row.greeting])?;
    if row.closes == By::Server {
        ensure!(client.read(&mut [0])? == 0, "the server has not closed");
    }
    thread::sleep(row.waits);
    if row.closes == By::ClientAborting {
        let at_once = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        setsockopt(&client, sockopt::Linger, &at_once)?;
        return Ok(());
    }
    client.shutdown(std::net::Shutdown::Write)?;
    // The server has read to the end and closes, if it has not before.
    ensure!(client.read(&mut [0])? == 0, "more than the greeting");
    Ok(())
}

#[test]
fn an_accepted_connection_ends_in_its_classes() -> Result<()> {
    let lab = Lab::new()?;
    let server = TestProcess::start(lab.host(), "server")?;
    let remote = TestProcess::start(lab.attacker(), "remote")?;
    let mut expected = Counts::new();
    let ports = FIRST_PORT..;
    for (row, port) in ROWS.iter().zip(ports.clone()) {
        match row.closes {
            By::Server => server.dismiss(row.host, port, row.greeting)?,
            _ => server.greet(row.host, port, row.greeting)?,
        }
        let [received, sent, seconds] = row.ending;
        for counted in [
            format!("SYN {port}"),
            format!("PortAnswered {port}"),
            format!("ConnectionSuccess {port}"),
            format!("ConnectionEnded {port} {received} {sent} {seconds}"),
        ] {
            expected.insert(counted, 1);
        }
    }
    // A connection that the host opens does not end as an accepted one.
    const REMOTE_PORT: u16 = 8081;
    remote.listen(ATTACKER, REMOTE_PORT)?;
    for counted in ["ConnectionRequest", "AnswerReceived"] {
        expected.insert(format!("{counted} {REMOTE_PORT}"), 1);
    }
    let counts = count(&lab, || {
        for (row, port) in ROWS.iter().zip(ports) {
            lab.attacker()
                .enter(|| connect(row, port))
                .context(row.name)?;
        }
        let connected = server.connect(ATTACKER, REMOTE_PORT)?;
        ensure!(connected == "connected", "{connected}");
        Ok(())
    })?;
    ensure!(counts == expected, "{counts:#?}, not {expected:#?}");
    Ok(())
}
