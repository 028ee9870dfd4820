//! What a benchmark found of one thing.
//!
//! In: figures of rounds, each measured on two sides: without recon and with it, or otherwise and as recon does. Out: [`Row`]s.
//! The decision held here: a ratio is of two figures of one round, which lie close in time; the median over the rounds is shown
//! together with the least and the greatest, so that a noisy machine shows.

use std::fmt;

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

/// The figure with three digits, or with all that stand before the point. A whole number stays one.
pub(super) fn number(figure: f64) -> String {
    let decimals = match figure.abs() {
        whole if whole.fract() == 0.0 => 0,
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{figure:.decimals$}")
}

/// What was measured beside a row's own figure.
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

/// What a row's figure is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Compared {
    /// The other side's figure: the median of the rounds.
    pub(crate) baseline: f64,
    /// The row's figure by the other side's, of each round.
    pub(crate) ratio: Spread,
}

/// One measurement in one unit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// The unit of the figure and of what it is compared with.
    pub(crate) unit: &'static str,
    /// What it is compared with, if it is.
    pub(crate) compared: Option<Compared>,
    /// With recon, or as recon does: the median of the rounds.
    pub(crate) figure: f64,
    /// What else there is to say.
    pub(crate) facts: Vec<Fact>,
}

/// The figures of the rounds, in their order.
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
    /// Adds a figure to the side without recon or with it.
    pub(crate) fn push(&mut self, with: bool, figure: f64) {
        match with {
            true => self.with.push(figure),
            false => self.baseline.push(figure),
        }
    }

    /// Adds a figure to the fact of that name.
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

    /// The side with recon minus the one without, of each round.
    pub(crate) fn differences(&self) -> Vec<f64> {
        self.pairs()
            .map(|(baseline, with)| with - baseline)
            .collect()
    }

    /// The row of these rounds. Without figures of the other side it is compared with nothing.
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
