//! Reloads in the middle of a scan: what is refused and what is not, and that nothing is forgotten.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use recon_tests::lab::ATTACKER;
use recon_tests::scan::{PORTS, SIGNALS_PER_PORT, ensure_alert, has_alert, scan};
use recon_tests::{Agent, Lab, Seen, rows};

use super::{INTERVAL, ask, ensure_nothing_attached, status};

/// The port at which the scan is interrupted.
const MIDDLE: u16 = PORTS.start + 11;
const CONFIG: &str = "recon.toml";
const RULES: &str = "rules.kql";
const LIST: &str = "list.txt";

/// A rule that counts as the built-in one.
const RULE: &str = "// id: port-scan\n// window: 1h\nDeviceNetworkEvents\n| where ActionType == 'SYN'\n| summarize ports = dcount(LocalPort) by RemoteIP\n| where ports > 20\n";
const BROKEN: &str = "DeviceNetworkEvents\n| wher ActionType == 'SYN'\n";
const TWO_RULES: &str = "// id: port-scan\n// window: 1h\nDeviceNetworkEvents\n| where ActionType == 'SYN'\n| summarize ports = dcount(LocalPort) by RemoteIP\n| where ports > 20;\n// id: other\nDeviceNetworkEvents | where ActionType == 'SYN' | summarize n = count() by RemoteIP | where n > 1000000\n";

struct Reload {
    name: &'static str,
    /// Files at the start and at the reload: names and texts. `{dir}` is their folder. None removes
    /// the file.
    before: &'static [(&'static str, &'static str)],
    after: &'static [(&'static str, Option<&'static str>)],
    is_taken: bool,
    /// What the answer and the log say.
    says: &'static [&'static str],
    /// Whether the whole scan is reported, as one.
    is_reported: bool,
}

const ROW: Reload = Reload {
    name: "",
    before: &[(CONFIG, "")],
    after: &[],
    is_taken: true,
    says: &[],
    is_reported: true,
};

const ROWS: &[Reload] = &[
    Reload {
        name: "nothing",
        says: &["nothing has changed"],
        ..ROW
    },
    Reload {
        name: "other settings",
        after: &[(
            CONFIG,
            Some("quiet = '1m'\nalerts.lines = 7\nscanners = ['probe']"),
        )],
        says: &[
            "quiet: \"10m\" -> \"1m\"",
            "alerts.lines: 20 -> 7",
            "scanners: [] -> [\"probe\"]",
        ],
        ..ROW
    },
    Reload {
        name: "no TOML",
        after: &[(CONFIG, Some("include_private = true\nallow = ["))],
        is_taken: false,
        says: &["recon.toml:2:", "error"],
        ..ROW
    },
    Reload {
        name: "an unknown setting",
        after: &[(CONFIG, Some("\n  tresholds = 1"))],
        is_taken: false,
        says: &["recon.toml:2:3: error: no setting `tresholds`"],
        ..ROW
    },
    Reload {
        name: "no configuration",
        after: &[(CONFIG, None)],
        is_taken: false,
        says: &["recon.toml: error: No such file or directory"],
        ..ROW
    },
    Reload {
        name: "no KQL",
        before: &[(CONFIG, ""), (RULES, RULE)],
        after: &[(RULES, Some(BROKEN))],
        is_taken: false,
        says: &["rules.kql:2:3: error"],
        ..ROW
    },
    Reload {
        name: "no rules",
        before: &[(CONFIG, ""), (RULES, RULE)],
        after: &[(RULES, None)],
        is_taken: false,
        says: &["rules.kql: error: No such file or directory"],
        ..ROW
    },
    Reload {
        name: "another rule",
        before: &[(CONFIG, ""), (RULES, RULE)],
        after: &[(RULES, Some(TWO_RULES))],
        says: &["rules added: other/count"],
        ..ROW
    },
    Reload {
        name: "a lower threshold",
        after: &[(
            CONFIG,
            Some("rules.'port-scan/distinct_ports'.threshold = 19"),
        )],
        says: &["rule port-scan/distinct_ports: threshold 20 -> 19"],
        ..ROW
    },
    Reload {
        name: "a higher threshold",
        after: &[(
            CONFIG,
            Some("rules.'port-scan/distinct_ports'.threshold = 21"),
        )],
        says: &["rule port-scan/distinct_ports: threshold 20 -> 21"],
        is_reported: false,
        ..ROW
    },
    Reload {
        name: "the rule is disabled",
        after: &[(
            CONFIG,
            Some(
                "rules.'port-scan/distinct_ports'.enabled = false\nrules.scan-then-connect.enabled = false",
            ),
        )],
        says: &["rules removed: port-scan/distinct_ports"],
        is_reported: false,
        ..ROW
    },
    Reload {
        name: "the scanner is allowed",
        after: &[
            (CONFIG, Some("allow_files = ['{dir}/list.txt']")),
            (LIST, Some("# ours\n203.0.113.0/24\n{attacker} # known\n")),
        ],
        says: &["allow_files: [] -> "],
        is_reported: false,
        ..ROW
    },
    Reload {
        name: "the list grows",
        before: &[
            (CONFIG, "rules.port-scan.allow_files = ['{dir}/list.txt']"),
            (LIST, "203.0.113.0/24\n"),
        ],
        after: &[(LIST, Some("203.0.113.0/24\n{attacker}\n"))],
        says: &["list.txt: 1 -> 2 networks"],
        is_reported: false,
        ..ROW
    },
    Reload {
        name: "no list",
        after: &[
            (CONFIG, Some("allow_files = ['{dir}/list.txt']")),
            (LIST, Some("203.0.113.0/24\n {attacker}/33\n")),
        ],
        is_taken: false,
        says: &["list.txt:2:2: error: `198.51.100.2/33` is not a network"],
        ..ROW
    },
    Reload {
        name: "what needs a restart",
        after: &[(CONFIG, Some("netns = 'all'"))],
        says: &["netns: \"all\" needs a restart; until then it stays \"watched\""],
        ..ROW
    },
    Reload {
        name: "another sink",
        after: &[(CONFIG, Some("[sinks.a]\ntype = 'file'\npath = '{dir}/a'"))],
        says: &["sinks.a.type: \"file\" needs a restart; until then it stays none"],
        ..ROW
    },
];

#[test]
fn a_reload_in_the_middle_of_a_scan_forgets_nothing() {
    rows::check(ROWS, |row| row.name, check);
}

/// Fills in what a file can't know.
fn filled(text: &str, folder: &Path) -> String {
    text.replace("{dir}", &folder.display().to_string())
        .replace("{attacker}", &ATTACKER.to_string())
}

fn check(row: &Reload) -> Result<()> {
    let lab = Lab::new()?;
    let temporary = tempfile::tempdir()?;
    let folder = temporary.path();
    for (name, text) in row.before {
        fs::write(folder.join(name), filled(text, folder))?;
    }
    let socket = folder.join("control.sock");
    let rules = folder.join(RULES);
    let rules = match rules.exists() {
        true => format!("--rules {}", rules.display()),
        false => String::new(),
    };
    let agent = Agent::start(
        &lab,
        &format!(
            "{INTERVAL} --config {} --control {} {rules}",
            folder.join(CONFIG).display(),
            socket.display()
        ),
    )?;
    let half = SIGNALS_PER_PORT * u64::from(MIDDLE - PORTS.start);
    scan(&lab, PORTS.start..MIDDLE)?;
    agent.wait_drained(half)?;
    for (name, text) in row.after {
        match text {
            Some(text) => fs::write(folder.join(name), filled(text, folder))?,
            None => fs::remove_file(folder.join(name))?,
        }
    }
    let answer = ask(&lab, "reload", &socket)?;
    ensure!(
        answer.status.code() == Some(i32::from(!row.is_taken)),
        "{answer:?}"
    );
    for text in row.says {
        ensure!(answer.output.contains(text), "no {text:?} in {answer:?}");
        agent.wait_for(text, |seen| seen.has_logged(text).then_some(()))?;
    }
    let last = &status(&lab, &socket)?["last_reload"];
    ensure!(last["ok"] == row.is_taken, "{last}");
    // A signal does the same; it does not wait.
    let outcome = match row.is_taken {
        true => "reload: ",
        false => "reload: refused",
    };
    let outcomes = |seen: &Seen| {
        let log = seen.log.iter();
        log.filter(|line| line.contains(outcome)).count()
    };
    let before = outcomes(&agent.seen());
    agent.signal(Signal::SIGHUP)?;
    agent.wait_for("the reload of the signal", |seen| {
        (outcomes(seen) > before).then_some(())
    })?;
    scan(&lab, MIDDLE..PORTS.end)?;
    let all = SIGNALS_PER_PORT * PORTS.len() as u64;
    agent.wait_drained(all)?;
    if row.is_reported {
        ensure_alert(&agent)?;
    }
    let stopped = agent.stop()?;
    let seen = &stopped.seen;
    ensure!(stopped.status.success() && !socket.exists());
    ensure!(stopped.totals()?.signals == all, "{seen}");
    ensure!(has_alert(seen) == row.is_reported, "{seen}");
    let mut alerts = seen.fired("port-scan", "distinct_ports");
    if let Some(alert) = alerts.next() {
        let count = alert
            .field("recon.count")
            .and_then(serde_json::Value::as_u64);
        let count = count.with_context(|| alert.to_string())?;
        ensure!((20..=PORTS.len() as u64).contains(&count), "{alert}");
        ensure!(alerts.next().is_none(), "reported twice: {seen}");
    }
    ensure_nothing_attached(&lab)
}

/// The rule of an open incident goes, and comes back: the incident goes with it, and recon goes on.
#[test]
fn a_rule_with_an_open_incident_may_go_and_come_back() -> Result<()> {
    let lab = Lab::new()?;
    let folder = tempfile::tempdir()?;
    let (config, socket) = (
        folder.path().join(CONFIG),
        folder.path().join("control.sock"),
    );
    fs::write(&config, "")?;
    let agent = Agent::start(
        &lab,
        &format!(
            "{INTERVAL} --config {} --control {}",
            config.display(),
            socket.display()
        ),
    )?;
    scan(&lab, PORTS)?;
    ensure_alert(&agent)?;
    let open = |lab| -> Result<u64> {
        let status = status(lab, &socket)?;
        status["incidents_open"].as_u64().context("a number")
    };
    let before = open(&lab)?;
    ensure!(before >= 1);
    fs::write(
        &config,
        "rules.'port-scan/distinct_ports'.enabled = false\nrules.scan-then-connect.enabled = false",
    )?;
    let said = ask(&lab, "reload", &socket)?.success()?;
    ensure!(said.contains("rules removed: port-scan"), "{said}");
    ensure!(open(&lab)? < before);
    scan(&lab, PORTS)?;
    agent.wait_drained(2 * SIGNALS_PER_PORT * PORTS.len() as u64)?;
    fs::write(&config, "")?;
    let said = ask(&lab, "reload", &socket)?.success()?;
    ensure!(said.contains("rules added: port-scan"), "{said}");
    agent.wait_poll()?;
    let stopped = agent.stop()?;
    ensure!(stopped.status.success(), "{}", stopped.status);
    ensure!(
        stopped.seen.fired("port-scan", "distinct_ports").count() == 1,
        "{}",
        stopped.seen
    );
    ensure_nothing_attached(&lab)
}
