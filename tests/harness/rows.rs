//! Checks a table's rows in parallel: a row mostly waits, and each has a lab of its own.

use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::Result;

/// Checks every row, and panics with the name and the error of each that failed.
///
/// # Panics
/// When a row fails.
pub fn check<Row: Sync>(
    rows: &[Row],
    name: impl Fn(&Row) -> &str + Sync,
    check: impl Fn(&Row) -> Result<()> + Sync,
) {
    /// More workers would compete for the processor, and on a busy one scanners retransmit.
    const WORKERS: usize = 4;
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(String::new());
    thread::scope(|scope| {
        for _ in 0..WORKERS.min(rows.len()) {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = check(row) {
                        let mut failures = failures.lock().expect("no holder panics");
                        writeln!(failures, "\n== {}: {error:#}", name(row))
                            .expect("writing to a string cannot fail");
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no holder panics");
    assert!(failures.is_empty(), "{failures}");
}
