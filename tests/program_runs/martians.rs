//! Inbound frames from addresses that no host has: the stack drops them, and to name such a source
//! blames nobody. Beside them, frames from the addresses next to those.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};
use recon_common::{Direction, Loss, Signal};
use recon_tests::frame::{Path, data, syn};

use crate::Counted::{self, As, Lost, Nothing};
use crate::Row;
use crate::mangle::later_fragment;
use crate::outbound::{LOCAL_V4, LOCAL_V6, REMOTE_V6};

const PORT: u16 = 8080;
const MAPPED: Ipv6Addr = Ipv4Addr::new(203, 0, 113, 9).to_ipv6_mapped();

/// The name of a row, the source, and what a SYN from there counts as.
const SOURCES: [(&str, &str, Counted); 11] = [
    (
        "from a mapped IPv4 address",
        "::ffff:203.0.113.9",
        Lost(Loss::Malformed),
    ),
    ("from nobody, `::`", "::", Lost(Loss::Malformed)),
    (
        "from all hosts of the link",
        "224.0.0.1",
        Lost(Loss::Malformed),
    ),
    (
        "from the last group of IPv4",
        "239.255.255.255",
        Lost(Loss::Malformed),
    ),
    (
        "from the limited broadcast",
        "255.255.255.255",
        Lost(Loss::Malformed),
    ),
    (
        "from all hosts of the link, IPv6",
        "ff02::1",
        Lost(Loss::Malformed),
    ),
    (
        "from the first group of IPv6",
        "ff00::",
        Lost(Loss::Malformed),
    ),
    (
        "from below the groups of IPv4",
        "223.255.255.255",
        As(Signal::Syn, PORT),
    ),
    // Linux takes packets from the reserved block.
    (
        "from above the groups of IPv4",
        "240.0.0.0",
        As(Signal::Syn, PORT),
    ),
    (
        "from the last reserved address",
        "255.255.255.254",
        As(Signal::Syn, PORT),
    ),
    (
        "from below the groups of IPv6",
        "feff:ffff::1",
        As(Signal::Syn, PORT),
    ),
];

pub(crate) fn rows() -> Result<Vec<Row>> {
    let row = |name, direction, frame, counted| Row {
        name,
        direction,
        frame,
        counted,
    };
    let group = Path::new(Ipv4Addr::new(239, 255, 255, 250), LOCAL_V4);
    let mut rows = vec![
        row(
            "to a mapped IPv4 address",
            Direction::In,
            Path::new(REMOTE_V6, MAPPED).udp([1, 2], b"x")?,
            Lost(Loss::Malformed),
        ),
        row(
            "a datagram from a group",
            Direction::In,
            group.udp([1, 2], b"x")?,
            Lost(Loss::Malformed),
        ),
        row(
            "a later fragment from a group",
            Direction::In,
            later_fragment(&group.tcp(data(PORT), b"x")?),
            Lost(Loss::Malformed),
        ),
        // Such a packet takes the fast path, which looks at no address.
        row(
            "data from a group",
            Direction::In,
            group.tcp(data(PORT), b"x")?,
            Nothing,
        ),
        row(
            "a datagram to a group",
            Direction::Out,
            Path::new(LOCAL_V4, Ipv4Addr::new(224, 0, 0, 251)).udp([5353, 5353], b"x")?,
            As(Signal::DatagramSent, 5353),
        ),
    ];
    for (name, source, counted) in SOURCES {
        let path = match source.parse().context(source)? {
            IpAddr::V4(source) => Path::new(source, LOCAL_V4),
            IpAddr::V6(source) => Path::new(source, LOCAL_V6),
        };
        rows.push(row(name, Direction::In, path.tcp(syn(PORT), &[])?, counted));
    }
    Ok(rows)
}
