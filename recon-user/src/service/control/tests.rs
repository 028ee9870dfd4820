use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};

use super::super::listen::MAX_PATH;
use super::super::protocol::Body;
use super::*;

/// The time that a client has in these tests.
const SHORT: Duration = Duration::from_millis(200);
/// The deadline of what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `clients` on a thread of its own while a socket in a folder of its own answers each
/// request with a version.
fn serving(clients: impl FnOnce(&Path) + Send + 'static) {
    serving_for(SHORT, clients);
}

/// The same with that time for each client.
fn serving_for(client_time: Duration, clients: impl FnOnce(&Path) + Send + 'static) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("control.sock");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut socket = ControlSocket::listen_within(&path, client_time, SHORT).expect("a socket");
        let mode = fs::metadata(&path).expect("a socket").permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        let path = path.clone();
        let (done, mut is_done) = oneshot::channel();
        let clients = std::thread::spawn(move || {
            clients(&path);
            let _ = done.send(());
        });
        loop {
            tokio::select! {
                asked = socket.next() => {
                    let _ = asked.reply.send(Answer::done(Body::Version(format!("{:?}", asked.request))));
                }
                _ = &mut is_done => break,
            }
        }
        clients.join().expect("the clients");
    });
    assert!(!path.exists(), "the socket is left");
}

/// Sends bytes and reads the answer. Closes the way there if `ends`.
fn exchange(path: &Path, bytes: &[u8], ends: bool) -> String {
    let mut client = StdStream::connect(path).expect("a socket");
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // The agent may have closed its end already.
    let _ = client.write_all(bytes);
    if ends {
        let _ = client.shutdown(std::net::Shutdown::Write);
    }
    let mut answer = String::new();
    // A reset is the end too.
    let _ = client.read_to_string(&mut answer);
    answer
}

#[test]
fn each_client_gets_one_answer() {
    serving(|path| {
        let long = vec![b'x'; MAX_REQUEST + 1];
        for (request, ends, expected) in [
            (
                &b"{\"command\":\"ping\"}\n"[..],
                false,
                "{\"ok\":true,\"version\":\"Ping\"}\n",
            ),
            (
                b"{\"command\":\"status\"}",
                true,
                "{\"ok\":true,\"version\":\"Status\"}\n",
            ),
            (
                b"{\"command\":\"reload\"}\n{\"command\":\"ping\"}\n",
                false,
                "{\"ok\":true,\"version\":\"Reload\"}\n",
            ),
            (
                b"\n",
                false,
                "{\"ok\":false,\"error\":\"this is not a request: ",
            ),
            (
                b"\xff\x00\xfe\n",
                false,
                "{\"ok\":false,\"error\":\"this is not a request: ",
            ),
            (
                b"{\"command\":\"pi",
                true,
                "{\"ok\":false,\"error\":\"this is not a request: ",
            ),
            (
                b"{\"command\":\"pi",
                false,
                "{\"ok\":false,\"error\":\"no request came within 200ms\"}\n",
            ),
            (b"", true, ""),
            (
                &long,
                false,
                "{\"ok\":false,\"error\":\"the request is too long: it has at most 4096 bytes\"}\n",
            ),
        ] {
            let answer = exchange(path, request, ends);
            let is_right = match expected {
                "" => answer.is_empty(),
                _ => answer.starts_with(expected),
            };
            assert!(is_right, "{}: {answer}", String::from_utf8_lossy(request));
        }
    });
}

/// Many more clients than are served at once say nothing, and have a long time for it.
#[test]
fn silent_clients_hold_up_nobody() {
    serving_for(PATIENCE, |path| {
        let silent: Vec<_> = (0..20 * CLIENTS)
            .map(|_| StdStream::connect(path).expect("a socket"))
            .collect();
        let begun = Instant::now();
        let answer = exchange(path, b"{\"command\":\"ping\"}\n", false);
        assert!(answer.contains("Ping"), "{answer}");
        assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
        drop(silent);
    });
}

/// A socket that somebody removes is there again, and serves.
#[test]
fn a_removed_socket_comes_back() {
    serving(|path| {
        for _ in 0..2 {
            fs::remove_file(path).expect("a socket");
            let until = Instant::now() + PATIENCE;
            while !path.exists() {
                assert!(Instant::now() < until, "the socket is gone");
                std::thread::sleep(SHORT / 4);
            }
            let mode = fs::metadata(path).expect("a socket").permissions().mode();
            assert_eq!(mode & 0o777, MODE);
            let answer = exchange(path, b"{\"command\":\"ping\"}\n", false);
            assert!(answer.contains("Ping"), "{answer}");
        }
    });
}

#[test]
fn only_what_nobody_uses_is_replaced() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let _guard = runtime.enter();
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    // One that a killed agent left.
    drop(StdListener::bind(path("stale")).expect("a socket"));
    let _live = StdListener::bind(path("live")).expect("a socket");
    fs::write(path("file"), "text").expect("a file");
    let long = "x".repeat(MAX_PATH);
    for (name, expected) in [
        ("stale", None),
        ("live", Some("another recon listens there")),
        ("file", Some("it exists and is no socket")),
        ("missing/control.sock", Some("can't listen on")),
        (long.as_str(), Some("a socket's path has at most 96 bytes")),
    ] {
        let before = fs::read_dir(folder.path()).expect("a folder").count();
        let socket = ControlSocket::listen(&path(name));
        match (&socket, expected) {
            (Ok(_), None) => {}
            (Err(error), Some(expected)) => {
                let message = format!("{error:#}");
                assert!(message.contains(expected), "{name}: {message}");
                assert!(message.contains("--control"), "{name}: {message}");
                let after = fs::read_dir(folder.path()).expect("a folder").count();
                assert_eq!(before, after, "{name}: something is left");
            }
            _ => panic!("{name}: {socket:?}"),
        }
    }
    assert!(!path("stale").exists(), "the socket is left");
    assert!(path("live").exists() && path("file").exists());
}

/// The socket of an agent that has started meanwhile stays.
#[test]
fn the_socket_of_another_agent_is_not_removed() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let _guard = runtime.enter();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("control.sock");
    let socket = ControlSocket::listen(&path).expect("a socket");
    fs::remove_file(&path).expect("a socket");
    let _other = StdListener::bind(&path).expect("a socket");
    drop(socket);
    assert!(path.exists());
}
