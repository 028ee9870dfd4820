//! Requests to a peer that refuses some of them: what it gets then, and what counts as written.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::thread::JoinHandle;

use super::*;

/// What a peer does with a body: the answer, after which it closes if that is cut off.
type Judge = fn(&str) -> &'static str;

const OK: &str = "HTTP/1.1 200 Test\r\nContent-Length: 2\r\n\r\n{}";
const HTML: &str = "HTTP/1.1 200 Test\r\nContent-Length: 6\r\n\r\n<html>";
const CUT_OFF: &str = "HTTP/1.1 200 Test\r\nConnection: close\r\nContent-Length: 9\r\n\r\n{\"pa";
const REFUSED: &str = "HTTP/1.1 400 Test\r\nContent-Length: 0\r\n\r\n";

/// A peer until it is told to end. Returns the bodies.
fn serve(listener: TcpListener, judge: Judge) -> JoinHandle<Vec<String>> {
    thread::spawn(move || {
        let mut bodies = Vec::new();
        loop {
            let (stream, _) = listener.accept().expect("a connection");
            let mut reader = BufReader::new(stream);
            loop {
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n")
                    && reader.read_line(&mut head).is_ok_and(|it| it > 0)
                {}
                let head = head.to_lowercase();
                if head.starts_with("end") {
                    return bodies;
                }
                let length = head
                    .lines()
                    .find_map(|it| it.strip_prefix("content-length: "));
                let Some(length) = length else {
                    break;
                };
                let mut body = vec![0; length.parse().expect("a length")];
                reader.read_exact(&mut body).expect("a body");
                let body = String::from_utf8(body).expect("text");
                let answer = judge(&body);
                bodies.push(body);
                let sent = reader.get_mut().write_all(answer.as_bytes());
                if sent.is_err() || answer == CUT_OFF {
                    break;
                }
            }
        }
    })
}

/// Sends the numbers 0 to 9 in one batch. Returns what became of them, and the bodies.
fn send(path: Option<&str>, judge: Judge) -> (Written, Option<String>, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let peer = serve(listener, judge);
    let url = HttpUrl::parse(&format!("http://{address}")).expect("a URL");
    let http = HttpDestination {
        url: path.map_or_else(|| url.clone(), |path| url.with_path(path)),
        address,
        tls: TlsFiles::default(),
        headers_file: None,
    };
    let destination = match path {
        Some(_) => Destination::Otlp(http),
        None => Destination::Webhook(http),
    };
    let mut sink = open(&destination, WAITING_ALERTS);
    let lines: Vec<u8> = (0..10).flat_map(line).collect();
    sink.write_lines(lines.into(), 10);
    let mut flush = Flush::default();
    assert!(flush.wait(sink.queue(), Duration::from_secs(20)));
    let problem = sink.report().problem;
    let written = sink.finish();
    let mut last = std::net::TcpStream::connect(address).expect("a connection");
    last.write_all(b"END\r\n\r\n").expect("a line");
    (written, problem, peer.join().expect("bodies"))
}

/// Only what is refused alone is lost, and all else comes once.
#[test]
fn a_refused_batch_costs_only_the_refused_lines() {
    let none: Judge = |_| OK;
    let first: Judge = |body| {
        if body.lines().any(|it| it == "0") {
            REFUSED
        } else {
            OK
        }
    };
    let two: Judge = |body| match body.lines().any(|it| it == "4" || it == "9") {
        true => REFUSED,
        false => OK,
    };
    let large: Judge = |body| if body.len() > 6 { REFUSED } else { OK };
    let all: Judge = |_| REFUSED;
    for (judge, dropped) in [(none, 0), (first, 1), (two, 2), (large, 0), (all, 10)] {
        let (written, problem, bodies) = send(None, judge);
        let expected = Written {
            written: 10 - dropped,
            dropped,
            repeated: 0,
        };
        assert_eq!(written, expected);
        assert_eq!(problem.is_some(), dropped > 0, "{problem:?}");
        let taken = bodies.iter().filter(|body| judge(body) == OK);
        let taken: Vec<_> = taken.flat_map(|body| body.lines()).collect();
        let good = (0..10).map(|it| it.to_string());
        let good: Vec<_> = good.filter(|it| judge(&format!("{it}\n")) == OK).collect();
        assert_eq!(taken, good);
        assert!(bodies.len() <= 16, "{} requests", bodies.len());
    }
}

/// A receiver of OTLP that answers 2xx has taken the logs, whatever else it says.
#[test]
fn an_answer_that_cant_be_read_is_no_reason_to_send_again() {
    let ok: Judge = |_| OK;
    let html: Judge = |_| HTML;
    let cut_off: Judge = |_| CUT_OFF;
    for (judge, requests, says) in [
        (ok, 1, None),
        (html, 1, Some("it is no JSON object")),
        (cut_off, 2, Some("cut off each time")),
    ] {
        let (written, problem, bodies) = send(Some(LOGS_PATH), judge);
        assert_eq!((written.written, written.dropped), (10, 0));
        assert_eq!(written.repeated, 10 * (requests - 1));
        assert_eq!(bodies.len() as u64, requests);
        let problem = problem.unwrap_or_default();
        assert!(
            says.map_or(problem.is_empty(), |it| problem.contains(it)),
            "{problem}"
        );
    }
}
