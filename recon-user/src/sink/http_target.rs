//! A sink that sends lines to an HTTP peer: a webhook, or a receiver of OTLP.
//!
//! In: whole lines. Out: requests, each with what waits together.
//! The decisions held here:
//! - A line counts as written once the peer has answered 2xx to the request that held it. Another
//!   answer, or none, keeps it for the next try.
//! - A peer that refuses the body itself (400, 413, 422) would refuse it for ever, and everything
//!   after it would wait. Its lines are tried in smaller requests, and those of the one that is
//!   still refused are lost.
//! - A request that nobody has answered may have arrived. Its lines are sent again, and count as
//!   repeated. So may one whose answer from a receiver of OTLP can't be read whole: it says which logs
//!   the receiver refuses.

use std::collections::VecDeque;
use std::io;

use super::http::{HttpPeer, PostError};
use super::otlp::{OtlpEncoder, rejected};
use super::queue::LineBatch;
use super::target::{Failure, Target};

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

/// A peer, and what it has not taken.
pub(crate) struct HttpTarget {
    peer: HttpPeer,
    encoding: HttpEncoding,
    waiting: VecDeque<LineBatch>,
    body: Vec<u8>,
    /// So many batches may have arrived in an earlier try.
    unknown: usize,
    /// Batches that are sent one at a time.
    single: usize,
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
        }
    }

    /// Puts the next batches into the body, and returns how many.
    fn fill_body(&mut self) -> usize {
        let body = &mut self.body;
        body.clear();
        if let HttpEncoding::Otlp(encoder) = &self.encoding {
            encoder.begin(body);
        }
        let mut batches = 0;
        for batch in &self.waiting {
            match &self.encoding {
                HttpEncoding::Lines => body.extend_from_slice(&batch.bytes),
                HttpEncoding::Otlp(encoder) => encoder.add(&batch.bytes, body),
            }
            batches += 1;
            if self.single > 0 || body.len() >= LARGE {
                break;
            }
        }
        if let HttpEncoding::Otlp(_) = &self.encoding {
            OtlpEncoder::end(body);
        }
        batches
    }

    /// The first batches are no longer to be sent.
    fn forget(&mut self, batches: usize) {
        self.waiting.drain(..batches);
        self.single = self.single.saturating_sub(batches);
        self.unknown = self.unknown.saturating_sub(batches);
    }

    /// Sends the body. Returns why a part of what was taken is refused all the same, and how many
    /// lines that are.
    fn post(&self) -> Result<Option<(u64, String)>, PostError> {
        let answer = self.peer.post(&self.body)?;
        match self.encoding {
            // The status alone counts.
            HttpEncoding::Lines => Ok(None),
            HttpEncoding::Otlp(_) => {
                let read = answer
                    .as_deref()
                    .ok_or("it is not whole")
                    .and_then(rejected);
                read.map_err(|why| {
                    let error = format!("the receiver's answer can't be read: {why}");
                    PostError::Unknown(io::Error::other(error))
                })
            }
        }
    }

    fn note_repeated(&self, batches: usize) {
        for batch in self.waiting.iter().take(batches) {
            batch.counts.note_repeated(batch.lines);
        }
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
            let batches = self.fill_body();
            let answer = self.post();
            if matches!(answer, Ok(_) | Err(PostError::Unknown(_))) {
                self.note_repeated(batches.min(self.unknown));
            }
            return match answer {
                Ok(refused) => {
                    self.forget(batches);
                    let result = refused.map_or(Ok(()), |(lines, why)| {
                        let error = format!("the receiver refuses {lines} of the logs: {why}");
                        Err(Failure::LostPart(lines, io::Error::other(error)))
                    });
                    (batches, result)
                }
                Err(PostError::Refused(_)) if batches > 1 => {
                    self.single = batches;
                    continue;
                }
                Err(PostError::Refused(error)) => {
                    self.forget(batches);
                    (batches, Err(Failure::Lost(error)))
                }
                Err(PostError::NotTaken(error)) => (0, Err(Failure::Later(error))),
                Err(PostError::Unknown(error)) => {
                    self.unknown = self.unknown.max(batches);
                    (0, Err(Failure::Later(error)))
                }
            };
        }
    }
}
