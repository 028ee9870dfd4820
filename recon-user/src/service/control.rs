//! The control socket: how the operator asks a running agent.
//!
//! In: a path. Out: requests, one by one, each with a way to answer it.
//! The decisions held here:
//! - Only the user that recon runs as, and root, may ask: the socket has mode 0600, and the kernel
//!   says who connects, so a mode that somebody changes opens nothing.
//! - Clients are served by tasks while the agent waits for its next poll. What a client may take is
//!   bounded: bytes, time, and how many there are at once. Of too many that say nothing, the oldest
//!   has to go, so that they hold up nobody.
//! - A socket that somebody listens on is refused. [`super::listen`] replaces one that a killed
//!   agent left.
//! - A socket that somebody removes is made again within [`LOOK`].

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::unistd::geteuid;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, timeout};

use super::listen::{Found, SocketIdentity, listen_at, look_at_socket, remove_socket};
use super::protocol::{Answer, MAX_REQUEST, Request};

/// Clients that are served at once.
const CLIENTS: usize = 16;
/// How long a client may take to send its request, or to take its answer.
const CLIENT_TIME: Duration = Duration::from_secs(2);
/// How long to wait before the next client if the process has no more descriptors.
const RETRY: Duration = Duration::from_secs(1);
/// How often to look whether the socket is still there.
const LOOK: Duration = Duration::from_secs(60);
/// How long a failure to accept may last before it is logged again.
const WARN_AGAIN: Duration = Duration::from_secs(600);
/// Owner only.
const MODE: u32 = 0o600;
/// The option that names the path.
const OPTION: &str = "--control";

/// A request that waits for its answer.
#[derive(Debug)]
pub(crate) struct Asked {
    /// What is asked for.
    pub(crate) request: Request,
    /// Who waits. One that has gone is no error.
    pub(crate) reply: oneshot::Sender<Answer>,
}

/// The socket. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    path: PathBuf,
    /// To remove no other agent's socket.
    identity: SocketIdentity,
    asked: mpsc::Receiver<Asked>,
    /// For another listener.
    sender: mpsc::Sender<Asked>,
    client_time: Duration,
    accepting: AbortHandle,
    looks: Interval,
    /// Whether the last look found it missing and could not make it again.
    is_missing: bool,
}

impl ControlSocket {
    /// Listens on that path. Needs a tokio runtime.
    ///
    /// # Errors
    /// Another recon listens there, something else is there, or the folder can't be written.
    pub(crate) fn listen(path: &Path) -> anyhow::Result<Self> {
        Self::listen_within(path, CLIENT_TIME, LOOK)
    }

    fn listen_within(path: &Path, client_time: Duration, look: Duration) -> anyhow::Result<Self> {
        let name = path.display();
        ensure!(
            look_at_socket(path, OPTION)? != Found::Listener,
            "can't listen on {name}: another recon listens there; stop it, or use another path with --control"
        );
        let (listener, identity) = listen(path)
            .with_context(|| format!("can't listen on {name}; {OPTION} names another path"))?;
        let (sender, asked) = mpsc::channel(CLIENTS);
        let accepting = tokio::spawn(accept(listener, sender.clone(), client_time));
        let mut looks = interval_at(Instant::now() + look, look);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            path: path.to_owned(),
            identity,
            asked,
            sender,
            client_time,
            accepting: accepting.abort_handle(),
            looks,
            is_missing: false,
        })
    }

    /// Waits for a request. May be cancelled.
    pub(crate) async fn next(&mut self) -> Asked {
        loop {
            tokio::select! {
                Some(asked) = self.asked.recv() => return asked,
                _ = self.looks.tick() => self.restore(),
            }
        }
    }

    /// Makes the socket again if its file is gone. One of somebody else stays.
    fn restore(&mut self) {
        let name = self.path.display();
        match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            _ => {
                self.is_missing = false;
                return;
            }
        }
        match listen(&self.path) {
            Ok((listener, identity)) => {
                tracing::warn!("control socket: somebody has removed {name}; it is there again");
                self.accepting.abort();
                let accepting = accept(listener, self.sender.clone(), self.client_time);
                self.accepting = tokio::spawn(accepting).abort_handle();
                (self.identity, self.is_missing) = (identity, false);
            }
            Err(error) if !self.is_missing => {
                tracing::error!(
                    "control socket: somebody has removed {name}, and recon can't make it again: {error}; recon status and recon reload don't work; recon tries on, but if its folder was made anew, recon's sandbox keeps it out: restart recon then"
                );
                self.is_missing = true;
            }
            Err(_) => {}
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.accepting.abort();
        remove_socket(&self.path, self.identity);
    }
}

/// Listens at that path, in the runtime that this is called in.
fn listen(path: &Path) -> io::Result<(UnixListener, SocketIdentity)> {
    let (listener, identity) = listen_at(path, MODE)?;
    Ok((UnixListener::from_std(listener)?, identity))
}

/// Accepts clients forever.
async fn accept(listener: UnixListener, asked: mpsc::Sender<Asked>, client_time: Duration) {
    let waiting = Arc::new(Semaphore::new(CLIENTS));
    let mut silent: VecDeque<AbortHandle> = VecDeque::new();
    let mut warned: Option<Instant> = None;
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                silent.retain(|client| !client.is_finished());
                if silent.len() >= CLIENTS
                    && let Some(oldest) = silent.pop_front()
                {
                    oldest.abort();
                }
                let waiting = Arc::clone(&waiting);
                let greeting = greet(client, waiting, asked.clone(), client_time);
                silent.push_back(tokio::spawn(greeting).abort_handle());
            }
            Err(error) => {
                if warned.is_none_or(|at| at.elapsed() >= WARN_AGAIN) {
                    tracing::warn!("control socket: can't accept a client: {error}; trying again");
                    warned = Some(Instant::now());
                }
                sleep(RETRY).await;
            }
        }
    }
}

/// Reads the request of one client. One that is slow, gone or sends garbage costs nobody else
/// anything.
async fn greet(
    client: UnixStream,
    waiting: Arc<Semaphore>,
    asked: mpsc::Sender<Asked>,
    client_time: Duration,
) {
    let owner = geteuid().as_raw();
    let is_owner = client
        .peer_cred()
        .map(|peer| [0, owner].contains(&peer.uid()));
    let (reader, writer) = client.into_split();
    // Also of a stranger: whoever still writes when the socket closes never reads the answer.
    let request = timeout(client_time, read_request(reader)).await;
    let request = match (is_owner, request) {
        (Ok(true), Ok(Some(request))) => request,
        (Ok(true), Err(_)) => Err(format!("no request came within {client_time:?}")),
        // Nothing was asked.
        (_, Ok(None)) => return,
        _ => Err("only root and the user that recon runs as may ask".to_owned()),
    };
    // The semaphore is never closed.
    if let Ok(permit) = waiting.acquire_owned().await {
        // A task of its own: this client has spoken, and has not to go for others.
        tokio::spawn(serve(request, writer, permit, asked, client_time));
    }
}

/// Answers one client.
async fn serve(
    request: Result<Request, String>,
    mut writer: OwnedWriteHalf,
    _permit: OwnedSemaphorePermit,
    asked: mpsc::Sender<Asked>,
    client_time: Duration,
) {
    let answer = match request {
        Ok(request) => ask(request, &asked).await,
        Err(message) => Answer::refused(message),
    };
    // A client that has gone has no use for the answer.
    let _ = timeout(client_time, writer.write_all(&answer.line())).await;
}

/// Reads a line. None if the client has sent nothing.
async fn read_request(reader: OwnedReadHalf) -> Option<Result<Request, String>> {
    let mut line = Vec::new();
    let mut reader = BufReader::with_capacity(MAX_REQUEST, reader.take(MAX_REQUEST as u64 + 1));
    if let Err(error) = reader.read_until(b'\n', &mut line).await {
        return Some(Err(format!("can't read the request: {error}")));
    }
    match line.len() {
        0 => None,
        length if length > MAX_REQUEST => Some(Err(format!(
            "the request is too long: it has at most {MAX_REQUEST} bytes"
        ))),
        _ => Some(Request::parse(&line)),
    }
}

async fn ask(request: Request, asked: &mpsc::Sender<Asked>) -> Answer {
    let (reply, answer) = oneshot::channel();
    let is_asked = asked.send(Asked { request, reply }).await.is_ok();
    match answer.await {
        Ok(answer) if is_asked => answer,
        _ => Answer::refused("recon is ending"),
    }
}

#[cfg(test)]
mod tests;
