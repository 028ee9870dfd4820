//! `cargo xtask bench`: what recon costs the host that it watches.
//!
//! In: the built agent, and the programs that measure it. Out: on stdout, a table for each part, and all rows as JSON where a file is named.
//! Holds the list of parts. The decision held here: a benchmark tells figures and never judges them: what a machine takes depends on the
//! machine, and on what else it does.

mod example;
mod row;
mod socket;
mod worker;

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::Value;

use row::{Row, Table};
pub(crate) use worker::{Work, work};

/// What the parts need built.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Built<'a> {
    /// The agent.
    pub(crate) agent: &'a Path,
    /// The example `packets` of the tests' package: the kernel programs on frames.
    pub(crate) packets: &'a Path,
    /// The example `rules`: the judge on rows.
    pub(crate) rules: &'a Path,
}

struct Part {
    name: &'static str,
    measure: fn(Built<'_>) -> Result<Vec<Row>>,
}

const PARTS: &[Part] = &[
    Part {
        name: "a frame",
        measure: |built| example::measure(built.packets),
    },
    Part {
        name: "a row",
        measure: |built| example::measure(built.rules),
    },
    Part {
        name: "socket hooks",
        measure: |built| socket::measure(built.agent),
    },
];

/// Measures all parts, one after the other.
pub(crate) fn show(built: Built<'_>, json: Option<&Path>) -> Result<()> {
    let mut tables = Vec::new();
    for part in PARTS {
        let table = Table {
            part: part.name,
            rows: (part.measure)(built).context(part.name)?,
        };
        println!("{table}");
        tables.push(table);
    }
    if let Some(path) = json {
        let rows: Value = tables.iter().flat_map(Table::json_rows).collect();
        fs::write(path, format!("{rows:#}\n")).with_context(|| path.display().to_string())?;
    }
    Ok(())
}
