//! The socket on which metrics are served.
//!
//! In: an address. Out: a socket that listens, or why it can't.
//! The decision held here: it is bound before anything is attached, so that an address in use is an
//! error of the start; and before the sandbox, which lets nobody bind. Whoever may enter the folder
//! of a Unix socket may read it, as any user of this host may read a loopback address.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::MetricsAddress;
use crate::service::{Found, SocketIdentity, listen_at, look_at_socket, remove_socket};

/// The option that names the address.
const OPTION: &str = "--metrics";
/// For all.
const MODE: u32 = 0o666;

/// A socket that listens. Dropping it removes its file, if it has one.
#[derive(Debug)]
pub(crate) struct MetricsListener {
    pub(super) socket: Socket,
    file: Option<(PathBuf, SocketIdentity)>,
}

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Socket {
    /// Another handle to the socket, for a runtime that polls it.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(socket) => Self::Tcp(socket.try_clone()?),
            Self::Unix(socket) => Self::Unix(socket.try_clone()?),
        })
    }
}

impl MetricsListener {
    /// Listens there. `control` is the path of the control socket.
    ///
    /// # Errors
    /// The address is in use, or the folder of the socket can't be written.
    pub(crate) fn bind(address: &MetricsAddress, control: Option<&Path>) -> anyhow::Result<Self> {
        let refused = || format!("can't listen on {address}; {OPTION} names another address");
        match address {
            MetricsAddress::Tcp(address) => {
                let socket = TcpListener::bind(address).with_context(refused)?;
                socket.set_nonblocking(true).with_context(refused)?;
                Ok(Self {
                    socket: Socket::Tcp(socket),
                    file: None,
                })
            }
            MetricsAddress::Unix(path) => {
                ensure!(
                    control != Some(path),
                    "--control and {OPTION} both name {}: use two names",
                    path.display()
                );
                ensure!(
                    look_at_socket(path, OPTION)? != Found::Listener,
                    "can't listen on {}: another recon listens there; stop it, or use another path with {OPTION}",
                    path.display()
                );
                let (socket, identity) = listen_at(path, MODE).with_context(refused)?;
                Ok(Self {
                    socket: Socket::Unix(socket),
                    file: Some((path.clone(), identity)),
                })
            }
        }
    }
}

impl Drop for MetricsListener {
    fn drop(&mut self) {
        if let Some((path, identity)) = &self.file {
            remove_socket(path, *identity);
        }
    }
}

/// Looks whether an address is free, without a change.
///
/// # Errors
/// It is not, or it can't be listened on.
pub(crate) fn look_at_address(address: &MetricsAddress) -> anyhow::Result<Found> {
    match address {
        MetricsAddress::Unix(path) => look_at_socket(path, OPTION),
        MetricsAddress::Tcp(address) => match TcpListener::bind(address) {
            Ok(_) => Ok(Found::Nothing),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(Found::Listener),
            Err(error) => Err(error).with_context(|| format!("can't listen on {address}")),
        },
    }
}
