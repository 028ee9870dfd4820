//! Tables for a terminal.
//!
//! In: headings and rows. Out: lines whose columns are as wide as their longest cell.

use std::io::{self, Write};

/// The side of its column that a cell's text is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Writes the headings and the rows to `out`.
pub(super) fn write_table<const N: usize>(
    headings: [(&str, Align); N],
    rows: &[[String; N]],
    out: &mut dyn Write,
) -> io::Result<()> {
    let first = headings.map(|(heading, _)| heading.to_owned());
    let all = || std::iter::once(&first).chain(rows);
    let widths: [usize; N] = std::array::from_fn(|column| {
        let lengths = all().map(|row| row[column].chars().count());
        lengths.max().unwrap_or(0)
    });
    for row in all() {
        let mut line = String::new();
        for ((text, width), (_, align)) in row.iter().zip(widths).zip(headings) {
            line.push_str(&match align {
                Align::Left => format!("{text:<width$}  "),
                Align::Right => format!("{text:>width$}  "),
            });
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
