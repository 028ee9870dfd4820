//! Control packets of media (RTCP), to which many hosts do not listen.
//!
//! Each story has a datagram between the ports after those of the media, and this host's refusal.

use anyhow::Result;
use recon_common::Signal;
use recon_common::protocol::{ETHERNET_HEADER, icmp};

use crate::Counted::{self, As, Nothing};
use crate::story::By::{self, Host, Remote};
use crate::story::{Step, check_stories, inward, outward};

/// The remote's port for media, and this host's.
const THERE: u16 = 30_000;
const HERE: u16 = 16_384;

fn from_remote(ports: [u16; 2], counted: Counted) -> Result<Step> {
    Ok((Remote, inward().udp(ports, b"x")?, counted))
}

fn from_host([there, here]: [u16; 2], counted: Counted) -> Result<Step> {
    Ok((Host, outward().udp([here, there], b"x")?, counted))
}

fn refusal(ports: [u16; 2], counted: Counted) -> Result<Step> {
    let refused = inward().udp(ports, b"x")?;
    let unreachable = [icmp::UNREACHABLE, icmp::PORT_UNREACHABLE];
    let frame = outward().icmp_error(unreachable, &refused[ETHERNET_HEADER..])?;
    Ok((Host, frame, counted))
}

/// Media between those ports, of which that side sends the first and the other the next.
fn media(first: By, ports: [u16; 2]) -> Result<Vec<Step>> {
    let [there, here] = ports;
    Ok(match first {
        Remote => vec![
            from_remote(ports, As(Signal::Datagram, here))?,
            from_host(ports, As(Signal::AnsweredUdp, here))?,
        ],
        _ => vec![
            from_host(ports, As(Signal::DatagramSent, there))?,
            from_remote(ports, As(Signal::ReplyReceived, there))?,
        ],
    })
}

#[test]
fn control_packets_belong_to_their_media() -> Result<()> {
    let control = [THERE + 1, HERE + 1];
    let session = As(Signal::SessionDatagram, HERE + 1);
    let begins_with = |mut story: Vec<Step>, rest: Vec<Step>| {
        story.extend(rest);
        story
    };
    // Ports that are not those after the media's, or whose media are not answered.
    let stray = |ports: [u16; 2]| {
        let [_, here] = ports;
        Ok::<_, anyhow::Error>(vec![
            from_remote(ports, As(Signal::Datagram, here))?,
            refusal(ports, As(Signal::RefusedIcmp, here))?,
        ])
    };
    check_stories(vec![
        (
            "media that the remote began",
            begins_with(
                media(Remote, [THERE, HERE])?,
                vec![
                    from_remote(control, session)?,
                    refusal(control, Nothing)?,
                    // A flood there is no less visible than one of the media.
                    from_remote(control, session)?,
                    from_remote(control, session)?,
                    from_host(control, Nothing)?,
                ],
            ),
        ),
        (
            "media that this host began",
            begins_with(
                media(Host, [THERE, HERE])?,
                vec![
                    from_remote(control, Nothing)?,
                    refusal(control, Nothing)?,
                    from_remote(control, Nothing)?,
                    from_host(control, Nothing)?,
                ],
            ),
        ),
        (
            "media without an answer",
            begins_with(
                vec![from_remote([THERE, HERE], As(Signal::Datagram, HERE))?],
                stray(control)?,
            ),
        ),
        (
            "another port of the remote",
            begins_with(media(Remote, [THERE, HERE])?, stray([THERE + 3, HERE + 1])?),
        ),
        (
            "another port of this host",
            begins_with(media(Remote, [THERE, HERE])?, stray([THERE + 1, HERE + 3])?),
        ),
        (
            "media at odd ports",
            begins_with(
                media(Remote, [THERE + 1, HERE + 1])?,
                stray([THERE + 2, HERE + 2])?,
            ),
        ),
        (
            "the ports before those of media",
            begins_with(
                media(Remote, [THERE + 2, HERE + 2])?,
                stray([THERE + 1, HERE + 1])?,
            ),
        ),
    ])
}
