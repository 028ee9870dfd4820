//! `recon reload` and `recon status`: a client of the control socket.
//!
//! In: the socket's path. Out: what the agent answers.
//! The decision held here: a client never waits forever. A reload has as long as the agent gives
//! itself to read its files, and some more.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};

use super::protocol::{Answer, Body, LastReload, Request, Status};

/// How long to wait for the answer to a reload: longer than a reload may take.
const RELOAD_TIME: Duration = Duration::from_secs(90);
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
        Body::Changes(changes) if answer.ok => Ok(Ok(changes.join("\n") + "\n")),
        Body::Error(error) => Ok(Err(error.trim_end().to_owned() + "\n")),
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
        Body::Status(status) if as_json => Ok(serde_json::to_string_pretty(&status)? + "\n"),
        Body::Status(status) => Ok(lines(&status)),
        Body::Error(error) => bail!("{}", error.trim_end()),
        other => Err(unexpected(&other)),
    }
}

fn unexpected(body: &Body) -> anyhow::Error {
    anyhow!("the agent gave another answer than asked for: {body:?}; it may be of another version")
}

fn ask(socket: &Path, request: Request, time: Duration) -> anyhow::Result<Answer> {
    let name = socket.display();
    let stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => anyhow!(
            "no recon listens on {name}: start it with `recon run --control {name}`, or name its socket with --control"
        ),
        io::ErrorKind::PermissionDenied => anyhow!(
            "{name}: {error}: run this as root, or as the user that recon runs as"
        ),
        _ => anyhow::Error::new(error).context(format!("can't connect to {name}")),
    })?;
    let answer = exchange(stream, request, time).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            anyhow!("recon on {name} has not answered for {time:?}: it may be stopped or stuck")
        }
        _ => anyhow::Error::new(error).context(format!("can't ask recon on {name}")),
    })?;
    ensure!(
        answer.ends_with(b"\n"),
        "recon on {name} ended before it had answered"
    );
    serde_json::from_slice(&answer)
        .with_context(|| format!("can't read the answer of recon on {name}"))
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
        format!("sandbox      {sandbox}"),
    ]);
    if let Some(LastReload { at, ok, result }) = last_reload {
        let outcome = match ok {
            true => "in force",
            false => "refused",
        };
        lines.push(format!("last reload  {at}, {outcome}: {result}"));
    }
    lines.join("\n") + "\n"
}
