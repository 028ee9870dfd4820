//! A sink that sends lines to an HTTP peer: a webhook, or a receiver of OTLP.
//!
//! In: whole lines. Out: requests, each with what waits together.
//! The decisions held here:
//! - A line counts as written once the peer has answered 2xx to the request that held it. Another
//!   answer, or none, keeps it for the next try.
//! - A peer that refuses the body itself (400, 413, 422) would refuse it for ever, and everything
//!   after it would wait. Its lines are tried in smaller requests, down to single ones, and only
//!   lines that are refused alone are lost: who can put a disliked text into one line must not
//!   erase the others.
//! - A request that nobody has answered may have arrived. Its lines are sent again, and count as
//!   repeated.
//! - An answer of 2xx that can't be read is still one: OTLP forbids a repetition. Only if it is cut
//!   off is the request sent once more, since it may say which logs the receiver refuses.

use std::collections::VecDeque;
use std::io;

use super::http::{HttpPeer, PostAnswer, PostError};
use super::otlp::{OtlpEncoder, rejected};
use super::queue::LineBatch;
use super::target::{Failure, Target};
use super::whole_lines::first_line;

/// JSON lines, as Elasticsearch, Loki and Vector know them.
pub(super) const JSON_LINES: &str = "application/x-ndjson";
/// What OTLP's JSON encoding is sent as.
pub(super) const JSON: &str = "application/json";
/// From so many bytes on, another request is made: peers often take no more than 1 MiB, and a batch
/// of rows has up to some 64 KiB.
const LARGE: usize = 512 << 10;

/// What a request holds.
pub(super) enum HttpEncoding {
    /// The lines as they are.
    Lines,
    /// A log for each.
    Otlp(OtlpEncoder),
}

/// What follows if an answer of 2xx can't be read.
const COUNTS: &str = "its logs count as written, also those that it may have refused";

/// A peer, and what it has not taken.
pub(crate) struct HttpTarget {
    peer: HttpPeer,
    encoding: HttpEncoding,
    /// The first one without the lines that are settled.
    waiting: VecDeque<LineBatch>,
    body: Vec<u8>,
    /// So many of the first lines may have arrived in an earlier try.
    unknown: u64,
    /// Batches that are sent one at a time.
    single: usize,
    /// How many lines of the first batch are sent at once, after it was refused as a whole.
    piece: Option<u64>,
    /// Lines of the first batch that are lost, and why the last one is.
    lost: u64,
    loss: Option<io::Error>,
    /// The last answer was cut off.
    is_cut_off: bool,
}

/// What a body holds of the batches that wait.
#[derive(Clone, Copy)]
struct Content {
    /// The whole ones, from the first one on.
    batches: usize,
    /// Without whole ones, so many bytes of the first one.
    bytes: usize,
    lines: u64,
}

impl HttpTarget {
    pub(super) const fn new(peer: HttpPeer, encoding: HttpEncoding) -> Self {
        Self {
            peer,
            encoding,
            waiting: VecDeque::new(),
            body: Vec::new(),
            unknown: 0,
            single: 0,
            piece: None,
            lost: 0,
            loss: None,
            is_cut_off: false,
        }
    }

    /// Puts the next batches into the body, or a part of the first one.
    fn fill_body(&mut self) -> Content {
        let body = &mut self.body;
        body.clear();
        if let HttpEncoding::Otlp(encoder) = &self.encoding {
            encoder.begin(body);
        }
        let mut add = |lines: &[u8]| {
            match &self.encoding {
                HttpEncoding::Lines => body.extend_from_slice(lines),
                HttpEncoding::Otlp(encoder) => encoder.add(lines, body),
            }
            body.len()
        };
        let mut content = Content {
            batches: 0,
            bytes: 0,
            lines: 0,
        };
        match (self.piece, self.waiting.front()) {
            (Some(most), Some(first)) if most < first.lines => {
                content.lines = most;
                for _ in 0..most {
                    content.bytes += first_line(&first.bytes[content.bytes..]);
                }
                add(&first.bytes[..content.bytes]);
            }
            _ => {
                for batch in &self.waiting {
                    content.batches += 1;
                    content.lines += batch.lines;
                    let is_alone = self.single > 0 || self.piece.is_some();
                    if add(&batch.bytes) >= LARGE || is_alone {
                        break;
                    }
                }
            }
        }
        if let HttpEncoding::Otlp(_) = &self.encoding {
            OtlpEncoder::end(body);
        }
        content
    }

    /// What was sent is written or lost. Returns how many batches end with it.
    fn settle(&mut self, content: Content) -> usize {
        let Content {
            batches,
            bytes,
            lines,
        } = content;
        self.unknown = self.unknown.saturating_sub(lines);
        self.waiting.drain(..batches);
        self.single = self.single.saturating_sub(batches);
        if batches > 0 {
            self.piece = None;
        } else if let Some(first) = self.waiting.front_mut() {
            first.bytes = first.bytes.slice(bytes..);
            first.lines = first.lines.saturating_sub(lines);
        }
        batches
    }

    /// Sends the body. Returns why a part of what was taken is refused all the same, and how many
    /// lines that are.
    fn post(&mut self) -> Result<Option<(u64, String)>, PostError> {
        let answer = self.peer.post(&self.body)?;
        // Of others, the status alone counts.
        let HttpEncoding::Otlp(_) = self.encoding else {
            return Ok(None);
        };
        let was_cut_off = std::mem::take(&mut self.is_cut_off);
        let read = match answer {
            PostAnswer::Whole(answer) => rejected(&answer),
            PostAnswer::TooLong => Err("it is too long"),
            PostAnswer::CutOff if was_cut_off => Err("it is cut off each time"),
            PostAnswer::CutOff => {
                self.is_cut_off = true;
                let error = "the receiver's answer can't be read: it is cut off";
                return Err(PostError::Unknown(io::Error::other(error)));
            }
        };
        Ok(match read {
            Ok(None) => None,
            Ok(Some((lines, why))) => {
                let text = format!("the receiver refuses {lines} of the logs: {why}");
                Some((lines, text))
            }
            Err(why) => {
                let text = format!("the receiver's answer can't be read: {why}; {COUNTS}");
                Some((0, text))
            }
        })
    }

    /// Counts lines as repeated, from the first one that waits on.
    fn note_repeated(&self, mut lines: u64) {
        for batch in &self.waiting {
            let here = batch.lines.min(lines);
            batch.counts.note_repeated(here);
            lines -= here;
            if lines == 0 {
                return;
            }
        }
    }

    /// Notes lines that are lost within what is settled next.
    fn note_loss(&mut self, lines: u64, error: io::Error) {
        self.lost += lines;
        self.loss = Some(error);
    }
}

impl Target for HttpTarget {
    fn write(&mut self, batch: &LineBatch, done: &mut usize) -> Result<(), Failure> {
        self.waiting.push_back(batch.clone());
        *done = batch.bytes.len();
        Ok(())
    }

    fn is_grouped(&self) -> bool {
        true
    }

    fn commit(&mut self) -> (usize, Result<(), Failure>) {
        loop {
            let content = self.fill_body();
            let Content { batches, lines, .. } = content;
            let answer = self.post();
            if matches!(answer, Ok(_) | Err(PostError::Unknown(_))) {
                self.note_repeated(lines.min(self.unknown));
            }
            match answer {
                Ok(refused) => {
                    self.piece = self.piece.map(|lines| lines * 2);
                    if let Some((refused, why)) = refused {
                        self.note_loss(refused.min(lines), io::Error::other(why));
                    }
                }
                Err(PostError::Refused(_)) if batches > 1 => {
                    self.single = batches;
                    continue;
                }
                Err(PostError::Refused(_)) if lines > 1 => {
                    self.piece = Some(lines.div_ceil(2));
                    continue;
                }
                Err(PostError::Refused(error)) => self.note_loss(lines, error),
                Err(PostError::NotTaken(error)) => return (0, Err(Failure::Later(error))),
                Err(PostError::Unknown(error)) => {
                    self.unknown = self.unknown.max(lines);
                    return (0, Err(Failure::Later(error)));
                }
            }
            let ended = self.settle(content);
            if ended > 0 {
                let lost = std::mem::take(&mut self.lost);
                let lost = self.loss.take().map(|why| Failure::LostPart(lost, why));
                return (ended, lost.map_or(Ok(()), Err));
            }
        }
    }

    fn unwritten(&self, batch: usize) -> u64 {
        let lost = if batch == 0 { self.lost } else { 0 };
        self.waiting.get(batch).map_or(0, |it| it.lines + lost)
    }
}
