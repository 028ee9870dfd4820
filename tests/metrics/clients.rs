//! Polls go on and no frame is lost, whatever clients do.

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow, ensure};
use recon_tests::Lab;
use recon_tests::frame::{Path, syn};
use recon_tests::scrape::{Address, Samples, Scraper, Stream};

use super::{start, tcp, unix};

/// Connections that are opened one after the other.
const CONNECTIONS: usize = 10_000;
/// Of these so many stay open and say nothing more.
const OPEN: usize = 500;
/// Bytes of a header that is too long.
const HUGE: usize = 1 << 20;
/// An address that the host forwards to.
const TARGET: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 200));
const SOURCE: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 1);
/// Frames that are sent meanwhile.
const FRAMES: u64 = 20_000;

/// What one client does before it goes, or stays.
fn annoy(stream: &mut dyn Stream, number: usize) {
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    // The agent may hang up at any byte.
    let _ = match number % 7 {
        // Says nothing.
        0 => Ok(()),
        // Half of a request.
        1 => stream.write_all(&request[..number % request.len()]),
        // Many requests at once, whose answers nobody reads.
        2 => stream.write_all(&request.repeat(20)),
        3 => stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        // A body without an end.
        4 => stream
            .write_all(b"POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n"),
        // Reads a little of the answer.
        5 => stream
            .write_all(request)
            .and_then(|()| stream.read(&mut [0; 8]).map(drop)),
        _ => stream.write_all(request),
    };
}

/// Frames come, and clients of all kinds. Returns how many scrapes of a client that behaves failed
/// meanwhile, and how many were answered.
fn annoy_meanwhile(lab: &Lab, scraper: Scraper<'_>) -> Result<[u32; 2]> {
    let sender = lab.sender()?;
    let frame = Path::new(SOURCE, TARGET).tcp(syn(80), &[])?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let flood = scope.spawn(|| (0..FRAMES).try_for_each(|_| sender.send(&frame)));
        let mut open = Vec::new();
        let host = scraper.host;
        // One that behaves, all the time.
        let behaving = scope.spawn(|| -> Result<[u32; 2]> {
            let mut answered = [0, 0];
            while !is_over.load(Ordering::Relaxed) {
                let has_answer = scraper.scrape().is_ok();
                answered[usize::from(has_answer)] += 1;
            }
            Ok(answered)
        });
        let annoyed = host.enter(|| {
            for number in 0..CONNECTIONS {
                let mut stream = scraper.connect_inside()?;
                annoy(&mut *stream, number);
                if open.len() < OPEN {
                    open.push(stream);
                }
            }
            let mut huge = scraper.connect_inside()?;
            let _ = huge.write_all(b"GET /metrics HTTP/1.1\r\nX: ");
            let _ = huge.write_all(&vec![b'x'; HUGE]);
            Ok(())
        });
        is_over.store(true, Ordering::Relaxed);
        let behaved = behaving
            .join()
            .map_err(|_| anyhow!("a scraper panicked"))??;
        annoyed?;
        // The others are still there. Polls that were late are a reason for 503.
        scraper.get("/healthz", "")?;
        drop(open);
        flood.join().map_err(|_| anyhow!("the sender panicked"))??;
        Ok(behaved)
    })
}

fn check(lab: &Lab, address: &Address) -> Result<()> {
    lab.attacker().set("ipv6/conf/all/disable_ipv6", 1)?;
    let agent = start(lab, address, "")?;
    let scraper = Scraper::new(lab, address);
    agent.wait_poll()?;
    let before = scraper.scrape()?;
    let begun = Instant::now();
    let [failed, answered] = annoy_meanwhile(lab, scraper)?;
    println!("{answered} scrapes were answered meanwhile, {failed} were not");
    ensure!(answered > 9 * failed, "{answered} answered, {failed} not");
    let syns = |samples: &Samples| samples.sum("recon_signals_total", &["kind=\"syn\""]);
    let after = scraper.wait_for(&agent, "all frames", |samples| syns(samples) >= FRAMES)?;
    let took = begun.elapsed();
    ensure!(syns(&after) == FRAMES, "{after}");
    let count = |samples: &Samples, metric: &str| samples.sum(metric, &[]);
    let grown = |metric: &str| count(&after, metric) - count(&before, metric);
    // How many depends on the machine: clients keep its processors busy.
    let polls = grown("recon_polls_total");
    ensure!(polls > 0, "{after}");
    println!(
        "{polls} polls in {took:?}, {} missed, {} failed",
        grown("recon_missed_polls_total"),
        grown("recon_failed_polls_total")
    );
    let descriptors = fs::read_dir(format!("/proc/{}/fd", agent.pid()))?.count();
    ensure!(descriptors < 200, "{descriptors} descriptors are left open");
    ensure!(agent.stop()?.status.success());
    Ok(())
}

#[test]
fn polls_go_on_whatever_clients_do() -> Result<()> {
    check(&Lab::new()?, &tcp())?;
    let folder = tempfile::tempdir()?;
    check(&Lab::new()?, &unix(folder.path()))
}
