//! The page: one file of HTML that loads nothing.
//!
//! In: [`PageModel`]. Out: HTML with its styles, scripts and data.
//! The decisions held here:
//! - The data is JSON in an element that no browser runs, with each `<` escaped, so that no text
//!   ends it. The scripts set text as text, and never make HTML of it.
//! - The browser runs only what has the hash in the page's policy, and loads nothing: also if a
//!   text should get into the HTML, it does nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

use super::model::PageModel;

const STYLE: &str = include_str!("../../report/page.css");
/// In the order in which they run. Each holds the functions that the later ones call.
const SCRIPTS: [&str; 9] = [
    include_str!("../../report/charts/charts.min.js"),
    include_str!("../../report/elements.js"),
    include_str!("../../report/filter.js"),
    include_str!("../../report/figures.js"),
    include_str!("../../report/timeline.js"),
    include_str!("../../report/chart.js"),
    include_str!("../../report/tables.js"),
    include_str!("../../report/processes.js"),
    include_str!("../../report/main.js"),
];

/// The page that shows a model.
///
/// # Errors
/// Those of `serde_json`.
pub(crate) fn page(model: &PageModel) -> serde_json::Result<String> {
    let data = escape(&serde_json::to_string(model)?);
    let hashes: Vec<String> = SCRIPTS.iter().map(|script| hash(script)).collect();
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; base-uri 'none'; form-action 'none'",
        hashes.join(" "),
        hash(STYLE)
    );
    let scripts: String = SCRIPTS
        .iter()
        .map(|script| format!("<script>{script}</script>\n"))
        .collect();
    Ok(format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>recon report</title>
<style>{STYLE}</style>
</head>
<body>
<noscript>This page draws its data by a script, which this browser does not run.</noscript>
<main id="report"></main>
<script type="application/json" id="data">{data}</script>
{scripts}</body>
</html>
"#
    ))
}

/// JSON that can't end the element that holds it: `<` occurs only within its strings.
fn escape(json: &str) -> String {
    json.replace('<', r"\u003c")
}

/// What the policy calls a script or a style.
fn hash(text: &str) -> String {
    let digest = digest(&SHA256, text.as_bytes());
    format!("'sha256-{}'", STANDARD.encode(digest))
}

#[cfg(test)]
mod tests {
    use super::super::model::LossEntry;
    use super::*;

    /// The data of a page.
    fn data(page: &str) -> &str {
        let (_, rest) = page
            .split_once(r#"<script type="application/json" id="data">"#)
            .expect("a page has data");
        rest.split_once("</script>").expect("an end").0
    }

    #[test]
    fn no_text_ends_the_data() {
        for hostile in [
            "</script><script>alert(1)</script>",
            "<!--<script>",
            "<img src=x onerror=alert(1)>",
            "\"}];alert(1)//",
            "\u{2028}\u{2029}'&quot;",
            "]]>",
        ] {
            let model = PageModel {
                losses: vec![LossEntry {
                    what: hostile.to_owned(),
                    count: 1,
                    means: hostile.to_owned(),
                    places: vec![hostile.to_owned()],
                }],
                ..PageModel::default()
            };
            let page = page(&model).expect("plain data");
            let data = data(&page);
            assert!(!data.contains('<'), "{hostile}: {data}");
            let read: serde_json::Value = serde_json::from_str(data).expect("JSON");
            assert_eq!(read["losses"][0]["what"], hostile);
            assert_eq!(page.matches("<script>").count(), SCRIPTS.len(), "{hostile}");
        }
    }

    #[test]
    fn the_page_loads_nothing() {
        let page = page(&PageModel::default()).expect("plain data");
        for loading in ["src=", "@import", "url(", "<link", "<iframe"] {
            assert!(!page.contains(loading), "{loading}");
        }
        // The policy names each script: a hash that a browser computes otherwise is seen by
        // tests/report.rs.
        assert_eq!(page.matches("'sha256-").count(), SCRIPTS.len() + 1);
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn no_script_makes_html_of_text() {
        for script in &SCRIPTS[1..] {
            for making in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "Function(",
                ".html(",
                "style=",
            ] {
                assert!(!script.contains(making), "{making}");
            }
        }
        for part in SCRIPTS.into_iter().chain([STYLE]) {
            for ending in ["</script", "</style", "<!--"] {
                assert!(!part.contains(ending), "{ending} would end its element");
            }
        }
    }
}
