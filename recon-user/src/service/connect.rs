//! A connection to a control socket.
//!
//! In: the socket's path. Out: a stream, and that who listens may be believed.
//! The decisions held here:
//! - Connecting has a time limit: to a socket whose queue is full, as that of a stopped agent may
//!   be, a blocking connect would wait forever.
//! - Who listens is root, the user who asks, or the owner of the folder: in a folder such as /tmp
//!   anybody may listen under recon's name.

use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect as try_connect, getsockopt, socket,
    sockopt::PeerCredentials,
};
use nix::unistd::geteuid;

use crate::parent_folder::parent_folder;

/// How long a full queue may take to get shorter.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
const BETWEEN_TRIALS: Duration = Duration::from_millis(20);

/// Connects within that time.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] if somebody listens and has not accepted others before.
pub(super) fn connect(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let until = Instant::now() + patience;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    let address = UnixAddr::new(path)?;
    loop {
        match try_connect(socket.as_raw_fd(), &address) {
            Ok(()) => break,
            Err(Errno::EAGAIN) if Instant::now() < until => thread::sleep(BETWEEN_TRIALS),
            Err(error) => return Err(error.into()),
        }
    }
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// The user who listens, if that one is not to be believed.
pub(super) fn stranger(stream: &UnixStream, path: &Path) -> io::Result<Option<u32>> {
    let listener = getsockopt(stream, PeerCredentials)?.uid();
    let owner = fs::metadata(parent_folder(path))?.uid();
    let trusted = [0, geteuid().as_raw(), owner];
    Ok((!trusted.contains(&listener)).then_some(listener))
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::{PermissionsExt as _, chown};
    use std::os::unix::net::UnixListener;

    use nix::sys::socket::{Backlog, bind, listen};

    use super::*;

    /// A socket that never accepts, with a queue of one.
    fn stuck(path: &Path) -> OwnedFd {
        let flags = SockFlag::SOCK_CLOEXEC;
        let listener = socket(AddressFamily::Unix, SockType::Stream, flags, None).expect("one");
        let address = UnixAddr::new(path).expect("an address");
        bind(listener.as_raw_fd(), &address).expect("a socket");
        listen(&listener, Backlog::new(0).expect("a queue")).expect("a socket");
        listener
    }

    #[test]
    fn a_full_queue_ends_with_a_time_limit() {
        const SHORT: Duration = Duration::from_millis(100);
        /// More than a queue of that length takes.
        const MOST: usize = 8;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.sock");
        let _listener = stuck(&path);
        let mut clients = Vec::new();
        let error = loop {
            match connect(&path, SHORT) {
                Ok(client) => clients.push(client),
                Err(error) => break error,
            }
            assert!(clients.len() < MOST, "the queue has no end");
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(!clients.is_empty());
        for (name, expected) in [
            ("missing", io::ErrorKind::NotFound),
            ("file", io::ErrorKind::ConnectionRefused),
        ] {
            fs::write(folder.path().join("file"), "text").expect("a file");
            let error = connect(&folder.path().join(name), SHORT).expect_err("no socket");
            assert_eq!(error.kind(), expected, "{name}");
        }
    }

    /// Needs root, to listen as somebody else.
    #[test]
    fn strangers_are_not_believed() {
        /// Of nobody in particular.
        const STRANGER: libc::uid_t = 65_533;
        const KEEP: libc::uid_t = libc::uid_t::MAX;
        if !geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.sock");
        // (who listens, owner of the folder, expected)
        for (listener, owner, expected) in [
            (0, 0, None),
            (0, STRANGER, None),
            (STRANGER, STRANGER, None),
            (STRANGER, 0, Some(STRANGER)),
        ] {
            let mode = fs::Permissions::from_mode(0o777);
            fs::set_permissions(folder.path(), mode).expect("a folder");
            chown(folder.path(), Some(owner), None).expect("a folder");
            let path = path.clone();
            let found = thread::scope(|scope| {
                let listening = scope.spawn(|| {
                    // SAFETY: integers only. The system call itself changes this thread alone.
                    let changed =
                        unsafe { libc::syscall(libc::SYS_setresuid, KEEP, listener, KEEP) };
                    assert_eq!(changed, 0);
                    UnixListener::bind(&path).expect("a socket")
                });
                let _listener = listening.join().expect("a listener");
                let stream = connect(&path, PATIENCE).expect("a socket");
                stranger(&stream, &path).expect("credentials")
            });
            assert_eq!(found, expected, "{listener} in a folder of {owner}");
            fs::remove_file(&path).expect("a socket");
        }
    }
}
