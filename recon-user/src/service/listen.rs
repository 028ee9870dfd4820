//! Unix sockets that the agent listens on.
//!
//! In: a path. Out: a socket that listens there, or why none can.
//! The decision held here: a socket that somebody listens on is left alone. One that a killed agent
//! left is replaced by a rename, so that its name is never missing, or open to others than its mode
//! says.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use super::connect::{PATIENCE, connect};

/// The longest path of a socket, without the final 0: `sun_path` has 108 bytes.
pub(super) const MAX_PATH: usize = 107;
/// Bytes that the name has before the rename in addition: `.` and a pid.
const MAX_SUFFIX: usize = 11;

/// The device and the inode of a socket's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SocketIdentity(u64, u64);

impl SocketIdentity {
    fn of(file: &fs::Metadata) -> Self {
        Self(file.dev(), file.ino())
    }
}

/// What is at the path of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// A socket that a killed agent left.
    Leftover,
    /// A socket that somebody listens on.
    Listener,
}

/// Looks at the path of a socket that `option` names, without a change.
///
/// # Errors
/// It is too long, or something else than a socket is there.
pub(crate) fn look_at_socket(path: &Path, option: &str) -> anyhow::Result<Found> {
    let name = path.display();
    let longest = MAX_PATH - MAX_SUFFIX;
    ensure!(
        path.as_os_str().as_bytes().len() <= longest,
        "can't listen on {name}: a socket's path has at most {longest} bytes; use a shorter one with {option}"
    );
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => {
            return Err(error).with_context(|| {
                format!("can't listen on {name}; use another path with {option}")
            });
        }
        Ok(found) => ensure!(
            found.file_type().is_socket(),
            "can't listen on {name}: it exists and is no socket; remove it, or use another path with {option}"
        ),
    }
    match connect(path, PATIENCE) {
        Ok(_) => Ok(Found::Listener),
        // Nobody has it open: a killed agent left it.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(Found::Leftover),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => bail!(
            "can't listen on {name}: somebody listens there and does not answer, such as a recon that is stopped; end it, or use another path with {option}"
        ),
        Err(error) => {
            Err(error).with_context(|| format!("can't listen on {name}, which somebody may use"))
        }
    }
}

/// Makes a socket beside `path` that never blocks, and moves it there once it has that mode.
///
/// # Errors
/// What the system says.
pub(crate) fn listen_at(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketIdentity)> {
    let new = path.with_file_name(format!(
        "{}.{}",
        path.file_name().unwrap_or_default().to_string_lossy(),
        std::process::id()
    ));
    let listened = listen_as(&new, path, mode);
    if listened.is_err() {
        // It may not exist.
        let _ = fs::remove_file(&new);
    }
    listened
}

fn listen_as(new: &Path, path: &Path, mode: u32) -> io::Result<(UnixListener, SocketIdentity)> {
    let listener = UnixListener::bind(new)?;
    listener.set_nonblocking(true)?;
    fs::set_permissions(new, fs::Permissions::from_mode(mode))?;
    let found = fs::symlink_metadata(new)?;
    fs::rename(new, path)?;
    Ok((listener, SocketIdentity::of(&found)))
}

/// Removes the file of a socket, unless another one is there by now.
pub(crate) fn remove_socket(path: &Path, identity: SocketIdentity) {
    let found = fs::symlink_metadata(path);
    if found.is_ok_and(|found| SocketIdentity::of(&found) == identity)
        && let Err(error) = fs::remove_file(path)
    {
        tracing::warn!("can't remove {}: {error}", path.display());
    }
}
