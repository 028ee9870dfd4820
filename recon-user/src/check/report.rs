//! The lines of `recon check`.
//!
//! In: what each check found. Out: text for a terminal of 80 columns, or JSON.
//! The decision held here: the names of parts and checks are stable, and documented in
//! docs/operation.md: scripts select by them. The texts may change.

use std::fmt::{self, Display};
use std::io::{self, Write};

use serde::Serialize;

/// The columns of a terminal that nobody has made wider.
const COLUMNS: usize = 80;
/// Where texts begin, after the result.
const INDENT: usize = 9;

/// What a check found, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Finding {
    /// It is available.
    Ok,
    /// It could not be tried, or it is worth knowing.
    Note,
    /// recon works without it, and loses something.
    Loss,
    /// recon can't run.
    Failure,
}

impl Finding {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Loss => "loss",
            Self::Failure => "failure",
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    /// Such as `kernel`.
    part: &'static str,
    /// What was checked.
    check: String,
    result: Finding,
    says: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    costs: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Line {
    fn new(part: &'static str, check: &str, result: Finding, says: &dyn Display) -> Self {
        Self {
            part,
            check: check.to_owned(),
            result,
            says: says.to_string().trim_end().to_owned(),
            costs: None,
            mend: None,
        }
    }

    pub(super) fn ok(part: &'static str, check: &str, says: impl Display) -> Self {
        Self::new(part, check, Finding::Ok, &says)
    }

    pub(super) fn note(part: &'static str, check: &str, says: impl Display) -> Self {
        Self::new(part, check, Finding::Note, &says)
    }

    pub(super) fn loss(part: &'static str, check: &str, says: impl Display) -> Self {
        Self::new(part, check, Finding::Loss, &says)
    }

    pub(super) fn failure(part: &'static str, check: &str, says: impl Display) -> Self {
        Self::new(part, check, Finding::Failure, &says)
    }

    /// Adds what the user loses.
    pub(super) fn costs(self, costs: impl Display) -> Self {
        let costs = Some(costs.to_string());
        Self { costs, ..self }
    }

    /// Adds what to do.
    pub(super) fn mend(self, mend: impl Display) -> Self {
        let mend = Some(mend.to_string());
        Self { mend, ..self }
    }
}

/// All checks.
#[derive(Debug, Default)]
pub(super) struct Report {
    lines: Vec<Line>,
}

/// The report as JSON.
#[derive(Serialize)]
struct Json<'a> {
    result: Finding,
    exit_code: u8,
    checks: &'a [Line],
}

impl Report {
    /// Adds a line to the end of its part.
    pub(super) fn push(&mut self, line: Line) {
        let last = self.lines.iter().rposition(|other| other.part == line.part);
        let place = last.map_or(self.lines.len(), |last| last + 1);
        self.lines.insert(place, line);
    }

    /// The worst of all findings.
    fn worst(&self) -> Finding {
        let findings = self.lines.iter().map(|line| line.result);
        findings.max().unwrap_or(Finding::Ok)
    }

    /// 0 all available, 1 losses, 2 recon can't run.
    pub(super) fn exit_code(&self) -> u8 {
        match self.worst() {
            Finding::Ok | Finding::Note => 0,
            Finding::Loss => 1,
            Finding::Failure => 2,
        }
    }

    pub(super) fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        let json = Json {
            result: self.worst(),
            exit_code: self.exit_code(),
            checks: &self.lines,
        };
        serde_json::to_writer_pretty(&mut *out, &json)?;
        writeln!(out)
    }

    pub(super) fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        let mut part = "";
        for line in &self.lines {
            if line.part != part {
                part = line.part;
                writeln!(out, "{part}")?;
            }
            write!(out, "{line}")?;
        }
        writeln!(out, "{}", self.summary())
    }

    fn summary(&self) -> String {
        let count = |finding| {
            let found = self.lines.iter().filter(|line| line.result == finding);
            found.count()
        };
        let (losses, failures) = (count(Finding::Loss), count(Finding::Failure));
        let number = |count: usize, one: &str, more: &str| match count {
            1 => format!("1 {one}"),
            count => format!("{count} {more}"),
        };
        match (failures, losses) {
            (0, 0) => "recon can run here, and loses nothing".to_owned(),
            (0, losses) => format!(
                "recon can run here, with {}",
                number(losses, "loss", "losses")
            ),
            (failures, _) => format!(
                "recon can't run here: {}",
                number(failures, "failure", "failures")
            ),
        }
    }
}

impl Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let says = format!("{}: {}", self.check, self.says);
        let mut label = format!("  {}", self.result.word());
        let rest = [("costs", &self.costs), ("mend", &self.mend)];
        let rest = rest.into_iter().filter_map(|(label, text)| {
            let text = text.as_deref()?;
            Some(format!("{label}: {text}"))
        });
        for text in std::iter::once(says).chain(rest) {
            for line in text
                .lines()
                .flat_map(|line| wrap(line, COLUMNS - INDENT - 2))
            {
                writeln!(f, "{label:INDENT$}  {line}")?;
                label.clear();
            }
        }
        Ok(())
    }
}

/// Breaks a line between words. A word that is longer than a line stays whole.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_inclusive(' ') {
        let line = lines.last_mut().expect("one line at least");
        let length = line.chars().count() + word.trim_end().chars().count();
        if length > columns && !line.trim().is_empty() {
            line.truncate(line.trim_end().len());
            lines.push(word.to_owned());
        } else {
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_gives_the_exit_code() {
        for (lines, code, summary) in [
            (vec![], 0, "recon can run here, and loses nothing"),
            (
                vec![Line::ok("a", "b", ""), Line::note("a", "b", "")],
                0,
                "recon can run here, and loses nothing",
            ),
            (
                vec![Line::loss("a", "b", ""), Line::ok("a", "b", "")],
                1,
                "recon can run here, with 1 loss",
            ),
            (
                vec![Line::failure("a", "b", ""), Line::loss("a", "b", "")],
                2,
                "recon can't run here: 1 failure",
            ),
        ] {
            let report = Report { lines };
            assert_eq!((report.exit_code(), &*report.summary()), (code, summary));
        }
    }

    #[test]
    fn texts_fit_eighty_columns() {
        let long = "word ".repeat(60);
        let line = Line::loss("kernel", "tcx", &long).costs(&long).mend(&long);
        let text = line.to_string();
        let widths = text.lines().map(|line| line.chars().count());
        assert!(widths.clone().all(|width| width <= COLUMNS), "{text}");
        assert!(widths.max() > Some(COLUMNS - 10), "{text}");
        assert_eq!(
            text.split_whitespace().filter(|&it| it == "word").count(),
            180
        );
        assert!(text.starts_with("  loss     tcx: word"), "{text}");
        assert_eq!(wrap(&"x".repeat(100), 70).len(), 1);
    }

    #[test]
    fn a_part_stays_together() {
        let mut report = Report::default();
        for (part, check) in [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")] {
            report.push(Line::ok(part, check, ""));
        }
        let checks: Vec<_> = report.lines.iter().map(|line| &*line.check).collect();
        assert_eq!(checks, ["1", "3", "2", "4"]);
    }

    #[test]
    fn absent_fields_are_left_out_of_json() {
        let mut report = Report::default();
        report.push(Line::ok("kernel", "tcx", "attaches"));
        let mut out = Vec::new();
        report.write_json(&mut out).expect("memory");
        let json: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        assert_eq!(json["exit_code"], 0);
        assert_eq!(json["checks"][0]["result"], "ok");
        assert!(json["checks"][0].get("costs").is_none(), "{json}");
    }
}
