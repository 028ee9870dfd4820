//! Which of the SYN-ACKs that nobody asked for excuse a reset: those that the stack resets itself.
//!
//! Each story ends with an ACK and the reset that answers it. Without an excuse that is a refusal.

use anyhow::Result;
use etherparse::{TcpHeader, TcpOptionElement};
use recon_common::Signal;
use recon_common::protocol::ETHERNET_HEADER;
use recon_tests::frame::{segment, tagged, with_options};

use crate::Counted::{As, Nothing};
use crate::mangle::with_byte;
use crate::story::By::{Host, Remote};
use crate::story::{
    CLIENT, PORT, Story, TRANSPORT, check_stories, inward, inward_v6, outward, outward_v6,
};

/// Where IPv4 has its flags, and TCP its checksum.
const FRAGMENT: usize = ETHERNET_HEADER + 6;
const MORE_FRAGMENTS: u8 = 0x20;
const CHECKSUM: usize = TRANSPORT + 16;

/// A SYN-ACK, an ACK behind it, and the reset.
fn story(name: &'static str, syn_ack: Vec<u8>, is_excused: bool) -> Result<Story> {
    let stray = As(Signal::StraySynAck, PORT);
    let ack = TcpHeader {
        ack: true,
        ..segment([CLIENT, PORT])
    };
    let reset = TcpHeader {
        rst: true,
        sequence_number: 77,
        ..segment([PORT, CLIENT])
    };
    let is_v6 = syn_ack[ETHERNET_HEADER] >> 4 == 6;
    let (there, back) = if is_v6 {
        (inward_v6(), outward_v6())
    } else {
        (inward(), outward())
    };
    let refused = As(Signal::RefusedTcp, PORT);
    let answered = if is_excused { Nothing } else { refused };
    Ok((
        name,
        vec![
            (Remote, syn_ack, stray),
            (Remote, there.tcp(ack, &[])?, Nothing),
            (Host, back.tcp(reset, &[])?, answered),
        ],
    ))
}

#[test]
fn a_syn_ack_excuses_a_reset_if_the_stack_takes_it() -> Result<()> {
    let plain = TcpHeader {
        syn: true,
        ack: true,
        acknowledgment_number: 77,
        ..segment([CLIENT, PORT])
    };
    let mut long = plain.clone();
    long.set_options(&[
        TcpOptionElement::MaximumSegmentSize(1460),
        TcpOptionElement::SelectiveAcknowledgementPermitted,
        TcpOptionElement::Timestamp(0xffff_fffe, 0x8000_0001),
        TcpOptionElement::WindowScale(7),
    ])?;
    let mut longest = plain.clone();
    longest.set_options_raw(&[1; 40])?;
    let whole = inward().tcp(plain.clone(), &[])?;
    let with_long = inward().tcp(long.clone(), &[])?;
    let over_v6 = inward_v6().tcp(long.clone(), &[])?;
    let changed = |frame: &[u8], at: usize| with_byte(frame, at, !frame[at]);
    check_stories(vec![
        story("as a reflector sends it", with_long.clone(), true)?,
        story("without options", whole.clone(), true)?,
        story(
            "with as many options as there can be",
            inward().tcp(longest, &[])?,
            true,
        )?,
        story("over IPv6", over_v6.clone(), true)?,
        story("under a VLAN tag", tagged(&whole, 7), true)?,
        story("with a bad checksum", changed(&whole, CHECKSUM), false)?,
        story(
            "with another option than its checksum is of",
            changed(&with_long, with_long.len() - 1),
            false,
        )?,
        story(
            "over IPv6, with a bad checksum",
            changed(&over_v6, over_v6.len() - 1),
            false,
        )?,
        story("behind extension headers", with_options(&over_v6, 1), false)?,
        story("with data", inward().tcp(long, b"data")?, false)?,
        story(
            "in fragments",
            with_byte(&whole, FRAGMENT, MORE_FRAGMENTS),
            false,
        )?,
    ])
}
