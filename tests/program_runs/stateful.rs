//! What one frame can't show: answers to this host's own datagrams, aborted and forwarded
//! connections.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use etherparse::TcpHeader;
use recon_common::Direction::{self, In, Out};
use recon_common::Signal;
use recon_common::protocol::{ETHERNET_HEADER, icmp, port};
use recon_tests::frame::{Path, segment};

use crate::Counted::{self, As, Nothing};
use crate::kernel::Kernel;
use crate::model::Model;
use crate::outbound::{LOCAL_V4, LOCAL_V6, REMOTE_V4, REMOTE_V6, dns_query, dns_reply};

/// A frame, and what it counts as after the previous ones.
type Step = (Direction, Vec<u8>, Counted);

const PORT: u16 = 8080;
const CLIENT: u16 = 40_000;

fn inward() -> Path {
    Path::new(REMOTE_V4, LOCAL_V4)
}

fn outward() -> Path {
    Path::new(LOCAL_V4, REMOTE_V4)
}

fn fin() -> Result<Vec<u8>> {
    inward().tcp(
        TcpHeader {
            fin: true,
            ack: true,
            ..segment([CLIENT, PORT])
        },
        &[],
    )
}

#[test]
fn a_frame_counts_by_what_came_before() -> Result<()> {
    let abort = TcpHeader {
        rst: true,
        ack: true,
        sequence_number: 77,
        ..segment([PORT, CLIENT])
    };
    // Answers a segment that had an ACK.
    let reset = TcpHeader {
        rst: true,
        sequence_number: 77,
        ..segment([PORT, CLIENT])
    };
    let close = TcpHeader {
        fin: true,
        ack: true,
        ..segment([PORT, CLIENT])
    };
    let late_reply = inward().udp([port::DNS, PORT], &dns_reply())?;
    let late_reply_refused = outward().icmp_error(
        [icmp::UNREACHABLE, icmp::PORT_UNREACHABLE],
        &late_reply[ETHERNET_HEADER..],
    )?;
    let hit = As(Signal::Datagram, PORT);
    let sent = As(Signal::DatagramSent, PORT);
    let asked = As(Signal::DnsQueryUdp, port::DNS);
    let asks = As(Signal::DnsSentUdp, port::DNS);
    let from_v6 = |ports| Path::new(REMOTE_V6, LOCAL_V6).udp(ports, b"x");
    let to_v6 = |ports| Path::new(LOCAL_V6, REMOTE_V6).udp(ports, b"x");
    let stories: Vec<(&str, Vec<Step>)> = vec![
        (
            "a datagram's answer",
            vec![
                (In, inward().udp([port::DNS, PORT], b"x")?, hit),
                (
                    Out,
                    outward().udp([PORT, port::DNS], &dns_query())?,
                    As(Signal::DnsSentUdp, port::DNS),
                ),
                (In, late_reply, Nothing),
                (In, inward().udp([port::DNS + 1, PORT], b"x")?, hit),
                (
                    In,
                    inward().udp([port::DNS, PORT + 1], b"x")?,
                    As(Signal::Datagram, PORT + 1),
                ),
                (
                    In,
                    Path::new([198, 51, 100, 8], LOCAL_V4).udp([port::DNS, PORT], b"x")?,
                    hit,
                ),
                (Out, late_reply_refused, Nothing),
            ],
        ),
        (
            "a client's second datagram, once it was answered",
            vec![
                (In, from_v6([CLIENT, PORT])?, hit),
                (Out, to_v6([PORT, CLIENT])?, As(Signal::AnsweredUdp, PORT)),
                (In, from_v6([CLIENT, PORT])?, Nothing),
                (Out, to_v6([PORT, CLIENT])?, Nothing),
            ],
        ),
        (
            "datagrams of a flow that this host began",
            vec![
                (Out, outward().udp([CLIENT, PORT], b"x")?, sent),
                (Out, outward().udp([CLIENT, PORT], b"x")?, Nothing),
                (In, inward().udp([PORT, CLIENT], b"x")?, Nothing),
                (Out, outward().udp([CLIENT, PORT], b"x")?, Nothing),
                (Out, outward().udp([CLIENT + 1, PORT], b"x")?, sent),
                (
                    Out,
                    outward().udp([CLIENT, PORT + 1], b"x")?,
                    As(Signal::DatagramSent, PORT + 1),
                ),
            ],
        ),
        (
            "a name server's client",
            vec![
                (In, inward().udp([CLIENT, port::DNS], &dns_query())?, asked),
                (
                    Out,
                    outward().udp([port::DNS, CLIENT], &dns_reply())?,
                    As(Signal::AnsweredUdp, port::DNS),
                ),
                (In, inward().udp([CLIENT, port::DNS], &dns_query())?, asked),
                (
                    Out,
                    outward().udp([port::DNS, CLIENT], &dns_reply())?,
                    Nothing,
                ),
            ],
        ),
        (
            "a resolver that asks from one port",
            vec![
                (Out, outward().udp([CLIENT, port::DNS], &dns_query())?, asks),
                (
                    In,
                    inward().udp([port::DNS, CLIENT], &dns_reply())?,
                    Nothing,
                ),
                (Out, outward().udp([CLIENT, port::DNS], &dns_query())?, asks),
                (Out, outward().udp([CLIENT, port::DNS], b"hello")?, Nothing),
            ],
        ),
        (
            "a reset on the ports of a flow of datagrams",
            vec![
                (In, inward().udp([CLIENT, PORT], b"x")?, hit),
                (Out, outward().tcp(reset.clone(), &[])?, Nothing),
            ],
        ),
        (
            "a Maimon probe, refused by a reset without ACK",
            vec![
                (Out, outward().tcp(reset.clone(), &[])?, Nothing),
                (In, fin()?, As(Signal::MaimonProbe, PORT)),
                (
                    Out,
                    outward().tcp(reset.clone(), &[])?,
                    As(Signal::RefusedTcp, PORT),
                ),
            ],
        ),
        (
            "the FIN that comes long after this host has closed",
            vec![
                (In, fin()?, As(Signal::MaimonProbe, PORT)),
                (Out, outward().tcp(close, &[])?, Nothing),
                (In, fin()?, Nothing),
            ],
        ),
        (
            "the FIN that comes after this host has aborted",
            vec![
                (In, fin()?, As(Signal::MaimonProbe, PORT)),
                (Out, outward().tcp(abort, &[])?, Nothing),
                (In, fin()?, Nothing),
            ],
        ),
    ];
    let mut kernel = Kernel::in_own_namespace()?;
    for (name, story) in stories {
        let model = Model::default();
        for (step, (direction, frame, counted)) in story.into_iter().enumerate() {
            assert_eq!(
                model.run(direction, &frame).counted,
                counted,
                "{name}, step {step}: the host build"
            );
            for outcome in kernel.run(direction, &frame)? {
                assert_eq!(
                    outcome.unwrap_verdict().counted,
                    counted,
                    "{name}, step {step}: the kernel"
                );
            }
        }
        kernel.forget_flows()?;
    }
    Ok(())
}

#[test]
fn the_fin_of_a_guests_connection_is_not_a_probe() -> Result<()> {
    let mut kernel = Kernel::in_own_namespace()?;
    assert_counted(
        &mut kernel,
        As(Signal::MaimonProbe, PORT),
        "no route to the guest",
    )?;
    // Routes in this thread's own namespace: a guest behind this host.
    for command in [
        "ip link set lo up",
        "ip link add guests type veth peer name guest",
        "ip addr add 203.0.113.254/24 dev guests",
        "ip link set guest up",
        "ip link set guests up",
        "ip route add 198.51.100.0/24 dev guests",
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        let status = Command::new(words[0])
            .args(&words[1..])
            .status()
            .with_context(|| command.to_owned())?;
        ensure!(status.success(), "{command}: {status}");
    }
    fs::write("/proc/sys/net/ipv4/conf/all/forwarding", "1").context("forwarding")?;
    assert_counted(&mut kernel, Nothing, "forwarded to the guest")
}

fn assert_counted(kernel: &mut Kernel, counted: Counted, when: &str) -> Result<()> {
    for outcome in kernel.run(In, &fin()?)? {
        assert_eq!(outcome.unwrap_verdict().counted, counted, "{when}");
    }
    Ok(())
}
