//! What a peer says, as a message shows it.
//!
//! In: any text of a peer. Out: a text for a log line and for `recon status`.
//! The decision held here: a peer chooses neither the length of a line nor what a terminal does.

use crate::diagnostic::visible;

/// Letters that are shown.
pub(super) const MOST_SHOWN: usize = 200;

/// The beginning of the text, without control characters.
pub(super) fn show_foreign(text: &str) -> String {
    let end = text.char_indices().nth(MOST_SHOWN);
    let shown = end.map_or(text, |(end, _)| &text[..end]);
    visible(shown.as_bytes())
}
