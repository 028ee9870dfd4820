//! What is behind the headers stays in the kernel, but for as many bytes as the operator asks for.

use anyhow::{Result, ensure};
use recon_tests::frame::{self, data, syn};
use recon_tests::lab::{ATTACKER, HOST};
use recon_tests::rows;

use super::{FIRST_PORT, INTERVAL, PORTS, Recording, files, has};

/// What must be in a file only if bytes of payloads were asked for.
const MARK: &[u8] = b"SECRET-OF-A-CLIENT";
/// How many of them are asked for, and what is behind these: in no file.
const ASKED: &str = "[record]\npayload = 32\n";
const ASKED_BYTES: usize = 32;
const BEHIND: &[u8] = b"BEHIND-WHAT-IS-ASKED-FOR";

/// UDP probes, which this host refuses by messages that quote them, and SYNs with data; and GET
/// requests of another remote, since a remote has so many packets in each poll.
fn send_marks(recording: &Recording) -> Result<()> {
    const REQUESTS: u16 = 110;
    let sender = recording.lab.sender()?;
    let path = frame::Path::new(ATTACKER, HOST);
    let mut payload = MARK.to_vec();
    payload.resize(ASKED_BYTES, b'.');
    payload.extend_from_slice(BEHIND);
    for port in FIRST_PORT..FIRST_PORT + PORTS {
        sender.send(&path.udp([40_000, port], &payload)?)?;
        sender.send(&path.tcp(syn(port + PORTS), &payload)?)?;
    }
    let mut request = [b"GET /", MARK].concat();
    request.resize(ASKED_BYTES, b'.');
    request.extend_from_slice(BEHIND);
    let client = frame::Path::new([198, 19, 0, 1], HOST);
    for _ in 0..REQUESTS {
        sender.send(&client.tcp(data(80), &request)?)?;
    }
    Ok(())
}

#[test]
fn payloads_stay_in_the_kernel_unless_asked_for() {
    let modes = ["--xdp native", "--xdp off"];
    let all = modes.map(|mode| [(mode, ""), (mode, ASKED)]);
    rows::check(
        all.as_flattened(),
        |(mode, settings)| {
            if settings.is_empty() {
                mode
            } else {
                "32 bytes"
            }
        },
        |(mode, settings)| {
            let recording = Recording::start(settings, &format!("{INTERVAL} {mode}"))?;
            send_marks(&recording)?;
            let mut found = Vec::new();
            for (rule, measure) in [("port-scan", "distinct_ports"), ("http-flood", "count")] {
                recording.evidence(rule, measure)?;
            }
            let folder = recording.folder();
            recording.agent.stop()?;
            for file in files(&folder)? {
                found.push(has(&file, MARK)?);
                ensure!(!has(&file, BEHIND)?, "{}", file.display());
            }
            let expected = !settings.is_empty();
            ensure!(found.contains(&true) == expected, "{found:?}");
            Ok(())
        },
    );
}
