//! The rows of one part of the benchmark, as a table.
//!
//! In: [`Row`]s. Out: lines of text, Markdown and JSON. The decision held here: all three have the
//! same cells.

use std::fmt::{self, Write as _};

use serde_json::{Value, json};

use super::row::{Fact, Row, Spread, number};

/// The result of one part.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// The name of a row's subject.
    pub(crate) title: &'static str,
    /// What was measured, in a sentence.
    pub(crate) about: &'static str,
    /// The names of the baseline and of the compared side.
    pub(crate) sides: [&'static str; 2],
    pub(crate) rows: Vec<Row>,
}

const COLUMNS: usize = 6;
/// The columns' alignment in Markdown.
const ALIGNED: [&str; COLUMNS] = ["---", "---:", "---:", "---:", "---", "---"];

impl Table {
    /// Each row as an object.
    pub(crate) fn json_rows(&self) -> Vec<Value> {
        let fact = |fact: &Fact| {
            let Spread {
                least,
                median,
                greatest,
            } = fact.spread();
            json!({"name": fact.name, "unit": fact.unit, "median": median, "least": least, "greatest": greatest})
        };
        let row = |row: &Row| {
            let ratio = row.ratio();
            json!({
                "part": self.title,
                "what": row.what,
                "unit": row.unit,
                "baseline": row.baseline(),
                "with": row.figure(),
                "ratio": ratio.map(|ratio| ratio.median),
                "ratio_least": ratio.map(|ratio| ratio.least),
                "ratio_greatest": ratio.map(|ratio| ratio.greatest),
                "facts": row.facts.iter().map(fact).collect::<Value>(),
            })
        };
        self.rows.iter().map(row).collect()
    }

    /// The table in Markdown, below the sentence on what was measured.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("{}\n\n", self.about);
        let mut lines = self.lines();
        lines.insert(1, ALIGNED.map(str::to_owned));
        for line in lines {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {} |", line.join(" | "));
        }
        text
    }

    /// The header and the rows.
    fn lines(&self) -> Vec<[String; COLUMNS]> {
        let [baseline, with] = self.sides;
        let head = [self.title, baseline, with, "ratio", "of rounds", ""];
        let mut lines = vec![head.map(str::to_owned)];
        lines.extend(self.rows.iter().map(cells));
        lines
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines();
        let width = |column: usize| {
            let lengths = lines.iter().map(|line| line[column].chars().count());
            lengths.max().unwrap_or_default()
        };
        let (a, b, c, d, e) = (width(0), width(1), width(2), width(3), width(4));
        for [what, baseline, with, ratio, rounds, facts] in &lines {
            let line =
                format!("{what:a$}  {baseline:>b$}  {with:>c$}  {ratio:>d$}  {rounds:e$}  {facts}");
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// The columns of a row. Those of the comparison are empty where there is none.
fn cells(row: &Row) -> [String; COLUMNS] {
    let with_unit = |figure| format!("{} {}", number(figure), row.unit);
    let [ratio, rounds] = row.ratio().map_or_else(Default::default, |ratio| {
        [
            format!("{:.3}", ratio.median),
            format!("{:.3} to {:.3}", ratio.least, ratio.greatest),
        ]
    });
    let facts: Vec<String> = row.facts.iter().map(Fact::to_string).collect();
    [
        row.what.clone(),
        row.baseline().map(with_unit).unwrap_or_default(),
        with_unit(row.figure()),
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
        Table {
            title: "sockets",
            about: "Connections.",
            sides: ["without", "with"],
            rows: vec![row(), alone],
        }
    }

    #[test]
    fn the_table_has_columns() {
        let expected = "\
sockets        without     with  ratio  of rounds
connect        1100 ns  1100 ns  1.050  1.000 to 1.100  adds 100 ns (0 to 100)
a longer name            0.50 %
";
        assert_eq!(table().to_string(), expected);
        let expected = "Connections.

| sockets | without | with | ratio | of rounds |  |
| --- | ---: | ---: | ---: | --- | --- |
| connect | 1100 ns | 1100 ns | 1.050 | 1.000 to 1.100 | adds 100 ns (0 to 100) |
| a longer name |  | 0.50 % |  |  |  |
";
        assert_eq!(table().markdown(), expected);
    }

    #[test]
    fn json_has_all_figures() {
        let [connect, alone] = &table().json_rows()[..] else {
            panic!("two rows")
        };
        assert_eq!(connect["ratio_greatest"], 1.1);
        assert_eq!(connect["facts"][0]["median"], 100.0);
        assert_eq!(
            (&alone["part"], &alone["with"]),
            (&json!("sockets"), &json!(0.5))
        );
        assert_eq!(alone["ratio"], Value::Null);
    }
}
