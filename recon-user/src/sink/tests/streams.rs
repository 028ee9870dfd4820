//! Lines through connections that last only for a moment, or whose peer only reads.

use std::io::{BufRead as _, BufReader};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixListener;
use std::sync::atomic::AtomicU64;

use super::*;

/// How long a condition may take to hold.
const PATIENCE: Duration = Duration::from_secs(30);

/// A peer that has closed its sending side at once gets all lines once.
#[test]
fn a_peer_that_only_reads_gets_its_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = tcp.local_addr().expect("an address");
    let unix = UnixListener::bind(&path).expect("a socket");
    let destinations = [
        Destination::Tcp { address, tls: None },
        Destination::Unix {
            path,
            is_datagram: false,
        },
    ];
    let accept_tcp = move || -> Box<dyn Read + Send> {
        let (stream, _) = tcp.accept().expect("a connection");
        stream.shutdown(Shutdown::Write).expect("an end");
        Box::new(stream)
    };
    let accept_unix = move || -> Box<dyn Read + Send> {
        let (stream, _) = unix.accept().expect("a connection");
        stream.shutdown(Shutdown::Write).expect("an end");
        Box::new(stream)
    };
    let accept: [Box<dyn FnOnce() -> Box<dyn Read + Send> + Send>; 2] =
        [Box::new(accept_tcp), Box::new(accept_unix)];
    for (destination, accept) in destinations.iter().zip(accept) {
        let reader = thread::spawn(move || {
            let lines = BufReader::new(accept()).lines().take(20);
            lines.map_while(Result::ok).collect::<Vec<_>>()
        });
        let mut sink = open(destination, WAITING_ALERTS);
        let lines: Vec<u8> = (0..10).flat_map(line).collect();
        sink.write_lines(lines.into(), 10);
        (10..20).for_each(|number| sink.write(line(number)));
        let read = reader.join().expect("lines");
        assert!(
            read.iter()
                .eq((0..20).map(|it| it.to_string()).collect::<Vec<_>>().iter())
        );
        let mut flush = Flush::default();
        assert!(flush.wait(sink.queue(), PATIENCE));
        let report = sink.report();
        assert_eq!((report.lines.written, report.lines.repeated), (20, 0));
        let _ = sink.finish();
    }
}

/// A peer that reads for a moment and goes, again and again, does not fill the memory.
#[test]
fn what_is_kept_for_a_young_connection_is_bounded() {
    const BATCHES: u64 = 40;
    const SIZE: usize = 1 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let read = Arc::new(AtomicU64::new(0));
    let has_read = Arc::clone(&read);
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let until = Instant::now() + Duration::from_millis(1500);
            let _ = stream.set_read_timeout(Some(Duration::from_millis(100)));
            let mut text = vec![0; 1 << 16];
            while Instant::now() < until {
                let length = stream.read(&mut text).unwrap_or(0);
                has_read.fetch_add(length as u64, Ordering::Relaxed);
            }
        }
    });
    let mut sink = open(&Destination::Tcp { address, tls: None }, 1 << 20);
    let batch = bytes::Bytes::from([[b'x'; SIZE - 1].as_slice(), b"\n"].concat());
    (0..BATCHES).for_each(|_| sink.write_lines(batch.clone(), 1));
    let until = Instant::now() + PATIENCE;
    while sink.report().problem.is_none() {
        assert!(Instant::now() < until, "{:?}", sink.report());
        thread::yield_now();
    }
    let report = sink.report();
    assert!(
        (1..BATCHES / 2).contains(&report.lines.written) && report.waiting > BATCHES / 2,
        "{report:?}"
    );
    assert!(read.load(Ordering::Relaxed) > 0);
    let _ = sink.finish();
}
