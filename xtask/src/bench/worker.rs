//! The measured process: TCP connections over loopback at the lowest possible cost.
//!
//! In: the work, the count, and the cgroups of the sockets. Out: on stdout, a line for each figure,
//! in nanoseconds.
//! The decisions held here: one thread holds both ends, since loopback delivers a segment before
//! the system call that sends it returns: nobody is woken, and only the calls are timed. A
//! connection ends with a reset, which leaves no port in TIME_WAIT. A socket belongs to the cgroup
//! that its process is in when it creates the socket, so each end can be watched without the other.
//! A figure is the median of many short batches, so that an interruption of one does not count.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Subcommand;
use nix::libc::linger;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, connect, setsockopt, socket, sockopt,
};
use nix::unistd::Pid;

use super::row::Spread;

/// The size of a batch: a few milliseconds, which mostly fit between two interruptions.
const BATCH: u32 = 100;
/// Batches before the first counted one: they fill the caches and the kernel's pools.
const WARM_UP: u32 = 10;
/// Closes with a reset, immediately.
const RESET: linger = linger {
    l_onoff: 1,
    l_linger: 0,
};

/// The worker's task.
#[derive(Debug, Subcommand)]
pub(crate) enum Work {
    /// Connect, accept, close both ends; print the time of connect(2), then of a connection from
    /// its socket to its close
    Connects {
        count: u32,
        /// Cgroup of the connecting sockets
        #[arg(long)]
        client: PathBuf,
        /// Cgroup of the listening socket and of the accepted ones
        #[arg(long)]
        listener: PathBuf,
    },
    /// Send a byte each way over one connection; print the time of both
    RoundTrips { count: u32 },
}

/// Does it.
pub(crate) fn run_worker(work: &Work) -> Result<()> {
    stay_on_one_cpu()?;
    match work {
        Work::Connects {
            count,
            client,
            listener,
        } => {
            enter(listener)?;
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            enter(client)?;
            measure(*count, || connections(&listener))
        }
        Work::RoundTrips { count } => {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let client = TcpStream::connect(listener.local_addr()?)?;
            let (server, _) = listener.accept()?;
            // The data has arrived when the call returns.
            client.set_nodelay(true)?;
            server.set_nodelay(true)?;
            measure(*count, || round_trips(&client, &server))
        }
    }
}

/// Runs `batch` until `count` is reached, and prints the median of each of its figures.
fn measure<const N: usize>(
    count: u32,
    mut batch: impl FnMut() -> Result<[Duration; N]>,
) -> Result<()> {
    for _ in 0..WARM_UP {
        batch()?;
    }
    let mut figures: [Vec<f64>; N] = [const { Vec::new() }; N];
    for _ in 0..count.div_ceil(BATCH) {
        for (figures, time) in figures.iter_mut().zip(batch()?) {
            figures.push(time.as_nanos() as f64 / f64::from(BATCH));
        }
    }
    for figures in figures {
        println!("{:.1}", Spread::of(figures).median);
    }
    Ok(())
}

/// The last of the allowed CPUs: interrupts mostly go to the first.
fn stay_on_one_cpu() -> Result<()> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this)?;
    let last = (0..CpuSet::count()).rfind(|&cpu| allowed.is_set(cpu) == Ok(true));
    let mut chosen = CpuSet::new();
    chosen.set(last.context("this process may use no CPU")?)?;
    Ok(sched_setaffinity(this, &chosen)?)
}

/// Moves this process into the cgroup.
fn enter(cgroup: &Path) -> Result<()> {
    let entrance = cgroup.join("cgroup.procs");
    fs::write(&entrance, "0").with_context(|| entrance.display().to_string())
}

/// A batch of connections, one after the other: the time in connect(2), and from the sockets to
/// their close.
fn connections(listener: &TcpListener) -> Result<[Duration; 2]> {
    let port = listener.local_addr()?.port();
    let remote = SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
    let mut connecting = Duration::ZERO;
    let start = Instant::now();
    for _ in 0..BATCH {
        let client = client()?;
        let asked = Instant::now();
        connect(client.as_raw_fd(), &remote)?;
        connecting += asked.elapsed();
        let (server, _) = listener.accept()?;
        drop(client);
        drop(server);
    }
    Ok([connecting, start.elapsed()])
}

fn client() -> Result<OwnedFd> {
    let client = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    setsockopt(&client, sockopt::Linger, &RESET)?;
    Ok(client)
}

/// A batch of bytes sent each way, one after the other.
fn round_trips(mut client: &TcpStream, mut server: &TcpStream) -> Result<[Duration; 1]> {
    let mut byte = [0];
    let start = Instant::now();
    for _ in 0..BATCH {
        client.write_all(&byte)?;
        server.read_exact(&mut byte)?;
        server.write_all(&byte)?;
        client.read_exact(&mut byte)?;
    }
    Ok([start.elapsed()])
}
