//! Evidence files: the headers of the last packets that an alert is about, as pcapng.
//!
//! In: the headers of packets that count, and whom an alert is about. Out: a file for each such
//! alert, in a folder that is bounded.
//!
//! | step | module | gives |
//! |---|---|---|
//! | keep | [`store`] | the last headers of each remote and process, in bounded memory |
//! | encode | [`pcapng`] | a section with a block for each network interface and direction |
//! | write | [`folder`] | files of bounded size together: the oldest are evicted first |
//! | wait | [`writer`] | the thread that does it, which no poll waits for |
//!
//! The decision held here: a line of an incident has a file of its own, with the headers that were
//! there when it was written. A file that grows would have to be read again, and could not be
//! deleted by its age.

mod folder;
mod pcapng;
mod store;
mod writer;

pub(crate) use folder::{EvidenceFolder, file_name};
pub(crate) use pcapng::EvidenceFile;
pub(crate) use store::{EvidenceQuery, HeaderStore, RecordedHeader};
pub(crate) use writer::{EvidenceCounts, EvidenceWriter};

#[cfg(test)]
mod tests;
