//! The protocol of systemd's Type=notify, see sd_notify(3).
//!
//! In: the environment that the service manager gave, and what happens to the agent. Out: datagrams
//! to the service manager.
//! The decisions held here: the socket is opened once, before a sandbox may forbid it, and never
//! waits: a service manager that hangs delays no poll. The crate sd-notify opens one for each
//! message, waits, and takes `@NAME` for a path, so this is own code. Without a service manager
//! nothing is sent.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// The address of the service manager's socket.
const SOCKET: &str = "NOTIFY_SOCKET";
/// How often the service manager wants to hear of a service that lives, in microseconds.
const WATCHDOG: &str = "WATCHDOG_USEC";
/// Whom it means.
const WATCHDOG_PID: &str = "WATCHDOG_PID";
/// The longest message that systemd reads: it ignores the whole of a longer one.
const MAX_MESSAGE: usize = 4096;
/// The status line changes at most so often.
const STATUS_PAUSE: Duration = Duration::from_secs(10);

/// The way to the service manager.
#[derive(Debug)]
pub(crate) struct Notifier {
    to: Option<(UnixDatagram, SocketAddr)>,
    /// The longest time between two signs of life.
    watchdog: Option<Duration>,
    fed: Option<Instant>,
    status: Option<(Instant, String)>,
}

impl Notifier {
    /// What the environment says. Logs an address that can't be used.
    pub(crate) fn of_environment() -> Self {
        let to = env::var_os(SOCKET).and_then(|name| match open(&name) {
            Ok(to) => Some(to),
            Err(error) => {
                tracing::warn!(
                    "{SOCKET}={}: {error}: the service manager learns nothing of recon",
                    name.display()
                );
                None
            }
        });
        Self::new(to, watchdog_period(|name| env::var_os(name)))
    }

    /// The way to a service manager that listens there.
    #[cfg(test)]
    pub(crate) fn to_path(path: &std::path::Path, watchdog: Duration) -> Self {
        let to = open(&path.to_owned().into_os_string()).expect("an address");
        Self::new(Some(to), Some(watchdog))
    }

    fn new(to: Option<(UnixDatagram, SocketAddr)>, watchdog: Option<Duration>) -> Self {
        Self {
            to,
            watchdog,
            fed: None,
            status: None,
        }
    }

    /// The longest time between two signs of life.
    pub(crate) fn watchdog(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.to.is_some())
    }

    /// The agent watches. Also the end of a reload.
    pub(crate) fn ready(&self) {
        self.send("READY=1");
    }

    /// The agent reads its configuration again.
    pub(crate) fn reloading(&self) {
        // CLOCK_MONOTONIC is always there.
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }

    /// The agent ends.
    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// A poll has run, and the next one is due after `interval`: feeds the watchdog if half of its
    /// time would be over by then.
    pub(crate) fn note_poll(&mut self, interval: Duration) {
        let Some(watchdog) = self.watchdog() else {
            return;
        };
        let is_due = |fed: Instant| fed.elapsed() + interval >= watchdog / 2;
        if self.fed.is_none_or(is_due) {
            self.fed = Some(Instant::now());
            self.send("WATCHDOG=1");
        }
    }

    /// What the service manager shows of the agent. Sent if it has changed and some time has
    /// passed, or at once if it `is_news`.
    pub(crate) fn status(&mut self, is_news: bool, line: impl FnOnce() -> String) {
        let is_early = |sent: &Instant| sent.elapsed() < STATUS_PAUSE;
        if self.to.is_none()
            || !is_news && self.status.as_ref().is_some_and(|(sent, _)| is_early(sent))
        {
            return;
        }
        let line = line().replace('\n', " ");
        if self.status.as_ref().is_none_or(|(_, sent)| *sent != line) {
            let mut message = format!("STATUS={line}");
            message.truncate(message.floor_char_boundary(MAX_MESSAGE));
            self.send(&message);
        }
        self.status = Some((Instant::now(), line));
    }

    /// Sends lines. A service manager that has gone or does not read is nobody to complain to.
    fn send(&self, lines: &str) {
        if let Some((socket, to)) = &self.to
            && let Err(error) = socket.send_to_addr(lines.as_bytes(), to)
        {
            tracing::debug!("can't notify the service manager: {error}");
        }
    }
}

fn open(name: &OsString) -> io::Result<(UnixDatagram, SocketAddr)> {
    let to = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => return Err(io::Error::other("neither a path nor @NAME")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, to))
}

/// The watchdog's time, if it means this process.
fn watchdog_period(read: impl Fn(&str) -> Option<OsString>) -> Option<Duration> {
    let number = |name| read(name)?.to_str()?.parse::<u64>().ok();
    let is_meant =
        read(WATCHDOG_PID).is_none() || number(WATCHDOG_PID) == Some(u64::from(std::process::id()));
    let time = number(WATCHDOG).filter(|&time| time > 0 && is_meant)?;
    Some(Duration::from_micros(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service manager that reads.
    fn manager(name: &str) -> (UnixDatagram, tempfile::TempDir, OsString) {
        let folder = tempfile::tempdir().expect("a folder");
        let (address, shown) = match name {
            "" => {
                let path = folder.path().join("notify");
                let address = SocketAddr::from_pathname(&path).expect("an address");
                (address, path.into_os_string())
            }
            name => {
                let name = format!("recon-{}-{name}", std::process::id());
                let address = SocketAddr::from_abstract_name(&name).expect("an address");
                (address, format!("@{name}").into())
            }
        };
        let socket = UnixDatagram::bind_addr(&address).expect("a socket");
        socket.set_nonblocking(true).expect("a socket");
        (socket, folder, shown)
    }

    fn read(socket: &UnixDatagram) -> Vec<String> {
        let mut all = Vec::new();
        let mut bytes = [0; 2 * MAX_MESSAGE];
        while let Ok(length) = socket.recv(&mut bytes) {
            all.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
        }
        all
    }

    #[test]
    fn the_manager_hears_what_happens() {
        for name in ["", "abstract"] {
            let (socket, _folder, address) = manager(name);
            let to = open(&address).expect("an address");
            let mut notifier = Notifier::new(Some(to), Some(Duration::from_secs(60)));
            notifier.ready();
            notifier.note_poll(Duration::from_secs(1));
            notifier.note_poll(Duration::from_secs(1));
            notifier.note_poll(Duration::from_secs(30));
            notifier.status(false, || "watching\nva".to_owned());
            notifier.status(false, || unreachable!("it is too early"));
            notifier.status(true, || "watching va".to_owned());
            notifier.status(true, || "reloaded".to_owned());
            notifier.reloading();
            notifier.stopping();
            let mut heard = read(&socket);
            let reloading = heard.remove(5);
            assert_eq!(
                heard,
                [
                    "READY=1",
                    "WATCHDOG=1",
                    "WATCHDOG=1",
                    "STATUS=watching va",
                    "STATUS=reloaded",
                    "STOPPING=1"
                ]
            );
            let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
            let time: u64 = time.expect(&reloading).parse().expect("a number");
            assert!(time > 0);
        }
    }

    #[test]
    fn a_message_is_no_longer_than_systemd_reads() {
        let (socket, _folder, address) = manager("long");
        let mut notifier = Notifier::new(Some(open(&address).expect("an address")), None);
        for (length, expected) in [(4089, 4096), (4090, 4096), (9000, 4096)] {
            notifier.status(true, || "x".repeat(length));
            let heard = read(&socket);
            assert_eq!(heard.len(), 1);
            assert_eq!(heard[0].len(), expected, "{length}");
        }
        // Two bytes each, and the room for them is odd.
        notifier.status(true, || "é".repeat(4000));
        let heard = read(&socket);
        assert_eq!(heard[0].len(), 4095);
        assert!(heard[0].ends_with('é'));
    }

    /// The queue of the manager's socket fills up, and no message waits for it.
    #[test]
    fn a_manager_that_does_not_read_delays_nothing() {
        const MESSAGES: u32 = 10_000;
        let (socket, _folder, address) = manager("stuck");
        let notifier = Notifier::new(Some(open(&address).expect("an address")), None);
        (0..MESSAGES).for_each(|_| notifier.ready());
        let heard = read(&socket).len();
        assert!(heard > 0 && heard < MESSAGES as usize, "{heard}");
        drop(socket);
        notifier.ready();
    }

    #[test]
    fn other_addresses_are_refused() {
        for name in ["", "notify", "vsock:2:1234"] {
            assert!(open(&name.into()).is_err(), "{name}");
        }
    }

    #[test]
    fn the_watchdog_means_one_process() {
        let own = std::process::id().to_string();
        for (time, pid, expected) in [
            (None, None, None),
            (Some("0"), None, None),
            (Some("soon"), None, None),
            (Some("2000000"), None, Some(2)),
            (Some("2000000"), Some(own.as_str()), Some(2)),
            (Some("2000000"), Some("1"), None),
            (Some("2000000"), Some("x"), None),
        ] {
            let read = |name: &str| match name {
                WATCHDOG => time.map(OsString::from),
                _ => pid.map(OsString::from),
            };
            let expected = expected.map(Duration::from_secs);
            assert_eq!(watchdog_period(read), expected, "{time:?} {pid:?}");
        }
    }
}
