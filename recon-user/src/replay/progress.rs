//! How far a replay is, for whoever waits for it.
//!
//! In: bytes read of files. Out: a bar on stderr, if that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar for one file.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// A bar for a file of that length; none for a stream.
    pub(super) fn new(name: &str, length: Option<u64>) -> Self {
        let Some(length) = length else {
            return Self(ProgressBar::hidden());
        };
        let bar = ProgressBar::new(length);
        let style = ProgressStyle::with_template(
            "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {eta}",
        );
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_message(name.to_owned());
        Self(bar)
    }

    /// Shows that so many bytes have been read.
    pub(super) fn show(&self, bytes: u64) {
        self.0.set_position(bytes);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
