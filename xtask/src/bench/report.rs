//! The benchmark's tables in the README.
//!
//! In: the tables, the machine. Out: the README's tables.
//! The decision held here: of the machine it names only what a reader can compare: the processor's
//! model, the number of processors, the kernel.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use recon_tests::kernel::Linux;

use super::table::Table;
use crate::readme;

/// The command that writes the tables.
const COMMAND: &str = "cargo xtask bench --readme";

/// Writes the tables.
pub(super) fn write(workspace: &Path, tables: &[Table]) -> Result<()> {
    let processors = fs::read_to_string("/proc/cpuinfo").context("/proc/cpuinfo")?;
    let mut parts = vec![machine(&processors, Linux::running()?)];
    parts.extend(tables.iter().map(Table::markdown));
    let document = workspace.join(readme::PERFORMANCE);
    readme::write(&document, COMMAND, &parts.join("\n"))
}

/// A sentence on the machine, from the kernel's description of its processors.
fn machine(processors: &str, kernel: Linux) -> String {
    let values = |name: &'static str| {
        let pairs = processors.lines().filter_map(|line| line.split_once(':'));
        pairs.filter_map(move |(key, value)| (key.trim() == name).then_some(value.trim()))
    };
    let count = values("processor").count();
    let model = values("model name").next().unwrap_or("of unknown model");
    let is_virtual = values("flags").any(|flags| flags.split(' ').any(|flag| flag == "hypervisor"));
    let kind = if is_virtual {
        "A virtual machine"
    } else {
        "A machine"
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{kind} with {count} processor{plural} ({model}), Linux {kernel}:\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_the_marker() {
        let readme = include_str!("../../../recon-user/docs/performance.md");
        assert!(readme.contains(&format!("<!-- written by: {COMMAND} -->\n")));
    }

    #[test]
    fn the_machine_is_described() {
        let two =
            "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu hypervisor\n\nprocessor\t: 1\n";
        for (processors, expected) in [
            (
                two,
                "A virtual machine with 2 processors (AMD EPYC), Linux 6.12:\n",
            ),
            (
                "processor\t: 0\n",
                "A machine with 1 processor (of unknown model), Linux 6.12:\n",
            ),
        ] {
            assert_eq!(machine(processors, Linux(6, 12)), expected);
        }
    }
}
