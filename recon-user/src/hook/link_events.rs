//! Changes of network interfaces, as the kernel announces them.
//!
//! In: rtnetlink's group of link changes. Out: each change.
//! The decision held here: a host with containers creates and deletes interfaces all the time, so
//! an announcement says what has changed, and nobody lists all interfaces for it. Where
//! announcements are lost, every interface may have changed.

use std::io;

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use tokio::io::unix::AsyncFd;

use super::HookError;
use super::interface::{Interface, interface_from_link};
use super::netlink::skip_message;
use super::rtnetlink::replace_odd_bytes;

/// `RTNLGRP_LINK` of the kernel's linux/rtnetlink.h.
const LINK_GROUP: u32 = 1;
/// More than the kernel puts into one announcement.
const BUFFER: usize = 32 * 1024;

/// A change of an interface.
#[derive(Debug)]
pub(crate) enum LinkChange {
    /// The interface is new, or has changed.
    Present(Interface),
    /// The interface of that index is gone.
    Gone(u32),
    /// Announcements were lost.
    Unknown,
}

/// The announcements.
#[derive(Debug)]
pub(crate) struct LinkEvents(AsyncFd<Socket>);

impl LinkEvents {
    /// Asks for all announcements of this network namespace from now on. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`HookError::ListInterfaces`].
    pub(crate) fn subscribe() -> Result<Self, HookError> {
        let open = || -> io::Result<Self> {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.set_non_blocking(true)?;
            socket.add_membership(LINK_GROUP)?;
            // SAFETY: the socket owns its descriptor until it is dropped, and never changes it.
            let socket = unsafe { AsyncFd::register(socket) };
            socket.map(Self).map_err(Into::into)
        };
        open().map_err(HookError::ListInterfaces)
    }

    /// Waits until there are announcements.
    pub(crate) async fn wait(&mut self) {
        match self.0.readable_mut().await {
            Ok(mut ready) => ready.clear_ready(),
            // The runtime ends.
            Err(_) => std::future::pending().await,
        }
    }

    /// Reads all announcements, and gives each change to `take`.
    pub(crate) fn drain(&mut self, mut take: impl FnMut(LinkChange)) {
        let mut buffer = Vec::with_capacity(BUFFER);
        loop {
            buffer.clear();
            match self.0.get_ref().recv(&mut buffer, 0) {
                Ok(_) => {
                    replace_odd_bytes(&mut buffer);
                    read_changes(&buffer, &mut take);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The queue was full.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    take(LinkChange::Unknown);
                }
                Err(error) => {
                    tracing::warn!("can't read changes of interfaces: {error}");
                    return take(LinkChange::Unknown);
                }
            }
        }
    }
}

/// Gives the changes of one datagram to `take`.
fn read_changes(bytes: &[u8], take: &mut impl FnMut(LinkChange)) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest) else {
            return take(LinkChange::Unknown);
        };
        rest = skip_message(rest, message.header.length);
        match message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) if is_whole(&link) => {
                take(LinkChange::Present(interface_from_link(link)));
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link)) if is_whole(&link) => {
                take(LinkChange::Gone(link.header.index));
            }
            _ => {}
        };
    }
}

/// Whether it is about the interface. A bridge announces its ports in messages of its own: one
/// that leaves it is deleted there.
fn is_whole(link: &LinkMessage) -> bool {
    link.header.interface_family == AddressFamily::Unspec
}
