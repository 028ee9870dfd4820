//! What recon warns of while it runs.

use anyhow::{Result, ensure};
use recon_tests::lab::{ATTACKER_LINK, HOST_LINK};
use recon_tests::process::{run, shell};
use recon_tests::{Agent, Lab, PATIENCE, rows};

use super::INTERVAL;

const HOST: &str = "10.9.0.1";
const ATTACKER: &str = "10.9.0.2";

struct Row {
    name: &'static str,
    options: &'static str,
    is_warned: bool,
}

const ROWS: &[Row] = &[
    Row {
        name: "by default",
        options: "",
        is_warned: true,
    },
    Row {
        name: "judged too",
        options: "--include-private",
        is_warned: false,
    },
];

/// A newcomer's first lab: a scan from a private address.
#[test]
fn a_scan_from_a_private_address_is_explained() {
    rows::check(
        ROWS,
        |row| row.name,
        |row| {
            let lab = Lab::new()?;
            lab.host()
                .ip(&format!("address add {HOST}/24 dev {HOST_LINK}\n"))?;
            lab.attacker()
                .ip(&format!("address add {ATTACKER}/24 dev {ATTACKER_LINK}\n"))?;
            let agent = Agent::start(&lab, &format!("{INTERVAL} {}", row.options))?;
            let scan = format!("nmap -n -Pn -T4 --max-retries 1 -sS -p 2000-2099 {HOST}");
            run(lab.attacker(), shell(&scan), PATIENCE)?.success()?;
            agent.wait_drained(200)?;
            agent.wait_poll()?;
            let stopped = agent.stop()?;
            let warned = stopped.seen.has_logged("--include-private judges them too");
            ensure!(warned == row.is_warned, "{}", stopped.seen);
            let scans = stopped.seen.fired("port-scan", "distinct_ports").count();
            ensure!((scans > 0) != row.is_warned, "{}", stopped.seen);
            Ok(()) as Result<()>
        },
    );
}
