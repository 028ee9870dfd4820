//! `cargo xtask lab`: recon and real attacks on this machine, side by side.
//!
//! In: the built agent. Out: on stdout, each attack and the alerts that it caused. The watched host
//! and the attacker are two network namespaces that the lab creates and removes, so nothing leaves
//! this machine or touches its interfaces.
//! The decision held here: each attack comes from an address of its own, so that each raises its
//! own alerts.

use std::{path::Path, process::Command, process::Stdio, time::Duration};

use anyhow::{Result, ensure};
use recon_tests::lab::{ATTACKER_LINK, HOST, HOST_LINK, HOST_MAC};
use recon_tests::namespace::Namespace;
use recon_tests::process::{run, shell};
use recon_tests::{Agent, Alert, Lab, Server};

/// The web server offers no download.
const NO_DOWNLOAD: u64 = 0;
/// The deadline of a tool; each takes a second or two.
const DEADLINE: Duration = Duration::from_secs(20);
/// Polls after an attack: one may have begun before its last packet, the next one has it.
const POLLS: u32 = 2;
/// The same where recon waits for an answer, for 0.9 s.
const SETTLING_POLLS: u32 = 5;
/// Short, so that an attack's alerts appear soon after it has ended.
pub(crate) const INTERVAL: &str = "300ms";
/// The width of the attack's column.
const LEFT: usize = 44;

struct Attack {
    what: &'static str,
    by: By,
    /// `{host}` is the attacked address, `{from}` the attacking one, `{link}` the attacker's
    /// interface, `{mac}` the host's hardware address.
    command: &'static str,
}

/// Who runs a command.
#[derive(Clone, Copy)]
enum By {
    Attacker,
    /// The attacker of the row before, from the same address.
    SameAttacker,
    /// A process of the host itself; `{from}` is then the attacked address.
    Host,
}

const ATTACKS: &[Attack] = &[
    Attack {
        what: "TCP SYN scan, 1000 ports",
        by: By::Attacker,
        command: "nmap -n -Pn -sS -e {link} -S {from} {host}",
    },
    Attack {
        what: "what that one found is put to use",
        by: By::SameAttacker,
        command: "curl -sS -o /dev/null --interface {from} http://{host}/",
    },
    Attack {
        what: "XMAS scan",
        by: By::Attacker,
        command: "nmap -n -Pn -sX -p1-100 -e {link} -S {from} {host}",
    },
    Attack {
        what: "Maimon scan",
        by: By::Attacker,
        command: "nmap -n -Pn -sM -p1-100 -e {link} -S {from} {host}",
    },
    Attack {
        what: "scan in tiny fragments",
        by: By::Attacker,
        command: "nmap -n -Pn -f -p1-100 -e {link} -S {from} {host}",
    },
    Attack {
        what: "UDP scan, 40 ports",
        by: By::Attacker,
        command: "nmap -n -Pn -sU -p1-40 --max-retries 0 -e {link} -S {from} {host}",
    },
    Attack {
        what: "ping sweep over 64 addresses",
        by: By::Attacker,
        command: "nmap -n -sn -PE -e {link} -S {from} 198.18.0.0/26",
    },
    Attack {
        what: "ping flood",
        by: By::Attacker,
        command: "ping -n -q -f -c 200 -I {from} {host}",
    },
    Attack {
        what: "SMB probes",
        by: By::Attacker,
        command: "hping3 -q -n -S -p 445 -c 15 -i u2000 -a {from} {host}",
    },
    Attack {
        what: "masscan of 200 ports",
        by: By::Attacker,
        command: "timeout 4 masscan -p1-200 --rate 1000 --wait 0 --adapter {link} --adapter-ip {from} --router-mac {mac} {host}",
    },
    Attack {
        what: "SYN flood on port 80",
        by: By::Attacker,
        command: "hping3 -q -n -S -p 80 -c 800 -i u500 -a {from} {host}",
    },
    Attack {
        what: "the host itself scans, under another name",
        by: By::Host,
        command: "d=$(mktemp -d); cp $(command -v nmap) $d/updater; $d/updater -n -Pn -sT -p1-100 {from}; rm -r $d",
    },
    Attack {
        what: "the host itself scans",
        by: By::Host,
        command: "nmap -n -Pn -sS -p1-100 {from}",
    },
];

/// Runs the attacks one after the other.
pub(crate) fn run_lab(agent: &Path) -> Result<()> {
    let lab = Lab::new()?;
    let mut recon = Command::new(agent);
    // The harness waits for the log lines of polls.
    recon.args(["run", "-vv", "-i", HOST_LINK, "--interval", INTERVAL]);
    recon.args(lab.watched_sockets());
    let agent = Agent::spawn(&lab, recon, Stdio::piped())?;
    let _server = Server::web(lab.host(), NO_DOWNLOAD)?;
    print_header(&format!("recon run -i {HOST_LINK} --interval {INTERVAL}"));
    run_attacks(&lab, &agent, Some(lab.host()))?;
    let stopped = agent.stop()?;
    println!("\n{}", stopped.seen.log.last().map_or("", String::as_str));
    ensure!(
        stopped.status.success(),
        "recon ended with {}",
        stopped.status
    );
    Ok(())
}

/// Prints the line above the two columns.
pub(crate) fn print_header(watched: &str) {
    println!("{:LEFT$}{watched}", "attacker");
}

/// Runs each attack and prints it with the alerts that it causes. Without `host`, skips the attacks
/// that the host's own processes make.
pub(crate) fn run_attacks(lab: &Lab, agent: &Agent, host: Option<&Namespace>) -> Result<()> {
    let mut shown = 0;
    let mut attackers = 0;
    for Attack { what, by, command } in ATTACKS {
        attackers += u8::from(!matches!(by, By::SameAttacker));
        let from = format!("198.51.100.{}", 10 + attackers);
        if !matches!(by, By::SameAttacker) {
            lab.attacker()
                .ip(&format!("address add {from}/24 dev {ATTACKER_LINK}\n"))?;
        }
        let command = command
            .replace("{host}", &HOST.to_string())
            .replace("{from}", &from)
            .replace("{mac}", &HOST_MAC.to_string())
            .replace("{link}", ATTACKER_LINK);
        let side = match by {
            By::Attacker | By::SameAttacker => lab.attacker(),
            By::Host => match host {
                Some(host) => host,
                None => continue,
            },
        };
        // hping3's exit code says whether all its probes were answered, which does not matter here.
        run(side, shell(&command), DEADLINE)?;
        let polls = match is_silent(&command) {
            true => SETTLING_POLLS,
            false => POLLS,
        };
        for _ in 0..polls {
            agent.wait_poll()?;
        }
        let alerts = agent.seen().alerts;
        print_attack(what, &command, &alerts[shown..]);
        shown = alerts.len();
    }
    Ok(())
}

/// Whether recon must wait to know what came of an attack: datagrams that nobody answers, and
/// whether a connection is used.
fn is_silent(command: &str) -> bool {
    ["-sU", "curl"].iter().any(|part| command.contains(part))
}

/// Prints the attack on the left, its alerts on the right.
fn print_attack(what: &str, command: &str, alerts: &[Alert]) {
    let mut left = wrap(&format!("$ {command}"), LEFT - 2);
    left.insert(0, what.to_owned());
    let mut right: Vec<String> = alerts.iter().map(describe_alert).collect();
    if right.is_empty() {
        right.push("(no alert)".to_owned());
    }
    println!();
    for line in 0..left.len().max(right.len()) {
        let cell = |column: &[String]| column.get(line).cloned().unwrap_or_default();
        let line = format!("{:LEFT$}{}", cell(&left), cell(&right));
        println!("{}", line.trim_end());
    }
}

fn describe_alert(alert: &Alert) -> String {
    let text = |name| alert.text(name).unwrap_or_default();
    format!("{:14} {}", text("recon.severity"), text("message"))
}

/// Wraps the text at blanks into lines of at most `width`.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn long_commands_wrap_at_blanks() {
        for (text, expected) in [
            ("a bb ccc", &["a bb", "ccc"][..]),
            ("abcdef gh", &["abcdef", "gh"]),
            ("", &[""]),
        ] {
            assert_eq!(wrap(text, 5), expected);
        }
    }
}
