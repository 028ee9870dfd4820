//! Lines to a scripted NATS server, which refuses some, never stops talking, or lies.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::Sender;

use super::nats_peer::NatsPeer;
use super::*;

/// How long a condition may take to hold.
const PATIENCE: Duration = Duration::from_secs(30);
const FULL: &str = r#"{"error":{"err_code":10077,"description":"full"}}"#;
const STORED: &str = r#"{"stream":"S","seq":1}"#;

/// What a server does with a line of a subject: answers, or says that and closes.
type Judge = fn(&str, &str) -> Result<&'static str, &'static str>;

/// Accepts connections until the test ends. Each line goes to `seen`.
fn serve(judge: Judge, forged: u64, seen: Sender<String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            // A client that goes is no failure.
            let _ = serve_one(BufReader::new(stream), judge, forged, &seen);
        }
    });
    address
}

fn serve_one(
    mut reader: BufReader<std::net::TcpStream>,
    judge: Judge,
    forged: u64,
    seen: &Sender<String>,
) -> io::Result<()> {
    reader.get_mut().write_all(b"INFO {\"headers\":true}\r\n")?;
    loop {
        let mut text = String::new();
        if reader.read_line(&mut text)? == 0 {
            return Ok(());
        }
        let words: Vec<_> = text.split_whitespace().collect();
        let [_, subject, reply, headers, whole] = words.as_slice() else {
            if words == ["PING"] {
                reader.get_mut().write_all(b"PONG\r\n")?;
            }
            continue;
        };
        let (headers, whole): (usize, usize) = (
            headers.parse().map_err(io::Error::other)?,
            whole.parse().map_err(io::Error::other)?,
        );
        let mut message = vec![0; whole + 2];
        reader.read_exact(&mut message)?;
        let line = String::from_utf8_lossy(&message[headers..whole]).into_owned();
        let answer = judge(subject, &line);
        let _ = seen.send(line);
        let out = match answer {
            Ok(answer) => {
                let (inbox, _) = reply.rsplit_once('.').unwrap_or_default();
                // Nobody has sent these lines.
                let lies = (1..=forged).map(|it| {
                    format!(
                        "MSG {inbox}.{} 1 {}\r\n{STORED}\r\n",
                        1000 + it,
                        STORED.len()
                    )
                });
                let lies: String = lies.collect();
                format!("{lies}MSG {reply} 1 {}\r\n{answer}\r\n", answer.len())
            }
            Err(says) => {
                let text = format!("-ERR '{says}'\r\n");
                return reader.get_mut().write_all(text.as_bytes());
            }
        };
        reader.get_mut().write_all(out.as_bytes())?;
    }
}

fn destination(address: SocketAddr) -> NatsDestination {
    NatsDestination {
        address,
        subject: NatsSubject::default(),
        tls: None,
        credentials_file: None,
    }
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        thread::yield_now();
    }
}

/// What is refused keeps back lines of its kind alone, also those that come later.
#[test]
fn alerts_wait_for_no_row() {
    let no_rows: Judge = |subject, _| match subject.starts_with("recon.rows.") {
        true => Ok(FULL),
        false => Ok(STORED),
    };
    let not_permitted: Judge = |subject, _| match subject.starts_with("recon.rows.") {
        true => Err("Permissions Violation for Publish to \"recon.rows.web1\""),
        false => Ok(STORED),
    };
    for judge in [no_rows, not_permitted] {
        let (seen, _lines) = std::sync::mpsc::channel();
        let address = serve(judge, 0, seen);
        let nats = Destination::Nats(destination(address));
        let mut sink = open(&nats, WAITING_ALERTS);
        let mut rows = sink.another_queue(WAITING_ROWS);
        for round in 1..=3 {
            rows.write_lines(b"row\n".to_vec(), 1);
            wait_for("rows are refused", || sink.report().problem.is_some());
            sink.write(line(round));
            wait_for("an alert is written", || {
                sink.queue().so_far().written == round
            });
        }
        assert_eq!(rows.so_far(), Written::default());
        let of_rows = rows.close();
        assert_eq!((sink.finish().written, of_rows().dropped), (3, 3));
    }
}

/// An answer for a line that is not on its way is nobody's.
#[test]
fn a_line_counts_once_it_was_sent() {
    let (seen, lines) = std::sync::mpsc::channel();
    let address = serve(|_, _| Ok(STORED), 500, seen);
    let mut sink = open(&Destination::Nats(destination(address)), 1 << 20);
    let all: Vec<u8> = (0..3000).flat_map(line).collect();
    sink.write_lines(all.into(), 3000);
    wait_for("all is written", || sink.report().lines.written == 3000);
    assert_eq!(sink.finish().written, 3000);
    assert_eq!(lines.try_iter().count(), 3000);
}

/// A server need not say how large a line may be: what it refuses then costs that line alone.
#[test]
fn a_line_that_ends_the_connection_is_lost_alone() {
    let (seen, _lines) = std::sync::mpsc::channel();
    let judge: Judge = |_, line| match line.len() > 10 {
        true => Err("Maximum Payload Violation"),
        false => Ok(STORED),
    };
    let mut sink = open(
        &Destination::Nats(destination(serve(judge, 0, seen))),
        WAITING_ALERTS,
    );
    sink.write_lines(format!("1\n{:>20}\n3\n4\n", 2).into(), 4);
    wait_for("all is done", || sink.report().waiting == 0);
    let report = sink.report();
    assert!(
        report
            .problem
            .as_ref()
            .is_some_and(|it| it.contains("Maximum Payload")),
        "{report:?}"
    );
    let done = sink.finish();
    assert_eq!((done.written, done.dropped), (3, 1));
}

/// A server that never stops talking has no more time than a silent one.
#[test]
fn talk_is_no_answer() {
    for (first, then) in [
        ("", "+OK\r\n"),
        ("", "INFO {}\r\nMSG x 1 2\r\nhi\r\n"),
        ("INFO {\"headers\":true}\r\n", "+OK\r\n"),
        ("INFO {\"headers\":true}\r\n", "PING\r\n"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let talker = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            stream.write_all(first.as_bytes()).expect("a line");
            let text = then.repeat(1000);
            // Until the client goes.
            while stream.write_all(text.as_bytes()).is_ok() {}
        });
        let (done, ended) = sync_channel(1);
        thread::spawn(move || {
            let peer = NatsPeer::load(&destination(address), "web1").expect("a peer");
            let _ = done.send(peer.connect().is_err());
        });
        assert_eq!(ended.recv_timeout(PATIENCE), Ok(true), "{then:?}");
        talker.join().expect("it ends");
    }
}
