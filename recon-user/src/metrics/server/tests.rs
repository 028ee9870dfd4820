//! The server among clients of all kinds.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use super::*;
use crate::blind::BlindPart;
use crate::metrics::MetricsAddress;

/// The deadline of what must happen.
const PATIENCE: Duration = Duration::from_secs(20);
const METRICS: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A port of a loopback address that nobody listens on.
fn free_address() -> SocketAddr {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("an address")
}

/// A server on a loopback address.
fn server() -> (MetricsServer, Arc<Published>, SocketAddr) {
    let address = free_address();
    let listener = MetricsListener::bind(&MetricsAddress::Tcp(address), None).expect("a socket");
    let published = Arc::new(Published::new(Duration::from_secs(1)));
    let server = MetricsServer::start(listener, Arc::clone(&published)).expect("a thread");
    (server, published, address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).expect("a server");
    client
        .set_read_timeout(Some(PATIENCE))
        .expect("a time limit");
    client
        .set_write_timeout(Some(PATIENCE))
        .expect("a time limit");
    client
}

/// What is answered to these bytes.
fn ask(address: SocketAddr, bytes: &[u8]) -> String {
    let mut client = connect(address);
    // The server may have hung up: it reads no more than a head may have.
    let _ = client.write_all(bytes);
    let mut answer = Vec::new();
    // A reset is the end too.
    let _ = client.read_to_end(&mut answer);
    String::from_utf8(answer).expect("text")
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[test]
fn requests_get_their_answers() {
    let (_server, published, address) = server();
    published.note_drained();
    let long = [
        b"GET /metrics HTTP/1.1\r\nX: ",
        &b"x".repeat(100_000)[..],
        b"\r\n\r\n",
    ]
    .concat();
    let many = [
        b"GET /metrics HTTP/1.1\r\n",
        &b"X: y\r\n".repeat(1000)[..],
        b"\r\n",
    ]
    .concat();
    for (what, request, expected) in [
        ("metrics", METRICS, "200"),
        ("a query", b"GET /metrics?x=1 HTTP/1.1\r\n\r\n", "200"),
        ("the old version", b"GET /metrics HTTP/1.0\r\n\r\n", "200"),
        ("health", HEALTH, "200"),
        ("another path", b"GET / HTTP/1.1\r\n\r\n", "404"),
        ("a path below", b"GET /metrics/ HTTP/1.1\r\n\r\n", "404"),
        (
            "another method",
            b"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
            "405",
        ),
        (
            "another method without a body",
            b"HEAD /healthz HTTP/1.1\r\n\r\n",
            "405",
        ),
        ("a long line", &long, "431"),
        ("many lines", &many, "431"),
        ("garbage", b"\x00\xff garbage\r\n\r\n", "400"),
        ("another protocol", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "400"),
    ] {
        let answer = ask(address, request);
        assert_eq!(status(&answer), expected, "{what}: {answer}");
    }
    let answer = ask(address, METRICS);
    assert!(
        answer.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{answer}"
    );
    assert!(answer.ends_with("# EOF\n"), "{answer}");
    let answer = ask(
        address,
        b"GET /metrics HTTP/1.1\r\nAccept: text/plain\r\n\r\n",
    );
    assert!(
        answer.contains("content-type: text/plain; version=0.0.4"),
        "{answer}"
    );
    assert!(
        answer.contains("# TYPE recon_polls_total counter"),
        "{answer}"
    );
}

/// One request is answered of those that come at once, and the client hears it.
#[test]
fn a_connection_is_one_request() {
    let (_server, published, address) = server();
    published.note_drained();
    let mut client = connect(address);
    client.write_all(&HEALTH.repeat(3)).expect("a server");
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).expect("text");
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}

#[test]
fn health_is_that_of_the_polls() {
    let (_server, published, address) = server();
    let ask = || ask(address, HEALTH);
    let answer = ask();
    assert_eq!(status(&answer), "503", "{answer}");
    assert!(
        answer.ends_with("starting: no poll has drained the counts yet\n"),
        "{answer}"
    );
    published.note_drained();
    let answer = ask();
    assert!(
        status(&answer) == "200" && answer.ends_with("ok\n"),
        "{answer}"
    );
    published.publish(Snapshot {
        blind: vec![BlindPart::Table],
        ..Snapshot::default()
    });
    let answer = ask();
    assert_eq!(status(&answer), "503", "{answer}");
    assert!(
        answer.ends_with("blind or tampered with: the kernel's table is full\n"),
        "{answer}"
    );
}

#[test]
fn a_scrape_reads_the_last_snapshot() {
    let (_server, published, address) = server();
    for polls in [0, 7, 8] {
        published.publish(Snapshot {
            polls,
            ..Snapshot::default()
        });
        let answer = ask(address, METRICS);
        let line = format!("\nrecon_polls_total {polls}\n");
        assert!(answer.contains(&line), "{answer}");
    }
}

/// Clients that say nothing, or read nothing, hold up nobody, and have to go in the end.
#[test]
fn slow_clients_hold_up_nobody() {
    let (_server, published, address) = server();
    published.note_drained();
    let mut silent: Vec<_> = (0..4 * CLIENTS)
        .map(|number| {
            let mut client = connect(address);
            if number % 2 == 0 {
                client
                    .write_all(b"GET /metrics HTTP/1.1\r\nX: ")
                    .expect("a server");
            }
            client
        })
        .collect();
    assert_eq!(status(&ask(address, HEALTH)), "200");
    // The youngest of them were served until their time was over.
    let last = silent.last_mut().expect("a client");
    let mut answer = Vec::new();
    let end = last.read_to_end(&mut answer).map_err(|error| error.kind());
    assert!(
        !matches!(
            end,
            Err(io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
        ),
        "it was never closed"
    );
}

/// A server that ends frees its address, and a Unix socket is gone.
#[test]
fn the_end_leaves_nothing() {
    let (server, _, address) = server();
    drop(server);
    let until = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < until, "it still listens");
        thread::yield_now();
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("metrics.sock");
    let unix = MetricsAddress::Unix(path.clone());
    let listener = MetricsListener::bind(&unix, None).expect("a socket");
    let refused = MetricsListener::bind(&unix, None).expect_err("it is in use");
    assert!(
        refused.to_string().contains("another recon listens there"),
        "{refused}"
    );
    let published = Arc::new(Published::new(Duration::from_secs(1)));
    let server = MetricsServer::start(listener, published).expect("a thread");
    let mut client = UnixStream::connect(&path).expect("a server");
    client
        .set_read_timeout(Some(PATIENCE))
        .expect("a time limit");
    client.write_all(METRICS).expect("a server");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    assert!(answer.ends_with("# EOF\n"), "{answer}");
    drop(server);
    assert!(!path.exists(), "the socket is left");
}
