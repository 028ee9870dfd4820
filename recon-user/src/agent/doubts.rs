//! Options of a start that nobody is likely to mean.
//!
//! In: the options, the rules in force, and the memory that the machine has. Out: a warning for
//! each, or an error for a table that can't be had.
//! The decision held here: the kernel allocates both generations of the table at once, and would
//! take the memory from other programs. So a table that is larger than what is free is refused
//! before it is created.

use std::fs;
use std::time::Duration;

use anyhow::ensure;
use recon_common::Key;

use crate::kql::Plan;
use crate::settings::InForce;

/// What a key takes in the kernel's hash map: its header there, itself, its count and its bucket.
const BYTES_PER_KEY: u64 = 48 + size_of::<Key>() as u64 + size_of::<u64>() as u64 + 16;
/// Both generations of the table.
const GENERATIONS: u64 = 2;
/// A larger share of the free memory than one of so many is worth a warning.
const WORTH_A_WARNING: u64 = 4;
const MIB: u64 = 1 << 20;

/// The memory of this machine, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    total: u64,
    available: u64,
}

impl Memory {
    /// What the kernel says. `None` without /proc.
    pub(crate) fn of_machine() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/meminfo").ok()?)
    }

    /// The memory that is free for a table of that size if an earlier agent has left it one.
    pub(crate) fn with_table(self, entries: u32) -> Self {
        Self {
            available: self.available.saturating_add(table_bytes(entries)),
            ..self
        }
    }

    /// Whether a table of that size fits into what is free.
    pub(crate) const fn has_room(self, entries: u32) -> bool {
        table_bytes(entries) <= self.available
    }

    fn parse(meminfo: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
            kib.checked_mul(1 << 10)
        };
        Some(Self {
            total: field("MemTotal:")?,
            available: field("MemAvailable:")?,
        })
    }
}

/// The memory that the kernel's table takes, in bytes.
const fn table_bytes(entries: u32) -> u64 {
    entries as u64 * BYTES_PER_KEY * GENERATIONS
}

/// What is doubtful about a start.
///
/// # Errors
/// The table is larger than the memory that is free.
pub(crate) fn doubts(
    in_force: &InForce,
    interval: Duration,
    table_entries: u32,
    memory: Option<Memory>,
) -> anyhow::Result<Vec<String>> {
    let plans = in_force.rules.iter().map(|rule| &rule.plan);
    let mut doubts = short_windows(plans, interval);
    let Some(memory) = memory else {
        return Ok(doubts);
    };
    let Memory { total, available } = memory;
    let table = table_bytes(table_entries);
    let (needed, free) = (table / MIB, available / MIB);
    ensure!(
        memory.has_room(table_entries),
        "a table of {table_entries} keys takes {needed} MiB of the kernel's memory, and {free} MiB are free: use a smaller --table-entries"
    );
    if table > available / WORTH_A_WARNING {
        doubts.push(format!(
            "a table of {table_entries} keys takes {needed} MiB of the kernel's memory, of {free} MiB that are free: --table-entries sets it"
        ));
    }
    let settings = &in_force.settings;
    let (rules, databases) = (settings.memory(), settings.databases.bytes());
    if rules.saturating_add(databases) > total {
        let besides = match databases.div_ceil(MIB) {
            0 => String::new(),
            mib => format!(", the databases of `[enrich]` take {mib} MiB"),
        };
        doubts.push(format!(
            "`limits.memory` allows recon {} MiB{besides}, and this machine has {} MiB: under a flood recon may be killed for lack of memory; lower it",
            rules / MIB,
            total / MIB
        ));
    }
    Ok(doubts)
}

/// What to say of rules that count over less time than a poll takes.
fn short_windows<'p>(plans: impl Iterator<Item = &'p Plan>, interval: Duration) -> Vec<String> {
    let short = plans.filter(|plan| plan.window < interval);
    short
        .map(|plan| {
            format!(
                "the rule `{}` has a window of {:?}, and a poll counts {interval:?} at once: it counts over that; use a shorter --interval",
                plan.id, plan.window
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{RuleOptions, in_force};

    /// A small one.
    const DATABASE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/enrich/asn.mmdb");
    const MEMINFO: &str =
        "MemTotal:        1024000 kB\nMemFree:  1 kB\nMemAvailable:     512000 kB\n";

    #[test]
    fn memory_is_read() {
        let expected = Memory {
            total: 1_024_000 << 10,
            available: 512_000 << 10,
        };
        assert_eq!(Memory::parse(MEMINFO), Some(expected));
        assert_eq!(Memory::parse("MemTotal: 1 kB\n"), None);
        assert_eq!(Memory::parse("MemTotal: x kB\nMemAvailable: 1 kB\n"), None);
    }

    #[test]
    fn sizes_beyond_the_machine_are_doubted() {
        let memory = Memory::parse(MEMINFO);
        let of = |text: &str, interval, entries| {
            let folder = tempfile::tempdir().expect("a folder");
            let config = folder.path().join("recon.toml");
            fs::write(&config, text).expect("a file");
            let options = RuleOptions {
                config: Some(config),
                ..RuleOptions::default()
            };
            let in_force = in_force(&options, crate::rule::defaults).expect("settings");
            doubts(&in_force, interval, entries, memory)
        };
        let second = Duration::from_secs(1);
        for (what, text, interval, entries, expected) in [
            ("the defaults", "", second, 1 << 17, ""),
            (
                "a table over a quarter of what is free",
                "",
                second,
                1 << 20,
                "a table of 1048576 keys takes 224 MiB of the kernel's memory, of 500 MiB that are free: --table-entries sets it",
            ),
            (
                "more for the rules than there is",
                "limits.memory = '2GiB'",
                second,
                1 << 17,
                "`limits.memory` allows recon 2048 MiB, and this machine has 1000 MiB: under a flood recon may be killed for lack of memory; lower it",
            ),
            (
                "all memory for the rules, and a database besides",
                &format!("limits.memory = '1000MiB'\n[enrich]\nasn = '{DATABASE}'"),
                second,
                1 << 17,
                "`limits.memory` allows recon 1000 MiB, the databases of `[enrich]` take 1 MiB, and this machine has 1000 MiB: under a flood recon may be killed for lack of memory; lower it",
            ),
            (
                "a window of a second",
                "rules.rapid-scan.window = '1s'",
                Duration::from_secs(2),
                1 << 17,
                "the rule `rapid-scan` has a window of 1s, and a poll counts 2s at once: it counts over that; use a shorter --interval",
            ),
        ] {
            let doubts = of(text, interval, entries).expect(what);
            assert_eq!(doubts.join("\n"), expected, "{what}");
        }
        let memory = memory.expect("a machine");
        let with_table = memory.with_table(1 << 22);
        assert_eq!(with_table.available - memory.available, 896 * MIB);
        let has_room = [memory, with_table].map(|of| of.has_room(1 << 22));
        assert_eq!(has_room, [false, true]);
        let refused = of("", second, 1 << 22).expect_err("too large");
        let expected = "a table of 4194304 keys takes 896 MiB of the kernel's memory, and 500 MiB are free: use a smaller --table-entries";
        assert_eq!(refused.to_string(), expected);
    }
}
