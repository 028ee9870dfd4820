//! Real servers in a namespace: any that logs when it is ready, and nginx, iperf3 and netcat.
//!
//! In: a namespace. Out: a guard, once the server has logged that it listens.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, PipeReader};
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::namespace::Namespace;
use crate::program::{NETCAT, locate};
use crate::{PATIENCE, Process};

/// The name of the file that the web server offers.
pub const DOWNLOAD: &str = "download";
/// The folder of the offered files.
const ROOT: &str = "root";

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub struct Server {
    process: Process,
    /// The server's files, removed after it has ended.
    _folder: Option<TempDir>,
}

impl Server {
    /// Starts `command` and waits until it writes a line that contains `ready`.
    ///
    /// # Errors
    /// When it can't be started, or does not write such a line.
    pub fn start(namespace: &Namespace, command: Command, ready: &str) -> Result<Self> {
        Self::start_in(namespace, command, ready, None)
    }

    /// nginx on port 80, which offers a [`DOWNLOAD`] of that size in bytes.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn web(namespace: &Namespace, download: u64) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().join(ROOT);
        fs::create_dir(&root)?;
        File::create(root.join("index.html"))?;
        // A sparse file.
        File::create(root.join(DOWNLOAD))?.set_len(download)?;
        Self::nginx(
            namespace,
            folder,
            &format!("server {{ listen 80; root {ROOT}; }}"),
        )
    }

    /// nginx with this `http` block. File names are relative to `folder`, which is removed with the
    /// server.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn nginx(namespace: &Namespace, folder: TempDir, http: &str) -> Result<Self> {
        let path = folder.path();
        let prefix = path.display();
        fs::write(
            path.join("nginx.conf"),
            format!(
                "daemon off; master_process off; pid {prefix}/pid; error_log stderr notice;\n\
                 events {{ worker_connections 1024; }}\n\
                 http {{ access_log off; proxy_temp_path {prefix}/proxy; {http} }}\n"
            ),
        )?;
        let mut command = Command::new(locate("nginx")?);
        command
            .args(["-e", "stderr", "-p"])
            .arg(path)
            .args(["-c", "nginx.conf"]);
        // nginx logs this line after it has opened its sockets.
        Self::start_in(namespace, command, "nginx/", Some(folder))
    }

    /// netcat on `port`, which serves one connection after the other.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn netcat(namespace: &Namespace, port: u16) -> Result<Self> {
        let mut command = Command::new(locate(NETCAT)?);
        command.args(["-n", "-v", "-k", "-l", &port.to_string()]);
        Self::start(namespace, command, "Listening")
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// iperf3, which serves one test after the other.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn iperf(namespace: &Namespace) -> Result<Self> {
        let mut command = Command::new("iperf3");
        command.args(["--server", "--forceflush"]);
        Self::start(namespace, command, "Server listening")
    }

    fn start_in(
        namespace: &Namespace,
        mut command: Command,
        ready: &str,
        folder: Option<TempDir>,
    ) -> Result<Self> {
        let (reader, writer) = std::io::pipe()?;
        command.stdout(writer.try_clone()?).stderr(writer);
        let what = format!("{command:?}");
        let process = Process::spawn(namespace, command)?;
        let (lines, written) = channel();
        thread::spawn(move || forward(reader, &lines));
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = written
                .recv_timeout(left)
                .with_context(|| format!("{what} does not write {ready:?}"))?;
            if line.contains(ready) {
                break;
            }
        }
        Ok(Self {
            process,
            _folder: folder,
        })
    }
}

/// Reads to the end, even without a receiver: a full pipe would block the server.
fn forward(reader: PipeReader, lines: &Sender<String>) {
    for line in BufReader::new(reader).lines().map_while(Result::ok) {
        let _ = lines.send(line);
    }
}
