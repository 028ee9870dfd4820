//! Lookups that may be slow, on a thread of their own.
//!
//! In: addresses and ports. Out: the pid of who accepts there, if that is known in time.
//! The decisions held here:
//! - An alert waits a bounded time for a name, all alerts of a poll together. Without it the alert
//!   is written without a name, and a later one gets it: a user with many descriptors delays names,
//!   and nothing else.
//! - One lookup has a deadline too, so that the next one is not stuck behind it for good.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::reader;

/// How long the alerts of one poll wait together.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long one lookup may take.
const DEADLINE: Duration = Duration::from_secs(2);
/// Lookups that wait for the thread.
const QUEUE: usize = 64;

/// Who accepts there.
type ListenerQuestion = (IpAddr, u16);

/// The thread, and what is known in this poll.
#[derive(Debug)]
pub(crate) struct Lookups {
    requests: SyncSender<ListenerQuestion>,
    answers: Receiver<(ListenerQuestion, Option<u32>)>,
    /// The lookups of this poll. `None` for those that have no answer yet.
    known: HashMap<ListenerQuestion, Option<Option<u32>>>,
    /// How long alerts of this poll may still wait.
    patience: Duration,
    /// Alerts that have no name as the lookup was late.
    late: u64,
}

impl Lookups {
    /// Starts the thread, which ends with this. `find` looks up, and gives up at a deadline.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn start(
        find: impl Fn(IpAddr, u16, Instant) -> Option<u32> + Send + 'static,
    ) -> io::Result<Self> {
        let (requests, asked) = sync_channel::<ListenerQuestion>(QUEUE);
        let (answer, answers) = channel();
        let (ready, started) = channel();
        thread::Builder::new()
            .name("recon-lookup".to_owned())
            .spawn(move || {
                reader::register();
                // The one that starts it waits for this: it must be known before the sandbox comes.
                let _ = ready.send(());
                for (local, port) in asked {
                    let found = find(local, port, Instant::now() + DEADLINE);
                    if answer.send(((local, port), found)).is_err() {
                        return;
                    }
                }
            })?;
        started.recv().map_err(io::Error::other)?;
        Ok(Self {
            requests,
            answers,
            known: HashMap::new(),
            patience: PATIENCE,
            late: 0,
        })
    }

    /// Begins a poll. Drops the answers of the previous one, which may be outdated, but for those
    /// that have come since.
    pub(crate) fn begin_poll(&mut self) {
        self.patience = PATIENCE;
        self.known.retain(|_, answer| answer.is_none());
        for (service, answer) in self.answers.try_iter() {
            self.known.insert(service, Some(answer));
        }
    }

    /// The process that accepts there, if that is known in time.
    pub(crate) fn find(&mut self, local: IpAddr, port: u16) -> Option<u32> {
        let service = (local, port);
        if !self.known.contains_key(&service) && self.requests.try_send(service).is_ok() {
            self.known.insert(service, None);
        }
        let begun = Instant::now();
        let found = self.wait_for(service, begun + self.patience);
        self.patience = self.patience.saturating_sub(begun.elapsed());
        self.late += u64::from(found.is_none());
        found.flatten()
    }

    fn wait_for(&mut self, service: ListenerQuestion, until: Instant) -> Option<Option<u32>> {
        loop {
            match self.known.get(&service) {
                Some(Some(answer)) => return Some(*answer),
                Some(None) => {}
                // The queue is full.
                None => return None,
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.answers.recv_timeout(left) {
                Ok((of, answer)) => {
                    self.known.insert(of, Some(answer));
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Takes the number of alerts whose lookup was late since the last call.
    pub(crate) fn take_late(&mut self) -> u64 {
        std::mem::take(&mut self.late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::sync::mpsc::channel;

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn a_slow_lookup_delays_its_name_alone() {
        let (allow, allowed) = channel::<()>();
        let find = move |_, port: u16, _| {
            // Port 1 is slow.
            if port == 1 {
                allowed.recv().ok()?;
            }
            Some(u32::from(port) + 1000)
        };
        let mut lookups = Lookups::start(find).expect("a thread");
        assert_eq!(lookups.find(LOCAL, 2), Some(1002));
        assert_eq!((lookups.find(LOCAL, 1), lookups.take_late()), (None, 1));
        // The patience of this poll is over, and what is known is known.
        assert_eq!(lookups.find(LOCAL, 1), None);
        assert_eq!(lookups.find(LOCAL, 2), Some(1002));
        assert_eq!(lookups.take_late(), 1);
        allow.send(()).expect("the thread waits");
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut found = None;
        while found.is_none() && Instant::now() < deadline {
            lookups.begin_poll();
            found = lookups.find(LOCAL, 1);
        }
        assert_eq!(found, Some(1001));
    }

    #[test]
    fn more_lookups_than_the_queue_holds_are_late() {
        let (allow, allowed) = channel::<()>();
        let mut lookups = Lookups::start(move |_, _, _| {
            allowed.recv().ok()?;
            Some(1)
        })
        .expect("a thread");
        let many = 2 * QUEUE as u16;
        assert!((0..many).all(|port| lookups.find(LOCAL, port).is_none()));
        assert_eq!(lookups.take_late(), u64::from(many));
        drop(allow);
    }
}
