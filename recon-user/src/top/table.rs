//! Tables whose columns fit into a width.
//!
//! In: columns with their values, by how much they matter. Out: lines.
//! The decision held here: a number or an address that is cut short is another one. So a column
//! that does not fit beside the more important ones is not shown. A name that somebody has chosen
//! is cut, with a sign, so that it takes no other column's room.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::diagnostic::visible;

/// The widest text: an address of IPv6 fits, with a network's length.
const WIDEST: usize = 43;
/// The end of a text that was cut.
const CUT: char = '…';

/// Between two columns.
const GAP: usize = 1;

/// A column.
#[derive(Debug)]
pub(super) struct TableColumn {
    pub(super) title: &'static str,
    /// Columns of higher ranks go first where there is no room.
    pub(super) rank: u8,
    pub(super) is_number: bool,
    pub(super) values: Vec<String>,
}

impl TableColumn {
    /// A column of texts, which may come from anywhere.
    pub(super) fn texts<'a>(
        title: &'static str,
        rank: u8,
        values: impl Iterator<Item = &'a str>,
    ) -> Self {
        Self {
            title,
            rank,
            is_number: false,
            values: values.map(|text| cut(&visible(text.as_bytes()))).collect(),
        }
    }

    /// A column of numbers.
    pub(super) fn numbers(
        title: &'static str,
        rank: u8,
        values: impl Iterator<Item = String>,
    ) -> Self {
        Self {
            title,
            rank,
            is_number: true,
            values: values.collect(),
        }
    }

    fn width(&self) -> usize {
        let widths = self.values.iter().map(|value| value.width());
        widths.max().unwrap_or(0).max(self.title.width())
    }
}

/// The text, or as much of it as may be shown.
fn cut(text: &str) -> String {
    // Marks that stand above a letter have no width, and there may be thousands.
    const MOST_LETTERS: usize = 2 * WIDEST;
    if text.width() <= WIDEST && text.chars().nth(MOST_LETTERS).is_none() {
        return text.to_owned();
    }
    let mut width = 0;
    let letters = text.chars().take(MOST_LETTERS).take_while(|letter| {
        width += letter.width().unwrap_or(0);
        width < WIDEST
    });
    letters.chain([CUT]).collect()
}

/// The title and the rows of those columns that fit. A first column that is too wide alone is cut.
pub(super) fn fit(columns: Vec<TableColumn>, width: usize) -> (String, Vec<String>) {
    let mut by_rank: Vec<_> = (0..columns.len()).collect();
    by_rank.sort_by_key(|&index| columns[index].rank);
    let mut shown = vec![false; columns.len()];
    let mut used = 0;
    for index in by_rank {
        let gap = if used == 0 { 0 } else { GAP };
        let wanted = columns[index].width() + gap;
        if used == 0 || used + wanted <= width {
            shown[index] = true;
            used += wanted;
        }
    }
    let shown = columns.into_iter().zip(shown);
    let shown: Vec<_> = shown
        .filter_map(|(column, is_shown)| is_shown.then_some(column))
        .collect();
    let rows = shown.iter().map(|column| column.values.len()).max();
    let line = |value: &dyn Fn(&TableColumn) -> String| {
        let cells: Vec<_> = shown
            .iter()
            .map(|column| {
                let value = value(column);
                let blank = " ".repeat(column.width().saturating_sub(value.width()));
                match column.is_number {
                    true => blank + &value,
                    false => value + &blank,
                }
            })
            .collect();
        cells.join(" ").trim_end().to_owned()
    };
    let title = line(&|column| column.title.to_owned());
    let rows = (0..rows.unwrap_or(0))
        .map(|row| line(&|column| column.values.get(row).cloned().unwrap_or_default()));
    (title, rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_do_not_fit_are_left_out() {
        let columns = || {
            vec![
                TableColumn::texts("SOURCE", 0, ["198.51.100.7", "a\u{1b}b"].into_iter()),
                TableColumn::numbers("PORTS", 2, ["7", "65535"].map(str::to_owned).into_iter()),
                TableColumn::texts("VERDICT", 1, ["scanner", "日本"].into_iter()),
            ]
        };
        for (width, title, first, second) in [
            (
                80,
                "SOURCE       PORTS VERDICT",
                "198.51.100.7     7 scanner",
                "a\\u{1b}b     65535 日本",
            ),
            (
                26,
                "SOURCE       PORTS VERDICT",
                "198.51.100.7     7 scanner",
                "a\\u{1b}b     65535 日本",
            ),
            (
                25,
                "SOURCE       VERDICT",
                "198.51.100.7 scanner",
                "a\\u{1b}b     日本",
            ),
            (
                19,
                "SOURCE       PORTS",
                "198.51.100.7     7",
                "a\\u{1b}b     65535",
            ),
            (17, "SOURCE", "198.51.100.7", "a\\u{1b}b"),
            (0, "SOURCE", "198.51.100.7", "a\\u{1b}b"),
        ] {
            let (found, rows) = fit(columns(), width);
            assert_eq!(found, title, "{width}");
            assert_eq!(rows, [first, second], "{width}");
        }
        let long = TableColumn::texts("NAME", 0, ["日".repeat(100).as_str()].into_iter());
        let (_, rows) = fit(vec![long], 80);
        assert_eq!(rows, ["日".repeat(21) + "…"]);
        let (title, rows) = fit(Vec::new(), 80);
        assert!(title.is_empty() && rows.is_empty());
    }
}
