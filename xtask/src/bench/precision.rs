//! How precise the alerts are, by severity.
//!
//! In: the built example, which judges a mixture of known traffic. Out: a table with a row for each
//! figure of each host and a column for each severity, and the scanners that are missed.
//! The decision held here: a figure is the median over the seeds, with the least and the greatest,
//! since a seed is one of many equally good hours.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::example;
use super::row::{Spread, number};
use super::table::{Align, Table};

/// The name of the lines on scanners that are missed.
const MISSED: &str = "missed";
/// A figure that no seed has: nobody was named.
const NONE: &str = "-";

/// Runs the example and formats its figures.
pub(super) fn measure(example: &Path, title: &'static str, about: &'static str) -> Result<Table> {
    let figures = Figures::read(&example::output(example)?)?;
    Ok(figures.table(title, about))
}

/// One figure of one host.
#[derive(Debug)]
struct Figure {
    what: String,
    /// The severities and the values of all seeds.
    values: Vec<(String, f64)>,
}

#[derive(Debug, Default)]
struct Figures {
    /// In the order in which they are first seen.
    figures: Vec<Figure>,
    severities: Vec<String>,
    /// The hosts, the scanners and by how many seeds they are missed.
    missed: Vec<(String, String, u32)>,
}

impl Figures {
    /// Reads lines: a host, a name, a severity and a value; or a host, `missed` and a scanner.
    fn read(output: &str) -> Result<Self> {
        let mut all = Self::default();
        for line in output.lines() {
            all.read_line(line)
                .with_context(|| format!("not a figure: {line}"))?;
        }
        Ok(all)
    }

    fn read_line(&mut self, line: &str) -> Option<()> {
        match line.split('\t').collect::<Vec<_>>()[..] {
            [host, MISSED, scanner] => self.add_missed(host, scanner),
            [host, name, severity, value] => {
                self.add(format!("{host}: {name}"), severity, value.parse().ok()?);
            }
            _ => return None,
        }
        Some(())
    }

    fn add(&mut self, what: String, severity: &str, value: f64) {
        if !self.severities.iter().any(|known| known == severity) {
            self.severities.push(severity.to_owned());
        }
        let value = (severity.to_owned(), value);
        match self.figures.iter_mut().find(|figure| figure.what == what) {
            Some(figure) => figure.values.push(value),
            None => self.figures.push(Figure {
                what,
                values: vec![value],
            }),
        }
    }

    fn add_missed(&mut self, host: &str, scanner: &str) {
        let mut missed = self.missed.iter_mut();
        match missed.find(|(at, name, _)| at == host && name == scanner) {
            Some((_, _, seeds)) => *seeds += 1,
            None => self.missed.push((host.to_owned(), scanner.to_owned(), 1)),
        }
    }

    fn table(&self, title: &'static str, about: &'static str) -> Table {
        let mut head = vec![title.to_owned()];
        head.extend(self.severities.iter().cloned());
        let mut columns = vec![Align::Right; head.len()];
        columns[0] = Align::Left;
        let mut lines = vec![head];
        let mut json_rows = Vec::new();
        for figure in &self.figures {
            let mut line = vec![figure.what.clone()];
            for severity in &self.severities {
                let spread = figure.spread(severity);
                line.push(spread.map_or_else(|| NONE.to_owned(), cell));
                json_rows.push(json!({
                    "part": title,
                    "what": figure.what,
                    "severity": severity,
                    "median": spread.map(|spread| spread.median),
                    "least": spread.map(|spread| spread.least),
                    "greatest": spread.map(|spread| spread.greatest),
                }));
            }
            lines.push(line);
        }
        Table {
            about,
            columns,
            lines,
            notes: self.notes(),
            json_rows,
        }
    }

    /// A sentence for each host on the scanners that are missed.
    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<(&str, String)> = Vec::new();
        for (host, scanner, seeds) in &self.missed {
            let missed = format!("{scanner} ({seeds})");
            match notes.iter_mut().find(|(known, _)| known == host) {
                Some((_, note)) => *note += &format!("; {missed}"),
                None => {
                    let head = format!("{host}: missed at medium, by how many seeds: {missed}");
                    notes.push((host, head));
                }
            }
        }
        notes
            .into_iter()
            .map(|(_, note)| format!("{note}."))
            .collect()
    }
}

impl Figure {
    /// The spread over the seeds, or `None` if no seed has the figure.
    fn spread(&self, severity: &str) -> Option<Spread> {
        let values = self.values.iter().filter(|(known, _)| known == severity);
        let values: Vec<f64> = values.map(|(_, value)| *value).collect();
        (!values.is_empty()).then(|| Spread::of(values))
    }
}

/// The median, with the least and the greatest if they differ.
fn cell(spread: Spread) -> String {
    let [least, median, greatest] = [spread.least, spread.median, spread.greatest].map(number);
    match least == greatest {
        true => median,
        false => format!("{median} ({least} to {greatest})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_spreads_over_the_seeds() {
        let output = "refuses\tlines\tlow\t12\nrefuses\tlines\thigh\t1\nrefuses\tshare\tlow\t50.5\n\
                      refuses\tmissed\t21 ports\nrefuses\tlines\tlow\t14\nrefuses\tmissed\t21 ports\n\
                      refuses\tmissed\tslow\ndrops\tlines\tlow\t3\n";
        let table = Figures::read(output)
            .expect("figures")
            .table("precision", "Whom.");
        let expected = "\
precision                 low  high
refuses: lines  13 (12 to 14)     1
refuses: share           50.5     -
drops: lines                3     -
refuses: missed at medium, by how many seeds: 21 ports (2); slow (1).
";
        assert_eq!(table.to_string(), expected);
        assert_eq!(table.json_rows.len(), 6);
        assert_eq!(table.json_rows[0]["greatest"], 14.0);
        for broken in ["refuses", "refuses\tlines\tlow", "refuses\tlines\tlow\tx"] {
            assert!(Figures::read(broken).is_err(), "{broken}");
        }
    }
}
