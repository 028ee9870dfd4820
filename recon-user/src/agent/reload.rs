//! Reading settings, rules and lists again while the agent runs.
//!
//! In: requests to reload. Out: the new configuration, or why it is refused.
//! The decisions held here: files are read and checked on a thread of their own, so that a large
//! list or a slow disk delays no poll. A thread per reload: it inherits what the agent may do by
//! then. Requests that come meanwhile share one more reload after that, since the files may have
//! changed after they were read. A reload that takes too long is given up, and no other one begins
//! while its thread lives: there is never more than one.

use std::thread;
use std::time::Duration;

use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::time::{Instant, timeout_at};

use crate::rule;
use crate::service::{Answer, Body, LastReload, READING_TIME};
use crate::settings::{InForce, RuleOptions, in_force};

/// Who asked for a reload: a client of the control socket, or a signal.
pub(super) type Asker = Option<oneshot::Sender<Answer>>;

/// A configuration, or why it is refused as lines to be shown as they are.
pub(super) type Loaded = Result<InForce, String>;

/// A reload whose files are being read.
struct Reading {
    loaded: oneshot::Receiver<Loaded>,
    until: Instant,
    askers: Vec<Asker>,
}

/// The configuration in force, and the one that may come.
pub(super) struct Reloads {
    options: RuleOptions,
    in_force: InForce,
    reading: Option<Reading>,
    /// How long reading may take.
    time: Duration,
    /// What a thread is still to say that took longer.
    stuck: Option<oneshot::Receiver<Loaded>>,
    /// Who asked since it is being read.
    next: Vec<Asker>,
    last: Option<LastReload>,
}

impl Reloads {
    /// What the agent has started with, and the options that name its files.
    pub(super) fn new(options: RuleOptions, in_force: InForce) -> Self {
        Self {
            options,
            in_force,
            reading: None,
            time: READING_TIME,
            stuck: None,
            next: Vec::new(),
            last: None,
        }
    }

    /// The configuration in force.
    pub(super) fn in_force(&self) -> &InForce {
        &self.in_force
    }

    /// What came of the last reload.
    pub(super) fn last(&self) -> Option<&LastReload> {
        self.last.as_ref()
    }

    /// Begins to read the files, now or after those that are being read.
    pub(super) fn request(&mut self, asker: Asker) {
        self.next.push(asker);
        self.read_next();
    }

    fn read_next(&mut self) {
        if self.reading.is_some() || self.next.is_empty() {
            return;
        }
        let (sender, loaded) = oneshot::channel();
        let until = Instant::now() + self.time;
        let askers = std::mem::take(&mut self.next);
        self.reading = Some(Reading {
            // Without a thread, the sender is gone and the reload fails.
            loaded,
            until,
            askers,
        });
        if self.stuck.as_mut().is_some_and(is_awaited) {
            // The receiver is there.
            let _ = sender.send(Err(
                "recon still reads the files of an earlier reload, which takes too long: is one of them on a slow file system? Mend that, or restart recon\n".to_owned(),
            ));
            return;
        }
        self.stuck = None;
        let options = self.options.clone();
        let started = thread::Builder::new()
            .name("reload".to_owned())
            .spawn(move || {
                let loaded = in_force(&options, rule::defaults).map_err(|why| why.to_string());
                // If this fails, it took too long.
                let _ = sender.send(loaded);
            });
        if let Err(error) = started {
            tracing::error!("reload: no thread to read the files: {error}");
        }
    }

    /// Waits until the files are read, or forever if none are. May be cancelled.
    pub(super) async fn loaded(&mut self) -> Loaded {
        let Some(reading) = &mut self.reading else {
            return std::future::pending().await;
        };
        match timeout_at(reading.until, &mut reading.loaded).await {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(_)) => Err("recon could not read its files: the thread ended\n".to_owned()),
            Err(_) => Err(format!(
                "reading the settings, rules and lists took over {:?}: is one of them a pipe or on a slow file system?\n",
                self.time
            )),
        }
    }

    /// Ends a reload. `apply` puts a new configuration in force, and returns the rules that begin
    /// without what was counted. Answers and logs what came of it, which is returned in one short
    /// line. What was asked for meanwhile begins.
    pub(super) fn finish(
        &mut self,
        loaded: Loaded,
        at: String,
        apply: impl FnOnce(&InForce) -> Vec<String>,
    ) -> String {
        let answer = match loaded {
            Ok(new) => Answer::done(Body::Changes(self.adopt(new, apply))),
            Err(why) => {
                tracing::error!(
                    "reload: refused, and the configuration before it stays in force:\n{}",
                    why.trim_end()
                );
                Answer::refused(why)
            }
        };
        let result = match &answer.body {
            Body::Changes(changes) => changes.join("; "),
            Body::Error(why) => why.lines().next().unwrap_or_default().to_owned(),
            _ => String::new(),
        };
        let ok = answer.ok;
        self.last = Some(LastReload {
            at,
            ok,
            result: result.clone(),
        });
        let mut askers = Vec::new();
        if let Some(mut reading) = self.reading.take() {
            askers = reading.askers;
            if is_awaited(&mut reading.loaded) {
                self.stuck = Some(reading.loaded);
            }
        }
        for asker in askers.into_iter().flatten() {
            // A client that has gone has no use for the answer.
            let _ = asker.send(answer.clone());
        }
        self.read_next();
        let what = if ok { "reloaded" } else { "reload refused" };
        shorten(&format!("{what}: {result}"))
    }

    /// Puts a configuration in force. Returns and logs what it changes.
    fn adopt(
        &mut self,
        mut new: InForce,
        apply: impl FnOnce(&InForce) -> Vec<String>,
    ) -> Vec<String> {
        let kept = new.keep_what_needs_restart(&self.in_force);
        let mut lines = new.changes(&self.in_force);
        let fresh = apply(&new);
        if !fresh.is_empty() {
            lines.push(format!(
                "rules that are new or have changed, and begin without what was counted before: {}",
                fresh.join(", ")
            ));
        }
        if lines.is_empty() && kept.is_empty() {
            lines.push("nothing has changed".to_owned());
        }
        for line in &lines {
            tracing::info!("reload: {line}");
        }
        for line in &kept {
            tracing::warn!("reload: {line}");
        }
        lines.extend(kept);
        let warnings = new.warnings.trim_end();
        if !warnings.is_empty() {
            tracing::warn!("reload:\n{warnings}");
            lines.extend(warnings.lines().map(str::to_owned));
        }
        self.in_force = new;
        lines
    }
}

/// Whether a thread has not said yet what it has read.
fn is_awaited(loaded: &mut oneshot::Receiver<Loaded>) -> bool {
    matches!(loaded.try_recv(), Err(TryRecvError::Empty))
}

/// The start of a text, short enough for the one line of a status: another profile changes more
/// rules than fit there.
fn shorten(text: &str) -> String {
    const ROOM: usize = 160;
    match text.char_indices().nth(ROOM) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_words(answer: &mut oneshot::Receiver<Answer>) -> String {
        match answer.try_recv() {
            Ok(Answer {
                body: Body::Changes(changes),
                ..
            }) => changes.join("; "),
            Ok(Answer {
                body: Body::Error(why),
                ..
            }) => why.lines().next().unwrap_or_default().to_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_status_is_short() {
        for (length, expected) in [(0, 0), (160, 160), (161, 163), (4000, 163)] {
            // Two bytes each.
            let shown = shorten(&"é".repeat(length));
            assert_eq!(shown.chars().count(), expected, "{length}");
        }
    }

    /// A reload that hangs costs one thread, however often another one is asked for, and what comes
    /// after it is done works again.
    #[test]
    fn no_reload_begins_while_one_is_stuck() {
        const SHORT: Duration = Duration::from_millis(50);
        const PATIENCE: Duration = Duration::from_secs(20);
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("recon.toml");
        let options = RuleOptions {
            config: Some(config.clone()),
            ..RuleOptions::default()
        };
        std::fs::write(&config, "").expect("a file");
        let old = in_force(&options, rule::defaults).expect("a configuration");
        std::fs::remove_file(&config).expect("a file");
        nix::unistd::mkfifo(&config, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        // Whoever reads this pipe waits for its writer.
        let mut open = std::fs::File::options();
        let writer = open.read(true).write(true).open(&config).expect("a pipe");
        let mut reloads = Reloads::new(options, old);
        reloads.time = SHORT;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            for expected in ["took over 50ms", "an earlier reload", "an earlier reload"] {
                reloads.request(None);
                let loaded = reloads.loaded().await;
                reloads.finish(loaded, "now".to_owned(), |_| Vec::new());
                let said = &reloads.last().expect("a reload").result;
                assert!(said.contains(expected), "{said}");
            }
            drop(writer);
            let until = Instant::now() + PATIENCE;
            while reloads.stuck.as_mut().is_some_and(is_awaited) {
                assert!(Instant::now() < until, "the thread still reads");
                tokio::time::sleep(SHORT).await;
            }
            std::fs::remove_file(&config).expect("a pipe");
            std::fs::write(&config, "").expect("a file");
            reloads.time = PATIENCE;
            reloads.request(None);
            let loaded = reloads.loaded().await;
            reloads.finish(loaded, "now".to_owned(), |_| Vec::new());
            let last = reloads.last().expect("a reload");
            assert!(last.ok, "{last:?}");
        });
    }

    /// Who asks while files are read may have changed them since: the files are read once more, for
    /// all of them together.
    #[test]
    fn later_requests_share_another_reload() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("recon.toml");
        let write = |text: &str| std::fs::write(&config, text).expect("a file");
        write("");
        let options = RuleOptions {
            config: Some(config.clone()),
            ..RuleOptions::default()
        };
        let old = in_force(&options, rule::defaults).expect("a configuration");
        let mut reloads = Reloads::new(options, old);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let (asker, mut first) = oneshot::channel();
        runtime.block_on(async {
            reloads.request(Some(asker));
            let loaded = reloads.loaded().await;
            write("quiet = '1m'");
            let mut later: Vec<_> = (0..3)
                .map(|_| {
                    let (asker, answer) = oneshot::channel();
                    reloads.request(Some(asker));
                    answer
                })
                .collect();
            reloads.request(None);
            reloads.finish(loaded, "now".to_owned(), |_| Vec::new());
            assert_eq!(in_words(&mut first), "nothing has changed");
            assert!(later.iter_mut().all(|answer| answer.try_recv().is_err()));
            let loaded = reloads.loaded().await;
            let mut applied = 0;
            let said = reloads.finish(loaded, "then".to_owned(), |_| {
                applied += 1;
                vec!["scan distinct_ports".to_owned()]
            });
            const CHANGES: &str = "quiet: \"10m\" -> \"1m\"; rules that are new or have changed, and begin without what was counted before: scan distinct_ports";
            assert_eq!((said, applied), (format!("reloaded: {CHANGES}"), 1));
            for answer in &mut later {
                assert_eq!(in_words(answer), CHANGES);
            }
            assert!(reloads.reading.is_none());

            write("quiet = ");
            reloads.request(None);
            let loaded = reloads.loaded().await;
            let said = reloads.finish(loaded, "later".to_owned(), |_| {
                applied += 1;
                vec!["scan distinct_ports".to_owned()]
            });
            assert!(said.starts_with("reload refused: "), "{said}");
            assert_eq!(applied, 1);
            let last = reloads.last().expect("a reload");
            assert!(
                !last.ok && last.result.contains("recon.toml:1:"),
                "{last:?}"
            );
        });
    }
}
