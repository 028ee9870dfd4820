//! A sink that publishes lines to a stream of NATS JetStream.
//!
//! In: whole lines. Out: a message for each, in a stream.
//! The decisions held here:
//! - A line counts as written once the stream has acknowledged it. Many are on their way at once, so
//!   that throughput is not one round trip each.
//! - Each line has an id: random bits of this sink, and its number. It has it each time it is sent,
//!   so that the stream drops what it has already, and no other line ever has it. A hash of the line
//!   would not do: two programs of one process may have counted the same, in rows that look alike.
//! - A line that the stream refuses is known not to be there. One that nobody has answered may be
//!   there: unless the stream says then that it has it, it counts as repeated.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use super::nats_frame::{Answer, payload_length, write_line};
use super::nats_peer::{Heard, NatsConnection, NatsDestination, NatsPeer};
use super::queue::LineBatch;
use super::target::{Failure, Target};
use crate::seed::random_number;

/// Lines that are on their way at once. After a refusal it begins with one and doubles: a full stream
/// is not asked for each line.
const MOST_SENT: usize = 1024;
/// What is collected before it is sent.
const PART: usize = 64 << 10;
/// How long the server may take for the next answer.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// How often to look after a connection that nothing is sent through: the server asks whether recon
/// is there.
const LOOK: Duration = Duration::from_secs(1);
/// How often to look for a server that has gone, without new lines.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// What is known of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is not in the stream.
    Waits,
    /// It was sent and nobody has answered: it may be in the stream.
    Unknown,
    /// It is on its way, and may have been in the stream before.
    Sent {
        is_again: bool,
    },
    Stored,
    Lost,
}

/// Lines that came together.
struct Sending {
    batch: LineBatch,
    /// The number of the first one.
    first: u64,
    /// Where each ends, and what is known of it.
    lines: Vec<(usize, State)>,
}

/// A server, and what it has not taken.
pub(crate) struct NatsTarget {
    peer: NatsPeer,
    connection: Option<NatsConnection>,
    /// Of the sink's own lines, and of those of its other queue.
    subjects: [String; 2],
    id: String,
    waiting: VecDeque<Sending>,
    next_number: u64,
    /// Lines that may be on their way.
    most_sent: usize,
    /// Why the last line is lost.
    loss: String,
    last_try: Option<Instant>,
}

impl Sending {
    fn is_done(&self) -> bool {
        let mut states = self.lines.iter().map(|(_, state)| state);
        states.all(|state| matches!(state, State::Stored | State::Lost))
    }

    fn lost(&self) -> u64 {
        let lost = self.lines.iter().filter(|(_, it)| *it == State::Lost);
        lost.count() as u64
    }

    /// A line, without its end.
    fn line(&self, index: usize) -> &[u8] {
        let start = match index {
            0 => 0,
            _ => self.lines[index - 1].0 + 1,
        };
        &self.batch.bytes[start..self.lines[index].0]
    }
}

impl NatsTarget {
    /// Publishes the lines of a host.
    pub(super) fn new(peer: NatsPeer, destination: &NatsDestination, host: &str) -> Self {
        let subject = |lines| destination.subject.of(host, lines);
        Self {
            peer,
            connection: None,
            subjects: ["alerts", "rows"].map(subject),
            id: format!("{:016x}{:016x}", random_number(), random_number()),
            waiting: VecDeque::new(),
            next_number: 0,
            most_sent: MOST_SENT,
            loss: String::new(),
            last_try: None,
        }
    }

    fn connect(&mut self) -> io::Result<()> {
        if self.connection.is_none() {
            self.last_try = Some(Instant::now());
            self.connection = Some(self.peer.connect()?);
        }
        Ok(())
    }

    /// Sends all lines, and waits for the answers. Those that came are kept in their states.
    fn deliver(&mut self) -> io::Result<()> {
        self.connect()?;
        let Some(mut connection) = self.connection.take() else {
            return Err(ErrorKind::NotConnected.into());
        };
        let refusal = match self.send_all(&mut connection) {
            Ok(refusal) => refusal,
            Err(error) => {
                self.note_unknown();
                return Err(error);
            }
        };
        self.connection = Some(connection);
        refusal.map_or(Ok(()), |says| Err(io::Error::other(says)))
    }

    /// Returns why a line was refused, once all that is on its way is answered.
    fn send_all(&mut self, connection: &mut NatsConnection) -> io::Result<Option<String>> {
        let mut refusal = None;
        let mut sent = 0;
        let mut next = (0, 0);
        loop {
            if refusal.is_none() {
                let most = self.most_sent.saturating_sub(sent);
                sent += self.send_more(connection, &mut next, most)?;
            }
            if sent == 0 {
                return Ok(refusal);
            }
            match connection.hear(Instant::now() + ANSWER_TIME)? {
                Heard::Answer(number, answer) => {
                    if let Some(state) = self.state_of(number) {
                        sent -= usize::from(matches!(state, State::Sent { .. }));
                        match self.note_answer(number, answer) {
                            None => self.most_sent = (self.most_sent * 2).min(MOST_SENT),
                            Some(says) => {
                                self.most_sent = 1;
                                refusal = Some(says);
                            }
                        }
                    }
                }
                Heard::Pong => {}
                Heard::Nothing => {
                    let says = "the server does not acknowledge lines";
                    return Err(io::Error::new(ErrorKind::TimedOut, says));
                }
            }
        }
    }

    /// Sends up to `most` lines from `next` on, a batch and a line of it. Returns how many.
    fn send_more(
        &mut self,
        connection: &mut NatsConnection,
        next: &mut (usize, usize),
        most: usize,
    ) -> io::Result<usize> {
        let mut sent = 0;
        let mut out = Vec::new();
        while sent < most
            && let Some(sending) = self.waiting.get_mut(next.0)
        {
            let Some(&(_, state)) = sending.lines.get(next.1) else {
                *next = (next.0 + 1, 0);
                continue;
            };
            let index = next.1;
            next.1 += 1;
            let is_again = match state {
                State::Waits => false,
                State::Unknown => true,
                State::Sent { .. } | State::Stored | State::Lost => continue,
            };
            let number = sending.first + index as u64;
            let line = sending.line(index);
            let length = payload_length(&self.id, number, line);
            if length > connection.max_payload() {
                self.loss = format!(
                    "a line has {length} bytes with its headers, and the server takes {}: raise its max_payload",
                    connection.max_payload()
                );
                sending.lines[index].1 = State::Lost;
                continue;
            }
            let subject = &self.subjects[usize::from(sending.batch.is_other)];
            write_line(&mut out, subject, &self.peer.inbox, number, &self.id, line);
            sending.lines[index].1 = State::Sent { is_again };
            sent += 1;
            if out.len() >= PART {
                connection.send(&out)?;
                out.clear();
            }
        }
        connection.send(&out)?;
        Ok(sent)
    }

    /// What is known of a line that is not forgotten yet.
    fn state_of(&mut self, number: u64) -> Option<&mut State> {
        let after = self.waiting.partition_point(|it| it.first <= number);
        let sending = self.waiting.get_mut(after.checked_sub(1)?)?;
        let index = usize::try_from(number - sending.first).ok()?;
        sending.lines.get_mut(index).map(|(_, state)| state)
    }

    /// Notes what became of a line. Returns why it is to be sent again.
    fn note_answer(&mut self, number: u64, answer: Answer) -> Option<String> {
        let state = self.state_of(number)?;
        let before = *state;
        let is_new = matches!(
            answer,
            Answer::Stored {
                is_duplicate: false
            }
        );
        let (now, refusal) = match answer {
            Answer::Stored { .. } => (State::Stored, None),
            // What is in the stream stays there.
            _ if before == State::Stored => return None,
            Answer::Refused(says) => (State::Waits, Some(says)),
            Answer::TooLarge(says) => {
                self.loss = says;
                (State::Lost, None)
            }
        };
        if let Some(state) = self.state_of(number) {
            *state = now;
        }
        let is_again = matches!(before, State::Sent { is_again: true });
        if is_again && is_new {
            let after = self.waiting.partition_point(|it| it.first <= number);
            if let Some(sending) = self.waiting.get(after.saturating_sub(1)) {
                sending.batch.counts.note_repeated(1);
            }
        }
        refusal
    }

    /// Nobody will answer what is on its way.
    fn note_unknown(&mut self) {
        self.most_sent = 1;
        for (_, state) in self.waiting.iter_mut().flat_map(|it| &mut it.lines) {
            if matches!(state, State::Sent { .. }) {
                *state = State::Unknown;
            }
        }
    }
}

impl Target for NatsTarget {
    fn write(&mut self, batch: &LineBatch, done: &mut usize) -> Result<(), Failure> {
        let ends = batch.bytes.iter().enumerate();
        let ends = ends.filter(|(_, byte)| **byte == b'\n');
        let lines: Vec<_> = ends.map(|(end, _)| (end, State::Waits)).collect();
        let first = self.next_number;
        self.next_number += lines.len() as u64;
        self.waiting.push_back(Sending {
            batch: batch.clone(),
            first,
            lines,
        });
        *done = batch.bytes.len();
        Ok(())
    }

    fn is_grouped(&self) -> bool {
        true
    }

    fn commit(&mut self) -> (usize, Result<(), Failure>) {
        let delivered = self.deliver();
        let done = self.waiting.iter().take_while(|it| it.is_done()).count();
        let lost = self.waiting.drain(..done).map(|it| it.lost()).sum();
        let result = match delivered {
            // The next try meets what else is wrong.
            _ if lost > 0 => Err(Failure::LostPart(lost, io::Error::other(self.loss.clone()))),
            Ok(()) => Ok(()),
            Err(error) => Err(Failure::Later(error)),
        };
        (done, result)
    }

    fn longest_pause(&self) -> Option<Duration> {
        Some(LOOK)
    }

    /// Answers the server, and finds one that has gone or refuses recon.
    fn look(&mut self) -> Option<io::Result<()>> {
        if let Some(connection) = &mut self.connection {
            let heard = connection.hear(Instant::now());
            return match heard {
                Ok(_) => None,
                Err(error) => {
                    self.connection = None;
                    Some(Err(error))
                }
            };
        }
        let is_early = self.last_try.is_some_and(|last| last.elapsed() < TRY_AGAIN);
        (!is_early).then(|| self.connect())
    }
}
