//! Measures how precise the alerts are: an hour of a web and DNS server, of which is known who is a
//! client, who passes by and who scans, under the built-in rules.
//!
//! In: nothing, or options. Out: on stdout, a line for each figure of each seed, separated by tabs:
//! the host, the figure's name, the severity, the value; and for each scanner that is missed at
//! medium, the host, `missed`, its name. On stderr, the rules that name clients or background.
//! `cargo xtask bench` runs this and formats a table.
//! Options: `--write FILE` writes the rows of one seed for `recon judge`, `--describe` prints what
//! each category does, and nothing is judged; `--seed NUMBER` and `--drop` select the hour.
//! The decisions held here:
//! - Judged are the lines that are written, so after the limit of lines, with the default settings.
//! - Each seed is judged for a host whose closed ports refuse and for one whose firewall drops.

mod driver;
mod mixture;
mod random;
mod score;

use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::io::{BufWriter, Write as _};

use anyhow::{Context as _, Result, bail};
use recon_user::incident::Notification;
use recon_user::kql::Severity;
use recon_user::row::{Row, RowKey, json};

use mixture::{Closed, Counted, Mixture, POLLS};
use score::{SEVERITIES, Score};

const SEEDS: [u64; 5] = [1, 2, 3, 4, 5];
/// The severity at which sources and scanners are listed.
const LISTED: Severity = Severity::Medium;
/// The two kinds of host, by name.
const HOSTS: [(&str, Closed); 2] = [("refuses", Closed::Refuse), ("drops", Closed::Drop)];

fn main() -> Result<()> {
    let options = Options::read(env::args().skip(1))?;
    if options.describe {
        describe(&Mixture::new(options.seed, options.closed));
    }
    match &options.write {
        Some(path) => write(&Mixture::new(options.seed, options.closed), path),
        None if options.describe => Ok(()),
        None => {
            measure();
            Ok(())
        }
    }
}

/// What the command line asks for.
struct Options {
    write: Option<String>,
    seed: u64,
    closed: Closed,
    describe: bool,
}

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            write: None,
            seed: SEEDS[0],
            closed: Closed::Refuse,
            describe: false,
        };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--write" => options.write = Some(words.next().context("--write FILE")?),
                "--seed" => {
                    let number = words.next().context("--seed NUMBER")?;
                    options.seed = number.parse().context(number)?;
                }
                "--drop" => options.closed = Closed::Drop,
                "--describe" => options.describe = true,
                _ => {
                    bail!("unknown argument {word}: known are --write, --seed, --drop, --describe")
                }
            }
        }
        Ok(options)
    }
}

/// For each rule and category, how many of it the rule names, for each seed that it does.
type Blamed = BTreeMap<(String, &'static str), Vec<u64>>;

/// Judges all seeds on both kinds of host.
fn measure() {
    for (host, closed) in HOSTS {
        let mut blamed = Blamed::new();
        for seed in SEEDS {
            let mixture = Mixture::new(seed, closed);
            let lines = judge(&mixture);
            for least in SEVERITIES {
                print_score(
                    host,
                    least,
                    &Score::new(&mixture, &lines, least),
                    &mut blamed,
                );
            }
        }
        for ((rule, category), sources) in &blamed {
            let seeds = sources.len();
            let least = sources.iter().min().copied().unwrap_or_default();
            let most = sources.iter().max().copied().unwrap_or_default();
            eprintln!(
                "{host}, {}: {rule} names {least} to {most} of {category}, in {seeds} of {} seeds",
                LISTED.name(),
                SEEDS.len()
            );
        }
    }
}

/// Prints the figures of one severity of one seed.
fn print_score(host: &str, least: Severity, score: &Score, blamed: &mut Blamed) {
    for (name, value) in score.figures() {
        if let Some(value) = value {
            println!("{host}\t{name}\t{}\t{value}", least.name());
        }
    }
    if least != LISTED {
        return;
    }
    for name in score.missed() {
        println!("{host}\tmissed\t{name}");
    }
    for (rule, category, sources) in score.blamed() {
        let blame = (rule.to_owned(), category);
        blamed.entry(blame).or_default().push(sources);
    }
}

/// The lines that recon writes.
fn judge(mixture: &Mixture) -> Vec<Notification> {
    let mut pipeline = driver::pipeline();
    let mut lines = Vec::new();
    let mut rows = mixture.rows.iter().peekable();
    for poll in 0..POLLS {
        let interval = driver::interval(poll);
        while let Some(row) = rows.next_if(|row| row.poll == poll) {
            driver::push(&mut pipeline, &row.key, row.count, interval);
        }
        lines.extend(pipeline.end_poll(interval, false));
    }
    lines.extend(pipeline.finish(driver::interval(POLLS).from));
    lines
}

/// Writes the rows as JSON lines.
fn write(mixture: &Mixture, path: &str) -> Result<()> {
    let file = File::create(path).with_context(|| path.to_owned())?;
    let mut file = BufWriter::new(file);
    for Counted { poll, key, count } in &mixture.rows {
        let row = Row {
            device: driver::HOST,
            ..Row::bare(
                RowKey::unpack(key).context("a signal of another layout")?,
                *count,
                driver::interval(*poll).to,
            )
        };
        json::write(&row, &mut file).with_context(|| path.to_owned())?;
    }
    file.flush().with_context(|| path.to_owned())
}

/// Prints what each category does.
fn describe(mixture: &Mixture) {
    println!(
        "{:34} {:>7} {:>11} {:>8} {:>9} {:>9} {:>9} {:>8}",
        "category",
        "sources",
        "connections",
        "accepted",
        "logged in",
        "megabytes",
        "s, mean",
        "events"
    );
    for (name, tally) in &mixture.tallies {
        let mean = match tally.accepted {
            0 => 0.0,
            accepted => tally.seconds / accepted as f64,
        };
        println!(
            "{name:34} {:>7} {:>11} {:>8} {:>9} {:>9.1} {mean:>9.1} {:>8}",
            tally.sources,
            tally.connections,
            tally.accepted,
            tally.logged_in,
            tally.bytes as f64 / 1e6,
            tally.events,
        );
    }
    println!("{} rows", mixture.rows.len());
}
