//! Maps that somebody has frozen: no process may write to them any more.
//!
//! In: a map's descriptor. Out: whether it is frozen, as its fdinfo says: bpf(2) does not.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use super::DrainError;

/// Whether the map of that descriptor is frozen.
///
/// # Errors
/// /proc does not say.
pub(crate) fn is_frozen(map: impl AsFd) -> io::Result<bool> {
    let descriptor = map.as_fd().as_raw_fd();
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}"))?;
    let value = text.lines().find_map(|line| line.strip_prefix("frozen:"));
    Ok(value.is_some_and(|value| value.trim() == "1"))
}

/// The same error, or that the map is frozen if it is.
pub(super) fn explain(name: &'static str, map: impl AsFd, error: DrainError) -> DrainError {
    match is_frozen(map) {
        Ok(true) => DrainError::Frozen { name },
        _ => error,
    }
}
