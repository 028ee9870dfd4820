//! Asks the agent again and again, on a thread of its own.
//!
//! In: whom to ask, how often, for what. Out: what came of the last question.
//! The decision held here: an agent that is stopped or gone holds up no key. Each question has a
//! connection of its own, so that a restarted agent is found by itself.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::service::{Live, LiveRequest, Whom, live};

/// How long the agent may take. One that is stopped is noticed earlier.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// What came of a question: what the agent sees, or why it has not answered.
#[derive(Clone, Debug)]
pub(super) struct News {
    /// When.
    pub(super) at: Instant,
    pub(super) answer: Result<Box<Live>, String>,
}

/// The thread that asks.
pub(super) struct Feed {
    news: Receiver<News>,
    requests: Sender<LiveRequest>,
}

impl Feed {
    /// Asks now, and then once in each interval. The thread ends with the process, or when the feed
    /// is dropped.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(super) fn start(whom: Whom, interval: Duration, first: LiveRequest) -> io::Result<Self> {
        let (sender, news) = mpsc::channel();
        let (requests, wanted) = mpsc::channel();
        let ask = move || follow(&whom, interval, first, &wanted, &sender);
        thread::Builder::new().name("feed".to_owned()).spawn(ask)?;
        Ok(Self { news, requests })
    }

    /// Asks for something else from now on.
    pub(super) fn ask(&self, request: LiveRequest) {
        // The thread ends only after this.
        let _ = self.requests.send(request);
    }

    /// What came of the last question, unless it was taken before.
    pub(super) fn take(&self) -> Option<News> {
        self.news.try_iter().last()
    }
}

/// Asks until nobody listens.
fn follow(
    whom: &Whom,
    interval: Duration,
    mut request: LiveRequest,
    wanted: &Receiver<LiveRequest>,
    news: &Sender<News>,
) {
    loop {
        let asked = Instant::now();
        let answer = live(whom, request.clone()).map_err(|error| format!("{error:#}"));
        let at = Instant::now();
        if news.send(News { at, answer }).is_err() {
            return;
        }
        match wanted.recv_timeout(interval.saturating_sub(asked.elapsed())) {
            // Of several changes the last one counts.
            Ok(first) => request = wanted.try_iter().last().unwrap_or(first),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
