//! `cargo xtask bench`: what recon costs the host that it watches.
//!
//! In: the built agent. Out: on stdout, a table for each part, and all rows as JSON where a file is named.
//! Holds the list of parts. The decision held here: a benchmark tells figures and never judges them: what a machine takes depends on the
//! machine, and on what else it does.

mod row;
mod socket;
mod worker;

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::Value;

use row::{Row, Table};
pub(crate) use worker::{Work, work};

struct Part {
    name: &'static str,
    measure: fn(&Path) -> Result<Vec<Row>>,
}

const PARTS: &[Part] = &[Part {
    name: "socket hooks",
    measure: socket::measure,
}];

/// Measures all parts, one after the other.
pub(crate) fn show(agent: &Path, json: Option<&Path>) -> Result<()> {
    let mut tables = Vec::new();
    for part in PARTS {
        let table = Table {
            part: part.name,
            rows: (part.measure)(agent).context(part.name)?,
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
