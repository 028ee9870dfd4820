//! Whether a socket of this host waits where a row's packets go.
//!
//! In: a row's key. Out: the value of `LocalListener`.
//! The decision held here: only what a client may send is asked for. To odd flags an open port is
//! silent by the standard, so there the answer would say nothing.

use recon_common::Signal;

use crate::process::ServedPorts;
use crate::row::RowKey;

/// Whether a socket of this host waits where a client's packet goes.
pub(super) fn listener(served: &mut ServedPorts, key: &RowKey) -> Option<bool> {
    let is_udp = match key.signal {
        Signal::Syn => false,
        Signal::Datagram | Signal::DnsQueryUdp => true,
        _ => return None,
    };
    served.is_served(key.local?, key.port?, is_udp)
}
