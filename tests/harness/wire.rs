//! A tun or tap device in each of two namespaces, and a thread each way that copies what one end
//! sends to the other: a cable for packets without, or with, an Ethernet header.
//!
//! The decision held here: the devices live as long as the wire, so that dropping it is how such an
//! interface vanishes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::namespace::Namespace;

/// What the packets of a wire start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// IP: tun.
    Ip,
    /// Ethernet: tap.
    Ethernet,
}

/// Two devices, joined. Dropping it removes them.
#[derive(Debug)]
pub struct Wire {
    /// Closing it ends the threads.
    stop: Option<io::PipeWriter>,
    threads: Vec<JoinHandle<()>>,
}

impl Wire {
    /// Joins two namespaces by devices of these names.
    ///
    /// # Errors
    /// When the kernel has no tun, or a name is taken.
    pub fn join(layer: Layer, ends: [(&Namespace, &str); 2]) -> Result<Self> {
        let open = |(namespace, name): (&Namespace, &str)| -> Result<Arc<File>> {
            Ok(Arc::new(namespace.enter(|| open_device(layer, name))?))
        };
        let [left, right] = ends.map(open);
        let (left, right) = (left?, right?);
        let (stopped, stop) = io::pipe()?;
        let stopped = Arc::new(stopped);
        let pairs = [(&left, &right), (&right, &left)];
        let threads = pairs.map(|(from, to)| {
            let (from, to, stopped) = (Arc::clone(from), Arc::clone(to), Arc::clone(&stopped));
            thread::spawn(move || copy_packets(&from, &to, &stopped))
        });
        Ok(Self {
            stop: Some(stop),
            threads: threads.into(),
        })
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        drop(self.stop.take());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Copies packets until the other end of `stopped` is closed, or the device is gone.
fn copy_packets(mut from: &File, mut to: &File, stopped: &io::PipeReader) {
    /// More than any packet has.
    const BUFFER: usize = 1 << 16;
    let mut buffer = vec![0; BUFFER];
    loop {
        let mut waits =
            [from.as_fd(), stopped.as_fd()].map(|of| PollFd::new(of, PollFlags::POLLIN));
        if poll(&mut waits, PollTimeout::NONE).is_err() {
            return;
        }
        let [packet, stop] = waits.map(|wait| wait.revents().unwrap_or(PollFlags::empty()));
        if !stop.is_empty() || packet.intersects(PollFlags::POLLERR | PollFlags::POLLHUP) {
            return;
        }
        match from.read(&mut buffer) {
            // A device that is down takes no packet, as a cable without a far end.
            Ok(length) => drop(to.write(&buffer[..length])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// Creates the device of that name in this thread's namespace.
fn open_device(layer: Layer, name: &str) -> Result<File> {
    /// `TUNSETIFF` and the flags of linux/if_tun.h: no header of tun's own before a packet.
    const SET_INTERFACE: libc::Ioctl = 0x4004_54ca;
    const TUN: u16 = 1;
    const TAP: u16 = 2;
    const NO_PACKET_INFORMATION: u16 = 0x1000;
    /// `struct ifreq` of linux/if.h.
    #[repr(C)]
    struct Request {
        name: [u8; libc::IFNAMSIZ],
        flags: u16,
        rest: [u8; 22],
    }
    ensure!(name.len() < libc::IFNAMSIZ, "{name} is too long");
    let path = "/dev/net/tun";
    let device = OpenOptions::new().read(true).write(true).open(path);
    let device = device.context(path)?;
    let mut request = Request {
        name: [0; libc::IFNAMSIZ],
        flags: NO_PACKET_INFORMATION
            | match layer {
                Layer::Ip => TUN,
                Layer::Ethernet => TAP,
            },
        rest: [0; 22],
    };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: the request has the size that the kernel reads, and outlives the call.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), SET_INTERFACE, &raw mut request) };
    let error = io::Error::last_os_error();
    ensure!(result == 0, "{name}: TUNSETIFF: {error}");
    Ok(device)
}
