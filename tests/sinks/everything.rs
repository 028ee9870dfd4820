//! All readers of one agent fail at once: the disk is full, journald, a NATS server and a webhook
//! are gone, stdout and stderr are not read. They come back under load, and then the reader of
//! stdout goes for good. For each, written and dropped lines are what was sent, and repeated ones
//! what came twice.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, ErrorKind, PipeReader, Write as _, pipe};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::fcntl::{FcntlArg, fcntl};
use recon_tests::frame::{Path as Route, syn};
use recon_tests::lab::HOST;
use recon_tests::nats_server::{NO_LIMIT, NatsServer, free_address, program};
use recon_tests::{Agent, Lab, PATIENCE, mounts};
use serde_json::{Value, json};

use super::http_server::HttpServer;
use super::journals::{Journald, has_journald, journal_socket, received};
use super::webhooks::lines_of;
use super::{ALL, Ended, Watched, lines};

/// Ports that each scanner tries: enough for an alert.
const PORTS: Range<u16> = 1000..1025;
/// The least that a pipe holds: an alert or two.
const PAGE: i32 = 4096;

/// The tables of recon.toml.
fn tables(folder: &Path, hook: &str, bus: &str) -> String {
    let both = "lines = ['alerts', 'rows']";
    let file = |name: &str| folder.join(name).display().to_string();
    format!(
        "[alerts]\nlines = 'unlimited'\n\
         [sinks.disk]\ntype = 'file'\npath = '{}'\n{both}\n\
         [sinks.rotated]\ntype = 'file'\npath = '{}'\nrotate = '64KiB'\nkeep = 900\n{both}\n\
         [sinks.journal]\ntype = 'journald'\npath = '{}'\n\
         [sinks.hook]\ntype = 'webhook'\nurl = 'http://{hook}/'\n{both}\n\
         [sinks.bus]\ntype = 'nats'\naddress = '{bus}'\n{both}\n",
        file("disk/lines.jsonl"),
        file("rotated.jsonl"),
        journal_socket(&folder.join("run")).display(),
    )
}

/// Each of these scans all ports.
fn scan_from(watched: &Watched, scanners: Range<u8>) -> Result<()> {
    let sender = watched.lab.sender()?;
    for scanner in scanners {
        let route = Route::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, scanner)), HOST);
        for port in PORTS {
            sender.send(&route.tcp(syn(port), &[])?)?;
        }
    }
    Ok(())
}

/// Waits by `recon status` alone, since nothing of the agent's output is read.
fn wait_unseen(watched: &Watched, sink: &str, is_it: impl Fn(&Value) -> bool) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        let status = watched.status_of(sink)?;
        if is_it(&status) {
            return Ok(());
        }
        ensure!(Instant::now() < until, "{status}");
    }
}

/// Makes the agent's stderr as small as a pipe can be, and fills it.
fn fill_stderr(agent: &Agent) -> Result<()> {
    let mut stderr = File::options()
        .write(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(format!("/proc/{}/fd/2", agent.pid()))?;
    // It stays as it is if it holds more.
    let _ = fcntl(&stderr, FcntlArg::F_SETPIPE_SZ(PAGE));
    loop {
        match stderr.write(b"\n") {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => bail!("stderr: {error}"),
        }
    }
}

/// Reads the lines of a pipe, until one has that text. The pipe has no reader then.
fn read_until(reader: PipeReader, last: Receiver<String>) -> JoinHandle<Result<Vec<String>>> {
    thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut read = Vec::new();
        let mut text: Option<String> = None;
        loop {
            let mut line = String::new();
            ensure!(reader.read_line(&mut line)? > 0, "stdout has ended");
            text = last.try_recv().ok().or(text);
            let is_last = text
                .as_ref()
                .is_some_and(|text| line.contains(text.as_str()));
            read.push(line.trim_end().to_owned());
            if is_last {
                return Ok(read);
            }
        }
    })
}

/// The number behind a name in the agent's totals.
fn total(ended: &Ended, name: &str) -> Result<usize> {
    let log = &ended.stopped.seen.log;
    let line = log.iter().rfind(|line| line.contains("totals: polls="));
    let line = line.context("totals")?;
    let mut words = line.split_whitespace();
    let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    Ok(value.with_context(|| line.clone())?.parse()?)
}

/// Checks that each line that counts as written has come, and that no more came than is counted.
fn ensure_counted(ended: &Ended, sink: &str, received: &[String]) -> Result<()> {
    let totals = ended.ensure_all_came(sink, received)?;
    ensure!(
        received.len() as u64 <= totals.written + totals.repeated,
        "{sink}: {} received, {totals:?}",
        received.len()
    );
    Ok(())
}

/// The readers of an agent beside its disks and its stdout.
struct Readers {
    journald: Journald,
    nats: NatsServer,
    hook: HttpServer,
}

impl Readers {
    /// Starts those that are at these addresses. What their folder holds of earlier ones is there
    /// again.
    fn start(lab: &Lab, at: &Place, hook: SocketAddr) -> Result<Self> {
        Ok(Self {
            journald: Journald::start(lab, &at.run)?,
            nats: NatsServer::start(lab, &at.program, at.folder, at.bus, "")?,
            hook: HttpServer::start(lab, hook, None)?,
        })
    }

    /// Ends them. Returns the lines that the webhook got.
    fn end(self) -> Result<Vec<String>> {
        self.journald.stop()?;
        self.nats.kill()?;
        lines_of(&self.hook.kill()?)
    }
}

/// Where the readers are.
struct Place<'a> {
    folder: &'a Path,
    /// The full disk, and the folder of journald.
    disk: PathBuf,
    run: PathBuf,
    program: PathBuf,
    bus: SocketAddr,
}

impl<'a> Place<'a> {
    /// With a disk of its own.
    fn new(lab: &Lab, folder: &'a Path, program: PathBuf) -> Result<Self> {
        let [disk, run] = ["disk", "run"].map(|name| folder.join(name));
        [&disk, &run].into_iter().try_for_each(fs::create_dir)?;
        mounts::mount_new("tmpfs", &disk, "size=8m")?;
        Ok(Self {
            folder,
            disk,
            run,
            program,
            bus: free_address(lab)?,
        })
    }

    /// What fills the disk.
    fn filler(&self) -> PathBuf {
        self.disk.join("filler")
    }
}

/// The sinks whose readers can go.
const GOING: [&str; 3] = ["bus", "hook", "journal"];

fn alerts_unwritten(watched: &Watched) -> Result<Option<u64>> {
    Ok(watched.status()?["alerts_unwritten"].as_u64())
}

/// Lets all readers fail at once, and scans. Returns what the webhook got before, and what keeps
/// the agent's output unread.
fn fail_all<'w>(
    watched: &'w Watched,
    at: &Place<'_>,
    readers: Readers,
) -> Result<(Vec<String>, impl Drop + use<'w>)> {
    fs::write(at.filler(), vec![0; 16 << 20]).expect_err("a full disk");
    let hooked = readers.end()?;
    let held = watched.agent.hold();
    fill_stderr(&watched.agent)?;
    let before = watched.state(ALL)?.written;
    scan_from(watched, 2..40)?;
    fill_stderr(&watched.agent)?;
    // An alert and 25 rows of each, beside what was on its way before.
    wait_unseen(watched, ALL, |it| {
        it["written"]
            .as_u64()
            .is_some_and(|written| written >= before + 38 * 26)
    })?;
    for sink in GOING {
        wait_unseen(watched, sink, |it| {
            it["waiting"].as_u64() > Some(0) && it["dropped"] == 0 && it["problem"].is_string()
        })?;
    }
    ensure!(alerts_unwritten(watched)? > Some(0), "stdout is read");
    wait_unseen(watched, "disk", |it| it["dropped"].as_u64() > Some(0))?;
    Ok((hooked, held))
}

/// Waits until nothing waits in any sink.
fn wait_all_written(watched: &Watched) -> Result<()> {
    for sink in ["bus", "hook", "journal", "disk"] {
        watched.wait_empty(sink)?;
    }
    let until = Instant::now() + PATIENCE;
    while alerts_unwritten(watched)? != Some(0) {
        ensure!(Instant::now() < until, "stdout: alerts wait");
        watched.agent.wait_poll()?;
    }
    Ok(())
}

/// Checks what the two files have, one of them on the disk that was full.
fn ensure_files(ended: &Ended, at: &Place<'_>) -> Result<()> {
    let text = fs::read_to_string(at.disk.join("lines.jsonl"))?;
    // What the full disk has cut off is a line of its own.
    let whole = text
        .lines()
        .filter(|it| serde_json::from_str::<Value>(it).is_ok());
    let whole: Vec<_> = whole.map(str::to_owned).collect();
    ended.ensure_agrees("disk", &whole)?;
    let rotated = (1..).map(|number| at.folder.join(format!("rotated.jsonl.{number}")));
    let mut texts = vec![fs::read_to_string(at.folder.join("rotated.jsonl"))?];
    for file in rotated.take_while(|it| it.exists()) {
        texts.insert(0, fs::read_to_string(file)?);
    }
    ensure!(texts.len() > 2, "{} files", texts.len());
    ensure!(lines(&texts.concat())? == ended.sent, "the rotated files");
    Ok(())
}

/// Checks what has come of the alerts: the journal and stdout have these alone.
fn ensure_alerts(ended: &Ended, entries: &[String], read: &[String]) -> Result<()> {
    let is_alert = |line: &&String| line.contains("\"event\":{");
    let alerts: BTreeSet<_> = ended.sent.iter().filter(is_alert).collect();
    let totals = ended.totals("journal")?;
    ensure!(
        totals.written + totals.dropped == alerts.len() as u64
            && entries.iter().collect::<BTreeSet<_>>().len() as u64 == totals.written
            && entries.len() as u64 <= totals.written + totals.repeated,
        "{} entries, {} alerts, {totals:?}",
        entries.len(),
        alerts.len()
    );
    let [written, dropped] = ["alerts", "alerts_dropped"].map(|name| total(ended, name));
    let (written, dropped) = (written?, dropped?);
    ensure!(
        written + dropped == alerts.len() && read.len() <= written,
        "{written} written, {dropped} dropped, {} read, {} alerts",
        read.len(),
        alerts.len()
    );
    ensure!(
        read.iter().all(|line| alerts.contains(line)),
        "a strange line"
    );
    Ok(())
}

#[test]
fn written_and_dropped_lines_are_what_was_sent_whatever_fails() -> Result<()> {
    let Some(program) = program().filter(|_| has_journald()) else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    mounts::enter()?;
    let lab = Lab::new()?;
    let at = Place::new(&lab, folder.path(), program)?;
    let readers = Readers::start(&lab, &at, "127.0.0.1:0".parse()?)?;
    let mut client = readers.nats.client(&lab, &json!({}))?;
    client.set_stream("CREATE", NO_LIMIT)?;
    let address = readers.hook.address;
    let (reader, stdout) = pipe()?;
    fcntl(&reader, FcntlArg::F_SETPIPE_SZ(PAGE))?;
    let tables = tables(at.folder, &address.to_string(), &at.bus.to_string());
    let watched = Watched::start_into(lab, at.folder, &tables, stdout.into())?;
    scan_from(&watched, 0..2)?;
    for sink in GOING {
        watched.wait_state(sink, "all is written", |it| {
            it.written > 0 && it.waiting == 0
        })?;
    }
    let (mut hooked, held) = fail_all(&watched, &at, readers)?;

    // All are back.
    drop(held);
    fs::remove_file(at.filler())?;
    let readers = Readers::start(&watched.lab, &at, address)?;
    let (last, is_last) = channel();
    let reader = read_until(reader, is_last);
    scan_from(&watched, 40..50)?;
    wait_all_written(&watched)?;

    // The reader of stdout goes, which ends the agent.
    last.send("203.0.113.99".to_owned())?;
    scan_from(&watched, 99..100)?;
    let read = reader.join().map_err(|_| anyhow!("a reader panicked"))??;
    let ended = watched.end(Agent::wait)?;
    hooked.extend(readers.end()?);

    ensure_counted(&ended, "hook", &hooked)?;
    let stored = NatsServer::stored(&at.program, at.folder)?;
    let stored: Vec<_> = stored.into_iter().map(|(_, line)| line).collect();
    ensure_counted(&ended, "bus", &stored)?;
    ensure_files(&ended, &at)?;
    let [entries, _] = received(&Lab::new()?, &at.run)?;
    ensure_alerts(&ended, &entries, &read)
}
