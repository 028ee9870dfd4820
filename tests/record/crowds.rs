//! Who sends so much that not all of it can be kept: what is about a scan is kept first.

use anyhow::{Result, ensure};
use recon_tests::frame::{self, syn};
use recon_tests::lab::{ATTACKER, HOST};

use super::{FIRST_PORT, Recording, dump, probed_ports};

/// Ports that a scanner probes once each: more than the threshold, and less than a file has.
const PROBED: u16 = 30;

/// What a scanner sends beside its probes, to crowd them out.
struct Decoys {
    source: [u8; 4],
    is_ping: bool,
    before_scan: u16,
    before_each: u16,
}

/// All of them in one lab and poll: a source's records are its own.
const DECOYS: &[Decoys] = &[
    Decoys {
        source: [198, 19, 1, 1],
        is_ping: true,
        before_scan: 0,
        before_each: 20,
    },
    Decoys {
        source: [198, 19, 2, 1],
        is_ping: false,
        before_scan: 3000,
        before_each: 0,
    },
    Decoys {
        source: [198, 19, 3, 1],
        is_ping: false,
        before_scan: 0,
        before_each: 20,
    },
];
/// The port whose probes are repeated.
const REPEATED: u16 = 80;

#[test]
fn neither_pings_nor_repeats_hide_a_probe() -> Result<()> {
    let recording = Recording::start("", "--interval 2s")?;
    recording.agent.wait_poll()?;
    let sender = recording.lab.sender()?;
    for decoys in DECOYS {
        let path = frame::Path::new(decoys.source, HOST);
        let decoy = match decoys.is_ping {
            true => path.echo(1)?,
            false => path.tcp(syn(REPEATED), &[])?,
        };
        let send_decoys = |count| (0..count).try_for_each(|_| sender.send(&decoy));
        send_decoys(decoys.before_scan)?;
        for port in FIRST_PORT..FIRST_PORT + PROBED {
            send_decoys(decoys.before_each)?;
            sender.send(&path.tcp(syn(port), &[])?)?;
        }
    }
    for decoys in DECOYS {
        let source = std::net::Ipv4Addr::from(decoys.source).to_string();
        let is_of_source =
            |alert: &recon_tests::Alert| alert.text("source.ip").is_some_and(|ip| ip == source);
        let (_, file) = recording.evidence_about("port-scan", "distinct_ports", is_of_source)?;
        let packets = dump(&recording.lab, &file)?;
        let mut probed = probed_ports(&packets)?;
        probed.retain(|&port| port != REPEATED);
        let is_complete = probed.iter().copied().eq(FIRST_PORT..FIRST_PORT + PROBED);
        ensure!(is_complete, "{source}: {packets:?}");
    }
    let stopped = recording.agent.stop()?;
    let text = "failed=0 lost_packets=0";
    ensure!(stopped.seen.has_logged(text), "{}", stopped.seen);
    Ok(())
}

/// Sources of a packet each, as many as fill the ring several times between two polls, and a
/// scanner among them.
#[test]
fn a_flood_hides_no_scan() -> Result<()> {
    const FLOOD: u32 = 30_000;
    const SCANNED: u32 = 30;
    let recording = Recording::start("", "--interval 2s")?;
    recording.agent.wait_poll()?;
    let sender = recording.lab.sender()?;
    let scanner = frame::Path::new(ATTACKER, HOST);
    for number in 0..FLOOD {
        if number % (FLOOD / SCANNED) == 0 {
            let port = FIRST_PORT + u16::try_from(number / (FLOOD / SCANNED))?;
            sender.send(&scanner.tcp(syn(port), &[])?)?;
        }
        let [.., third, last] = number.to_be_bytes();
        let source = frame::Path::new([198, 19, third, last], HOST);
        sender.send(&source.tcp(syn(80), &[])?)?;
    }
    let (_, file) = recording.evidence("port-scan", "distinct_ports")?;
    let packets = dump(&recording.lab, &file)?;
    let from = format!("IP {ATTACKER}.");
    let scanned = packets.iter().filter(|line| line.contains(&from)).count();
    let stopped = recording.agent.stop()?;
    ensure!(scanned as u32 == SCANNED, "{packets:?}\n{}", stopped.seen);
    let text = "packets had no room";
    ensure!(stopped.seen.has_logged(text), "{}", stopped.seen);
    Ok(())
}
