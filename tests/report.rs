//! The page of `recon report`, in a real browser: what it shows of a real scan, of a capture, of a
//! thousand incidents, of wrong times and of nothing; that hostile texts stay texts; and that it
//! loads nothing.
//!
//! The decision held here: one browser and one scan for all pages, since both take seconds.
//! Pictures are compared by colours, not by pixels: a font may differ.

#[path = "report/browser.rs"]
mod browser;
#[path = "report/layout.rs"]
mod layout;
#[path = "replay/made.rs"]
mod made;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use recon_tests::agent::recon;
use recon_tests::lab::{ATTACKER, HOST};
use recon_tests::process::{run, shell};
use recon_tests::report::skip;
use recon_tests::{Agent, Lab, PATIENCE};
use serde_json::{Value, json};
use tempfile::TempDir;

use browser::{Browser, PROGRAM};
use layout::{ensure_readable, wrong_clocks};

const WIDE: [u32; 2] = [1280, 900];
const NARROW: [u32; 2] = [800, 900];
/// The ports that nmap scans, of which one is open.
const PORTS: usize = 100;
const OPEN: u16 = 80;
/// The most that a page of a thousand incidents may take to be drawn, on a busy machine.
const DRAWN_WITHIN: Duration = Duration::from_secs(20);

/// Alerts and rows of one agent.
struct Recorded {
    alerts: Vec<Value>,
    rows: PathBuf,
}

/// A real scan of the host, and one by the host.
fn record(lab: &Lab, folder: &Path) -> Result<Recorded> {
    let rows = folder.join("rows.jsonl");
    let _listener = lab.host().enter(|| Ok(TcpListener::bind((HOST, OPEN))?))?;
    let line = format!(
        "--profile outcomes --interval 250ms --events {}",
        rows.display()
    );
    let agent = Agent::start(lab, &line)?;
    let nmap = "nmap -n -Pn -sS -T4 --max-retries 1 -p 1-100";
    run(lab.attacker(), shell(&format!("{nmap} {HOST}")), PATIENCE)?.success()?;
    run(lab.host(), shell(&format!("{nmap} {ATTACKER}")), PATIENCE)?.success()?;
    for rule in ["port-scan", "outbound-scan-tool"] {
        agent.wait_for(rule, |seen| {
            let mut alerts = seen.alerts.iter();
            alerts
                .any(|alert| alert.text("rule.category").as_deref() == Some(rule))
                .then_some(())
        })?;
    }
    let stopped = agent.stop()?;
    let alerts = stopped
        .seen
        .alerts
        .iter()
        .map(|alert| alert.fields().clone());
    Ok(Recorded {
        alerts: alerts.collect(),
        rows,
    })
}

/// Writes a file of lines.
fn write(path: PathBuf, lines: &[Value]) -> Result<PathBuf> {
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(&path, lines)?;
    Ok(path)
}

/// Makes the page about some files.
fn report(page: &Path, files: &[&Path], arguments: &str) -> Result<()> {
    let mut command = recon(&format!("report {arguments} --out"))?;
    let output = command
        .arg(page)
        .args(files)
        .output()
        .context("recon report")?;
    let log = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{files:?}: {log}");
    Ok(())
}

/// Both colour schemes show the chart in their own colours, which variables of the styles name.
fn ensure_coloured(browser: &mut Browser, chart: &str, marks: &[&str]) -> Result<()> {
    let mut backgrounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme)?;
        let names = [&["--background"], marks].concat();
        let mut colours = Vec::new();
        for name in &names {
            colours.push(browser.text(&format!(
                "getComputedStyle(document.documentElement).getPropertyValue('{name}').trim()"
            ))?);
        }
        let (counts, all) = browser.count_colours(chart, &colours)?;
        let named = names.iter().zip(&counts);
        let is_shown = named.clone().all(|(_, count)| *count > 30) && counts[0] < all;
        ensure!(
            is_shown,
            "{scheme} {chart}: of {all} pixels {:?}",
            named.collect::<Vec<_>>()
        );
        backgrounds.push(colours.swap_remove(0));
    }
    ensure!(
        backgrounds[0] != backgrounds[1],
        "both schemes are {backgrounds:?}"
    );
    Ok(())
}

/// Alerts and rows of the real scan.
fn real(browser: &mut Browser, folder: &Path, recorded: &Recorded) -> Result<()> {
    let alerts = write(folder.join("alerts.jsonl"), &recorded.alerts)?;
    let page = folder.join("real.html");
    report(&page, &[&alerts, &recorded.rows], "")?;
    browser.open(&page, WIDE)?;
    ensure_coloured(browser, ".timeline", &["--severity-3"])?;
    ensure_coloured(browser, ".matrix", &["--outcome-1"])?;
    let points = browser.number(
        "pointsOf(JSON.parse(document.getElementById('data').textContent).chart).flat().length",
    )?;
    ensure!(points == PORTS as u64, "{points} points");
    let marks = browser.number("document.querySelectorAll('.targets .mark').length")?;
    ensure!(marks > 10, "{marks} marks by time");
    for (selector, expected) in [
        ("#learned tbody tr", format!("{OPEN}")),
        ("#learned tbody tr", format!("{ATTACKER}")),
        ("#processes .process", "nmap".to_owned()),
        ("#processes .process", format!("{ATTACKER}")),
        ("#sources tbody", "scanner".to_owned()),
    ] {
        let text = browser.text(&format!("document.querySelector('{selector}').textContent"))?;
        ensure!(
            text.contains(&expected),
            "{selector} lacks {expected}: {text}"
        );
    }
    // From an incident to its source.
    let link = "document.querySelector('#incidents tbody a[href^=\"#source-\"]')";
    browser.evaluate(&format!("{link}.click()"))?;
    let focused = browser.text("document.querySelector('tr.focused').id")?;
    let href = browser.text(&format!("{link}.getAttribute('href')"))?;
    ensure!(href == format!("#{focused}"), "{href} leads to {focused}");
    // Alerts alone say what they lack.
    let page = folder.join("alerts.html");
    report(&page, &[&alerts], "")?;
    browser.open(&page, NARROW)?;
    let said = browser.text("document.getElementById('chart').textContent")?;
    ensure!(
        said.contains("up to 16 ports") && said.contains("do not say when"),
        "{said}"
    );
    ensure!(browser.number("document.querySelectorAll('.targets').length")? == 0);
    ensure_readable(browser)
}

/// A capture of a scan of one port after the other, a second each.
fn capture(browser: &mut Browser, folder: &Path) -> Result<()> {
    let file = folder.join("scan.pcap");
    fs::write(&file, made::pcap(&made::scan(120, 1)?))?;
    let page = folder.join("capture.html");
    report(&page, &[&file], "--local 198.51.100.1")?;
    browser.open(&page, WIDE)?;
    // A line: what comes later is a greater port, which is drawn higher.
    let is_line = "(() => { const marks = [...document.querySelectorAll('.targets .mark')] \
        .map((mark) => [Number(mark.getAttribute('x')), Number(mark.getAttribute('y'))]) \
        .sort(([one], [other]) => one - other); \
        return marks.length > 60 && marks.every(([, y], place) => place === 0 || y <= marks[place - 1][1]); })()";
    ensure!(browser.evaluate(is_line)? == json!(true), "no line");
    ensure_coloured(browser, ".targets", &["--outcome-0"])?;
    let said = browser.text("document.getElementById('processes').textContent")?;
    ensure!(said.contains("A capture names no processes"), "{said}");
    ensure_readable(browser)
}

/// Texts that somebody else chooses.
fn hostile(browser: &mut Browser, folder: &Path, alert: &Value) -> Result<()> {
    const TEXTS: [&str; 4] = [
        "</script><script>window.owned = 1</script>",
        "<img src=x onerror=\"window.owned = 1\">",
        "<!--<script>",
        "javascript:window.owned=1//\u{202e}'\"",
    ];
    let lines = TEXTS.iter().enumerate().map(|(number, text)| {
        let mut line = alert.clone();
        line["event"]["id"] = json!(format!("{number} {text}"));
        line["message"] = json!(text);
        line["rule"] = json!({"id": text, "category": text, "name": text});
        line["host"] = json!({"name": text});
        line["process"] = json!({"pid": 1, "name": text, "command_line": text, "executable": text});
        line["network"]["direction"] = json!("egress");
        line["source"] =
            json!({"domain": text, "as": {"number": 1, "organization": {"name": text}}});
        for field in [
            "label",
            "unit",
            "source_network",
            "verdict",
            "window",
            "phase",
        ] {
            line["recon"][field] = json!(text);
        }
        line
    });
    let lines: Vec<Value> = lines.collect();
    let file = write(folder.join("<b>hostile.jsonl"), &lines)?;
    let page = folder.join("hostile.html");
    report(&page, &[&file], "")?;
    browser.open(&page, WIDE)?;
    ensure!(browser.text("typeof window.owned")? == "undefined");
    let made =
        "document.querySelectorAll('img, iframe, b > b, main script, a[href^=javascript]').length";
    ensure!(browser.number(made)? == 0, "a text became an element");
    let shown = browser.text("document.getElementById('report').textContent")?;
    for text in &TEXTS[..3] {
        ensure!(shown.contains(text), "{text} is not shown");
    }
    ensure!(!shown.contains('\u{202e}'), "a text turns the direction");
    Ok(())
}

/// A thousand incidents of three hundred sources.
fn many(browser: &mut Browser, folder: &Path, alert: &Value) -> Result<()> {
    const INCIDENTS: usize = 1000;
    const SOURCES: usize = 300;
    let severities = ["informational", "low", "medium", "high"];
    let lines = (0..INCIDENTS).map(|number| {
        let mut line = alert.clone();
        let source = number % SOURCES;
        let at = |second: usize| {
            format!(
                "2026-01-31T{:02}:{:02}:{:02}Z",
                second / 3600,
                second / 60 % 60,
                second % 60
            )
        };
        let (from, to) = (number * 60, number * 60 + 40 * (1 + number % 90));
        line["event"] = json!({"id": format!("{number}"), "start": at(from), "end": at(to)});
        line["@timestamp"] = json!(at(to));
        line["source"]["ip"] = json!(format!("198.18.{}.{}", source / 200, 1 + source % 200));
        line["recon"]["severity"] = json!(severities[number / SOURCES]);
        line
    });
    let lines: Vec<Value> = lines.collect();
    let file = write(folder.join("many.jsonl"), &lines)?;
    let page = folder.join("many.html");
    report(&page, &[&file], "")?;
    let begin = Instant::now();
    browser.open(&page, WIDE)?;
    let took = begin.elapsed();
    println!(
        "{INCIDENTS} incidents: {} bytes, drawn in {took:?}",
        fs::metadata(&page)?.len()
    );
    ensure!(took < DRAWN_WITHIN, "drawn in {took:?}");
    ensure_coloured(
        browser,
        ".timeline",
        &["--severity-3", "--severity-2", "--severity-0"],
    )?;
    let height = browser
        .number("Math.round(document.querySelector('.timeline').getBoundingClientRect().height)")?;
    ensure!(height < 2500, "a time line of {height} pixels");
    let said = browser.text("document.getElementById('timeline').textContent")?;
    ensure!(said.contains("260 more sources have no lane"), "{said}");
    ensure!(browser.number("document.querySelectorAll('#incidents tbody tr').length")? == 100);
    browser.evaluate("document.querySelector('#incidents .table > button').click()")?;
    ensure!(browser.number("document.querySelectorAll('#incidents tbody tr').length")? == 600);
    // The filter leaves those of one source, and sorting by severity puts the least first.
    browser.evaluate(
        "(() => { const text = document.getElementById('filter-text'); \
        text.value = '198.18.1.99'; text.dispatchEvent(new Event('input')); })()",
    )?;
    let column = |place: usize| {
        format!(
            "[...document.querySelectorAll('#incidents tbody tr')].map((row) => row.cells[{place}].textContent).join()"
        )
    };
    let rows = browser.text(&column(3))?;
    ensure!(rows == "198.18.1.99,198.18.1.99,198.18.1.99", "{rows}");
    let order = browser.text(&column(1))?;
    ensure!(order == "medium,low,informational", "{order}");
    browser.evaluate("document.querySelectorAll('#incidents th button')[1].click()")?;
    let order = browser.text(&column(1))?;
    ensure!(order == "informational,low,medium", "{order}");
    Ok(())
}

/// No incident at all.
fn none(browser: &mut Browser, folder: &Path) -> Result<()> {
    let file = write(folder.join("none.jsonl"), &[])?;
    let page = folder.join("none.html");
    report(&page, &[&file], "")?;
    browser.open(&page, WIDE)?;
    let said = browser.text("document.getElementById('report').textContent")?;
    for expected in [
        "There is no incident",
        "Nothing is known to be missing",
        "none.jsonl (empty)",
    ] {
        ensure!(said.contains(expected), "{expected}: {said}");
    }
    Ok(())
}

#[test]
fn a_browser_shows_what_happened_and_loads_nothing() -> Result<()> {
    if !Path::new(PROGRAM).exists() {
        skip(
            "recon report",
            "there is no chromium; apt-get install chromium",
        );
        return Ok(());
    }
    let lab = Lab::new()?;
    let folder = TempDir::new()?;
    let recorded = record(&lab, folder.path())?;
    let mut alerts = recorded.alerts.iter();
    let scan = alerts.find(|alert| alert["rule"]["id"] == "port-scan/distinct_ports");
    let scan = scan.context("the alert about the scan")?;
    let mut browser = Browser::start(&lab)?;
    let at = folder.path();
    real(&mut browser, at, &recorded).context("alerts and rows")?;
    capture(&mut browser, at).context("a capture")?;
    hostile(&mut browser, at, scan).context("hostile texts")?;
    wrong_clocks(&mut browser, at, scan).context("wrong clocks")?;
    many(&mut browser, at, scan).context("many incidents")?;
    none(&mut browser, at).context("no incident")?;
    let Browser {
        complaints,
        requests,
        ..
    } = &browser;
    ensure!(complaints.is_empty(), "{complaints:?}");
    let is_page = |url: &&String| url.starts_with("file://") && url.ends_with(".html");
    ensure!(requests.iter().all(|url| is_page(&url)), "{requests:?}");
    ensure!(requests.len() == 7, "{requests:?}");
    if let Some(keep) = std::env::var_os("RECON_KEEP_REPORTS") {
        for entry in fs::read_dir(at)? {
            let entry = entry?;
            fs::copy(entry.path(), Path::new(&keep).join(entry.file_name()))?;
        }
    }
    Ok(())
}
