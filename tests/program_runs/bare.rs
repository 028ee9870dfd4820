//! Packets without an Ethernet header: the programs for tunnels' devices on the frames of the other
//! rows, from their network header on.

use anyhow::Result;
use recon_common::packet::BarePacket;
use recon_common::protocol::{ETHERNET_HEADER, ethertype};
use recon_common::{Direction, FrameClass, Ignored, Loss};
use recon_tests::frame::{Path, syn};

use crate::kernel::Kernel;
use crate::model::Model;
use crate::rows;

/// Where an Ethernet header has the protocol, and whether the destination is a group.
const ETHERTYPE: usize = 12;
const GROUP_BIT: u8 = 1;

/// The packet in a frame, if it is IP and neither tagged nor to a group. Only the version tells
/// without Ethernet's header, so it must be that of the header.
fn bare(frame: &[u8]) -> Option<&[u8]> {
    let (header, packet) = frame.split_at_checked(ETHERNET_HEADER)?;
    let kind = u16::from_be_bytes([header[ETHERTYPE], header[ETHERTYPE + 1]]);
    let version = packet.first().map(|first| first >> 4);
    let is_ip = match kind {
        ethertype::IPV4 => version.is_none_or(|version| version == 4),
        ethertype::IPV6 => version.is_none_or(|version| version == 6),
        _ => false,
    };
    (is_ip && header[0] & GROUP_BIT == 0).then_some(packet)
}

#[test]
fn a_packet_without_ethernet_counts_as_its_frame() -> Result<()> {
    let mut kernel = Kernel::in_own_namespace()?;
    let mut compared = 0;
    for row in rows()? {
        let Some(packet) = bare(&row.frame) else {
            continue;
        };
        let host = Model::default();
        let model = host.run_packet(row.direction, &BarePacket(packet));
        assert_eq!(model.counted, row.counted, "{}: the host build", row.name);
        if let Some(outcome) = kernel.run_bare(row.direction, packet)? {
            assert_eq!(outcome.unwrap_verdict(), model, "{}: the kernel", row.name);
            compared += 1;
        }
        kernel.forget_flows_of(&host)?;
    }
    assert!(compared > 100, "{compared} rows");
    Ok(())
}

#[test]
fn a_packet_without_ethernet_has_a_version_and_a_destination() -> Result<()> {
    let mut kernel = Kernel::in_own_namespace()?;
    let to = |address: &str| -> Result<Vec<u8>> {
        let from = if address.contains(':') {
            "2001:db8::7"
        } else {
            "198.51.100.7"
        };
        let path = Path::new(
            from.parse::<std::net::IpAddr>()?,
            address.parse::<std::net::IpAddr>()?,
        );
        Ok(path.tcp(syn(22), &[])?[ETHERNET_HEADER..].to_vec())
    };
    let with_version = |version: u8| -> Result<Vec<u8>> {
        let mut packet = to("198.51.100.1")?;
        packet[0] = version << 4 | packet[0] & 0xf;
        Ok(packet)
    };
    let group = FrameClass::from(Ignored::Group);
    for (name, packet, expected) in [
        ("a host", to("198.51.100.1")?, FrameClass::Signal),
        (
            "the last address before the groups",
            to("223.255.255.255")?,
            FrameClass::Signal,
        ),
        ("an IPv4 group", to("224.0.0.251")?, group),
        ("the last IPv4 group", to("239.255.255.255")?, group),
        ("the broadcast", to("255.255.255.255")?, group),
        ("a host of IPv6", to("2001:db8::1")?, FrameClass::Signal),
        ("an IPv6 group", to("ff02::1:ff00:1")?, group),
        ("version 5", with_version(5)?, Ignored::NotIp.into()),
        ("version 0", with_version(0)?, Ignored::NotIp.into()),
        (
            "an IPv6 header without its last byte",
            with_version(6)?[..39].to_vec(),
            Loss::Truncated.into(),
        ),
        (
            "half an IPv4 header",
            to("198.51.100.1")?[..16].to_vec(),
            Loss::Truncated.into(),
        ),
        (
            "half an IPv6 header",
            to("2001:db8::1")?[..30].to_vec(),
            Loss::Truncated.into(),
        ),
    ] {
        let host = Model::default();
        let model = host.run_packet(Direction::In, &BarePacket(&packet));
        assert_eq!(model.class, expected, "{name}: the host build");
        if let Some(outcome) = kernel.run_bare(Direction::In, &packet)? {
            assert_eq!(outcome.unwrap_verdict(), model, "{name}: the kernel");
        }
        kernel.forget_flows_of(&host)?;
    }
    Ok(())
}
