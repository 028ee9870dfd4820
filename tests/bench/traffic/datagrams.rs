//! Datagrams: questions of DNS with their answers, and calls that go on for long.
//!
//! In: draws. Out: frames.

use std::net::IpAddr;

use anyhow::Result;
use recon_tests::dns::QUERY;
use recon_tests::frame::Path;

use super::ends;
use crate::random::Random;

const DNS: u16 = 53;
/// Where calls go: QUIC.
const CALL: u16 = 443;
const FIRST_PORT: u64 = 32_768;
const PORTS: u64 = 28_000;
/// Bytes of a datagram of a call.
const LENGTHS: std::ops::RangeInclusive<u64> = 60..=1200;
/// Bytes of an answer of DNS behind the question.
const RECORD: usize = 64;
/// Calls at a time, and the share of datagrams with which one ends.
const CALLS: usize = 20;
const END_SHARE: f64 = 0.001;
/// The bit of a DNS header that marks an answer.
const ANSWER: (usize, u8) = (2, 0x80);

fn client_port(random: &mut Random) -> u16 {
    (FIRST_PORT + random.below(PORTS)) as u16
}

/// A question and its answer.
pub(super) fn question(random: &mut Random) -> Result<[Vec<u8>; 2]> {
    let (client, server) = ends(random);
    let port = client_port(random);
    let mut answer = [QUERY, &[0; RECORD]].concat();
    let (at, bit) = ANSWER;
    if let Some(flags) = answer.get_mut(at) {
        *flags |= bit;
    }
    Ok([
        Path::new(client, server).udp([port, DNS], QUERY)?,
        Path::new(server, client).udp([DNS, port], &answer)?,
    ])
}

/// Calls between clients and servers.
#[derive(Default)]
pub(super) struct Calls(Vec<(IpAddr, IpAddr, u16)>);

impl Calls {
    pub(super) fn next_datagram(&mut self, random: &mut Random) -> Result<Vec<u8>> {
        let Self(calls) = self;
        if calls.len() < CALLS {
            let (client, server) = ends(random);
            let port = client_port(random);
            calls.push((client, server, port));
            return Path::new(client, server).udp([port, CALL], &[b'x'; 1200]);
        }
        let place = random.below(calls.len() as u64) as usize;
        let (client, server, port) = calls[place];
        if random.chance(END_SHARE) {
            calls.swap_remove(place);
        }
        let data = vec![b'x'; random.within(LENGTHS) as usize];
        match random.chance(0.5) {
            true => Path::new(client, server).udp([port, CALL], &data),
            false => Path::new(server, client).udp([CALL, port], &data),
        }
    }
}
