//! `recon top`: what a running agent sees, on the terminal.
//!
//! In: the control socket, keys. Out: a screen that follows the agent.
//!
//! | module | holds |
//! |---|---|
//! | `feed` | asks the agent, on a thread of its own |
//! | `view` | what the user has chosen, and what keys change of it |
//! | `screen` | both as lines and tables of a frame |
//! | `table` | columns that fit into a width |
//! | `terminal` | the terminal, put back however this ends |
//!
//! The decisions held here: the agent is asked by the same request as by `recon status`, so that
//! both show the same. Whatever happens to the agent, the screen stays and says so.

mod feed;
mod screen;
mod source;
mod table;
mod terminal;
mod view;

use std::env;
use std::io::{self, IsTerminal as _};

use anyhow::ensure;
use ratatui::crossterm::event::{self, Event};

use crate::cli::TopOptions;
use crate::service::Whom;
use feed::Feed;
use terminal::Screen;
use view::View;

/// The variable that turns colours off, see no-color.org.
const NO_COLOR: &str = "NO_COLOR";

/// Shows what the agent sees until the user has enough, or a signal ends it.
///
/// # Errors
/// Stdout is no terminal, or it can't be set up.
pub fn run(options: &TopOptions) -> anyhow::Result<()> {
    ensure!(
        io::stdout().is_terminal(),
        "recon top needs a terminal, and stdout is none: `recon status` writes the same once, and `recon status --json` for a program"
    );
    let no_color = env::var_os(NO_COLOR).is_some_and(|value| !value.is_empty());
    let whom = Whom {
        socket: options.socket.control.clone(),
        timeout: feed::TIMEOUT,
    };
    let mut view = View::new(
        options.sources.sort,
        options.sources.filter.clone(),
        !(options.no_color || no_color),
    );
    let feed = Feed::start(whom, options.interval, view.request())?;
    let mut screen = Screen::open()?;
    let mut is_changed = true;
    while !screen.is_ended() {
        if let Some(news) = feed.take() {
            view.note(news);
            is_changed = true;
        }
        if is_changed {
            screen.draw(|frame| screen::draw(frame, &mut view))?;
        }
        is_changed = match screen.next_event()? {
            Some(Event::Key(key)) if key.kind != event::KeyEventKind::Release => {
                let before = view.request();
                if view.press(key).is_break() {
                    break;
                }
                if view.request() != before {
                    feed.ask(view.request());
                }
                true
            }
            Some(Event::Resize(..)) => true,
            Some(_) => false,
            // The ages of what is shown.
            None => view.is_lost(),
        };
    }
    Ok(())
}
