//! Where things are on a page: nothing covers anything else, and wrong times do not stretch the
//! axis.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::{NARROW, report, write};

/// No text of a chart covers another one, and the page is no wider than the window.
pub(crate) fn ensure_readable(browser: &mut Browser) -> Result<()> {
    let covered = browser.text(
        "[...document.querySelectorAll('svg')].flatMap((svg) => { \
        const texts = [...svg.querySelectorAll('text')].map((text) => [text.textContent, text.getBoundingClientRect()]); \
        return texts.flatMap(([one, a], place) => texts.slice(place + 1) \
        .filter(([, b]) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom) \
        .map(([other]) => `${one} and ${other}`)); }).join()",
    )?;
    ensure!(covered.is_empty(), "texts cover each other: {covered}");
    let fits = browser.evaluate("document.documentElement.scrollWidth <= innerWidth")?;
    ensure!(fits == json!(true), "the page is wider than the window");
    Ok(())
}

/// Incidents of a night, and what wrong clocks have written.
pub(crate) fn wrong_clocks(browser: &mut Browser, folder: &Path, alert: &Value) -> Result<()> {
    const OF_NIGHT: u64 = 20;
    let night = (0..OF_NIGHT).map(|number| format!("2026-01-31T02:{number:02}:00Z"));
    let wrong = ["1970-01-01T00:00:07Z", "9999-12-30T21:59:59Z"].map(str::to_owned);
    let lines = night.chain(wrong).map(|time| {
        let mut line = alert.clone();
        line["event"] = json!({"id": time, "start": time, "end": time});
        line["@timestamp"] = json!(time);
        line
    });
    let lines: Vec<Value> = lines.collect();
    let file = write(folder.join("clocks.jsonl"), &lines)?;
    let page = folder.join("clocks.html");
    report(&page, &[&file], "")?;
    browser.open(&page, NARROW)?;
    let bars = browser.number("document.querySelectorAll('.timeline .incident').length")?;
    ensure!(bars == OF_NIGHT, "{bars} bars");
    let first =
        "Math.round(document.querySelector('.timeline .incident').getBoundingClientRect().x)";
    let last = "Math.round([...document.querySelectorAll('.timeline .incident')].at(-1).getBoundingClientRect().x)";
    let (first, last) = (browser.number(first)?, browser.number(last)?);
    ensure!(first + 400 < last, "a night from {first} to {last}");
    let said = browser.text("document.getElementById('beside-axis').textContent")?;
    for expected in [
        "2 incidents lie outside",
        "1970-01-01 00:00:07",
        "9999-12-30 21:59:59",
    ] {
        ensure!(said.contains(expected), "{expected}: {said}");
    }
    let rows = browser.number("document.querySelectorAll('#incidents tbody tr').length")?;
    ensure!(rows == OF_NIGHT + 2, "{rows} rows");
    let span = browser.text("document.querySelector('.figures li').textContent")?;
    ensure!(span.contains("and 2 incidents at other times"), "{span}");
    ensure_readable(browser)
}
