//! `cargo xtask bench`: the cost of recon for the host that it watches, and how precise its alerts
//! are.
//!
//! In: the built agent, and the programs that measure it. Out: on stdout, a table for each part; on
//! request, all rows as JSON, and the README's tables.
//! Holds the list of parts. The decision held here: a benchmark reports figures and never judges
//! them, since they depend on the machine and its other load, or on the mixture of traffic.

mod example;
mod flood;
mod interfaces;
mod output;
mod precision;
mod readers;
mod replay;
mod report;
mod row;
mod socket;
mod system;
mod table;
mod watch;
mod worker;

use std::path::{Path, PathBuf};
use std::{fs, time::Instant};

use anyhow::{Context as _, Result};
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::Value;

use row::Row;
use table::Table;
pub(crate) use worker::{Work, run_worker};

/// What to measure, and where to write the results.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Measure this only; may be given several times
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(PARTS.iter().map(|part| part.name)))]
    part: Vec<String>,
    /// Write the figures as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the tables into recon-user/docs/performance.md
    #[arg(long, conflicts_with = "part")]
    readme: bool,
}

/// How rows are measured.
enum Measurement {
    /// By the example with this name.
    Example(&'static str),
    /// By this function, which starts the agent.
    Agent(fn(&Path) -> Result<Vec<Row>>),
    /// By this function, which starts the agent and the example with this name.
    Both(&'static str, fn(&Path, &Path) -> Result<Vec<Row>>),
}

struct Part {
    /// The value of `--part`.
    name: &'static str,
    /// The name of a row's subject, and the table's title.
    title: &'static str,
    /// What is measured, in a sentence.
    about: &'static str,
    contents: Contents,
}

/// What a part's table holds.
enum Contents {
    /// Figures of two sides.
    Comparison {
        /// The names of the baseline and of the compared side.
        sides: [&'static str; 2],
        measurements: &'static [Measurement],
    },
    /// Whom the lines of each severity name, by the example with this name.
    Precision(&'static str),
}

const PARTS: &[Part] = &[
    Part {
        name: "frame",
        title: "a frame",
        about: "A frame in the kernel programs (`BPF_PROG_TEST_RUN`), compared with a program that passes every frame immediately.",
        contents: Contents::Comparison {
            sides: ["passed at once", "recon"],
            measurements: &[Measurement::Example("packets")],
        },
    },
    Part {
        name: "entry",
        title: "an entry drained",
        about: "Moving an entry of the kernel's table into the agent in batches, compared with a lookup of each key of the same table. Times are processor time.",
        contents: Contents::Comparison {
            sides: ["key by key", "in batches"],
            measurements: &[Measurement::Example("entries")],
        },
    },
    Part {
        name: "phases",
        title: "two phases",
        about: "Draining an entry over pinned maps: it is read first, and deleted once what it says is safe. Compared with both at once. Times are processor time.",
        contents: Contents::Comparison {
            sides: ["at once", "in two phases"],
            measurements: &[Measurement::Example("phases")],
        },
    },
    Part {
        name: "row",
        title: "a row",
        about: "A row under the rules: a million rows of one poll, judged by fewer and by more rules.",
        contents: Contents::Comparison {
            sides: ["fewer", "more"],
            measurements: &[Measurement::Example("rules")],
        },
    },
    Part {
        name: "alert",
        title: "an alert",
        about: "Formatting a finding as a line of ECS and passing it through the sink to its reader, compared with write(2) of the same lines.",
        contents: Contents::Comparison {
            sides: ["write(2)", "recon"],
            measurements: &[Measurement::Example("alerts")],
        },
    },
    Part {
        name: "output",
        title: "what leaves",
        about: "A poll with scans by 100 sources, and an alert with its rows, to a file, journald, a Unix socket, a TCP peer, a webhook, OTLP and a stream of NATS JetStream at once, compared with alerts to /dev/null alone. What a scrape of the metrics adds, and how long `recon status` keeps the next poll from beginning.",
        contents: Contents::Comparison {
            sides: ["no sinks", "all"],
            measurements: &[Measurement::Agent(output::measure)],
        },
    },
    Part {
        name: "socket",
        title: "socket hooks",
        about: "TCP connections over loopback, and one byte each way over an established one.",
        contents: Contents::Comparison {
            sides: ["without", "with"],
            measurements: &[Measurement::Agent(socket::measure)],
        },
    },
    Part {
        name: "system",
        title: "the system",
        about: "A host and its peer in two network namespaces, joined by a veth pair: the rate at which the host serves or receives without recon and with it, and the agent's use of processor and memory.",
        contents: Contents::Comparison {
            sides: ["without", "with"],
            measurements: &[Measurement::Agent(system::measure)],
        },
    },
    Part {
        name: "growth",
        title: "growth",
        about: "A row under the rules where each row has a source of its own, in polls of at most 131,072 rows, and an idle poll on several interfaces; compared with the least number. Times are processor time.",
        contents: Contents::Comparison {
            sides: ["least", "this"],
            measurements: &[
                Measurement::Example("sources"),
                Measurement::Agent(interfaces::measure),
            ],
        },
    },
    Part {
        name: "replay",
        title: "a packet of a capture",
        about: "A capture of 2,000,000 packets, of which 92 % belong to TCP connections, replayed by recon and read by other programs, each on the same one processor. Times are processor time.",
        contents: Contents::Comparison {
            sides: ["the other", "recon"],
            measurements: &[Measurement::Both("capture", replay::measure)],
        },
    },
    Part {
        name: "precision",
        title: "precision",
        about: "Whom the lines name, over an hour of 10,000 legitimate clients, 1,000 sources of background radiation and 20 scanners, under the built-in rules and the default limit of lines. A column counts the lines at or above its severity. `refuses` is a host whose closed ports refuse, `drops` one whose firewall drops. A figure is the median of five seeds, with the least and the greatest.",
        contents: Contents::Precision("precision"),
    },
];

impl Options {
    fn parts(&self) -> impl Iterator<Item = &'static Part> {
        let is_wanted =
            |part: &&Part| self.part.is_empty() || self.part.iter().any(|name| name == part.name);
        PARTS.iter().filter(is_wanted)
    }

    /// The examples to build.
    pub(crate) fn examples(&self) -> impl Iterator<Item = &'static str> {
        self.parts().flat_map(|part| part.contents.examples())
    }
}

impl Contents {
    /// The examples that measure it.
    fn examples(&self) -> Vec<&'static str> {
        let measurements = match self {
            Self::Precision(name) => return vec![name],
            Self::Comparison { measurements, .. } => measurements.iter(),
        };
        let examples = measurements.filter_map(|measurement| match measurement {
            Measurement::Example(name) | Measurement::Both(name, _) => Some(*name),
            Measurement::Agent(_) => None,
        });
        examples.collect()
    }
}

/// Measures the selected parts, one after the other. `examples` is the folder of the tests'
/// examples.
pub(crate) fn run_parts(
    agent: &Path,
    examples: &Path,
    options: &Options,
    workspace: &Path,
) -> Result<()> {
    let mut tables = Vec::new();
    for part in options.parts() {
        let begin = Instant::now();
        let table = measure_part(part, agent, examples).context(part.title)?;
        eprintln!("{}: measured in {:.0?}", part.title, begin.elapsed());
        println!("{table}");
        tables.push(table);
    }
    if let Some(path) = &options.json {
        let rows: Value = tables
            .iter()
            .flat_map(|table| table.json_rows.iter().cloned())
            .collect();
        fs::write(path, format!("{rows:#}\n")).with_context(|| path.display().to_string())?;
    }
    if options.readme {
        report::write(workspace, &tables)?;
    }
    Ok(())
}

fn measure_part(part: &Part, agent: &Path, examples: &Path) -> Result<Table> {
    let (sides, measurements) = match part.contents {
        Contents::Comparison {
            sides,
            measurements,
        } => (sides, measurements),
        Contents::Precision(name) => {
            return precision::measure(&examples.join(name), part.title, part.about);
        }
    };
    let mut rows = Vec::new();
    for measurement in measurements {
        rows.extend(match measurement {
            Measurement::Example(name) => example::measure(&examples.join(name))?,
            Measurement::Agent(measure) => measure(agent)?,
            Measurement::Both(name, measure) => measure(agent, &examples.join(name))?,
        });
    }
    Ok(Table::compared(part.title, part.about, sides, &rows))
}
