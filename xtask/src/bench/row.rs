//! The result of one measurement.
//!
//! In: figures of rounds, each measured on two sides: a baseline, and recon. Out: [`Row`]s.
//! The decision held here: a ratio compares two figures of one round, which are close in time; the
//! median over the rounds is shown with the least and the greatest, so that a noisy machine is
//! visible.

use std::fmt;

/// The least, the median and the greatest of some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) greatest: f64,
}

impl Spread {
    /// The spread of the figures, or zeros for none.
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

/// Formats a figure with three digits, or with all those before the point. A whole number keeps no
/// decimals.
pub(super) fn number(figure: f64) -> String {
    let decimals = match figure.abs() {
        whole if whole.fract() == 0.0 => 0,
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{figure:.decimals$}")
}

/// A further figure of a row, of each round.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    pub(crate) name: String,
    pub(crate) unit: String,
    figures: Vec<f64>,
}

impl Fact {
    pub(crate) fn spread(&self) -> Spread {
        Spread::of(self.figures.iter().copied())
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spread = self.spread();
        let [least, median, greatest] = [spread.least, spread.median, spread.greatest].map(number);
        write!(f, "{} {median} {}", self.name, self.unit)?;
        match least == greatest {
            true => Ok(()),
            false => write!(f, " ({least} to {greatest})"),
        }
    }
}

/// One measurement in one unit: the figures of its rounds, in order.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// The unit of the figures.
    pub(crate) unit: &'static str,
    baseline: Vec<f64>,
    with: Vec<f64>,
    pub(crate) facts: Vec<Fact>,
    /// Why there are no figures.
    pub(crate) missing: Option<String>,
}

impl Row {
    /// A row without rounds.
    pub(crate) fn new(what: &str, unit: &'static str) -> Self {
        Self {
            what: what.to_owned(),
            unit,
            baseline: Vec::new(),
            with: Vec::new(),
            facts: Vec::new(),
            missing: None,
        }
    }

    /// A row without figures, and why it has none.
    pub(crate) fn missing(what: &str, why: &str) -> Self {
        Self {
            missing: Some(why.to_owned()),
            ..Self::new(what, "")
        }
    }

    /// Adds a figure, with recon or to the baseline.
    pub(crate) fn push(&mut self, with: bool, figure: f64) {
        match with {
            true => self.with.push(figure),
            false => self.baseline.push(figure),
        }
    }

    /// Adds a figure to the fact with this name.
    pub(crate) fn note(&mut self, name: &str, unit: &str, figure: f64) {
        match self.facts.iter_mut().find(|fact| fact.name == name) {
            Some(fact) => fact.figures.push(figure),
            None => self.facts.push(Fact {
                name: name.to_owned(),
                unit: unit.to_owned(),
                figures: vec![figure],
            }),
        }
    }

    /// Notes how much recon adds to the baseline, for each round.
    pub(crate) fn note_differences(&mut self) {
        let differences: Vec<f64> = self
            .pairs()
            .map(|(baseline, with)| with - baseline)
            .collect();
        for added in differences {
            self.note("adds", self.unit, added);
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (f64, f64)> {
        self.baseline.iter().copied().zip(self.with.iter().copied())
    }

    /// The median of recon's rounds, if there are any.
    pub(crate) fn figure(&self) -> Option<f64> {
        let median = || Spread::of(self.with.iter().copied()).median;
        (!self.with.is_empty()).then(median)
    }

    /// The median of the baseline's rounds, if there is a baseline.
    pub(crate) fn baseline(&self) -> Option<f64> {
        let median = || Spread::of(self.baseline.iter().copied()).median;
        (!self.baseline.is_empty()).then(median)
    }

    /// The figure divided by the baseline's, for each round, if there is a baseline.
    pub(crate) fn ratio(&self) -> Option<Spread> {
        let ratio = || Spread::of(self.pairs().map(|(baseline, with)| with / baseline));
        (!self.baseline.is_empty()).then(ratio)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Three rounds, with a fact.
    pub(crate) fn row() -> Row {
        let mut row = Row::new("connect", "ns");
        for (baseline, with) in [(1000.0, 1100.0), (2000.0, 2100.0), (1100.0, 1100.0)] {
            row.push(false, baseline);
            row.push(true, with);
        }
        row.note_differences();
        row
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
    fn numbers_have_three_digits() {
        for (figure, expected) in [
            (0.0, "0"),
            (-9.994, "-9.99"),
            (10.04, "10.0"),
            (100.4, "100"),
            (123_456.7, "123457"),
        ] {
            assert_eq!(number(figure), expected);
        }
    }

    #[test]
    fn ratios_and_differences_are_of_one_round() {
        let row = row();
        let ratio = Spread {
            least: 1.0,
            median: 1.05,
            greatest: 1.1,
        };
        assert_eq!(
            (row.baseline(), row.ratio(), row.figure()),
            (Some(1100.0), Some(ratio), Some(1100.0))
        );
        let [adds] = &row.facts[..] else {
            panic!("{row:?}")
        };
        assert_eq!(adds.to_string(), "adds 100 ns (0 to 100)");
    }

    #[test]
    fn one_side_alone_is_compared_with_nothing() {
        let mut row = Row::new("idle", "%");
        row.push(true, 3.0);
        row.note("peak memory", "MB", 12.5);
        assert_eq!(
            (row.baseline(), row.ratio(), row.figure()),
            (None, None, Some(3.0))
        );
        assert_eq!(row.facts[0].to_string(), "peak memory 12.5 MB");
    }
}
