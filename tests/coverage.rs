//! What recon sees of each technique, and which test says so.
//!
//! In: the rows of `coverage/table.rs`, and the tests that they name. Out: the table in
//! recon-user/docs/limits.md, which this test compares; `RECON_WRITE_DOCS=1` rewrites it.
//! The decision held here: the table names its proof. A technique is seen if a row of a test says
//! so, and a row that is renamed or removed fails here. What has no proof is not seen.

#[path = "coverage/table.rs"]
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use table::TECHNIQUES;

/// How much of a technique recon sees.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Yes,
    /// What it does not see of it.
    InPart(&'static str),
    /// Why not.
    No(&'static str),
}

/// A row of a test, or a test function: the file of the test, and the name there.
type Proof = (&'static str, &'static str);

struct Technique {
    name: &'static str,
    seen: Seen,
    /// The tests that show it. Empty only for what recon does not see.
    proofs: &'static [Proof],
}

const BEGIN: &str =
    "<!-- written by: RECON_WRITE_DOCS=1 cargo test -p recon-tests --test coverage -->\n";
const END: &str = "<!-- end of what that writes -->\n";

/// The folder of this package.
fn tests() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A test's file, and those of the folder of its name.
fn sources(test: &str) -> Result<Vec<PathBuf>> {
    let file = tests().join(test);
    let folder = file.with_extension("");
    let mut sources = vec![file];
    if folder.is_dir() {
        for entry in fs::read_dir(&folder)? {
            sources.push(entry?.path());
        }
    }
    Ok(sources)
}

/// Whether the test has a row, or a function, of that name.
fn exists(&(test, name): &Proof) -> Result<bool> {
    let [row, function] = [format!("\"{name}\""), format!("fn {name}(")];
    for source in sources(test)?.iter().filter(|path| path.is_file()) {
        let text = fs::read_to_string(source).with_context(|| source.display().to_string())?;
        if text.contains(&row) || text.contains(&function) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The technique as a line of the table.
fn line(technique: &Technique) -> String {
    let (seen, remark) = match technique.seen {
        Seen::Yes => ("seen", ""),
        Seen::InPart(what) => ("in part", what),
        Seen::No(why) => ("not seen", why),
    };
    let proofs: Vec<_> = technique
        .proofs
        .iter()
        .map(|(test, name)| format!("[{name}](../../tests/{test})"))
        .collect();
    format!(
        "| {} | {seen} | {remark} | {} |\n",
        technique.name,
        proofs.join("; ")
    )
}

#[test]
fn each_technique_names_tests_that_exist() -> Result<()> {
    for Technique { name, seen, proofs } in TECHNIQUES {
        let needs_proof = !matches!(seen, Seen::No(_));
        ensure!(!needs_proof || !proofs.is_empty(), "{name} has no proof");
        for proof in *proofs {
            ensure!(exists(proof)?, "{name}: {proof:?} is no test");
        }
    }
    Ok(())
}

#[test]
fn the_document_has_this_table() -> Result<()> {
    let path = tests().join("../recon-user/docs/limits.md");
    let document = fs::read_to_string(&path)?;
    let (before, rest) = document.split_once(BEGIN).context("the first marker")?;
    let (_, after) = rest.split_once(END).context("the last marker")?;
    let head = "\n| technique | recon | remark | shown by |\n|---|---|---|---|\n";
    let lines: String = TECHNIQUES.iter().map(line).collect();
    let expected = format!("{before}{BEGIN}{head}{lines}\n{END}{after}");
    if std::env::var_os("RECON_WRITE_DOCS").is_some() {
        fs::write(&path, &expected)?;
    }
    let document = fs::read_to_string(&path)?;
    ensure!(
        document == expected,
        "run this test with RECON_WRITE_DOCS=1"
    );
    Ok(())
}
