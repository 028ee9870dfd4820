//! The rows of a file of wrong uses.
//!
//! In: the text of a file. Out: its rows, or the line that is none.

use anyhow::{Context, Result, bail, ensure};

/// A wrong use, and what recon says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// Lines of the shell.
    pub(crate) script: String,
    /// The exit code of the last one.
    pub(crate) code: i32,
    /// Parts of the output.
    pub(crate) says: Vec<String>,
    pub(crate) does_not_say: Vec<String>,
}

/// Reads a file of that name.
pub(crate) fn parse(file: &str, text: &str) -> Result<Vec<Row>> {
    let mut table: Vec<Row> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let place = || format!("{file}:{}: {line}", number + 1);
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        if mark == "#" {
            ensure!(
                table.iter().all(|row| row.name != rest),
                "{}: a second row of that name",
                place()
            );
            table.push(Row {
                name: rest.to_owned(),
                code: -1,
                ..Row::default()
            });
            continue;
        }
        if line.is_empty() {
            continue;
        }
        let row = table.last_mut().with_context(place)?;
        match mark {
            "$" => row.script += &format!("{rest}\n"),
            "=" => row.code = rest.parse().with_context(place)?,
            "!" => row.does_not_say.push(rest.to_owned()),
            _ => row.says.push(line.to_owned()),
        }
    }
    for row in &table {
        let Row { name, script, .. } = row;
        if script.is_empty() || row.code < 0 {
            bail!("{file}: {name}: no `$` or no `=`");
        }
    }
    Ok(table)
}
