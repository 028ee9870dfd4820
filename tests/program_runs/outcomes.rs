//! What became of an attempt: a remote's answers to this host, and the ends of a guest's
//! connections.

use anyhow::Result;
use etherparse::TcpHeader;
use recon_common::Signal;
use recon_common::protocol::{ETHERNET_HEADER, IPV6_HEADER, icmp, icmpv6};
use recon_tests::frame::{Path, segment, syn};

use crate::Counted::{As, Nothing};
use crate::mangle::{first_fragment, with_byte};
use crate::outbound::LOCAL_V4;
use crate::story::By::{Guest, Host, Remote};
use crate::story::{
    CLIENT, PORT, TRANSPORT, check_stories, inward, inward_v6, outward, outward_v6,
};

/// The answers of a remote to what this host sends first.
#[test]
fn an_answer_counts_if_this_host_has_sent_before() -> Result<()> {
    let asked = As(Signal::SynSent, PORT);
    let probed = As(Signal::ProbeSent, PORT);
    let accepted = As(Signal::SynAckReceived, PORT);
    let refused = As(Signal::ResetReceived, PORT);
    let pinged = As(Signal::EchoSent, 0);
    let answered = As(Signal::EchoReplyReceived, 0);
    let syn_v4 = outward().tcp(syn(PORT), &[])?;
    let null = outward().tcp(segment([CLIENT, PORT]), &[])?;
    let answer = |flags: TcpHeader| inward().tcp(flags, &[]);
    let plain = segment([PORT, CLIENT]);
    let syn_ack = TcpHeader {
        syn: true,
        ack: true,
        ..plain.clone()
    };
    let refusal = TcpHeader {
        rst: true,
        ack: true,
        sequence_number: 0,
        ..plain.clone()
    };
    let abort = TcpHeader {
        sequence_number: 77,
        ..refusal.clone()
    };
    let bare = TcpHeader {
        ack: false,
        ..refusal.clone()
    };
    let host_aborts = TcpHeader {
        rst: true,
        ack: true,
        ..segment([CLIENT, PORT])
    };
    let elsewhere = TcpHeader {
        destination_port: CLIENT + 1,
        ..syn_ack.clone()
    };
    let end = TcpHeader {
        fin: true,
        ack: true,
        ..plain
    };
    let reply = with_byte(&inward().echo(1)?, TRANSPORT, icmp::ECHO_REPLY);
    let reply_v6 = with_byte(
        &inward_v6().echo(1)?,
        ETHERNET_HEADER + IPV6_HEADER,
        icmpv6::ECHO_REPLY,
    );
    let unasked = As(Signal::IcmpNotice, 0);
    let other_reply = with_byte(
        &Path::new([198, 51, 100, 8], LOCAL_V4).echo(1)?,
        TRANSPORT,
        icmp::ECHO_REPLY,
    );
    check_stories(vec![
        (
            "a connection that a remote accepts, and ends",
            vec![
                (
                    Remote,
                    answer(syn_ack.clone())?,
                    As(Signal::StraySynAck, CLIENT),
                ),
                (Host, syn_v4.clone(), asked),
                (Remote, answer(syn_ack.clone())?, accepted),
                (
                    Remote,
                    answer(elsewhere)?,
                    As(Signal::StraySynAck, CLIENT + 1),
                ),
                (Remote, answer(end)?, Nothing),
                (Remote, answer(abort.clone())?, Nothing),
            ],
        ),
        (
            "a connection that a remote accepts, over IPv6",
            vec![
                (Host, outward_v6().tcp(syn(PORT), &[])?, asked),
                (Remote, inward_v6().tcp(syn_ack.clone(), &[])?, accepted),
            ],
        ),
        (
            "a connection that a remote refuses",
            vec![
                (
                    Remote,
                    answer(refusal.clone())?,
                    As(Signal::StraySegment, CLIENT),
                ),
                (Host, syn_v4.clone(), asked),
                (Remote, answer(abort.clone())?, refused),
                (Remote, answer(bare.clone())?, refused),
                (Remote, answer(refusal.clone())?, refused),
                (
                    Remote,
                    inward_v6().tcp(refusal.clone(), &[])?,
                    As(Signal::StraySegment, CLIENT),
                ),
            ],
        ),
        (
            "a connection that a remote refuses from the ports of one that it accepted",
            vec![
                (Host, syn_v4.clone(), asked),
                (Remote, answer(syn_ack.clone())?, accepted),
                (Remote, answer(abort.clone())?, Nothing),
                (Remote, answer(bare.clone())?, Nothing),
                (Host, syn_v4.clone(), asked),
                (Remote, answer(abort.clone())?, refused),
            ],
        ),
        (
            "a client of this host that resets after this host has aborted",
            vec![
                (Host, outward().tcp(host_aborts, &[])?, Nothing),
                (Remote, answer(abort.clone())?, Nothing),
                (Remote, answer(bare)?, Nothing),
            ],
        ),
        (
            "a NULL probe that a remote refuses",
            vec![
                (Host, null, probed),
                (Remote, answer(refusal.clone())?, refused),
            ],
        ),
        (
            "a short fragment that a remote refuses",
            vec![
                (Host, first_fragment(&syn_v4, 8), probed),
                (Remote, answer(refusal)?, refused),
            ],
        ),
        (
            "the reset of a client, after this host has closed",
            vec![
                (
                    Host,
                    outward().tcp(
                        TcpHeader {
                            fin: true,
                            ack: true,
                            ..segment([CLIENT, PORT])
                        },
                        &[],
                    )?,
                    Nothing,
                ),
                (Remote, answer(abort)?, Nothing),
            ],
        ),
        (
            "pings",
            vec![
                (Remote, reply.clone(), unasked),
                (Host, outward().echo(1)?, pinged),
                (Remote, reply.clone(), answered),
                (Remote, other_reply, unasked),
                (Remote, reply_v6.clone(), unasked),
                (Host, outward().echo(2)?, pinged),
                (Remote, reply, answered),
            ],
        ),
        (
            "pings over IPv6",
            vec![
                (Remote, reply_v6.clone(), unasked),
                (Host, outward_v6().echo(1)?, pinged),
                (Remote, reply_v6, answered),
            ],
        ),
    ])
}

#[test]
fn a_guests_connection_ends_once() -> Result<()> {
    let plain = segment([PORT, CLIENT]);
    let syn_ack = TcpHeader {
        syn: true,
        ack: true,
        ..plain.clone()
    };
    let close = TcpHeader {
        fin: true,
        ack: true,
        ..plain.clone()
    };
    let abort = TcpHeader {
        rst: true,
        ack: true,
        ..plain.clone()
    };
    // To a segment that comes after the end.
    let reset = TcpHeader { rst: true, ..plain };
    let accepts = (
        outward().tcp(syn_ack.clone(), &[])?,
        As(Signal::AnsweredTcp, PORT),
    );
    let [close, abort, reset] = [close, abort, reset].map(|header| outward().tcp(header, &[]));
    let (close, abort, reset) = (close?, abort?, reset?);
    let ended = As(Signal::ForwardedEnded, PORT);
    let refused = As(Signal::RefusedTcp, PORT);
    let own_abort = TcpHeader {
        rst: true,
        ack: true,
        ..segment([CLIENT, PORT])
    };
    let accept = |by| (by, accepts.0.clone(), accepts.1);
    check_stories(vec![
        (
            "closed, and the FIN is repeated",
            vec![
                accept(Guest),
                (Guest, close.clone(), ended),
                (Guest, close.clone(), Nothing),
                (Guest, reset, Nothing),
            ],
        ),
        (
            "closed twice, from the same port of the client",
            vec![
                accept(Guest),
                (Guest, close.clone(), ended),
                accept(Guest),
                (Guest, close.clone(), ended),
            ],
        ),
        (
            "aborted",
            vec![
                accept(Guest),
                (Guest, abort.clone(), ended),
                (Guest, abort.clone(), Nothing),
            ],
        ),
        (
            "over IPv6",
            vec![
                (
                    Guest,
                    outward_v6().tcp(syn_ack, &[])?,
                    As(Signal::AnsweredTcp, PORT),
                ),
                (Guest, close.clone(), Nothing),
                (
                    Guest,
                    outward_v6().tcp(
                        TcpHeader {
                            fin: true,
                            ack: true,
                            ..segment([PORT, CLIENT])
                        },
                        &[],
                    )?,
                    ended,
                ),
            ],
        ),
        (
            "refused by a reset with a sequence number of its own",
            vec![
                (Guest, abort.clone(), refused),
                (Guest, abort.clone(), refused),
                accept(Guest),
                (Guest, abort.clone(), ended),
                (Host, abort.clone(), Nothing),
            ],
        ),
        (
            "aborted by the guest that began it",
            vec![
                (
                    Guest,
                    outward().tcp(syn(PORT), &[])?,
                    As(Signal::SynSent, PORT),
                ),
                (Guest, outward().tcp(own_abort, &[])?, Nothing),
            ],
        ),
        (
            "a connection that the guest began",
            vec![
                (
                    Guest,
                    outward().tcp(syn(PORT), &[])?,
                    As(Signal::SynSent, PORT),
                ),
                (Guest, close.clone(), Nothing),
            ],
        ),
        (
            "a connection of this host",
            vec![accept(Host), (Host, close, Nothing)],
        ),
    ])
}
