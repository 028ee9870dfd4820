//! What one frame can't show: answers to this host's own datagrams, aborted and forwarded
//! connections.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use etherparse::TcpHeader;
use recon_common::protocol::{ETHERNET_HEADER, icmp, port};
use recon_common::{Direction, Signal};
use recon_tests::frame::{Path, segment};

use crate::Counted::{self, As, Nothing};
use crate::kernel::Kernel;
use crate::outbound::{LOCAL_V4, LOCAL_V6, REMOTE_V6, dns_query, dns_reply};
use crate::story::By::{Guest, Host, Remote};
use crate::story::{CLIENT, PORT, check_stories, inward, outward};

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
    let reset_elsewhere = TcpHeader {
        source_port: PORT + 1,
        ..reset.clone()
    };
    let close = TcpHeader {
        fin: true,
        ack: true,
        ..segment([PORT, CLIENT])
    };
    let probe = |header: TcpHeader| inward().tcp(header, &[]);
    let acked = TcpHeader {
        ack: true,
        ..segment([CLIENT, PORT])
    };
    let pushed = TcpHeader {
        fin: true,
        psh: true,
        ..acked.clone()
    };
    let urgent = TcpHeader {
        fin: true,
        urg: true,
        ..acked.clone()
    };
    let syn_ack = TcpHeader {
        syn: true,
        ..acked.clone()
    };
    let aborted = TcpHeader {
        rst: true,
        sequence_number: 77,
        ..segment([CLIENT, PORT])
    };
    const SERVICE: u16 = 5432;
    let ended = |ports| TcpHeader {
        fin: true,
        ack: true,
        ..segment(ports)
    };
    let refused = As(Signal::RefusedTcp, PORT);
    let late_reply = inward().udp([port::DNS, PORT], &dns_reply())?;
    let late_reply_refused = outward().icmp_error(
        [icmp::UNREACHABLE, icmp::PORT_UNREACHABLE],
        &late_reply[ETHERNET_HEADER..],
    )?;
    let hit = As(Signal::Datagram, PORT);
    let session = As(Signal::SessionDatagram, PORT);
    let sent = As(Signal::DatagramSent, PORT);
    let asked = As(Signal::DnsQueryUdp, port::DNS);
    let asks = As(Signal::DnsSentUdp, port::DNS);
    let from_v6 = |ports| Path::new(REMOTE_V6, LOCAL_V6).udp(ports, b"x");
    let to_v6 = |ports| Path::new(LOCAL_V6, REMOTE_V6).udp(ports, b"x");
    check_stories(vec![
        (
            "a datagram's answer",
            vec![
                (Remote, inward().udp([port::DNS, PORT], b"x")?, hit),
                (
                    Host,
                    outward().udp([PORT, port::DNS], &dns_query())?,
                    As(Signal::DnsSentUdp, port::DNS),
                ),
                (Remote, late_reply, Nothing),
                (Remote, inward().udp([port::DNS + 1, PORT], b"x")?, hit),
                (
                    Remote,
                    inward().udp([port::DNS, PORT + 1], b"x")?,
                    As(Signal::Datagram, PORT + 1),
                ),
                (
                    Remote,
                    Path::new([198, 51, 100, 8], LOCAL_V4).udp([port::DNS, PORT], b"x")?,
                    hit,
                ),
                (Host, late_reply_refused, Nothing),
            ],
        ),
        (
            "a client's second datagram, once it was answered",
            vec![
                (Remote, from_v6([CLIENT, PORT])?, hit),
                (Host, to_v6([PORT, CLIENT])?, As(Signal::AnsweredUdp, PORT)),
                (Remote, from_v6([CLIENT, PORT])?, session),
                (Host, to_v6([PORT, CLIENT])?, Nothing),
                (Remote, from_v6([CLIENT, PORT])?, session),
                (Remote, from_v6([CLIENT + 1, PORT])?, hit),
            ],
        ),
        (
            "a client whose answered socket is gone",
            vec![
                (Remote, inward().udp([CLIENT, PORT], b"x")?, hit),
                (
                    Host,
                    outward().udp([PORT, CLIENT], b"x")?,
                    As(Signal::AnsweredUdp, PORT),
                ),
                (Remote, inward().udp([CLIENT, PORT], b"x")?, session),
                (
                    Host,
                    outward().icmp_error(
                        [icmp::UNREACHABLE, icmp::PORT_UNREACHABLE],
                        &inward().udp([CLIENT, PORT], b"x")?[ETHERNET_HEADER..],
                    )?,
                    As(Signal::RefusedIcmp, PORT),
                ),
            ],
        ),
        (
            "datagrams of a flow that this host began",
            vec![
                (Host, outward().udp([CLIENT, PORT], b"x")?, sent),
                (Host, outward().udp([CLIENT, PORT], b"x")?, Nothing),
                (
                    Remote,
                    inward().udp([PORT, CLIENT], b"x")?,
                    As(Signal::ReplyReceived, PORT),
                ),
                (Host, outward().udp([CLIENT, PORT], b"x")?, Nothing),
                (Remote, inward().udp([PORT, CLIENT], b"x")?, Nothing),
                (Host, outward().udp([CLIENT, PORT], b"x")?, Nothing),
                (Host, outward().udp([CLIENT + 1, PORT], b"x")?, sent),
                (
                    Host,
                    outward().udp([CLIENT, PORT + 1], b"x")?,
                    As(Signal::DatagramSent, PORT + 1),
                ),
            ],
        ),
        (
            "a name server's client",
            vec![
                (
                    Remote,
                    inward().udp([CLIENT, port::DNS], &dns_query())?,
                    asked,
                ),
                (
                    Host,
                    outward().udp([port::DNS, CLIENT], &dns_reply())?,
                    As(Signal::AnsweredUdp, port::DNS),
                ),
                (
                    Remote,
                    inward().udp([CLIENT, port::DNS], &dns_query())?,
                    asked,
                ),
                (
                    Host,
                    outward().udp([port::DNS, CLIENT], &dns_reply())?,
                    Nothing,
                ),
                (
                    Remote,
                    inward().udp([CLIENT, port::DNS], b"no query")?,
                    As(Signal::SessionDatagram, port::DNS),
                ),
            ],
        ),
        (
            "a resolver that asks from one port",
            vec![
                (
                    Host,
                    outward().udp([CLIENT, port::DNS], &dns_query())?,
                    asks,
                ),
                (
                    Remote,
                    inward().udp([port::DNS, CLIENT], &dns_reply())?,
                    As(Signal::ReplyReceived, port::DNS),
                ),
                (
                    Host,
                    outward().udp([CLIENT, port::DNS], &dns_query())?,
                    asks,
                ),
                (Host, outward().udp([CLIENT, port::DNS], b"hello")?, Nothing),
            ],
        ),
        (
            "a reset on the ports of a flow of datagrams",
            vec![
                (Remote, inward().udp([CLIENT, PORT], b"x")?, hit),
                (Host, outward().tcp(reset.clone(), &[])?, refused),
            ],
        ),
        (
            "a Maimon probe, refused by a reset without ACK",
            vec![
                (Remote, fin()?, As(Signal::MaimonProbe, PORT)),
                (Host, outward().tcp(reset.clone(), &[])?, refused),
            ],
        ),
        (
            "probes that look like packets of a connection, refused",
            vec![
                (Remote, probe(acked.clone())?, Nothing),
                (Host, outward().tcp(reset.clone(), &[])?, refused),
                (Remote, probe(pushed)?, Nothing),
                (Host, outward().tcp(reset.clone(), &[])?, refused),
                (Remote, probe(urgent)?, Nothing),
                (Host, outward().tcp(reset.clone(), &[])?, refused),
            ],
        ),
        (
            "an unsolicited SYN-ACK excuses one reset, of its own flow",
            vec![
                (
                    Remote,
                    probe(syn_ack.clone())?,
                    As(Signal::StraySynAck, PORT),
                ),
                (
                    Host,
                    outward().tcp(reset_elsewhere, &[])?,
                    As(Signal::RefusedTcp, PORT + 1),
                ),
                (Host, outward().tcp(reset.clone(), &[])?, Nothing),
                (Remote, probe(acked.clone())?, Nothing),
                (Host, outward().tcp(reset.clone(), &[])?, refused),
                (Remote, fin()?, As(Signal::MaimonProbe, PORT)),
            ],
        ),
        (
            "late data on connections that this host has aborted or closed",
            vec![
                (Host, outward().tcp(abort.clone(), &[])?, Nothing),
                (Remote, probe(acked.clone())?, Nothing),
                (Host, outward().tcp(reset.clone(), &[])?, Nothing),
                (Host, outward().tcp(reset.clone(), &[])?, Nothing),
            ],
        ),
        (
            "a raw scanner of this host, whose kernel resets what it did not ask for",
            vec![
                (
                    Host,
                    outward().tcp(
                        TcpHeader {
                            syn: true,
                            ..segment([PORT, CLIENT])
                        },
                        &[],
                    )?,
                    As(Signal::SynSent, CLIENT),
                ),
                (Remote, probe(syn_ack)?, As(Signal::SynAckReceived, CLIENT)),
                (Host, outward().tcp(reset.clone(), &[])?, Nothing),
            ],
        ),
        (
            "the FIN that comes long after this host has closed",
            vec![
                (Remote, fin()?, As(Signal::MaimonProbe, PORT)),
                (Host, outward().tcp(close, &[])?, Nothing),
                (Remote, fin()?, Nothing),
            ],
        ),
        (
            "the FIN that comes after this host has aborted",
            vec![
                (Remote, fin()?, As(Signal::MaimonProbe, PORT)),
                (Host, outward().tcp(abort, &[])?, Nothing),
                (Remote, fin()?, Nothing),
            ],
        ),
        (
            "the end of a connection to a published port of a guest",
            vec![
                (
                    Guest,
                    outward().tcp(
                        TcpHeader {
                            syn: true,
                            ack: true,
                            ..segment([PORT, CLIENT])
                        },
                        &[],
                    )?,
                    As(Signal::AnsweredTcp, PORT),
                ),
                (Remote, fin()?, Nothing),
                (Remote, probe(aborted)?, Nothing),
            ],
        ),
        (
            "the end of a connection to a service, from before the start",
            vec![
                (Remote, probe(ended([SERVICE, CLIENT]))?, Nothing),
                (
                    Remote,
                    probe(ended([CLIENT, CLIENT + 1]))?,
                    As(Signal::MaimonProbe, CLIENT + 1),
                ),
                (
                    Remote,
                    probe(ended([SERVICE, PORT]))?,
                    As(Signal::MaimonProbe, PORT),
                ),
            ],
        ),
    ])
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
    for outcome in kernel.run(Direction::In, &fin()?)? {
        assert_eq!(outcome.unwrap_verdict().counted, counted, "{when}");
    }
    Ok(())
}
