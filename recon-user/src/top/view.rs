//! What the user has chosen to see, and the last that the agent has said.
//!
//! In: keys, news. Out: the request for the agent, and what [`super::screen`] shows.
//! The decision held here: sorting and filtering are the agent's, which knows more sources than it
//! sends. A filter is asked for once it means something.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::time::Instant;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::feed::News;
use crate::contact::{SourceFilter, SourceOrder};
use crate::service::{Live, LiveRequest};

/// The longest filter that can be typed.
const LONGEST_FILTER: usize = 64;
/// Rows that a page has.
const PAGE: usize = 10;

/// What is shown.
#[derive(Debug)]
pub(super) struct View {
    /// What the agent has said last.
    pub(super) live: Option<Box<Live>>,
    /// When that was.
    pub(super) at: Option<Instant>,
    /// Why it has not answered since, and since when.
    pub(super) lost: Option<(String, Instant)>,
    pub(super) sort: SourceOrder,
    /// The filter in force.
    pub(super) filter: Option<String>,
    /// What is being typed as a filter, and what is wrong with it.
    pub(super) typed: Option<(String, Option<String>)>,
    /// The source that is followed.
    pub(super) followed: Option<IpAddr>,
    /// The source that is selected. It stays selected while its row moves.
    pub(super) selected: Option<IpAddr>,
    /// Whether news are withheld.
    pub(super) is_paused: bool,
    pub(super) shows_help: bool,
    pub(super) has_color: bool,
}

impl View {
    pub(super) fn new(sort: SourceOrder, filter: Option<String>, has_color: bool) -> Self {
        Self {
            live: None,
            at: None,
            lost: None,
            sort,
            filter,
            typed: None,
            followed: None,
            selected: None,
            is_paused: false,
            shows_help: false,
            has_color,
        }
    }

    /// What the agent is asked for.
    pub(super) fn request(&self) -> LiveRequest {
        LiveRequest {
            sort: self.sort,
            limit: None,
            filter: self.filter.clone(),
            follow: self.followed,
        }
    }

    /// Whether the agent has not answered.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// Takes what came of a question.
    pub(super) fn note(&mut self, News { at, answer }: News) {
        match answer {
            Err(why) => {
                let since = self.lost.take().map_or(at, |(_, since)| since);
                self.lost = Some((why, since));
            }
            Ok(live) => {
                self.lost = None;
                if !self.is_paused {
                    (self.live, self.at) = (Some(live), Some(at));
                }
            }
        }
    }

    /// The row of the selected source, the first one if it is not listed.
    pub(super) fn row(&self) -> usize {
        let sources = self.live.iter().flat_map(|live| &live.sources);
        let mut ips = sources.map(|source| source.ip);
        let row = self.selected.and_then(|ip| ips.position(|it| it == ip));
        row.unwrap_or(0)
    }

    /// Selects a row, or the last one.
    fn select(&mut self, row: usize) {
        let Some(live) = &self.live else { return };
        let last = live.sources.len().saturating_sub(1);
        let source = live.sources.get(row.min(last));
        self.selected = source.map(|source| source.ip);
    }

    /// Takes a key.
    pub(super) fn press(&mut self, key: KeyEvent) -> ControlFlow<()> {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c' | 'd') => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            };
        }
        if let Some((text, _)) = self.typed.take() {
            self.type_filter(text, key.code);
            return ControlFlow::Continue(());
        }
        if std::mem::take(&mut self.shows_help) && key.code != KeyCode::Char('q') {
            return ControlFlow::Continue(());
        }
        match key.code {
            KeyCode::Char('q') => return ControlFlow::Break(()),
            KeyCode::Char('s') => self.sort = self.next_order(1),
            KeyCode::Char('S') => self.sort = self.next_order(SourceOrder::ALL.len() - 1),
            KeyCode::Char('/') => {
                self.typed = Some((self.filter.clone().unwrap_or_default(), None));
            }
            KeyCode::Char('p' | ' ') => self.is_paused = !self.is_paused,
            KeyCode::Char('?' | 'h') => self.shows_help = true,
            KeyCode::Enter | KeyCode::Char('f') => self.follow(),
            KeyCode::Esc => match self.followed.take() {
                Some(_) => {}
                None => self.filter = None,
            },
            KeyCode::Down | KeyCode::Char('j') => self.select(self.row() + 1),
            KeyCode::Up | KeyCode::Char('k') => self.select(self.row().saturating_sub(1)),
            KeyCode::PageDown => self.select(self.row() + PAGE),
            KeyCode::PageUp => self.select(self.row().saturating_sub(PAGE)),
            KeyCode::Home | KeyCode::Char('g') => self.select(0),
            KeyCode::End | KeyCode::Char('G') => self.select(usize::MAX),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn next_order(&self, by: usize) -> SourceOrder {
        let all = SourceOrder::ALL;
        let now = all.iter().position(|&order| order == self.sort);
        all[(now.unwrap_or(0) + by) % all.len()]
    }

    /// Follows the selected source, or stops following.
    fn follow(&mut self) {
        if self.followed.take().is_none() {
            self.select(self.row());
            self.followed = self.selected;
        }
    }

    fn type_filter(&mut self, mut text: String, key: KeyCode) {
        match key {
            KeyCode::Esc => return,
            KeyCode::Enter => {
                match text.trim() {
                    "" => self.filter = None,
                    wanted => match wanted.parse::<SourceFilter>() {
                        Ok(_) => self.filter = Some(wanted.to_owned()),
                        Err(why) => {
                            self.typed = Some((text, Some(why)));
                            return;
                        }
                    },
                }
                (self.followed, self.selected) = (None, None);
                return;
            }
            KeyCode::Backspace => drop(text.pop()),
            KeyCode::Char(letter) if text.len() < LONGEST_FILTER => text.push(letter),
            _ => {}
        }
        self.typed = Some((text, None));
    }
}
