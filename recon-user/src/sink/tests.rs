//! Sinks over pipes, full disks and files: what is written, and what is dropped.

mod http;
mod nats;
mod rotation;
mod streams;

use std::io::Read;

use super::*;

fn line(number: u64) -> Vec<u8> {
    format!("{number}\n").into_bytes()
}

#[test]
fn lines_arrive_in_order() {
    let (mut reader, writer) = io::pipe().expect("a pipe");
    let mut sink = Sink::new(&writer).expect("a sink");
    drop(writer);
    (0..100).for_each(|number| sink.write(line(number)));
    assert!(!sink.is_closed());
    assert_eq!(
        sink.finish(),
        Written {
            written: 100,
            dropped: 0,
            ..Written::default()
        }
    );
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("text");
    assert!(text.lines().eq((0..100).map(|number| number.to_string())));
}

#[test]
fn a_closed_reader_closes_the_sink() {
    let (reader, writer) = io::pipe().expect("a pipe");
    let mut sink = Sink::new(&writer).expect("a sink");
    drop(reader);
    assert!(sink.is_closed());
    sink.write(line(1));
    assert_eq!(
        sink.finish(),
        Written {
            written: 0,
            dropped: 1,
            ..Written::default()
        }
    );
}

#[test]
fn a_full_disk_drops_and_counts() {
    let full = File::options()
        .write(true)
        .open("/dev/full")
        .expect("Linux has it");
    let mut sink = Sink::new(&full).expect("a sink");
    (0..3).for_each(|number| sink.write(line(number)));
    assert_eq!(
        sink.finish(),
        Written {
            written: 0,
            dropped: 3,
            ..Written::default()
        }
    );
}

#[test]
fn a_flush_waits_for_a_reader_once() {
    const LITTLE: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(60);
    let (mut reader, writer) = io::pipe().expect("a pipe");
    let mut sink = Sink::new(&writer).expect("a sink");
    let mut flush = Flush::default();
    sink.write(line(1));
    assert!(flush.wait(sink.queue(), LONG));
    let mut text = [0; 2];
    reader.read_exact(&mut text).expect("a line");
    assert_eq!(&text, b"1\n");
    // More than a pipe holds.
    (0..100).for_each(|_| sink.write(vec![b'x'; 1024]));
    assert!(!flush.wait(sink.queue(), LITTLE));
    let before = std::time::Instant::now();
    assert!((0..100).all(|_| !flush.wait(sink.queue(), LONG)));
    assert!(before.elapsed() < LONG, "it was waited for again");
}

#[test]
fn a_slow_reader_is_not_waited_for() {
    let (_reader, writer) = io::pipe().expect("a pipe");
    let mut sink = Sink::new(&writer).expect("a sink");
    // More than a pipe (64 KiB) and the queue hold.
    let long = vec![b'x'; 1024];
    let sent = WAITING_ALERTS + 1000;
    (0..sent).for_each(|_| sink.write(long.clone()));
    let Written {
        written, dropped, ..
    } = sink.finish();
    assert_eq!(written + dropped, sent);
    assert!(
        dropped >= sent - WAITING_ALERTS && written > 0,
        "{written} written, {dropped} dropped"
    );
}

/// A sink that the settings describe.
fn open(destination: &Destination, limit: u64) -> Sink {
    let name = SinkName {
        place: "sink test".to_owned(),
        what: "alerts",
    };
    Sink::open(name, destination, limit, "web1", &OpenFiles::default()).expect("a sink")
}

/// A target that takes lines in groups, whose groups fail from some number on.
struct Groups {
    groups: usize,
    failing: usize,
}

impl Target for Groups {
    fn write(&mut self, batch: &queue::LineBatch, done: &mut usize) -> Result<(), target::Failure> {
        *done = batch.bytes.len();
        Ok(())
    }

    fn is_grouped(&self) -> bool {
        true
    }

    fn commit(&mut self) -> (usize, Result<(), target::Failure>) {
        self.groups += 1;
        let committed = match self.groups < self.failing {
            true => Ok(()),
            false => Err(target::Failure::Lost(io::ErrorKind::StorageFull.into())),
        };
        (usize::MAX, committed)
    }
}

#[test]
fn a_line_is_written_once_its_group_is_safe() {
    for (failing, expected) in [(usize::MAX, (3, 0)), (3, (2, 1)), (1, (0, 3))] {
        let name = SinkName {
            place: "groups".to_owned(),
            what: "alerts",
        };
        let target = Groups { groups: 0, failing };
        let mut sink =
            Sink::start_thread(name, Box::new(target), WAITING_ALERTS, true).expect("a sink");
        let mut flush = Flush::default();
        for number in 0..3 {
            sink.write(line(number));
            // A group of its own.
            assert!(flush.wait(sink.queue(), Duration::from_secs(10)));
        }
        let Written {
            written, dropped, ..
        } = sink.finish();
        assert_eq!((written, dropped), expected);
    }
}

/// Lines of two sinks are the same bytes, and a sink that hangs costs the other one nothing.
#[test]
fn a_sink_that_hangs_costs_the_other_one_nothing() {
    let (_reader, writer) = io::pipe().expect("a pipe");
    let mut slow = Sink::new(&writer).expect("a sink");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lines");
    let file = Destination::File {
        path: path.clone(),
        rotation: None,
        fsync: Fsync::Never,
    };
    let lines = 2 * WAITING_ALERTS;
    let mut fast = open(&file, lines);
    for number in 0..lines {
        let line = bytes::Bytes::from(format!("{number:>200}\n"));
        slow.write(line.clone());
        fast.write(line);
    }
    let of_slow = slow.report();
    assert!(of_slow.lines.dropped > 0, "{of_slow:?}");
    let of_fast = fast.finish();
    assert_eq!((of_fast.written, of_fast.dropped), (lines, 0));
    let text = std::fs::read_to_string(path).expect("a file");
    assert_eq!(text.lines().count() as u64, lines);
    let of_slow = slow.finish();
    assert_eq!(of_slow.written + of_slow.dropped, lines);
}

/// A target that takes lines in groups, and has no room for any.
struct Full;

impl Target for Full {
    fn write(&mut self, _: &queue::LineBatch, _: &mut usize) -> Result<(), target::Failure> {
        Err(target::Failure::Lost(io::ErrorKind::StorageFull.into()))
    }

    fn is_grouped(&self) -> bool {
        true
    }
}

/// A commit with nothing to commit is no sign that lines can be written again.
#[test]
fn a_full_disk_is_a_problem_also_of_a_sink_that_syncs() {
    let name = SinkName {
        place: "full".to_owned(),
        what: "alerts",
    };
    let mut sink = Sink::start_thread(name, Box::new(Full), WAITING_ALERTS, true).expect("a sink");
    let mut flush = Flush::default();
    for number in 0..3 {
        sink.write(line(number));
        assert!(flush.wait(sink.queue(), Duration::from_secs(10)));
        let SinkReport { lines, problem, .. } = sink.report();
        assert_eq!(lines.dropped, number + 1);
        assert!(problem.is_some(), "line {number}");
    }
}

/// journald gets an entry that no datagram holds as a file that nobody can change.
#[test]
fn a_large_entry_is_sent_as_a_file() {
    use std::io::{IoSliceMut, Seek as _, Write as _};
    use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

    use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg};

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let reader = std::os::unix::net::UnixDatagram::bind(&path).expect("a socket");
    let mut sink = open(&Destination::Journal { path }, WAITING_ALERTS);
    let text = "x".repeat(1 << 20);
    sink.write(format!("{{\"message\":\"{text}\"}}\n"));
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; 1]);
    let mut bytes = [0; 16];
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let message = recvmsg::<UnixAddr>(
        reader.as_raw_fd(),
        &mut parts,
        Some(&mut space),
        MsgFlags::empty(),
    )
    .expect("a datagram");
    assert_eq!(message.bytes, 0);
    let descriptors = message
        .cmsgs()
        .expect("a descriptor")
        .find_map(|it| match it {
            ControlMessageOwned::ScmRights(descriptors) => descriptors.first().copied(),
            _ => None,
        });
    // SAFETY: the kernel has made it for this process, and nothing else owns it.
    let mut file = File::from(unsafe { OwnedFd::from_raw_fd(descriptors.expect("a descriptor")) });
    let mut entry = String::new();
    file.rewind().expect("a file");
    file.read_to_string(&mut entry).expect("text");
    assert!(entry.starts_with(&format!("MESSAGE={text}\nPRIORITY=6\n")));
    assert!(entry.ends_with(&format!("RECON_LINE={{\"message\":\"{text}\"}}\n")));
    assert!(file.write_all(b"x").is_err(), "it is sealed");
    assert_eq!(sink.finish().written, 1);
}

/// Lines that a reader of a Unix socket had not read when it ended are lost if nobody comes after
/// it, and count so.
#[test]
fn what_nobody_will_read_is_dropped() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let mut sink = open(
        &Destination::Unix {
            path,
            is_datagram: false,
        },
        WAITING_ALERTS,
    );
    (0..3).for_each(|number| sink.write(line(number)));
    let (peer, _) = listener.accept().expect("a connection");
    let mut flush = Flush::default();
    assert!(flush.wait(sink.queue(), Duration::from_secs(10)));
    assert_eq!(sink.report().lines.written, 3);
    drop((peer, listener));
    let Written {
        written, dropped, ..
    } = sink.finish();
    assert_eq!((written, dropped), (0, 3));
}

/// A line that no datagram holds costs itself, and not those that came with it.
#[test]
fn a_line_that_is_too_large_costs_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let reader = std::os::unix::net::UnixDatagram::bind(&path).expect("a socket");
    let sink = open(
        &Destination::Unix {
            path,
            is_datagram: true,
        },
        WAITING_ALERTS,
    );
    let mut rows = sink.another_queue(WAITING_ALERTS);
    let large = "x".repeat(8 << 20);
    rows.write_lines(format!("1\n{large}\n3\n").into_bytes(), 3);
    reader
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a socket");
    for expected in ["1\n", "3\n"] {
        let mut datagram = [0; 8];
        let length = reader.recv(&mut datagram).expect("a datagram");
        assert_eq!(&datagram[..length], expected.as_bytes());
    }
    let so_far = rows.close();
    assert_eq!(sink.finish().written, 0);
    let Written {
        written, dropped, ..
    } = so_far();
    assert_eq!((written, dropped), (2, 1));
}
