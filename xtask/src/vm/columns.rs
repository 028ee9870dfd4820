//! Tables of earlier runs, of which a run replaces the columns of its own kernels.
//!
//! In: Markdown with the tables of earlier runs, and with those of a new one. Out: Markdown with
//! the tables of both.
//! The decision held here: a column is what one run has seen on one kernel. A run on the newest
//! release of a kind replaces the column of that kind's release before. A cell is empty where that
//! run had no such row.

use std::fmt::Write as _;

use super::kernel::{compare_releases, is_same_kind};

/// What a run on several kernels says of a scenario that only others of them have.
pub(super) const NOT_OF_KERNEL: &str = "not of this kernel";

/// A table with a column for each kernel.
#[derive(Debug, Default, PartialEq, Eq)]
struct Table {
    /// What the rows are.
    what: String,
    releases: Vec<String>,
    /// Each with its name and a cell for each kernel.
    rows: Vec<(String, Vec<String>)>,
}

/// The tables of `old`, with the columns of `new` in place of those of the same kinds.
pub(super) fn merge(old: &str, new: &str) -> String {
    let old = parse(old);
    let merged = parse(new).into_iter().map(|new| {
        let before = old.iter().find(|table| table.what == new.what);
        match before {
            Some(before) => before.merged_with(&new).render(),
            None => new.render(),
        }
    });
    merged.collect::<Vec<_>>().join("\n")
}

fn parse(text: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    let mut is_inside = false;
    for line in text.lines() {
        let cells = line
            .strip_prefix("| ")
            .and_then(|line| line.strip_suffix(" |"));
        let Some(cells) = cells else {
            is_inside = false;
            continue;
        };
        let mut cells = cells.split(" | ").map(|cell| cell.trim().to_owned());
        let name = cells.next().unwrap_or_default();
        let cells: Vec<String> = cells.collect();
        match tables.last_mut().filter(|_| is_inside) {
            Some(_) if name == "---" => {}
            Some(table) => table.rows.push((name, cells)),
            None => tables.push(Table {
                what: name,
                releases: cells,
                rows: Vec::new(),
            }),
        }
        is_inside = true;
    }
    tables
}

impl Table {
    fn merged_with(&self, new: &Self) -> Self {
        let is_kept = |release: &&String| {
            let mut replaced = new.releases.iter();
            !replaced.any(|replaced| is_same_kind(replaced, release))
        };
        let kept = self.releases.iter().filter(is_kept);
        let mut releases: Vec<String> = kept.chain(&new.releases).cloned().collect();
        releases.sort_by(|one, other| compare_releases(one, other));
        let mut names: Vec<&String> = new.rows.iter().map(|(name, _)| name).collect();
        for (name, _) in &self.rows {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let cell = |name: &str, release: &String| {
            let table = match new.releases.contains(release) {
                true => new,
                false => self,
            };
            table.cell(name, release).unwrap_or_default()
        };
        let row = |name: &String| {
            let cells = releases.iter().map(|release| cell(name, release));
            (name.clone(), cells.collect())
        };
        let rows: Vec<(String, Vec<String>)> = names.into_iter().map(row).collect();
        // Else it is a row of a release that has been replaced.
        let is_filled = |(_, cells): &(String, Vec<String>)| {
            let mut cells = cells.iter();
            cells.any(|cell| !cell.is_empty() && cell != NOT_OF_KERNEL)
        };
        Self {
            what: self.what.clone(),
            rows: rows.into_iter().filter(is_filled).collect(),
            releases,
        }
    }

    fn cell(&self, name: &str, release: &str) -> Option<String> {
        let column = self.releases.iter().position(|other| other == release)?;
        let (_, cells) = self.rows.iter().find(|(other, _)| other == name)?;
        cells.get(column).cloned()
    }

    fn render(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, cells: &[String]| {
            let cells: Vec<&str> = [name]
                .into_iter()
                .chain(cells.iter().map(String::as_str))
                .collect();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        };
        line(&self.what, &self.releases);
        line("---", &vec!["---".to_owned(); self.releases.len()]);
        for (name, cells) in &self.rows {
            line(name, cells);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "
| hook | 6.1.0-9-cloud-amd64 | 6.12.1+deb12-cloud-amd64 |
| --- | --- | --- |
| out | clsact | TCX |
| gone | clsact |  |

| scenario | 6.1.0-9-cloud-amd64 | 6.12.1+deb12-cloud-amd64 |
| --- | --- | --- |
| s | passed | not of this kernel |
";
    const NEW: &str = "
| hook | 5.10.0-1-cloud-amd64 | 6.1.0-10-cloud-amd64 |
| --- | --- | --- |
| in | XDP | XDP |
| out | clsact | clsact |

| scenario | 5.10.0-1-cloud-amd64 | 6.1.0-10-cloud-amd64 |
| --- | --- | --- |
| r | passed | passed |
| t | not of this kernel | passed |
";

    #[test]
    fn a_run_replaces_the_columns_of_its_kinds() {
        let expected =
            "| hook | 5.10.0-1-cloud-amd64 | 6.1.0-10-cloud-amd64 | 6.12.1+deb12-cloud-amd64 |
| --- | --- | --- | --- |
| in | XDP | XDP |  |
| out | clsact | clsact | TCX |

| scenario | 5.10.0-1-cloud-amd64 | 6.1.0-10-cloud-amd64 | 6.12.1+deb12-cloud-amd64 |
| --- | --- | --- | --- |
| r | passed | passed |  |
| t | not of this kernel | passed |  |
";
        let merged = merge(OLD, NEW);
        assert_eq!(merged, expected);
        assert_eq!(merge(&merged, NEW), expected);
        assert_eq!(merge("", NEW).trim(), NEW.trim());
    }
}
