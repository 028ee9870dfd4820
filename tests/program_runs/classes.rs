//! The class of a frame that gives no signal: why recon ignores it.
//!
//! In: frames with their classes. Out: nothing, or the first frame that the host build or the
//! kernel puts into another class.

use anyhow::Result;
use etherparse::TcpHeader;
use recon_common::Direction::{self, In, Out};
use recon_common::protocol::{ETHERNET_HEADER, icmp, port};
use recon_common::{FrameClass, Ignored, Loss};
use recon_tests::frame::{data, segment, syn};

use crate::kernel::Kernel;
use crate::mangle::{tagged, with_byte};
use crate::model::Model;
use crate::story::{CLIENT, PORT, TRANSPORT, inward, outward};

/// A name, a direction, a frame and its class.
type Row = (&'static str, Direction, Vec<u8>, FrameClass);

#[test]
fn every_frame_is_in_the_class_of_its_row() -> Result<()> {
    let mut kernel = Kernel::in_own_namespace()?;
    for (name, direction, frame, class) in rows()? {
        let host = Model::default();
        let model = host.run(direction, &frame);
        assert_eq!(model.class, class, "{name}: the host build");
        for outcome in kernel.run(direction, &frame)? {
            assert_eq!(outcome.unwrap_verdict(), model, "{name}: the kernel");
        }
        kernel.forget_flows_of(&host)?;
    }
    Ok(())
}

fn rows() -> Result<Vec<Row>> {
    let end = TcpHeader {
        fin: true,
        ..data(CLIENT)
    };
    let arp = with_byte(&inward().echo(1)?, 13, 6);
    let echo = inward().echo(1)?;
    let exceeded = outward().icmp_error([11, 0], &echo[ETHERNET_HEADER..])?;
    let reply = with_byte(&outward().echo(1)?, TRANSPORT, icmp::ECHO_REPLY);
    let ignored = FrameClass::Ignored;
    Ok(vec![
        (
            "a SYN",
            In,
            inward().tcp(syn(PORT), &[])?,
            FrameClass::Signal,
        ),
        (
            "data",
            In,
            inward().tcp(data(PORT), b"x")?,
            FrameClass::Established,
        ),
        (
            "data to a port whose payload is read",
            In,
            inward().tcp(data(port::HTTP), b"POST /")?,
            FrameClass::Established,
        ),
        (
            "data under a tag",
            In,
            tagged(&inward().tcp(data(PORT), b"x")?, &[0x8100]),
            FrameClass::Established,
        ),
        (
            "data from this host",
            Out,
            outward().tcp(data(port::DNS), b"x")?,
            FrameClass::Established,
        ),
        (
            "the end of a connection with data",
            In,
            inward().tcp(end.clone(), b"x")?,
            ignored(Ignored::Control),
        ),
        (
            "the end of a connection from this host",
            Out,
            outward().tcp(end, &[])?,
            ignored(Ignored::Control),
        ),
        ("ARP", Out, arp, ignored(Ignored::NotIp)),
        (
            "to a group address",
            In,
            with_byte(&inward().udp([5353, 5353], b"x")?, 0, 1),
            ignored(Ignored::Group),
        ),
        (
            "another protocol from this host",
            Out,
            with_byte(&outward().echo(1)?, ETHERNET_HEADER + 9, 47),
            ignored(Ignored::OtherProtocol),
        ),
        (
            "an error of a router",
            Out,
            exceeded,
            ignored(Ignored::Icmp),
        ),
        ("an echo reply", Out, reply, ignored(Ignored::Icmp)),
        (
            "a frame that ends in its header",
            In,
            inward().tcp(segment([CLIENT, PORT]), &[])?[..TRANSPORT + 8].to_vec(),
            FrameClass::Lost(Loss::Truncated),
        ),
    ])
}
