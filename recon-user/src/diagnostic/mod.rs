//! What is wrong with a file, and how recon shows it.
//!
//! In: text that people wrote, errors and warnings with their spans. Out: lines for a terminal.
//! The decision held here: this module knows nothing of KQL or of settings, so both use it.

mod visible;

pub use visible::visible;
