//! A part of the benchmark as a table.
//!
//! In: cells, or [`Row`]s of a comparison. Out: lines of text, Markdown and JSON. The decision held
//! here: text and Markdown have the same cells.

use std::fmt::{self, Write as _};

use serde_json::{Value, json};

use super::row::{Fact, Row, Spread, number};

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// The result of one part.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// What was measured, in a sentence.
    pub(crate) about: &'static str,
    pub(crate) columns: Vec<Align>,
    /// The header and the rows. Each has a cell for each column.
    pub(crate) lines: Vec<Vec<String>>,
    /// Sentences below the table.
    pub(crate) notes: Vec<String>,
    /// Each row as an object.
    pub(crate) json_rows: Vec<Value>,
}

/// The columns of a comparison.
const COMPARED: [Align; 6] = {
    use Align::{Left, Right};
    [Left, Right, Right, Right, Left, Left]
};

impl Table {
    /// The rows of a comparison. `title` is the name of a row's subject, `sides` are the names of
    /// the baseline and of the compared side.
    pub(crate) fn compared(
        title: &'static str,
        about: &'static str,
        sides: [&'static str; 2],
        rows: &[Row],
    ) -> Self {
        let [baseline, with] = sides;
        let head = [title, baseline, with, "ratio", "of rounds", ""];
        let mut lines = vec![head.map(str::to_owned).to_vec()];
        lines.extend(rows.iter().map(|row| cells(row).to_vec()));
        Self {
            about,
            columns: COMPARED.to_vec(),
            lines,
            notes: Vec::new(),
            json_rows: rows.iter().map(|row| json_row(title, row)).collect(),
        }
    }

    /// The table in Markdown, below the sentence on what was measured.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("{}\n\n", self.about);
        let aligned = self.columns.iter().map(|column| match column {
            Align::Left => "---".to_owned(),
            Align::Right => "---:".to_owned(),
        });
        let mut lines = self.lines.clone();
        lines.insert(1, aligned.collect());
        for line in lines {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {} |", line.join(" | "));
        }
        for note in &self.notes {
            let _ = write!(text, "\n{note}\n");
        }
        text
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let lengths = self.lines.iter().map(|line| line[column].chars().count());
            lengths.max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        for line in &self.lines {
            let columns = self.columns.iter().zip(&widths);
            let padded = line.iter().zip(columns).map(|(cell, (align, width))| {
                let width = *width;
                match align {
                    Align::Left => format!("{cell:width$}"),
                    Align::Right => format!("{cell:>width$}"),
                }
            });
            let line = padded.collect::<Vec<_>>().join("  ");
            writeln!(f, "{}", line.trim_end())?;
        }
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        Ok(())
    }
}

fn json_row(part: &str, row: &Row) -> Value {
    let fact = |fact: &Fact| {
        let Spread {
            least,
            median,
            greatest,
        } = fact.spread();
        json!({"name": fact.name, "unit": fact.unit, "median": median, "least": least, "greatest": greatest})
    };
    let ratio = row.ratio();
    json!({
        "part": part,
        "what": row.what,
        "unit": row.unit,
        "baseline": row.baseline(),
        "with": row.figure(),
        "ratio": ratio.map(|ratio| ratio.median),
        "ratio_least": ratio.map(|ratio| ratio.least),
        "ratio_greatest": ratio.map(|ratio| ratio.greatest),
        "facts": row.facts.iter().map(fact).collect::<Value>(),
        "missing": row.missing,
    })
}

/// The columns of a row. Those of the comparison are empty where there is none.
fn cells(row: &Row) -> [String; COMPARED.len()] {
    let with_unit = |figure| format!("{} {}", number(figure), row.unit);
    let [ratio, rounds] = row.ratio().map_or_else(Default::default, |ratio| {
        [
            format!("{:.3}", ratio.median),
            format!("{:.3} to {:.3}", ratio.least, ratio.greatest),
        ]
    });
    let facts = row.facts.iter().map(Fact::to_string);
    let facts: Vec<String> = facts.chain(row.missing.clone()).collect();
    [
        row.what.clone(),
        row.baseline().map(with_unit).unwrap_or_default(),
        row.figure().map(with_unit).unwrap_or_default(),
        ratio,
        rounds,
        facts.join(", "),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::row;
    use super::*;

    fn table() -> Table {
        let mut alone = Row::new("a longer name", "%");
        alone.push(true, 0.5);
        let missing = Row::missing("another", "not installed");
        let sides = ["without", "with"];
        Table::compared("sockets", "Connections.", sides, &[row(), alone, missing])
    }

    #[test]
    fn the_table_has_columns() {
        let expected = "\
sockets        without     with  ratio  of rounds
connect        1100 ns  1100 ns  1.050  1.000 to 1.100  adds 100 ns (0 to 100)
a longer name            0.50 %
another                                                 not installed
";
        assert_eq!(table().to_string(), expected);
        let expected = "Connections.

| sockets | without | with | ratio | of rounds |  |
| --- | ---: | ---: | ---: | --- | --- |
| connect | 1100 ns | 1100 ns | 1.050 | 1.000 to 1.100 | adds 100 ns (0 to 100) |
| a longer name |  | 0.50 % |  |  |  |
| another |  |  |  |  | not installed |
";
        assert_eq!(table().markdown(), expected);
    }

    #[test]
    fn json_has_all_figures() {
        let [connect, alone, missing] = &table().json_rows[..] else {
            panic!("three rows")
        };
        assert_eq!(connect["ratio_greatest"], 1.1);
        assert_eq!(connect["facts"][0]["median"], 100.0);
        assert_eq!(
            (&alone["part"], &alone["with"]),
            (&json!("sockets"), &json!(0.5))
        );
        assert_eq!(alone["ratio"], Value::Null);
        assert_eq!(
            (&missing["with"], &missing["missing"]),
            (&Value::Null, &json!("not installed"))
        );
    }

    #[test]
    fn notes_are_below_the_table() {
        let mut table = table();
        table.notes = vec!["One.".to_owned(), "Two.".to_owned()];
        assert!(table.to_string().ends_with("not installed\nOne.\nTwo.\n"));
        assert!(
            table
                .markdown()
                .ends_with("not installed |\n\nOne.\n\nTwo.\n")
        );
    }
}
