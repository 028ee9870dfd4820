//! Checks a table's rows in parallel: a row mostly waits, and each has a lab of its own.

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
    let failures = map_in_parallel(rows, WORKERS, |row| {
        let error = check(row).err()?;
        Some(format!("\n== {}: {error:#}\n", name(row)))
    });
    let failures: String = failures.into_iter().flatten().collect();
    assert!(failures.is_empty(), "{failures}");
}

/// Applies `work` to every item, the first ones first, by so many threads, and returns the results
/// in the items' order.
///
/// # Panics
/// When `work` does.
pub fn map_in_parallel<T: Sync, R: Send>(
    items: &[T],
    workers: usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    thread::scope(|scope| {
        for _ in 0..workers.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(number) else {
                        return;
                    };
                    let result = work(item);
                    let mut results = results.lock().expect("no holder panics");
                    results.push((number, result));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("no holder panics");
    results.sort_by_key(|&(number, _)| number);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_items_order() {
        for workers in [1, 2, 9] {
            let doubled = map_in_parallel(&[1, 2, 3, 4], workers, |item| 2 * item);
            assert_eq!(doubled, [2, 4, 6, 8], "{workers} workers");
        }
    }
}
