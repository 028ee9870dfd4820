//! The second KQL engine, as a process.
//!
//! The decision held here: one process answers for all sets of rows, since its start takes a
//! second.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value};

/// The path where `cargo xtask setup` installs it, relative to this package.
const PYTHON: &str = "../target/tools/kql/bin/python";

/// A script of this folder, run by Python with DuckDB.
pub(crate) fn script(name: &str) -> Command {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(folder.join(PYTHON));
    command.arg(folder.join("second_opinion").join(name));
    command
}

/// A running engine. Dropping it ends it.
pub(crate) struct Engine {
    process: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Engine {
    pub(crate) fn start(queries: impl Iterator<Item = String>) -> Result<Self> {
        let mut process = script("engine.py")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the second engine does not start: cargo xtask test installs it")?;
        let stdin = process.stdin.take().context("piped")?;
        let stdout = BufReader::new(process.stdout.take().context("piped")?);
        let mut engine = Self {
            process,
            stdin,
            stdout,
        };
        engine.write(&Value::from_iter(queries))?;
        Ok(engine)
    }

    /// The result rows of each query.
    pub(crate) fn ask(&mut self, rows: &[Value]) -> Result<Vec<Vec<Map<String, Value>>>> {
        self.write(&Value::from(rows.to_vec()))?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        ensure!(!line.is_empty(), "the second engine has ended");
        Ok(serde_json::from_str(&line)?)
    }

    fn write(&mut self, value: &Value) -> Result<()> {
        writeln!(self.stdin, "{value}")?;
        Ok(self.stdin.flush()?)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
