//! What a benchmark found, and the table of it.
//!
//! In: figures of rounds, each measured without recon and with it. Out: [`Row`]s, as lines of text and as JSON.
//! The decision held here: a ratio is of two figures of one round, which lie close in time; the median over the rounds is shown
//! together with the least and the greatest, so that a noisy machine shows.

use std::fmt;

use serde_json::{Value, json};

/// The least, the middle and the greatest of some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) greatest: f64,
}

impl Spread {
    /// Of at least one figure, else of zeros.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
        let last = sorted.len().saturating_sub(1);
        Self {
            least: at(0),
            median: f64::midpoint(at(last / 2), at(last.div_ceil(2))),
            greatest: at(last),
        }
    }
}

/// One measurement in one unit, without recon and with it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// The unit of `baseline` and `with`.
    pub(crate) unit: &'static str,
    /// Without recon: the median of the rounds.
    pub(crate) baseline: f64,
    /// With it, likewise.
    pub(crate) with: f64,
    /// `with` by `baseline`, of each round.
    pub(crate) ratio: Spread,
    /// What else there is to say.
    pub(crate) extra: String,
}

/// The figures of the rounds, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds {
    baseline: Vec<f64>,
    with: Vec<f64>,
}

impl Rounds {
    /// Adds a figure to the side without recon or with it.
    pub(crate) fn push(&mut self, with: bool, figure: f64) {
        match with {
            true => self.with.push(figure),
            false => self.baseline.push(figure),
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (f64, f64)> {
        self.baseline.iter().copied().zip(self.with.iter().copied())
    }

    /// `with` minus `baseline`, of each round.
    pub(crate) fn differences(&self) -> Spread {
        Spread::of(self.pairs().map(|(baseline, with)| with - baseline))
    }

    /// The row of these rounds.
    pub(crate) fn row(&self, what: &str, unit: &'static str, extra: String) -> Row {
        Row {
            what: what.to_owned(),
            unit,
            baseline: Spread::of(self.baseline.iter().copied()).median,
            with: Spread::of(self.with.iter().copied()).median,
            ratio: Spread::of(self.pairs().map(|(baseline, with)| with / baseline)),
            extra,
        }
    }
}

/// What one part of the benchmark found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Table {
    pub(crate) part: &'static str,
    pub(crate) rows: Vec<Row>,
}

impl Table {
    /// Each row as an object.
    pub(crate) fn json_rows(&self) -> Vec<Value> {
        let row = |row: &Row| {
            json!({
                "part": self.part,
                "what": row.what,
                "unit": row.unit,
                "baseline": row.baseline,
                "with": row.with,
                "ratio": row.ratio.median,
                "ratio_least": row.ratio.least,
                "ratio_greatest": row.ratio.greatest,
                "extra": row.extra,
            })
        };
        self.rows.iter().map(row).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = [self.part, "without", "with", "ratio", "of rounds", ""];
        let mut lines = vec![heads.map(str::to_owned)];
        lines.extend(self.rows.iter().map(cells));
        let width = |column: usize| {
            let lengths = lines.iter().map(|line| line[column].chars().count());
            lengths.max().unwrap_or_default()
        };
        let (a, b, c, d, e) = (width(0), width(1), width(2), width(3), width(4));
        for [what, baseline, with, ratio, rounds, extra] in &lines {
            let line =
                format!("{what:a$}  {baseline:>b$}  {with:>c$}  {ratio:>d$}  {rounds:e$}  {extra}");
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// The row's columns.
fn cells(row: &Row) -> [String; 6] {
    let Row {
        what,
        unit,
        baseline,
        with,
        ratio,
        extra,
    } = row;
    [
        what.clone(),
        format!("{baseline:.0} {unit}"),
        format!("{with:.0} {unit}"),
        format!("{:.3}", ratio.median),
        format!("{:.3} to {:.3}", ratio.least, ratio.greatest),
        extra.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds() -> Rounds {
        Rounds {
            baseline: vec![1000.0, 2000.0, 1100.0],
            with: vec![1100.0, 2100.0, 1100.0],
        }
    }

    #[test]
    fn spreads() {
        for (figures, least, median, greatest) in [
            (&[][..], 0.0, 0.0, 0.0),
            (&[3.0], 3.0, 3.0, 3.0),
            (&[4.0, 1.0], 1.0, 2.5, 4.0),
            (&[9.0, 1.0, 2.0], 1.0, 2.0, 9.0),
        ] {
            let expected = Spread {
                least,
                median,
                greatest,
            };
            assert_eq!(Spread::of(figures.iter().copied()), expected, "{figures:?}");
        }
    }

    #[test]
    fn ratios_and_differences_are_of_one_round() {
        let differences = Spread {
            least: 0.0,
            median: 100.0,
            greatest: 100.0,
        };
        assert_eq!(rounds().differences(), differences);
        let row = rounds().row("connect", "ns", String::new());
        assert_eq!((row.baseline, row.with), (1100.0, 1100.0));
        let ratio = Spread {
            least: 1.0,
            median: 1.05,
            greatest: 1.1,
        };
        assert_eq!(row.ratio, ratio);
    }

    #[test]
    fn the_table_has_columns() {
        let table = Table {
            part: "sockets",
            rows: vec![
                rounds().row("connect", "ns", "adds 100 ns".to_owned()),
                rounds().row("a longer name", "ns", String::new()),
            ],
        };
        let expected = "\
sockets        without     with  ratio  of rounds
connect        1100 ns  1100 ns  1.050  1.000 to 1.100  adds 100 ns
a longer name  1100 ns  1100 ns  1.050  1.000 to 1.100
";
        assert_eq!(table.to_string(), expected);
        assert_eq!(table.json_rows()[1]["what"], "a longer name");
        assert_eq!(table.json_rows()[0]["ratio_greatest"], 1.1);
    }
}
