//! The thread that answers scrapes.
//!
//! In: a socket that listens, the last snapshot. Out: answers to HTTP requests.
//! The decisions held here:
//! - A client costs a bounded amount, whatever it does: it has [`CLIENT_TIME`] in all and one
//!   request, whose head has at most [`HEAD_BYTES`]. Of more than [`CLIENTS`] the oldest goes, so
//!   that those who say nothing hold up nobody.
//! - The text of a poll is encoded once, however many ask for it.
//! - The thread has the lowest priority (nice 19), so others get most of the processor.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, yield_now};
use tokio::time::{sleep, timeout};

use super::family::Scrape;
use super::health::check_health;
use super::listener::{MetricsListener, Socket};
use super::own::UsageReader;
use super::published::Published;
use super::snapshot::Snapshot;
use super::text::{Format, write_text};
use crate::process::reader;

/// Clients that are served at once.
const CLIENTS: usize = 16;
/// How long a client may take for its request and for reading the answer.
const CLIENT_TIME: Duration = Duration::from_secs(5);
/// How long it may take for its request.
const HEAD_TIME: Duration = Duration::from_secs(2);
/// The most bytes and lines of the head of a request.
const HEAD_BYTES: usize = 8 << 10;
const HEAD_LINES: usize = 64;
/// How long a text may be used again: what it says of this process grows old.
const TEXT_TIME: Duration = Duration::from_secs(1);
/// How long to wait for the next client if the process has no more descriptors.
const RETRY: Duration = Duration::from_secs(1);
/// How long a failure to accept may last before it is logged again.
const WARN_AGAIN: Duration = Duration::from_secs(600);
/// setpriority(2) of the thread: the least.
const NICENESS: libc::c_int = 19;

/// What is answered in plain words.
const PLAIN: &str = "text/plain; charset=utf-8";

/// The running thread. Dropping it ends the thread and closes the socket.
#[derive(Debug)]
pub(crate) struct MetricsServer {
    /// It removes the file of a Unix socket.
    _listener: MetricsListener,
    thread: libc::pid_t,
    _stop: oneshot::Sender<()>,
}

impl MetricsServer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no more threads or descriptors.
    pub(crate) fn start(listener: MetricsListener, published: Arc<Published>) -> io::Result<Self> {
        let socket = listener.socket.try_clone()?;
        let (stop, stopped) = oneshot::channel();
        let (started, is_started) = channel();
        thread::Builder::new()
            .name("recon-metrics".to_owned())
            .spawn(move || run(socket, published, stopped, &started))?;
        let thread = is_started.recv().map_err(io::Error::other)??;
        Ok(Self {
            _listener: listener,
            thread,
            _stop: stop,
        })
    }

    /// The id of the thread.
    pub(crate) const fn thread(&self) -> libc::pid_t {
        self.thread
    }
}

/// The thread: answers until it is stopped.
fn run(
    socket: Socket,
    published: Arc<Published>,
    stopped: oneshot::Receiver<()>,
    started: &Sender<io::Result<libc::pid_t>>,
) {
    reader::leave_signals_to_others();
    yield_to_others();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build();
    let served = runtime.and_then(|runtime| {
        let scraped = Arc::new(Scraped {
            published,
            usage: UsageReader::open(),
            texts: Mutex::default(),
        });
        // The one that starts it waits for this.
        let _ = started.send(Ok(nix::unistd::gettid().as_raw()));
        runtime.block_on(async {
            tokio::select! {
                served = serve(socket, scraped) => served,
                _ = stopped => Ok(()),
            }
        })
    });
    if let Err(error) = served
        && let Err(unsent) = started.send(Err(error))
        && let Err(error) = unsent.0
    {
        tracing::error!("metrics: {error}; nobody is answered until recon is started again");
    }
}

/// Gives this thread the lowest priority.
fn yield_to_others() {
    /// This thread.
    const OWN: libc::id_t = 0;
    // SAFETY: integers only.
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, OWN, NICENESS) } != 0 {
        let error = io::Error::last_os_error();
        tracing::warn!("metrics: can't lower the priority of the thread that answers: {error}");
    }
}

async fn serve(socket: Socket, scraped: Arc<Scraped>) -> io::Result<()> {
    match socket {
        Socket::Tcp(socket) => {
            let socket = TcpListener::from_std(socket)?;
            accept(|| async { Ok(socket.accept().await?.0) }, scraped).await
        }
        Socket::Unix(socket) => {
            let socket = UnixListener::from_std(socket)?;
            accept(|| async { Ok(socket.accept().await?.0) }, scraped).await
        }
    }
}

/// Accepts clients forever.
async fn accept<Client, Next>(next: impl Fn() -> Next, scraped: Arc<Scraped>) -> io::Result<()>
where
    Client: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    Next: Future<Output = io::Result<Client>>,
{
    let mut served: VecDeque<AbortHandle> = VecDeque::new();
    let mut warned: Option<Instant> = None;
    loop {
        match next().await {
            Ok(client) => {
                served.retain(|client| !client.is_finished());
                if served.len() >= CLIENTS
                    && let Some(oldest) = served.pop_front()
                {
                    oldest.abort();
                }
                let exchange = exchange(client, Arc::clone(&scraped));
                served.push_back(tokio::spawn(exchange).abort_handle());
                // A client that has sent its request is answered before the next one comes.
                yield_now().await;
            }
            Err(error) => {
                if warned.is_none_or(|at| at.elapsed() >= WARN_AGAIN) {
                    tracing::warn!("metrics: can't accept a client: {error}; trying again");
                    warned = Some(Instant::now());
                }
                sleep(RETRY).await;
            }
        }
    }
}

/// Answers one request of a client.
async fn exchange(client: impl AsyncRead + AsyncWrite + Unpin, scraped: Arc<Scraped>) {
    let answer = |request: Request<Incoming>| {
        let answer = scraped.answer(&request);
        async { Ok::<_, Infallible>(answer) }
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_LINES)
        .serve_connection(TokioIo::new(client), service_fn(answer));
    // What a client does wrong is its own affair.
    let _ = timeout(CLIENT_TIME, connection).await;
}

/// What answers are made from.
#[derive(Debug)]
struct Scraped {
    published: Arc<Published>,
    usage: UsageReader,
    texts: Mutex<[Option<Text>; Format::ALL.len()]>,
}

/// A snapshot that is encoded.
#[derive(Debug)]
struct Text {
    of: Arc<Snapshot>,
    at: Instant,
    bytes: Bytes,
}

impl Scraped {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if !["/metrics", "/healthz"].contains(&path) {
            let help = "recon serves /metrics and /healthz\n";
            return respond(StatusCode::NOT_FOUND, PLAIN, help.into());
        }
        if request.method() != Method::GET {
            let help = "recon answers GET\n";
            let mut answer = respond(StatusCode::METHOD_NOT_ALLOWED, PLAIN, help.into());
            answer
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET"));
            return answer;
        }
        if path == "/healthz" {
            return self.health();
        }
        let accept = request.headers().get(ACCEPT);
        let format = Format::accepted_by(accept.and_then(|accept| accept.to_str().ok()));
        match self.text(format) {
            Ok(text) => respond(StatusCode::OK, format.content_type(), text),
            Err(error) => {
                let text = format!("can't encode the metrics: {error}\n");
                respond(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, text.into())
            }
        }
    }

    fn health(&self) -> Response<Full<Bytes>> {
        let published = &self.published;
        let blind = &published.latest().blind;
        match check_health(published.age(), published.interval(), blind) {
            Ok(()) => respond(StatusCode::OK, PLAIN, "ok\n".into()),
            Err(reason) => respond(
                StatusCode::SERVICE_UNAVAILABLE,
                PLAIN,
                format!("{reason}\n").into(),
            ),
        }
    }

    /// The last snapshot as text.
    fn text(&self, format: Format) -> Result<Bytes, std::fmt::Error> {
        let latest = self.published.latest();
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = &mut texts[format as usize];
        if let Some(text) = kept
            && Arc::ptr_eq(&text.of, &latest)
            && text.at.elapsed() < TEXT_TIME
        {
            return Ok(text.bytes.clone());
        }
        let scrape = Scrape {
            snapshot: &latest,
            published: &self.published,
            own: self.usage.read(),
        };
        let bytes = Bytes::from(write_text(&scrape, format)?);
        *kept = Some(Text {
            of: latest,
            at: Instant::now(),
            bytes: bytes.clone(),
        });
        Ok(bytes)
    }
}

fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer
}

#[cfg(test)]
mod tests;
