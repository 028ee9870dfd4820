//! One remote, in the words of what it does.
//!
//! In: what a remote does next. Out: traffic from its address.
//! The decision held here: a remote says what it wants; what becomes of it depends on the host.

use recon_common::{Address, Signal};

use super::host::{SITES, site_for};
use super::traffic::{Connection, HOUR, Millis, Outcome, SECOND, Sent, Stack, Traffic};
use crate::random::Random;

/// What a remote wants of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    /// How long it lasts if it is accepted.
    pub(crate) lasts: Millis,
    pub(crate) sent: Sent,
    pub(crate) requests: u64,
    pub(crate) logs_in: bool,
    /// How many SYN-ACKs are lost.
    pub(crate) lost: usize,
    /// How long the remote waits for an answer.
    pub(crate) patience: Millis,
}

/// As long as people, and the programs they use, wait.
const PATIENCE: Millis = 20 * SECOND;

impl Session {
    /// A request that is answered at once.
    pub(crate) const WEB: Self = Self {
        lasts: SECOND,
        sent: Sent::Requests,
        requests: 1,
        logs_in: false,
        lost: 0,
        patience: PATIENCE,
    };
    /// Opened and closed, without a byte.
    pub(crate) const EMPTY: Self = Self {
        lasts: SECOND / 5,
        sent: Sent::Nothing,
        requests: 0,
        ..Self::WEB
    };

    /// The same, lasting `lasts`.
    pub(crate) const fn lasting(self, lasts: Millis) -> Self {
        Self { lasts, ..self }
    }
}

/// A remote.
pub(crate) struct Source<'a> {
    pub(crate) traffic: &'a mut Traffic,
    pub(crate) random: Random,
    pub(crate) remote: Address,
    /// The address of this host that it reaches.
    pub(crate) local: Address,
    pub(crate) stack: Stack,
    /// Its number among the sources of its category, from 0.
    pub(crate) number: u64,
}

impl<'a> Source<'a> {
    /// A remote that reaches one site: some sites are far more popular than others.
    pub(crate) fn new(
        traffic: &'a mut Traffic,
        mut random: Random,
        remote: Address,
        number: u64,
    ) -> Self {
        traffic.count_source();
        let stack = match random.chance(0.5) {
            true => Stack::Windows,
            false => Stack::Linux,
        };
        let local = site_for(remote, random.rank(SITES));
        Self {
            traffic,
            random,
            remote,
            local,
            stack,
            number,
        }
    }

    /// Turns to the site with that number.
    pub(crate) fn turn_to(&mut self, site: u64) {
        self.local = site_for(self.remote, site);
    }

    /// A time of the hour.
    pub(crate) fn any_time(&mut self) -> Millis {
        self.random.below(HOUR)
    }

    /// A time at which something that lasts `span` begins so that it ends within the hour.
    pub(crate) fn time_for(&mut self, span: Millis) -> Millis {
        self.random.below(HOUR.saturating_sub(span).max(1))
    }

    /// Connects, and returns the outcome.
    pub(crate) fn connect(&mut self, port: u16, at: Millis, session: Session) -> Outcome {
        let outcome = self.traffic.outcome(port);
        self.connect_to(port, at, session, outcome);
        outcome
    }

    /// Connects to a port with a known outcome.
    pub(crate) fn connect_to(&mut self, port: u16, at: Millis, session: Session, outcome: Outcome) {
        let is_accepted = outcome == Outcome::Accepted;
        let lasts = match is_accepted {
            true => session.lasts,
            false => session.patience,
        };
        self.traffic.add_connection(&Connection {
            remote: self.remote,
            local: self.local,
            port,
            start: at,
            end: at + lasts,
            stack: self.stack,
            outcome,
            lost: session.lost,
            sent: session.sent,
            requests: session.requests,
            is_logged_in: session.logs_in && is_accepted,
        });
    }

    /// A SYN to an open port whose answer the remote ignores, else a connection that fails.
    pub(crate) fn half_open(&mut self, port: u16, at: Millis) {
        let outcome = match self.traffic.outcome(port) {
            Outcome::Accepted => Outcome::Abandoned,
            other => other,
        };
        self.connect_to(port, at, Session::EMPTY, outcome);
    }

    pub(crate) fn probe(&mut self, port: u16, at: Millis, signal: Signal) {
        let ends = [self.remote, self.local];
        self.traffic.add_probe(ends, port, at, signal);
    }

    pub(crate) fn query(&mut self, at: Millis) {
        self.traffic.add_query(self.remote, self.local, at);
    }

    pub(crate) fn ping(&mut self, at: Millis) {
        self.traffic.add_ping(self.remote, self.local, at);
    }

    pub(crate) fn answered_flow(&mut self, port: u16, at: Millis) {
        self.traffic
            .add_answered_flow(self.remote, self.local, port, at);
    }

    pub(crate) fn stray_datagram(&mut self, port: u16, at: Millis) {
        self.traffic
            .add_stray_datagram(self.remote, self.local, port, at);
    }
}
