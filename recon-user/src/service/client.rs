//! `recon reload`, `recon status` and `recon explain`: a client of the control socket.
//!
//! In: the socket's path. Out: what the agent answers.
//! The decisions held here: a client never waits forever, and not at all for a process that is
//! stopped. A reload has as long as the agent gives itself to read its files for one before and for
//! this one, and some more. What comes is shown so that it can neither control a terminal nor forge
//! a line.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail, ensure};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use super::connect::{PATIENCE, connect, stranger};
use super::lines;
use super::live::{Live, LiveRequest};
use super::protocol::{Answer, Body, READING_TIME, Request};
use crate::contact::SourceOrder;
use crate::diagnostic::{escape_json, readable, visible};

/// How long to wait for the answer to a reload: it may wait for another one, and polls may have to
/// end before it.
const RELOAD_TIME: Duration = Duration::from_secs(2 * READING_TIME.as_secs() + TIME.as_secs());
/// What a reload may wait for polls.
const TIME: Duration = Duration::from_secs(30);
/// How long to wait before looking whether whoever listens is stopped.
const LOOK: Duration = Duration::from_millis(300);
/// The longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 1 << 22;
/// Sources that `recon status` lists as text, unless it is told.
const LISTED: u16 = 10;
/// What an agent says of a command that it does not know.
const UNKNOWN: &str = "unknown variant";

/// Makes the agent read its settings, rules and lists again. Returns what that changes, or why the
/// new configuration is refused: lines to be shown as they are.
///
/// # Errors
/// No agent answers.
pub fn reload(socket: &Path) -> anyhow::Result<Result<String, String>> {
    let answer = ask(socket, &Request::Reload {}, RELOAD_TIME)?;
    match answer.body {
        Body::Changes(changes) if answer.ok => {
            let lines = changes.iter().map(|change| visible(change.as_bytes()));
            Ok(Ok(lines.collect::<Vec<_>>().join("\n") + "\n"))
        }
        Body::Error(error) => Ok(Err(readable(error.trim_end()) + "\n")),
        other => Err(unexpected(&other)),
    }
}

/// A running agent, and how long it may take to answer.
#[derive(Clone, Debug)]
pub struct Whom {
    /// Its socket.
    pub socket: PathBuf,
    /// How long it may take.
    pub timeout: Duration,
}

/// What the agent knows of itself and sees, as lines or as JSON, with at most `limit` sources. An
/// agent of an earlier version says only what it knows of itself.
///
/// # Errors
/// No agent answers, or it refuses the request.
pub fn status(
    whom: &Whom,
    sort: SourceOrder,
    filter: Option<String>,
    limit: Option<u16>,
    as_json: bool,
) -> anyhow::Result<String> {
    let Whom { socket, timeout } = whom;
    let request = LiveRequest {
        sort,
        filter,
        limit: limit.or((!as_json).then_some(LISTED)),
        follow: None,
    };
    let json = |json: serde_json::Result<String>| Ok(escape_json(&json?) + "\n");
    match ask(socket, &Request::Live(request), *timeout)?.body {
        Body::Live(live) if as_json => json(serde_json::to_string_pretty(&live)),
        Body::Live(live) => Ok(lines::of_live(&live)),
        Body::Error(error) if error.contains(UNKNOWN) => {
            match ask(socket, &Request::Status {}, *timeout)?.body {
                Body::Status(status) if as_json => json(serde_json::to_string_pretty(&status)),
                Body::Status(status) => Ok(lines::of_status(&status)),
                other => Err(unexpected(&other)),
            }
        }
        other => Err(unexpected(&other)),
    }
}

/// What an incident rests on, as lines or as JSON.
///
/// # Errors
/// No agent answers, or it knows no such incident.
pub fn explain(whom: &Whom, event_id: &str, as_json: bool) -> anyhow::Result<String> {
    let request = Request::Explain {
        id: event_id.trim().to_ascii_lowercase(),
    };
    match ask(&whom.socket, &request, whom.timeout)?.body {
        Body::Explanation(explanation) if as_json => {
            Ok(escape_json(&serde_json::to_string_pretty(&explanation)?) + "\n")
        }
        Body::Explanation(explanation) => Ok(lines::of_explanation(&explanation)),
        other => Err(unexpected(&other)),
    }
}

/// What the agent sees, for `recon top`.
///
/// # Errors
/// No agent answers, or it refuses the request.
pub(crate) fn live(whom: &Whom, request: LiveRequest) -> anyhow::Result<Box<Live>> {
    match ask(&whom.socket, &Request::Live(request), whom.timeout)?.body {
        Body::Live(live) => Ok(live),
        other => Err(unexpected(&other)),
    }
}

/// Why there is no such answer as was asked for.
fn unexpected(body: &Body) -> anyhow::Error {
    match body {
        Body::Error(error) if error.contains(UNKNOWN) => anyhow!(
            "the running recon is of an earlier version and does not know this command: restart it"
        ),
        Body::Error(error) => anyhow!("{}", readable(error.trim_end())),
        _ => anyhow!(
            "the agent gave another answer than asked for; it may be of another version: restart it"
        ),
    }
}

fn ask(socket: &Path, request: &Request, time: Duration) -> anyhow::Result<Answer> {
    let name = socket.display();
    let stream = connect(socket, PATIENCE.min(time)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => anyhow!(
            "no recon listens on {name}: start it with `recon run --control {name}`, or name its socket with --control"
        ),
        io::ErrorKind::PermissionDenied => anyhow!(
            "{name}: {error}: run this as root, or as the user that recon runs as"
        ),
        io::ErrorKind::WouldBlock => silent(socket, PATIENCE.min(time)),
        _ => anyhow::Error::new(error).context(format!("can't connect to {name}")),
    })?;
    let stranger = stranger(&stream, socket).with_context(|| format!("who listens on {name}?"))?;
    if let Some(user) = stranger {
        bail!(
            "user {user} listens on {name}, and is neither root nor the owner of its folder: its answer may be forged; ask as that user, or let recon listen in a folder of its own"
        );
    }
    let pid = getsockopt(&stream, PeerCredentials).map(|peer| peer.pid());
    let answer = exchange(stream, request, time, || {
        pid.is_ok_and(is_stopped)
    })
    .map_err(|error| match (error.kind(), &pid) {
        (io::ErrorKind::ResourceBusy, Ok(pid)) => anyhow!(
            "recon on {name} (pid {pid}) is stopped by a signal or a debugger and does not answer: `kill -CONT {pid}` lets it go on; it counts what it has missed then"
        ),
        (io::ErrorKind::WouldBlock, _) => silent(socket, time),
        _ => anyhow::Error::new(error).context(format!("can't ask recon on {name}")),
    })?;
    ensure!(
        answer.ends_with(b"\n"),
        "recon on {name} ended before it had answered"
    );
    serde_json::from_slice(&answer)
        .with_context(|| format!("can't read the answer of recon on {name}"))
}

fn silent(socket: &Path, time: Duration) -> anyhow::Error {
    let name = socket.display();
    anyhow!("recon on {name} has not answered for {time:?}: it may be stopped or stuck")
}

/// Whether a process is stopped, by a signal or by a debugger.
fn is_stopped(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before the state may have any characters.
    let state = stat.rsplit_once(") ").map(|(_, state)| state);
    state.is_some_and(|state| state.starts_with(['T', 't']))
}

/// Sends the request, and reads the line that comes back.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] if none comes in time, [`io::ErrorKind::ResourceBusy`] if whoever
/// is asked is stopped.
fn exchange(
    mut stream: UnixStream,
    request: &Request,
    time: Duration,
    is_stopped: impl Fn() -> bool,
) -> io::Result<Vec<u8>> {
    let until = Instant::now() + time;
    stream.set_write_timeout(Some(time))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    let mut reader = BufReader::new(stream.take(MAX_ANSWER));
    loop {
        let left = until.saturating_duration_since(Instant::now());
        // A timeout of zero would mean none.
        let wait = left.min(LOOK).max(Duration::from_millis(1));
        reader.get_ref().get_ref().set_read_timeout(Some(wait))?;
        match reader.read_until(b'\n', &mut answer) {
            Ok(_) => return Ok(answer),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Err(_) if is_stopped() => return Err(io::ErrorKind::ResourceBusy.into()),
            Err(error) if left.is_zero() => return Err(error),
            // What has come is kept.
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;
    use crate::enrich::{AddressFacts, NamedBy};
    use crate::service::live::{ExplainedRule, Explanation, LiveIncident, LiveProcess, LiveSource};
    use crate::service::protocol::{LastReload, Status};

    /// An answer in which each text is that one.
    fn evil_live(status: &Status, evil: &str) -> Live {
        let text = || evil.to_owned();
        Live {
            status: status.clone(),
            sources: vec![LiveSource {
                label: Some(text()),
                facts: AddressFacts {
                    domain: Some(text()),
                    domain_by: Some(NamedBy::Pointer),
                    as_number: Some(64_500),
                    as_organization: Some(text()),
                    country: Some(text()),
                },
                verdict: text(),
                tools: vec![text()],
                ..LiveSource::example()
            }],
            incidents: vec![LiveIncident {
                event_id: text(),
                rule_id: text(),
                rule: text(),
                severity: text(),
                phase: Some(text()),
                source: text(),
                measure: text(),
                ..LiveIncident::default()
            }],
            processes: vec![LiveProcess {
                pid: 7,
                name: Some(text()),
                executable: Some(text()),
                user: Some(text()),
                rules: vec![text()],
                count: 1,
            }],
            ..Live::default()
        }
    }

    fn evil_explanation(evil: &str) -> Explanation {
        let text = || evil.to_owned();
        Explanation {
            event_id: text(),
            rule: ExplainedRule {
                name: text(),
                unit: text(),
                ..ExplainedRule::default()
            },
            group: vec![(text(), text())],
            processes: vec![text()],
            notes: vec![text()],
            ..Explanation::default()
        }
    }

    /// Whoever listens, no byte that controls a terminal comes through, and no line of its making.
    #[test]
    fn what_comes_is_shown_safely() {
        const EVIL: &str = "x\u{1b}[2J\u{9b}2J\u{202e}\nhooks        forged\r";
        let status = Status {
            version: EVIL.to_owned(),
            interfaces: vec![EVIL.to_owned()],
            sandbox: EVIL.to_owned(),
            last_reload: Some(LastReload {
                at: EVIL.to_owned(),
                ok: true,
                result: EVIL.to_owned(),
            }),
            ..Status::default()
        };
        let old = Answer::refused("this is not a request: unknown variant `live`");
        let answers = [
            old.clone(),
            Answer::done(Body::Status(Box::new(status.clone()))),
            old,
            Answer::done(Body::Status(Box::new(status.clone()))),
            Answer::done(Body::Live(Box::new(evil_live(&status, EVIL)))),
            Answer::done(Body::Explanation(Box::new(evil_explanation(EVIL)))),
            Answer::done(Body::Changes(vec![EVIL.to_owned()])),
            Answer::refused(EVIL),
        ];
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        let serving = thread::spawn(move || {
            for answer in answers {
                let (client, _) = listener.accept().expect("a client");
                let mut request = String::new();
                let mut reader = BufReader::new(&client);
                reader.read_line(&mut request).expect("a request");
                (&client).write_all(&answer.line()).expect("a client");
            }
        });
        let whom = Whom {
            socket: path.clone(),
            timeout: TIME,
        };
        let ask = |as_json| {
            let answer = super::status(&whom, SourceOrder::default(), None, None, as_json);
            answer.expect("an answer")
        };
        let (as_text, as_json, as_table) = (ask(false), ask(true), ask(false));
        let explained = explain(&whom, &"0".repeat(32), false).expect("an answer");
        let changes = reload(&path).expect("an answer").expect("changes");
        let refused = reload(&path).expect("an answer").expect_err("refused");
        serving.join().expect("the listener");
        for shown in [
            &as_text, &as_json, &as_table, &explained, &changes, &refused,
        ] {
            let is_safe = |letter: char| letter == '\n' || !letter.is_control();
            assert!(shown.chars().all(is_safe), "{shown:?}");
            assert!(!shown.contains('\u{202e}'), "{shown:?}");
        }
        for shown in [as_text, as_table, explained, changes] {
            assert!(!shown.contains("\nhooks  "), "{shown}");
        }
        // A program gets what was sent.
        let again: Status = serde_json::from_str(&as_json).expect("JSON");
        assert_eq!(again, status);
    }
}
