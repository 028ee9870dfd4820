//! Traceroutes, which wait for no answer.

use anyhow::Result;
use recon_common::Signal;
use recon_common::protocol::{ETHERNET_HEADER, traceroute};

use crate::Counted::{As, Nothing};
use crate::mangle::with_byte;
use crate::story::By::{Host, Remote};
use crate::story::{CLIENT, check_stories, inward, inward_v6, outward, outward_v6};

#[test]
fn a_traceroute_has_few_hops_left() -> Result<()> {
    /// Where a frame has its time to live, or its hop limit.
    const HOPS_V4: usize = ETHERNET_HEADER + 8;
    const HOPS_V6: usize = ETHERNET_HEADER + 7;
    const FIRST: u16 = traceroute::FIRST_PORT;
    let trace = |port| As(Signal::TraceProbe, port);
    let traced = |port| As(Signal::TraceSent, port);
    let hit = |port| As(Signal::Datagram, port);
    let sent = |port| As(Signal::DatagramSent, port);
    let from_v4 = |port, hops| -> Result<Vec<u8>> {
        Ok(with_byte(
            &inward().udp([CLIENT, port], b"x")?,
            HOPS_V4,
            hops,
        ))
    };
    let from_v6 = |port, hops| -> Result<Vec<u8>> {
        Ok(with_byte(
            &inward_v6().udp([CLIENT, port], b"x")?,
            HOPS_V6,
            hops,
        ))
    };
    let to_v4 = |port, hops| -> Result<Vec<u8>> {
        Ok(with_byte(
            &outward().udp([CLIENT, port], b"x")?,
            HOPS_V4,
            hops,
        ))
    };
    let to_v6 = |port, hops| -> Result<Vec<u8>> {
        Ok(with_byte(
            &outward_v6().udp([CLIENT, port], b"x")?,
            HOPS_V6,
            hops,
        ))
    };
    let answer = outward().udp([FIRST, CLIENT], b"x")?;
    let reply = |port| inward().udp([port, CLIENT], b"x");
    check_stories(vec![
        (
            "to this host",
            vec![
                (Remote, from_v4(FIRST, 1)?, trace(FIRST)),
                (Remote, from_v4(FIRST, 16)?, trace(FIRST)),
                (Remote, from_v4(u16::MAX, 16)?, trace(u16::MAX)),
                (Remote, from_v4(FIRST, 17)?, hit(FIRST)),
                (Remote, from_v4(FIRST - 1, 1)?, hit(FIRST - 1)),
                (Remote, from_v6(FIRST, 16)?, trace(FIRST)),
                (Remote, from_v6(FIRST, 17)?, hit(FIRST)),
                (Host, answer, As(Signal::AnsweredUdp, FIRST)),
                (
                    Remote,
                    from_v4(FIRST, 1)?,
                    As(Signal::SessionDatagram, FIRST),
                ),
            ],
        ),
        (
            "from this host",
            vec![
                (Host, to_v4(FIRST, 1)?, traced(FIRST)),
                (Host, to_v4(FIRST, 2)?, Nothing),
                (Host, to_v4(FIRST + 1, 30)?, traced(FIRST + 1)),
                (Host, to_v4(FIRST + 2, 31)?, sent(FIRST + 2)),
                (Host, to_v4(FIRST - 1, 1)?, sent(FIRST - 1)),
                (Host, to_v6(FIRST, 30)?, traced(FIRST)),
                (Host, to_v6(FIRST + 1, 31)?, sent(FIRST + 1)),
                (
                    Remote,
                    reply(FIRST + 1)?,
                    As(Signal::ReplyReceived, FIRST + 1),
                ),
                (
                    Remote,
                    with_byte(&reply(FIRST)?, HOPS_V4, 1),
                    As(Signal::ReplyReceived, FIRST),
                ),
            ],
        ),
    ])
}
