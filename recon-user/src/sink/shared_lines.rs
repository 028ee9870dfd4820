//! Lines that several sinks write, as bytes or as what makes them.
//!
//! In: bytes, or a function that formats them. Out: bytes, which all sinks share.
//! The decision held here: rows are formatted by the first sink's thread that takes them, and the
//! others wait for it. The thread that polls would take 1.7 us for each of a hundred thousand.

use std::fmt;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;

type Format = Box<dyn FnOnce() -> Bytes + Send>;

/// Whole lines.
#[derive(Clone)]
pub(crate) enum SharedLines {
    /// They are there.
    Ready(Bytes),
    /// They are formatted when a thread first takes them.
    Later(Arc<LazyLock<Bytes, Format>>),
}

impl SharedLines {
    /// Lines that `format` returns.
    pub(crate) fn later(format: impl FnOnce() -> Bytes + Send + 'static) -> Self {
        Self::Later(Arc::new(LazyLock::new(Box::new(format))))
    }

    /// Formats them, unless another thread has.
    pub(crate) fn bytes(self) -> Bytes {
        match self {
            Self::Ready(bytes) => bytes,
            Self::Later(lines) => Bytes::clone(&lines),
        }
    }
}

impl fmt::Debug for SharedLines {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(bytes) => bytes.fmt(to),
            Self::Later(lines) => lines.fmt(to),
        }
    }
}

impl From<Bytes> for SharedLines {
    fn from(bytes: Bytes) -> Self {
        Self::Ready(bytes)
    }
}

impl From<Vec<u8>> for SharedLines {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Ready(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use std::thread::{self, ThreadId};

    use super::*;

    #[test]
    fn lines_are_formatted_once_and_on_a_thread_that_takes_them() {
        let lines = SharedLines::later(|| format!("{:?}", thread::current().id()).into());
        let taken: Vec<(ThreadId, Bytes)> = thread::scope(|scope| {
            let takers = [(); 3].map(|()| {
                let lines = lines.clone();
                scope.spawn(|| (thread::current().id(), lines.bytes()))
            });
            let taken = takers.map(|taker| taker.join().expect("a taker"));
            taken.into()
        });
        let formatted = &taken[0].1;
        assert!(
            taken.iter().all(|(_, bytes)| bytes == formatted),
            "{taken:?}"
        );
        let is_by = |(id, _): &(ThreadId, Bytes)| format!("{id:?}").as_bytes() == &formatted[..];
        assert!(taken.iter().any(is_by), "{taken:?}");
    }
}
