//! The picture of what recon costs as the sources grow in number.
//!
//! In: rows of so many sources. Out: an SVG: what a row takes, and the peak of memory, over a logarithmic axis of sources.
//! The decision held here: two panels with a scale each, since two scales in one say nothing of each other; its colours follow the reader's
//! scheme, light or dark.

use std::fmt::Write as _;

use super::row::{Fact, Row, number};

/// What so many sources cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    sources: f64,
    /// Nanoseconds a row.
    row: f64,
    /// Megabytes.
    memory: f64,
}

impl Point {
    /// Of a row such as `10,000 sources` that tells of the peak of memory.
    pub(super) fn of(row: &Row) -> Option<Self> {
        let sources = row.what.strip_suffix(" sources")?.replace(',', "");
        let is_memory = |fact: &&Fact| fact.name == "peak memory";
        Some(Self {
            sources: sources.parse().ok()?,
            row: row.figure,
            memory: row.facts.iter().find(is_memory)?.spread.median,
        })
    }
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 250.0;
/// A panel's plot, and the room on its left for the scale.
const PLOT_WIDTH: f64 = 280.0;
const PLOT_HEIGHT: f64 = 150.0;
const TOP: f64 = 44.0;
const LEFT: f64 = 60.0;
/// From one panel's plot to the next.
const PITCH: f64 = 350.0;
/// From a text's base line to what it stands at.
const GAP: f64 = 8.0;
/// Below the plot: the numbers of sources, and what they are.
const TICKS: f64 = 18.0;
const LABEL: f64 = 38.0;

const STYLE: &str = "\
text { font: 12px sans-serif; fill: #57606a }
.title { font-weight: bold }
.middle { text-anchor: middle }
.end { text-anchor: end }
.grid { stroke: #8c959f; stroke-opacity: 0.4 }
.line { fill: none; stroke: #0969da; stroke-width: 2 }
circle { fill: #0969da }
@media (prefers-color-scheme: dark) {
text { fill: #b1bac4 }
.line { stroke: #58a6ff }
circle { fill: #58a6ff }
}";

/// The picture of these points, ascending.
pub(super) fn draw(points: &[Point]) -> String {
    let of = |value: fn(&Point) -> f64| -> Vec<[f64; 2]> {
        points
            .iter()
            .map(|point| [point.sources, value(point)])
            .collect()
    };
    let panels = [
        panel(LEFT, "ns a row", &of(|point| point.row)),
        panel(LEFT + PITCH, "peak memory, MB", &of(|point| point.memory)),
    ];
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\">\n\
         <title>What different sources cost</title>\n<style>\n{STYLE}\n</style>\n{}</svg>\n",
        panels.concat()
    )
}

/// A plot of values over sources.
fn panel(left: f64, title: &str, points: &[[f64; 2]]) -> String {
    let bottom = TOP + PLOT_HEIGHT;
    let greatest = points.iter().map(|[_, value]| *value).fold(0.0, f64::max);
    let end = round_up(greatest);
    let height = |value: f64| bottom - PLOT_HEIGHT * value / end;
    let mut svg = String::new();
    // A string takes everything, here and below.
    let _ = writeln!(
        svg,
        r#"<text class="title" x="{left}" y="{}">{title}</text>"#,
        TOP - 2.0 * GAP
    );
    for value in [0.0, end / 2.0, end] {
        let y = height(value);
        let _ = writeln!(
            svg,
            r#"<line class="grid" x1="{left}" x2="{}" y1="{y:.1}" y2="{y:.1}"/><text class="end" x="{}" y="{:.1}">{}</text>"#,
            left + PLOT_WIDTH,
            left - GAP,
            y + GAP / 2.0,
            number(value)
        );
    }
    let placed =
        |[sources, value]: &[f64; 2]| [left + PLOT_WIDTH * share(*sources, points), height(*value)];
    let line: Vec<String> = points
        .iter()
        .map(|point| {
            let [x, y] = placed(point);
            format!("{x:.1},{y:.1}")
        })
        .collect();
    let _ = writeln!(
        svg,
        r#"<polyline class="line" points="{}"/>"#,
        line.join(" ")
    );
    for point in points {
        let [x, y] = placed(point);
        let [sources, value] = *point;
        let _ = writeln!(
            svg,
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="3"/><text class="middle" x="{x:.1}" y="{:.1}">{}</text><text class="middle" x="{x:.1}" y="{}">{}</text>"#,
            y - GAP,
            number(value),
            bottom + TICKS,
            short(sources)
        );
    }
    let _ = writeln!(
        svg,
        r#"<text class="middle" x="{}" y="{}">different sources</text>"#,
        left + PLOT_WIDTH / 2.0,
        bottom + LABEL
    );
    svg
}

/// How far along the logarithmic axis so many sources are, from 0 to 1.
fn share(sources: f64, points: &[[f64; 2]]) -> f64 {
    let logarithm = |point: Option<&[f64; 2]>| point.map_or(0.0, |[sources, _]| sources.log10());
    let (least, greatest) = (logarithm(points.first()), logarithm(points.last()));
    match greatest - least {
        0.0 => 0.0,
        span => (sources.log10() - least) / span,
    }
}

/// The next of 1, 2, 5, 10, 20, ... and 1 for nothing.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let base = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|step| step * base);
    steps
        .into_iter()
        .find(|step| *step >= value)
        .unwrap_or(10.0 * base)
}

/// `10 k` for 10,000.
fn short(count: f64) -> String {
    const UNITS: [(f64, &str); 2] = [(1e6, " M"), (1e3, " k")];
    let unit = UNITS.into_iter().find(|(size, _)| count >= *size);
    let (size, name) = unit.unwrap_or((1.0, ""));
    format!("{:.0}{name}", count / size)
}

#[cfg(test)]
mod tests {
    use super::super::row::Rounds;
    use super::*;

    #[test]
    fn rows_of_sources_are_points() {
        let mut rounds = Rounds::default();
        rounds.push(true, 4000.0);
        assert_eq!(Point::of(&rounds.row("10,000 sources", "ns")), None);
        rounds.note("peak memory", "MB", 30.0);
        let point = Point {
            sources: 10_000.0,
            row: 4000.0,
            memory: 30.0,
        };
        for (what, expected) in [
            ("10,000 sources", Some(point)),
            ("4 interfaces", None),
            ("some sources", None),
        ] {
            assert_eq!(Point::of(&rounds.row(what, "ns")), expected, "{what}");
        }
    }

    #[test]
    fn points_lie_where_their_values_are() {
        let point = |sources, row, memory| Point {
            sources,
            row,
            memory,
        };
        let svg = draw(&[
            point(1e3, 1000.0, 10.0),
            point(1e5, 2000.0, 20.0),
            point(1e7, 4000.0, 50.0),
        ]);
        for expected in [
            // 0 is at 194, the end of the scale at 44: 5000 ns, 50 MB.
            r#"<polyline class="line" points="60.0,164.0 200.0,134.0 340.0,74.0"/>"#,
            r#"<polyline class="line" points="410.0,164.0 550.0,134.0 690.0,44.0"/>"#,
            ">5000</text>",
            ">1 k</text>",
            ">100 k</text>",
            ">10 M</text>",
        ] {
            assert!(svg.contains(expected), "{expected} in {svg}");
        }
        assert_eq!(svg.matches("<circle").count(), 6);
    }

    #[test]
    fn few_points_are_drawn_as_well() {
        let point = Point {
            sources: 1e3,
            row: 0.0,
            memory: 1.0,
        };
        for points in [&[][..], &[point]] {
            let svg = draw(points);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn scales_end_at_round_numbers() {
        for (value, expected) in [(0.0, 1.0), (1.0, 1.0), (3.0, 5.0), (700.0, 1000.0)] {
            assert_eq!(round_up(value), expected, "{value}");
        }
    }
}
