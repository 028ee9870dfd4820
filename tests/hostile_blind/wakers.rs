//! Processes of any user that do nothing but wake each other.
//!
//! While two pairs of them kept two processors busy, no grace period of the kernel ended, for which
//! polls waited.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::Result;
use recon_tests::{Agent, Lab};

/// How many polls have to come meanwhile.
const POLLS: usize = 3;

/// Answers clients, one after the other. The listener ends with it: a client whom nobody has
/// accepted would wait for ever.
fn answer(listener: UnixListener, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let Ok((mut client, _)) = listener.accept() else {
            return;
        };
        // A client that has gone away is answered in vain.
        let _ = client.read(&mut [0; 8]);
        let _ = client.write_all(b"answer");
    }
}

/// Asks, and once more at the end, for which a server may wait.
fn ask(server: &Path, is_over: &AtomicBool) {
    let mut is_last = false;
    while !is_last {
        is_last = is_over.load(Ordering::Relaxed);
        let Ok(mut stream) = UnixStream::connect(server) else {
            continue;
        };
        // A server that has ended answers nobody.
        let _ = stream.write_all(b"ask");
        let _ = stream.read(&mut [0; 8]);
    }
}

#[test]
fn processes_that_wake_each_other_hold_up_no_poll() -> Result<()> {
    let lab = Lab::new()?;
    let agent = Agent::start(&lab, "")?;
    agent.wait_poll()?;
    let folder = tempfile::tempdir()?;
    let is_over = AtomicBool::new(false);
    let pairs = 0..thread::available_parallelism()?.get();
    let paths: Vec<_> = pairs
        .map(|pair| folder.path().join(pair.to_string()))
        .collect();
    let listeners: Vec<_> = paths
        .iter()
        .map(UnixListener::bind)
        .collect::<Result<_, _>>()?;
    thread::scope(|scope| {
        let is_over = &is_over;
        for (listener, path) in listeners.into_iter().zip(&paths) {
            scope.spawn(move || answer(listener, is_over));
            scope.spawn(|| ask(path, is_over));
        }
        let polled = (0..POLLS).try_for_each(|_| agent.wait_poll().map(drop));
        is_over.store(true, Ordering::Relaxed);
        polled
    })?;
    agent.stop()?;
    Ok(())
}
