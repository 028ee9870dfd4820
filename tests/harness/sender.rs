//! Sends frames on an interface, unchanged and in order.
//!
//! The decision held here: a frame for which the pair has no room is sent again, so that every sent
//! frame arrives. A veth pair reports this immediately.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use nix::net::if_::if_nametoindex;

use crate::PATIENCE;
use crate::namespace::Namespace;

/// A packet socket on one interface. It does not receive its own frames.
#[derive(Debug)]
pub struct Sender {
    socket: File,
}

impl Sender {
    /// Opens a socket on `interface` of `namespace`.
    ///
    /// # Errors
    /// Without root, or if there is no such interface.
    pub fn open(namespace: &Namespace, interface: &str) -> Result<Self> {
        let name = CString::new(interface)?;
        let socket = namespace.enter(|| {
            let index = if_nametoindex(name.as_c_str()).context("no such interface")?;
            Ok(packet_socket(index.cast_signed())?)
        });
        Ok(Self {
            socket: File::from(socket.with_context(|| format!("packet socket on {interface}"))?),
        })
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// When the interface refuses it for a reason other than lack of room, or has no room for long.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.try_send(frame)? {
            ensure!(Instant::now() < deadline, "no room for a frame");
            thread::yield_now();
        }
        Ok(())
    }

    /// Sends one frame, of which the kernel keeps only the first `linear` bytes in the packet's
    /// first buffer if it is longer than a page, as a guest's network card can ask for.
    ///
    /// # Errors
    /// As [`Sender::send`], and when the kernel refuses the option.
    pub fn send_split(&self, frame: &[u8], linear: u16) -> Result<()> {
        /// `PACKET_VNET_HDR` of linux/if_packet.h.
        const VNET_HEADER: libc::c_int = 15;
        /// `struct virtio_net_hdr` of linux/virtio_net.h around its `hdr_len`.
        const BEFORE: [u8; 2] = [0; 2];
        const AFTER: [u8; 6] = [0; 6];
        let set = |on: libc::c_int| {
            // SAFETY: the option is an integer, which lives as long as the call.
            let result = unsafe {
                libc::setsockopt(
                    self.socket.as_raw_fd(),
                    libc::SOL_PACKET,
                    VNET_HEADER,
                    (&raw const on).cast(),
                    size_of_val(&on) as libc::socklen_t,
                )
            };
            match result {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()).context("PACKET_VNET_HDR"),
            }
        };
        set(1)?;
        let sent = self.send(&[&BEFORE[..], &linear.to_le_bytes(), &AFTER, frame].concat());
        set(0)?;
        sent
    }

    /// Sends one frame if there is room, and returns whether it was sent.
    ///
    /// # Errors
    /// When the interface refuses it for any other reason.
    pub fn try_send(&self, frame: &[u8]) -> Result<bool> {
        match (&self.socket).write(frame) {
            Ok(written) => {
                ensure!(
                    written == frame.len(),
                    "only {written} bytes of a frame were sent"
                );
                Ok(true)
            }
            Err(error) if has_no_room(&error) => Ok(false),
            Err(error) => Err(error).context("sending a frame"),
        }
    }
}

fn has_no_room(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOBUFS)
}

/// A packet socket that sends on the interface with that index and receives nothing.
fn packet_socket(interface: libc::c_int) -> io::Result<OwnedFd> {
    /// No protocol, so that it receives nothing.
    const NOTHING: u16 = 0;
    // SAFETY: three integers.
    let socket = unsafe {
        libc::socket(
            libc::AF_PACKET,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            libc::c_int::from(NOTHING),
        )
    };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just opened it for this process, and nothing else holds it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: NOTHING,
        sll_ifindex: interface,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the address lives as long as the call, and its size is its own.
    let bound = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    };
    if bound < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(socket)
}
