//! A sink that publishes lines to a stream of NATS JetStream.
//!
//! In: whole lines. Out: a message for each, in a stream.
//! The decisions held here:
//! - A line counts as written once the stream has acknowledged it. Many are on their way at once,
//!   so that throughput is not one round trip each.
//! - Each line has an id: random bits of this sink, and its number. It has it each time it is sent,
//!   so that the stream drops what it has already, and no other line ever has it. A hash of the
//!   line would not do: two programs of one process may have counted the same, in rows that look
//!   alike.
//! - A line that the stream refuses is known not to be there, unless it was sent before. One that
//!   nobody has answered may be there: unless the stream says then that it has it, it counts as
//!   repeated. An answer for what is not on its way is nobody's.
//! - Alerts go first, and wait for no row: a stream that has no room for rows may have it for them.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use super::nats_frame::{StoreAnswer, payload_length, write_line};
use super::nats_lane::{Lane, LineState, Sending};
use super::nats_peer::{Heard, NatsConnection, NatsDestination, NatsPeer};
use super::queue::LineBatch;
use super::target::{Failure, Target};
use super::worker::vary;
use crate::seed::random_number;

/// Lines that are on their way at once. After a refusal it begins with one and doubles: a full
/// stream is not asked for each line.
const MOST_SENT: usize = 1024;
/// Lines of a kind that are sent before others get their turn.
const TURN: usize = 8 * MOST_SENT;
/// What is collected before it is sent.
const PART: usize = 64 << 10;
/// How long the server may take for the next answer.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// How often to look after a connection that nothing is sent through: the server asks whether recon
/// is there.
const LOOK: Duration = Duration::from_secs(1);
/// How often to look for a server that has gone, without new lines.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// A server, and what it has not taken.
pub(crate) struct NatsTarget {
    peer: NatsPeer,
    connection: Option<NatsConnection>,
    /// The sink's own lines, and those of its other queue.
    lanes: [Lane; 2],
    id: String,
    next_number: u64,
    /// Why the last line is lost.
    loss: String,
    next_try: Instant,
}

impl NatsTarget {
    /// Publishes the lines of a host.
    pub(super) fn new(peer: NatsPeer, destination: &NatsDestination, host: &str) -> Self {
        let lane = |lines| Lane {
            subject: destination.subject.of(host, lines),
            waiting: VecDeque::new(),
            most_sent: MOST_SENT,
        };
        Self {
            peer,
            connection: None,
            lanes: ["alerts", "rows"].map(lane),
            id: format!("{:016x}{:016x}", random_number(), random_number()),
            next_number: 0,
            loss: String::new(),
            next_try: Instant::now(),
        }
    }

    fn connect(&mut self) -> io::Result<()> {
        if self.connection.is_none() {
            self.next_try = Instant::now() + vary(TRY_AGAIN);
            self.connection = Some(self.peer.connect()?);
        }
        Ok(())
    }

    /// Sends lines, and waits for the answers. Those that came are kept in their states.
    fn deliver(&mut self) -> io::Result<()> {
        self.connect()?;
        let Some(mut connection) = self.connection.take() else {
            return Err(ErrorKind::NotConnected.into());
        };
        let mut refusal = None;
        for kind in 0..self.lanes.len() {
            match self.send_lane(&mut connection, kind) {
                Ok(says) => refusal = refusal.or(says),
                Err(error) => {
                    self.note_broken(&error);
                    return Err(error);
                }
            }
        }
        self.connection = Some(connection);
        refusal.map_or(Ok(()), |says| Err(io::Error::other(says)))
    }

    /// Sends lines of a kind. Returns why one was refused, once all that is on its way is answered.
    fn send_lane(
        &mut self,
        connection: &mut NatsConnection,
        kind: usize,
    ) -> io::Result<Option<String>> {
        let mut refusal = None;
        let mut sent = 0;
        let mut left = TURN;
        let mut next = (0, 0);
        let mut until = Instant::now() + ANSWER_TIME;
        loop {
            if refusal.is_none() {
                let most = self.lanes[kind].most_sent.saturating_sub(sent).min(left);
                let more = self.send_more(connection, kind, &mut next, most)?;
                (sent, left) = (sent + more, left - more);
                if more > 0 {
                    until = Instant::now() + ANSWER_TIME;
                }
            }
            if sent == 0 {
                return Ok(refusal);
            }
            let heard = match Instant::now() < until {
                true => connection.wait_answer(until)?,
                false => Heard::Nothing,
            };
            match heard {
                Heard::Answer(number, answer) => {
                    let Some(refused) = self.note_answer(number, answer) else {
                        continue;
                    };
                    sent -= 1;
                    until = Instant::now() + ANSWER_TIME;
                    let lane = &mut self.lanes[kind];
                    lane.most_sent = match refused {
                        None => (lane.most_sent * 2).min(MOST_SENT),
                        Some(_) => 1,
                    };
                    refusal = refusal.or(refused);
                }
                Heard::NotPermitted(says) if self.lanes[kind].is_named_by(&says) => {
                    self.lanes[kind].note_unknown();
                    return Ok(Some(format!("the server refuses recon: {says}")));
                }
                Heard::Pong | Heard::NotPermitted(_) => {}
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
        kind: usize,
        next: &mut (usize, usize),
        most: usize,
    ) -> io::Result<usize> {
        let lane = &mut self.lanes[kind];
        let mut sent = 0;
        let mut out = Vec::new();
        while sent < most
            && let Some(sending) = lane.waiting.get_mut(next.0)
        {
            let Some(&(_, state)) = sending.lines.get(next.1) else {
                *next = (next.0 + 1, 0);
                continue;
            };
            let index = next.1;
            next.1 += 1;
            let is_again = match state {
                LineState::Waits => false,
                LineState::Unknown => true,
                LineState::Sent { .. } | LineState::Stored | LineState::Lost => continue,
            };
            let number = sending.first + index as u64;
            let line = sending.line(index);
            let length = payload_length(&self.id, number, line);
            if length > connection.max_payload() {
                self.loss = format!(
                    "a line has {length} bytes with its headers, and the server takes {}: raise its max_payload",
                    connection.max_payload()
                );
                sending.lines[index].1 = LineState::Lost;
                continue;
            }
            let inbox = connection.inbox();
            write_line(&mut out, &lane.subject, inbox, number, &self.id, line);
            sending.lines[index].1 = LineState::Sent { is_again };
            sent += 1;
            if out.len() >= PART {
                connection.send(&out)?;
                out.clear();
            }
        }
        connection.send(&out)?;
        Ok(sent)
    }

    /// The batch of a line that is not counted yet, and its place there.
    fn find_line(&mut self, number: u64) -> Option<(&mut Sending, usize)> {
        self.lanes.iter_mut().find_map(|lane| {
            let after = lane.waiting.partition_point(|it| it.first <= number);
            let sending = lane.waiting.get_mut(after.checked_sub(1)?)?;
            let index = usize::try_from(number - sending.first).ok()?;
            (index < sending.lines.len()).then_some((sending, index))
        })
    }

    /// Notes what became of a line, and why it is to be sent again. `None` if the line is not on
    /// its way.
    fn note_answer(&mut self, number: u64, answer: StoreAnswer) -> Option<Option<String>> {
        let (sending, index) = self.find_line(number)?;
        let state = &mut sending.lines[index].1;
        let LineState::Sent { is_again } = *state else {
            return None;
        };
        match answer {
            StoreAnswer::Stored { is_duplicate } => {
                *state = LineState::Stored;
                if is_again && !is_duplicate {
                    sending.batch.counts.note_repeated(1);
                }
            }
            StoreAnswer::Refused(says) => {
                // The stream may have the copy that was sent before.
                *state = match is_again {
                    true => LineState::Unknown,
                    false => LineState::Waits,
                };
                return Some(Some(says));
            }
            StoreAnswer::TooLarge(says) => {
                *state = LineState::Lost;
                self.loss = says;
            }
        }
        Some(None)
    }

    /// The connection is over. If the server has refused a message for its size, and only one was
    /// on its way, it is that one: it would end each connection.
    fn note_broken(&mut self, error: &io::Error) {
        let mut sent: Vec<_> = self.lanes.iter_mut().flat_map(Lane::sent).collect();
        if error.kind() == ErrorKind::FileTooLarge
            && let [state] = sent.as_mut_slice()
        {
            **state = LineState::Lost;
            self.loss = format!("{error}: raise its max_payload");
        }
        self.lanes.iter_mut().for_each(Lane::note_unknown);
    }
}

impl Target for NatsTarget {
    fn write(&mut self, batch: &LineBatch, done: &mut usize) -> Result<(), Failure> {
        let ends = batch.bytes.iter().enumerate();
        let ends = ends.filter(|(_, byte)| **byte == b'\n');
        let lines: Vec<_> = ends.map(|(end, _)| (end, LineState::Waits)).collect();
        let first = self.next_number;
        self.next_number += lines.len() as u64;
        let lane = &mut self.lanes[usize::from(batch.is_other)];
        lane.waiting.push_back(Sending {
            batch: batch.clone(),
            first,
            lines,
        });
        *done = batch.bytes.len();
        Ok(())
    }

    fn counts_itself(&self) -> bool {
        true
    }

    fn holds_lines(&self) -> bool {
        self.lanes.iter().any(|lane| !lane.waiting.is_empty())
    }

    fn commit(&mut self) -> (usize, Result<(), Failure>) {
        let delivered = self.deliver();
        let (mut done, mut lost) = (0, 0);
        for lane in &mut self.lanes {
            lane.waiting.retain(|sending| {
                let is_done = sending.is_done();
                if is_done {
                    done += 1;
                    lost += sending.settle();
                }
                !is_done
            });
        }
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
            let heard = connection.wait_answer(Instant::now());
            return match heard {
                Ok(_) => None,
                Err(error) => {
                    self.connection = None;
                    Some(Err(error))
                }
            };
        }
        let is_early = Instant::now() < self.next_try;
        (!is_early).then(|| self.connect())
    }

    fn end(&mut self) {
        for sending in self.lanes.iter().flat_map(|lane| &lane.waiting) {
            sending.settle();
        }
    }
}
