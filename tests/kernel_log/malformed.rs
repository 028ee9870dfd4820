//! Frames that can't be read, each by another mistake.

use std::net::Ipv6Addr;

use anyhow::Result;
use recon_tests::frame::{Path, data, double_tagged, syn, tagged, with_options};
use recon_tests::lab::{ATTACKER, ATTACKER6, HOST, HOST6};

/// Whether the attacker sends a frame, or the host.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    In,
    Out,
}

/// A frame, and what the log says of it.
#[derive(Debug)]
pub(crate) struct Malformed {
    pub(crate) name: &'static str,
    pub(crate) way: Way,
    pub(crate) bytes: Vec<u8>,
    pub(crate) reason: &'static str,
    /// Where parsing stops. None behind the bytes that the kernel sends.
    pub(crate) offset: Option<usize>,
}

/// A frame with the first bytes of a SYN's header.
pub(crate) fn cut_syn() -> Result<Vec<u8>> {
    Ok(cut(Path::new(ATTACKER, HOST).tcp(syn(80), &[])?, 40))
}

fn cut(mut frame: Vec<u8>, length: usize) -> Vec<u8> {
    frame.truncate(length);
    frame
}

/// The frame with another byte in one place.
fn with(mut frame: Vec<u8>, at: usize, byte: u8) -> Vec<u8> {
    frame[at] = byte;
    frame
}

/// More options headers than the parser follows, which leave no room for another header.
const OPTIONS: u16 = 182;
/// The longest frame of an Ethernet.
const LONGEST: usize = 1514;

pub(crate) fn malformed() -> Result<Vec<Malformed>> {
    let (v4, v6) = (Path::new(ATTACKER, HOST), Path::new(ATTACKER6, HOST6));
    // To nobody, who would answer.
    let elsewhere = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9);
    let from_nobody = Path::new(Ipv6Addr::UNSPECIFIED, elsewhere);
    let back = Path::new(HOST, ATTACKER);
    let syn4 = || v4.tcp(syn(80), &[]);
    let rows = [
        (
            "an IPv4 header of 16 bytes",
            Way::In,
            with(syn4()?, 14, 0x44),
            "malformed",
            Some(14),
        ),
        (
            "version 5",
            Way::In,
            with(syn4()?, 14, 0x55),
            "malformed",
            Some(14),
        ),
        (
            "a datagram shorter than its header",
            Way::In,
            with(syn4()?, 17, 19),
            "malformed",
            Some(14),
        ),
        (
            "a cut IPv4 header",
            Way::In,
            cut(syn4()?, 30),
            "truncated",
            Some(14),
        ),
        (
            "options beyond the end",
            Way::In,
            with(with(syn4()?, 14, 0x4f), 17, 80),
            "truncated",
            Some(74),
        ),
        ("a cut SYN", Way::In, cut_syn()?, "truncated", Some(34)),
        (
            "a SYN that ends before its flags",
            Way::In,
            with(syn4()?, 17, 30),
            "truncated",
            Some(34),
        ),
        (
            "a cut UDP header",
            Way::In,
            cut(v4.udp([40_000, 7], b"recon")?, 38),
            "truncated",
            Some(34),
        ),
        (
            "a TCP header of 16 bytes",
            Way::In,
            with(v4.tcp(data(80), b"GET ")?, 46, 0x40),
            "malformed",
            Some(34),
        ),
        (
            "a cut SYN over IPv6",
            Way::In,
            cut(v6.tcp(syn(80), &[])?, 60),
            "truncated",
            Some(54),
        ),
        (
            "IPv6 from nobody",
            Way::In,
            from_nobody.tcp(syn(80), &[])?,
            "malformed",
            Some(22),
        ),
        (
            "more options than anybody follows",
            Way::In,
            cut(with_options(&v6.udp([40_000, 7], &[])?, OPTIONS), LONGEST),
            "too_deep",
            None,
        ),
        (
            "three tags of its own",
            Way::Out,
            tagged(&double_tagged(&back.tcp(syn(80), &[])?), 9),
            "too_deep",
            Some(22),
        ),
        (
            "its own cut SYN",
            Way::Out,
            cut(back.tcp(syn(80), &[])?, 40),
            "truncated",
            Some(34),
        ),
    ];
    let rows = rows.into_iter();
    let rows = rows.map(|(name, way, bytes, reason, offset)| Malformed {
        name,
        way,
        bytes,
        reason,
        offset,
    });
    Ok(rows.collect())
}
