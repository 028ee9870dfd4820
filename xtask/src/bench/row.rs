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

/// A further figure of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fact {
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) spread: Spread,
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, unit, spread } = self;
        let [least, median, greatest] = [spread.least, spread.median, spread.greatest].map(number);
        write!(f, "{name} {median} {unit}")?;
        match least == greatest {
            true => Ok(()),
            false => write!(f, " ({least} to {greatest})"),
        }
    }
}

/// The comparison of a row's figure with the baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Compared {
    /// The median of the baseline's rounds.
    pub(crate) baseline: f64,
    /// The row's figure divided by the baseline's, for each round.
    pub(crate) ratio: Spread,
}

/// One measurement in one unit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// The unit of the figure and of the baseline.
    pub(crate) unit: &'static str,
    /// The comparison, if there is a baseline.
    pub(crate) compared: Option<Compared>,
    /// The median of recon's rounds.
    pub(crate) figure: f64,
    /// Further figures.
    pub(crate) facts: Vec<Fact>,
}

/// The figures of the rounds, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds {
    baseline: Vec<f64>,
    with: Vec<f64>,
    facts: Vec<Noted>,
}

/// The figures of a fact.
#[derive(Clone, Debug)]
struct Noted {
    name: String,
    unit: String,
    figures: Vec<f64>,
}

impl Rounds {
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
            None => self.facts.push(Noted {
                name: name.to_owned(),
                unit: unit.to_owned(),
                figures: vec![figure],
            }),
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (f64, f64)> {
        self.baseline.iter().copied().zip(self.with.iter().copied())
    }

    /// The difference between recon and the baseline, for each round.
    pub(crate) fn differences(&self) -> Vec<f64> {
        self.pairs()
            .map(|(baseline, with)| with - baseline)
            .collect()
    }

    /// The row of these rounds. It has no comparison without baseline figures.
    pub(crate) fn row(&self, what: &str, unit: &'static str) -> Row {
        let median = |figures: &[f64]| Spread::of(figures.iter().copied()).median;
        let compared = || Compared {
            baseline: median(&self.baseline),
            ratio: Spread::of(self.pairs().map(|(baseline, with)| with / baseline)),
        };
        let fact = |noted: &Noted| Fact {
            name: noted.name.clone(),
            unit: noted.unit.clone(),
            spread: Spread::of(noted.figures.iter().copied()),
        };
        Row {
            what: what.to_owned(),
            unit,
            compared: (!self.baseline.is_empty()).then(compared),
            figure: median(&self.with),
            facts: self.facts.iter().map(fact).collect(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Three rounds, with a fact.
    pub(crate) fn rounds() -> Rounds {
        let mut rounds = Rounds::default();
        for (baseline, with) in [(1000.0, 1100.0), (2000.0, 2100.0), (1100.0, 1100.0)] {
            rounds.push(false, baseline);
            rounds.push(true, with);
        }
        for added in rounds.differences() {
            rounds.note("adds", "ns", added);
        }
        rounds
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
        let row = rounds().row("connect", "ns");
        let compared = Compared {
            baseline: 1100.0,
            ratio: Spread {
                least: 1.0,
                median: 1.05,
                greatest: 1.1,
            },
        };
        assert_eq!((row.compared, row.figure), (Some(compared), 1100.0));
        let [adds] = &row.facts[..] else {
            panic!("{row:?}")
        };
        assert_eq!(adds.to_string(), "adds 100 ns (0 to 100)");
    }

    #[test]
    fn one_side_alone_is_compared_with_nothing() {
        let mut rounds = Rounds::default();
        rounds.push(true, 3.0);
        rounds.note("peak memory", "MB", 12.5);
        let row = rounds.row("idle", "%");
        assert_eq!((row.compared, row.figure), (None, 3.0));
        assert_eq!(row.facts[0].to_string(), "peak memory 12.5 MB");
    }
}
