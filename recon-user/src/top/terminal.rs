//! The terminal: raw, on its second screen, and put back however this ends.
//!
//! In: frames to draw. Out: events.
//! The decision held here: it is put back when the guard is dropped, which an error and a panic do
//! as well; ratatui's hook does it before the message of a panic. Signals that would end the
//! process only set a flag, which is looked at between two events.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use ratatui::crossterm::event::{self, Event};
use ratatui::{DefaultTerminal, Frame};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

/// How long to wait for an event before looking for news.
const WAIT: Duration = Duration::from_millis(100);

/// The terminal while it shows the screen.
pub(super) struct Screen {
    terminal: DefaultTerminal,
    ended: Arc<AtomicBool>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// It can't be set up.
    pub(super) fn open() -> anyhow::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGQUIT] {
            signal_hook::flag::register(signal, Arc::clone(&ended))
                .context("can't listen for signals")?;
        }
        let terminal = ratatui::try_init().map_err(|error| {
            ratatui::restore();
            anyhow::Error::new(error).context("can't set up the terminal for recon top")
        })?;
        Ok(Self { terminal, ended })
    }

    /// Whether a signal asks for the end.
    pub(super) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Draws a frame, in the size that the terminal has now.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> anyhow::Result<()> {
        let drawn = self.terminal.draw(draw);
        drawn.map(drop).context("can't write to the terminal")
    }

    /// The next event, or none for a while.
    pub(super) fn next_event(&self) -> anyhow::Result<Option<Event>> {
        let next = || match event::poll(WAIT) {
            Ok(true) => event::read().map(Some),
            Ok(false) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        };
        next().context("can't read from the terminal")
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}
