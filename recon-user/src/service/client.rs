//! `recon reload` and `recon status`: a client of the control socket.
//!
//! In: the socket's path. Out: what the agent answers.
//! The decisions held here: a client never waits forever. A reload has as long as the agent gives
//! itself to read its files for one before and for this one, and some more. What comes is shown so
//! that it can neither control a terminal nor forge a line.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};

use super::connect::{PATIENCE, connect, stranger};
use super::protocol::{Answer, Body, LastReload, READING_TIME, Request, SinkStatus, Status};
use crate::diagnostic::{escape_json, readable, visible};

/// How long to wait for the answer to a reload: it may wait for another one, and polls may have to
/// end before it.
const RELOAD_TIME: Duration = Duration::from_secs(2 * READING_TIME.as_secs() + TIME.as_secs());
/// How long to wait for another answer: a poll may have to end before it.
const TIME: Duration = Duration::from_secs(30);
/// The longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 1 << 22;

/// Makes the agent read its settings, rules and lists again. Returns what that changes, or why the
/// new configuration is refused: lines to be shown as they are.
///
/// # Errors
/// No agent answers.
pub fn reload(socket: &Path) -> anyhow::Result<Result<String, String>> {
    let answer = ask(socket, Request::Reload {}, RELOAD_TIME)?;
    match answer.body {
        Body::Changes(changes) if answer.ok => {
            let lines = changes.iter().map(|change| visible(change.as_bytes()));
            Ok(Ok(lines.collect::<Vec<_>>().join("\n") + "\n"))
        }
        Body::Error(error) => Ok(Err(readable(error.trim_end()) + "\n")),
        other => Err(unexpected(&other)),
    }
}

/// What the agent knows of itself, as lines or as JSON.
///
/// # Errors
/// No agent answers.
pub fn status(socket: &Path, as_json: bool) -> anyhow::Result<String> {
    let answer = ask(socket, Request::Status {}, TIME)?;
    match answer.body {
        Body::Status(status) if as_json => {
            Ok(escape_json(&serde_json::to_string_pretty(&status)?) + "\n")
        }
        Body::Status(status) => Ok(lines(&status)),
        Body::Error(error) => bail!("{}", readable(error.trim_end())),
        other => Err(unexpected(&other)),
    }
}

fn unexpected(body: &Body) -> anyhow::Error {
    anyhow!("the agent gave another answer than asked for: {body:?}; it may be of another version")
}

fn ask(socket: &Path, request: Request, time: Duration) -> anyhow::Result<Answer> {
    let name = socket.display();
    let stream = connect(socket, PATIENCE).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => anyhow!(
            "no recon listens on {name}: start it with `recon run --control {name}`, or name its socket with --control"
        ),
        io::ErrorKind::PermissionDenied => anyhow!(
            "{name}: {error}: run this as root, or as the user that recon runs as"
        ),
        io::ErrorKind::WouldBlock => silent(socket, PATIENCE),
        _ => anyhow::Error::new(error).context(format!("can't connect to {name}")),
    })?;
    let stranger = stranger(&stream, socket).with_context(|| format!("who listens on {name}?"))?;
    if let Some(user) = stranger {
        bail!(
            "user {user} listens on {name}, and is neither root nor the owner of its folder: its answer may be forged; ask as that user, or let recon listen in a folder of its own"
        );
    }
    let answer = exchange(stream, request, time).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => silent(socket, time),
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

/// Sends the request, and reads the line that comes back.
fn exchange(mut stream: UnixStream, request: Request, time: Duration) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(time))?;
    stream.set_write_timeout(Some(time))?;
    let mut line = serde_json::to_vec(&request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(MAX_ANSWER)).read_until(b'\n', &mut answer)?;
    Ok(answer)
}

fn lines(status: &Status) -> String {
    let Status {
        version,
        pid,
        since,
        interfaces,
        hooks,
        polls,
        failed_polls,
        missed_polls,
        signals,
        sketched,
        lost,
        evicted,
        refused,
        rules,
        incidents_open,
        alerts,
        log_dropped,
        alerts_unwritten,
        events_unwritten,
        sinks,
        state_failures,
        blind,
        sandbox,
        last_reload,
    } = status;
    let mut lines = vec![
        format!("recon {version}, pid {pid}, since {since}"),
        format!("watching     {}", interfaces.join(", ")),
    ];
    lines.extend(hooks.iter().map(|hook| format!("hooks        {hook}")));
    lines.extend([
        format!("polls        {polls}, {failed_polls} failed, {missed_polls} missed"),
        format!("signals      {signals}, {sketched} sketched, {lost} lost"),
        format!("rules        {rules}, {evicted} sources or groups evicted, {refused} refused"),
        format!(
            "alerts       {alerts} lines, {incidents_open} incidents open, {log_dropped} log lines dropped"
        ),
        format!(
            "not written  {alerts_unwritten} alert lines, {events_unwritten} event lines, {state_failures} saves of the state failed"
        ),
    ]);
    lines.extend(sinks.iter().map(of_sink));
    lines.push(format!("sandbox      {sandbox}"));
    if !blind.is_empty() {
        lines.push(format!("BLIND        {}", blind.join(", ")));
    }
    if let Some(LastReload { at, ok, result }) = last_reload {
        let outcome = match ok {
            true => "in force",
            false => "refused",
        };
        lines.push(format!("last reload  {at}, {outcome}: {result}"));
    }
    let shown = lines.iter().map(|line| visible(line.as_bytes()));
    shown.collect::<Vec<_>>().join("\n") + "\n"
}

fn of_sink(sink: &SinkStatus) -> String {
    let SinkStatus {
        name,
        destination,
        written,
        dropped,
        repeated,
        waiting,
        problem,
    } = sink;
    let problem = problem.as_ref();
    let problem = problem.map_or_else(String::new, |problem| format!("; FAILS: {problem}"));
    format!(
        "sink         {name}: {written} lines written, {dropped} dropped, {repeated} repeated, {waiting} waiting; {destination}{problem}"
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

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
        let answers = [
            Answer::done(Body::Status(Box::new(status.clone()))),
            Answer::done(Body::Status(Box::new(status.clone()))),
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
        let as_text = super::status(&path, false).expect("an answer");
        let as_json = super::status(&path, true).expect("an answer");
        let changes = reload(&path).expect("an answer").expect("changes");
        let refused = reload(&path).expect("an answer").expect_err("refused");
        serving.join().expect("the listener");
        for shown in [&as_text, &as_json, &changes, &refused] {
            let is_safe = |letter: char| letter == '\n' || !letter.is_control();
            assert!(shown.chars().all(is_safe), "{shown:?}");
            assert!(!shown.contains('\u{202e}'), "{shown:?}");
        }
        for shown in [as_text, changes] {
            assert!(!shown.contains("\nhooks  "), "{shown}");
        }
        // A program gets what was sent.
        let again: Status = serde_json::from_str(&as_json).expect("JSON");
        assert_eq!(again, status);
    }
}
