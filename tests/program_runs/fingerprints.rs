//! The fingerprints of scanning tools: frames with the headers that the tools send, and frames that
//! differ in one of them.

use anyhow::Result;
use etherparse::TcpHeader;
use recon_common::protocol::{ETHERNET_HEADER, IPV4_HEADER, port};
use recon_common::{Direction, Tool};
use recon_tests::frame::{Path, segment, syn};

use crate::kernel::Kernel;
use crate::mangle::{first_fragment, with_options};
use crate::model::Model;
use crate::outbound::{LOCAL_V4, LOCAL_V6, REMOTE_V4, REMOTE_V6, dns_query};
use crate::story::{inward, outward};

const PORT: u16 = 8080;
const SEGMENT_SIZE: &[u8] = &[2, 4, 5, 0xb4];
const SEQUENCE: u32 = 0x1234_5678;
/// What masscan makes of the low halves of 203.0.113.1 and the sequence number, and of the port.
const MASSCAN: u16 = 0x7101 ^ 0x5678 ^ PORT;
const ZMAP: u16 = 54_321;
/// Any other identification.
const OTHER: u16 = 7;
/// Hops that are left of 255, and of 64.
const FROM_255: u8 = 240;
const FROM_64: u8 = 50;

/// A frame, and the tool that its key names.
struct Row {
    name: &'static str,
    frame: Vec<u8>,
    tool: Option<Tool>,
}

/// The IPv4 frame with that identification and so many hops left, without 'don't fragment'.
fn crafted(mut frame: Vec<u8>, identification: u16, hops: u8) -> Vec<u8> {
    let header = &mut frame[ETHERNET_HEADER..ETHERNET_HEADER + IPV4_HEADER];
    header[4..6].copy_from_slice(&identification.to_be_bytes());
    header[6..8].fill(0);
    header[8] = hops;
    frame
}

fn from_remote(header: TcpHeader) -> Result<Vec<u8>> {
    Path::new(REMOTE_V4, LOCAL_V4).tcp(header, &[])
}

/// A segment with that window and those options.
fn with(mut header: TcpHeader, window: u16, options: &[u8]) -> Result<TcpHeader> {
    header.window_size = window;
    header.set_options_raw(options)?;
    Ok(header)
}

fn row(name: &'static str, frame: Vec<u8>, tool: impl Into<Option<Tool>>) -> Row {
    Row {
        name,
        frame,
        tool: tool.into(),
    }
}

fn syns() -> Result<Vec<Row>> {
    let from = |window, options, identification, hops| -> Result<Vec<u8>> {
        let header = TcpHeader {
            sequence_number: SEQUENCE,
            ..syn(PORT)
        };
        let frame = from_remote(with(header, window, options)?)?;
        Ok(crafted(frame, identification, hops))
    };
    let nmap = from(1024, SEGMENT_SIZE, OTHER, FROM_64)?;
    let unfragmented = |mut frame: Vec<u8>| {
        frame[ETHERNET_HEADER + 6] = 0x40;
        frame
    };
    let bare_v6 = Path::new(REMOTE_V6, LOCAL_V6).tcp(with(syn(PORT), 64_240, &[])?, &[])?;
    let nmap_v6 = Path::new(REMOTE_V6, LOCAL_V6).tcp(with(syn(PORT), 1024, SEGMENT_SIZE)?, &[])?;
    let mirai = TcpHeader {
        sequence_number: u32::from(LOCAL_V4),
        ..syn(PORT)
    };
    let windows = [2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2];
    let timed = [
        2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7,
    ];
    Ok(vec![
        row("nmap -sS", nmap.clone(), Tool::Nmap),
        row(
            "nmap -sS under IP options",
            with_options(&nmap, 2),
            Tool::Nmap,
        ),
        row("nmap -6 -sS", nmap_v6, Tool::Nmap),
        row(
            "nmap of another age",
            from(3072, SEGMENT_SIZE, OTHER, FROM_64)?,
            Tool::Nmap,
        ),
        row(
            "that with 'don't fragment'",
            unfragmented(nmap.clone()),
            None,
        ),
        row("that in a fragment", first_fragment(&nmap, 16), None),
        row(
            "another segment size",
            from(1024, &[2, 4, 5, 0xa0], OTHER, FROM_64)?,
            None,
        ),
        row("another option", from(1024, &[1; 4], OTHER, FROM_64)?, None),
        row(
            "another window",
            from(1025, SEGMENT_SIZE, OTHER, FROM_64)?,
            None,
        ),
        row("no window", from(0, SEGMENT_SIZE, OTHER, FROM_64)?, None),
        row(
            "masscan 1.3.2",
            from(1024, &[], MASSCAN, FROM_255)?,
            Tool::Masscan,
        ),
        row(
            "masscan 1.3.9",
            from(1025, SEGMENT_SIZE, MASSCAN, FROM_255)?,
            Tool::Masscan,
        ),
        row(
            "a wrong identification",
            from(1024, &[], MASSCAN ^ 1, FROM_255)?,
            Tool::Crafted,
        ),
        row(
            "that by chance, a client's hops",
            from(4128, SEGMENT_SIZE, MASSCAN, FROM_64)?,
            None,
        ),
        row(
            "that by chance, a client's options",
            from(8192, &windows, MASSCAN, FROM_255)?,
            None,
        ),
        row("ZMap 2.1", from(65_535, &[], ZMAP, FROM_255)?, Tool::Zmap),
        row(
            "ZMap 4.0",
            from(65_535, &windows, ZMAP, FROM_255)?,
            Tool::Zmap,
        ),
        row(
            "ZMap like Linux",
            from(65_535, &timed, ZMAP, FROM_255)?,
            Tool::Zmap,
        ),
        row(
            "another identification",
            from(65_535, &[], ZMAP + 1, FROM_255)?,
            Tool::Crafted,
        ),
        row(
            "masscan's number is ZMap's by chance",
            from(65_535, &[], MASSCAN, FROM_255)?,
            Tool::Crafted,
        ),
        row(
            "ZMap's number by chance, a client's hops",
            from(65_535, &timed, ZMAP, FROM_64)?,
            None,
        ),
        row("hping3 -S", from(512, &[], OTHER, FROM_64)?, Tool::Hping),
        row(
            "hping3 with an option",
            from(512, SEGMENT_SIZE, OTHER, FROM_64)?,
            None,
        ),
        row(
            "Mirai",
            crafted(from_remote(mirai)?, OTHER, FROM_64),
            Tool::Mirai,
        ),
        row("no option", from(1024, &[], OTHER, FROM_64)?, Tool::Crafted),
        row(
            "no option, with 'don't fragment'",
            unfragmented(from(64_240, &[], OTHER, FROM_64)?),
            Tool::Crafted,
        ),
        row("no option, over IPv6", bare_v6, Tool::Crafted),
        row(
            "a small stack",
            from(5840, SEGMENT_SIZE, OTHER, FROM_64)?,
            None,
        ),
    ])
}

fn others() -> Result<Vec<Row>> {
    let odd = |header: TcpHeader, window| -> Result<Vec<u8>> {
        Ok(crafted(
            from_remote(with(header, window, &[])?)?,
            OTHER,
            FROM_64,
        ))
    };
    let null = segment([40_000, PORT]);
    let fin = TcpHeader {
        fin: true,
        ..null.clone()
    };
    let xmas = TcpHeader {
        psh: true,
        urg: true,
        ..fin.clone()
    };
    // An end that any connection may have.
    let maimon = TcpHeader {
        ack: true,
        ..fin.clone()
    };
    let datagram = |identification, hops| -> Result<Vec<u8>> {
        Ok(crafted(
            inward().udp([40_000, PORT], b"x")?,
            identification,
            hops,
        ))
    };
    let query = inward().udp([40_000, port::DNS], &dns_query())?;
    let echo = inward().echo(1)?;
    Ok(vec![
        row("nmap -sN", odd(null.clone(), 1024)?, Tool::Nmap),
        row("nmap -sF", odd(fin.clone(), 1024)?, Tool::Nmap),
        row("nmap -sX", odd(xmas.clone(), 2048)?, Tool::Nmap),
        row("nmap -sM", odd(maimon, 1024)?, None),
        row("hping3 without flags", odd(null, 512)?, Tool::Hping),
        row("hping3 -F", odd(fin, 512)?, Tool::Hping),
        row("XMAS of nobody", odd(xmas, 8192)?, None),
        row("ZMap, UDP", datagram(ZMAP, FROM_255)?, Tool::Zmap),
        row(
            "ZMap's number by chance, UDP",
            datagram(ZMAP, FROM_64)?,
            None,
        ),
        row("another number, UDP", datagram(OTHER, FROM_255)?, None),
        row("ZMap, DNS", crafted(query, ZMAP, FROM_255), Tool::Zmap),
        row(
            "ZMap, ICMP",
            crafted(echo.clone(), ZMAP, FROM_255),
            Tool::Zmap,
        ),
        row("an echo request", crafted(echo, OTHER, FROM_64), None),
    ])
}

/// The frames of all rows.
pub(crate) fn frames() -> Result<Vec<Vec<u8>>> {
    let rows = syns()?.into_iter().chain(others()?);
    Ok(rows.map(|row| row.frame).collect())
}

#[test]
fn each_probe_is_counted_under_its_tool() -> Result<()> {
    let mut kernel = Kernel::in_own_namespace()?;
    for Row { name, frame, tool } in syns()?.into_iter().chain(others()?) {
        let host = Model::default();
        let model = host.run(Direction::In, &frame);
        assert_eq!(model.tool, tool, "{name}: the host build");
        for outcome in kernel.run(Direction::In, &frame)? {
            assert_eq!(outcome.unwrap_verdict(), model, "{name}: the kernel");
        }
        kernel.forget_flows_of(&host)?;
    }
    Ok(())
}

#[test]
fn a_reply_has_no_tool_and_this_hosts_own_packets_have_none() -> Result<()> {
    let mut kernel = Kernel::in_own_namespace()?;
    let asked = outward().udp([PORT, port::DNS], &dns_query())?;
    let reply = crafted(inward().udp([port::DNS, PORT], b"x")?, ZMAP, FROM_255);
    let sent = crafted(
        outward().tcp(with(syn(PORT), 1024, SEGMENT_SIZE)?, &[])?,
        OTHER,
        FROM_64,
    );
    let model = Model::default();
    for (direction, frame) in [
        (Direction::Out, asked),
        (Direction::In, reply),
        (Direction::Out, sent),
    ] {
        let expected = model.run(direction, &frame);
        assert_eq!(expected.tool, None, "{expected:?}");
        let outcome = kernel.run(direction, &frame)?.remove(0);
        assert_eq!(outcome.unwrap_verdict(), expected);
    }
    Ok(())
}
