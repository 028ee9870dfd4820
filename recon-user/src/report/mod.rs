//! `recon report`: incidents as one page of HTML.
//!
//! In: alert lines, rows or captures. Out: a page that loads nothing.
//!
//! | step | module |
//! |---|---|
//! | what a file holds | [`input`] |
//! | alert lines | [`alert_line`], [`endpoints`], [`gather`] |
//! | rows, captures | [`crate::judge`], [`crate::replay`]; their alerts are read as a file's |
//! | what the page shows | [`build`], by [`axis`], [`learned`], [`chart`], [`losses`], to [`model`] |
//! | HTML | [`page`] with the files of `recon-user/report/` |
//! | the file | [`output`] |
//!
//! The decision held here: alert lines are the one way to incidents. What rows and captures know
//! beyond them, each attempt and each source, comes from the pipeline's own log.

mod alert_line;
mod axis;
mod build;
mod chart;
mod endpoints;
mod gather;
mod input;
mod learned;
mod losses;
mod model;
mod output;
mod page;

#[cfg(test)]
mod tests;

use std::io::{self, BufRead, Write};

use anyhow::Context as _;

use crate::capture::Input;
use crate::cli::ReportOptions;
use crate::judge::{JudgedRows, Lines, NextLine, judge_with_attempts};
use crate::replay::{ReplayedCaptures, replay_with_attempts};
use crate::settings::InForce;
use alert_line::{InputLine, kind_of};
use build::Material;
use gather::Gathered;
use input::Inputs;
use model::InputRead;

/// How many lines that can't be read are named.
const NAMED: u64 = 20;

/// The rules in force, by what they judge.
#[derive(Clone, Copy, Debug)]
pub struct ReportRules<'a> {
    /// Those for rows.
    pub of_rows: &'a InForce,
    /// Those for captures.
    pub of_captures: &'a InForce,
}

/// Writes the page about some files. Returns whether all of them could be read; if not, that has
/// been reported, and is on the page.
///
/// # Errors
/// A file can't be opened, or the page can't be written.
pub fn run(
    options: &ReportOptions,
    rules: ReportRules<'_>,
    stdout: &mut dyn Write,
) -> anyhow::Result<bool> {
    if let Some(out) = &options.out {
        output::check(out, options.force)?;
    }
    let inputs = input::open(&options.files)?;
    let mut reader = ReportReader::new(rules);
    reader.read(inputs, options)?;
    let page = page::page(&build::build(reader.material)).context("can't make the page")?;
    match &options.out {
        Some(out) => output::write(out, options.force, &page)?,
        None => match stdout.write_all(page.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written.context("can't write to stdout")?,
        },
    }
    Ok(!reader.has_gaps)
}

/// Reads files into [`Material`].
struct ReportReader<'a> {
    rules: ReportRules<'a>,
    material: Material,
    has_gaps: bool,
}

impl<'a> ReportReader<'a> {
    fn new(rules: ReportRules<'a>) -> Self {
        Self {
            rules,
            material: Material {
                gathered: Gathered::new(rules.of_rows.settings.min_severity),
                ..Material::default()
            },
            has_gaps: false,
        }
    }

    fn read(&mut self, inputs: Inputs, options: &ReportOptions) -> anyhow::Result<()> {
        let Inputs {
            alerts,
            rows,
            captures,
            empty,
        } = inputs;
        for name in empty {
            tracing::warn!("{name} is empty");
            self.note_input(name, "empty", String::new());
        }
        let has_alerts = !alerts.is_empty();
        for input in alerts {
            self.read_alerts(input);
        }
        if !rows.is_empty() {
            self.read_rows(rows, has_alerts)?;
        }
        match captures.is_empty() {
            false => self.read_captures(captures, options)?,
            true if !options.local.is_empty() => {
                tracing::warn!("--local changes nothing: no file is a capture");
            }
            true => {}
        }
        Ok(())
    }

    fn note_input(&mut self, name: String, kind: &'static str, read: String) {
        self.material.inputs.push(InputRead { name, kind, read });
    }

    fn add_unreadable_line(&mut self, place: String) {
        self.has_gaps = true;
        let unreadable = &mut self.material.unreadable;
        unreadable.count += 1;
        if unreadable.count <= NAMED {
            tracing::error!("{place}; skipping the line");
            unreadable.places.push(place);
        }
    }

    /// Adds a file of which the rest can't be read.
    fn add_file_in_part(&mut self, place: String) {
        self.has_gaps = true;
        let in_part = &mut self.material.in_part;
        in_part.count += 1;
        if in_part.count <= NAMED {
            tracing::error!("{place}; what is before that is on the page");
            in_part.places.push(place);
        }
    }

    /// Reads alert lines to their end.
    fn read_alerts(&mut self, input: Input) {
        let name = input.name.clone();
        let before = self.material.gathered.lines;
        self.add_lines(&name, input.into_reader());
        let lines = self.material.gathered.lines - before;
        self.note_input(name, "alerts", format!("{lines} lines"));
    }

    fn add_lines(&mut self, name: &str, reader: Box<dyn BufRead>) {
        let mut lines = Lines::new(reader);
        let mut number = 0_u64;
        loop {
            number += 1;
            let wrong = match lines.next_line() {
                Ok(None) => return,
                Ok(Some(NextLine::Broken(reason))) => reason.to_owned(),
                Ok(Some(NextLine::Text(text, is_ended))) => {
                    if text.trim().is_empty() {
                        continue;
                    }
                    match self.material.gathered.add_line(text) {
                        Ok(()) => continue,
                        Err(_) if kind_of(text) == InputLine::Row => {
                            "is a row among alerts".to_owned()
                        }
                        Err(reason) if is_ended => reason,
                        Err(reason) => format!("{reason}; the file ends within it"),
                    }
                }
                Err(error) => {
                    let place = format!("{name} can't be read from line {number} on: {error}");
                    self.add_file_in_part(place);
                    return;
                }
            };
            self.add_unreadable_line(format!("{name} line {number}: {wrong}"));
        }
    }

    /// Runs the rules over rows. With alerts, those are the incidents, and rows add what was tried.
    fn read_rows(&mut self, inputs: Vec<Input>, has_alerts: bool) -> anyhow::Result<()> {
        let names: Vec<String> = inputs.iter().map(|input| input.name.clone()).collect();
        let files = inputs
            .into_iter()
            .map(|input| (input.name.clone(), input.into_reader()))
            .collect();
        let mut found = FoundLines::of(&mut self.material.gathered, !has_alerts);
        let JudgedRows {
            attempts,
            faults,
            named,
            read,
        } = judge_with_attempts(files, self.rules.of_rows, &mut found)?;
        self.has_gaps |= faults.has_gaps();
        self.material.unreadable.count += faults.bad;
        self.material.unreadable.places.extend(named);
        self.material.unjudged.extend(
            [
                ("rows out of order", faults.outdated),
                ("late rows", faults.late),
            ]
            .map(|(name, count)| (name.to_owned(), count)),
        );
        self.material.attempts = Some(attempts);
        for name in names {
            self.note_input(name, "rows", String::new());
        }
        self.note_end(read);
        Ok(())
    }

    fn read_captures(&mut self, inputs: Vec<Input>, options: &ReportOptions) -> anyhow::Result<()> {
        let names: Vec<String> = inputs.iter().map(|input| input.name.clone()).collect();
        let mut found = FoundLines::of(&mut self.material.gathered, true);
        let ReplayedCaptures {
            attempts,
            packets,
            losses,
            has_gaps,
            cut_files,
            read,
        } = replay_with_attempts(inputs, &options.local, self.rules.of_captures, &mut found)?;
        self.has_gaps |= has_gaps;
        self.material.unjudged.extend(losses);
        // The replay has named them.
        self.material.in_part.count += cut_files;
        self.material.attempts = Some(attempts);
        self.material.is_capture = true;
        for (number, name) in names.into_iter().enumerate() {
            let read = match number {
                0 => format!("{packets} packets in all"),
                _ => String::new(),
            };
            self.note_input(name, "capture", read);
        }
        self.note_end(read.map_err(anyhow::Error::new));
        Ok(())
    }

    /// Notes why the rest of a file can't be read.
    fn note_end(&mut self, read: anyhow::Result<()>) {
        if let Err(error) = read {
            self.add_file_in_part(format!("{error:#}"));
        }
    }
}

/// Takes lines as they are written, and adds them to what is gathered.
struct FoundLines<'a> {
    gathered: &'a mut Gathered,
    are_wanted: bool,
    /// The beginning of a line.
    begun: Vec<u8>,
}

impl<'a> FoundLines<'a> {
    fn of(gathered: &'a mut Gathered, are_wanted: bool) -> Self {
        Self {
            gathered,
            are_wanted,
            begun: Vec::new(),
        }
    }
}

impl Write for FoundLines<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.are_wanted {
            for part in bytes.split_inclusive(|&byte| byte == b'\n') {
                self.begun.extend(part);
                if self.begun.ends_with(b"\n") {
                    let line = str::from_utf8(&self.begun).map_err(io::Error::other)?;
                    self.gathered
                        .add_line(line.trim_end())
                        .map_err(io::Error::other)?;
                    self.begun.clear();
                }
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
