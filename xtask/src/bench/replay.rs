//! `recon replay` against other programs that read the same capture.
//!
//! In: the agent, and the example that makes the capture. Out: rows of nanoseconds per packet, and
//! of recon's peak memory by the length of the capture.
//! The decisions held here: all run on one processor and take turns. Compared are processor times:
//! whatever else runs on the machine counts for neither. The file is in the page cache for all.
//! tcpdump only copies packets, which is the least that a reader does. Suricata has the rules of a
//! file that is given here: thresholds by source on the kinds of scans that the capture has, and
//! nothing else: no protocols above TCP, no reassembly, no log but alerts.
//! Memory is bounded by what the windows of rules hold, an hour for most. So its captures have the
//! same traffic on a slower link, and each is longer than the one before by hours.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use recon_tests::usage::{Spent, run_measured};
use tempfile::TempDir;

use super::row::Row;

const ROUNDS: u32 = 7;
const PACKETS: u32 = 2_000_000;
/// The mean time between two packets, in microseconds, where programs are compared, and where
/// memory is measured.
const GAP: u32 = 50;
const SLOW_GAP: u32 = 5_000;
/// Packets of the captures of which memory is measured.
const LENGTHS: [u32; 4] = [500_000, 1_000_000, 2_000_000, 4_000_000];
const HOUR: f64 = 3_600.0 * 1e6;
/// Bytes kept of a packet: all of it, as tcpdump does by itself, and the headers.
const WHOLE: u32 = 262_144;
const HEADERS: u32 = 96;
const UNIT: &str = "ns";
const SURICATA_SETTINGS: &str = include_str!("replay/suricata.yaml");
const SURICATA_RULES: &str = include_str!("replay/suricata.rules");
/// What would be compared, too.
const NOT_PACKAGED: [&str; 2] = ["Snort", "Zeek"];

/// A program that reads a capture.
struct Reader {
    name: &'static str,
    /// The program, and its arguments for a capture.
    program: &'static str,
    arguments: fn(&Bench, &Path) -> Vec<OsString>,
}

const READERS: [Reader; 2] = [
    Reader {
        name: "tcpdump -w /dev/null",
        program: "tcpdump",
        arguments: |_, capture| words("-r", capture, ["-w", "/dev/null"]),
    },
    Reader {
        name: "Suricata, rules on scans",
        program: "suricata",
        arguments: |bench, capture| {
            let path = |name: &str| bench.folder.path().join(name).into_os_string();
            let mut words = words("-r", capture, ["--runmode", "single", "-c"]);
            words.push(path("suricata.yaml"));
            words.extend(["-S".into(), path("suricata.rules")]);
            words.extend(["-l".into(), path("log")]);
            words
        },
    },
];

/// The captures, and where the programs run.
struct Bench {
    folder: TempDir,
    processor: usize,
}

/// Measures all of it.
pub(super) fn measure(agent: &Path, maker: &Path) -> Result<Vec<Row>> {
    let bench = Bench::prepare()?;
    let whole = bench.make_capture(maker, PACKETS, WHOLE, GAP)?;
    let headers = bench.make_capture(maker, PACKETS, HEADERS, GAP)?;
    let mut rows = Vec::new();
    for (kept, capture) in [
        ("all of a packet", &whole),
        ("96 bytes of a packet", &headers),
    ] {
        for reader in &READERS {
            let what = format!("{kept}, {}", reader.name);
            rows.push(bench.compare(agent, reader, &what, capture)?);
        }
    }
    let missing = |name: &&str| Row::missing(name, "not compared: Debian has no package of it");
    rows.extend(NOT_PACKAGED.iter().map(missing));
    for packets in LENGTHS {
        let capture = bench.make_capture(maker, packets, HEADERS, SLOW_GAP)?;
        rows.push(bench.measure_memory(agent, packets, &capture)?);
        fs::remove_file(capture)?;
    }
    Ok(rows)
}

impl Bench {
    fn prepare() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("suricata.yaml"), SURICATA_SETTINGS)?;
        fs::write(folder.path().join("suricata.rules"), SURICATA_RULES)?;
        fs::create_dir(folder.path().join("log"))?;
        // The last one: interrupts mostly go to the first.
        let allowed = sched_getaffinity(Pid::from_raw(0))?;
        let last = (0..CpuSet::count()).rfind(|&cpu| allowed.is_set(cpu) == Ok(true));
        Ok(Self {
            folder,
            processor: last.context("this process may use no processor")?,
        })
    }

    fn make_capture(&self, maker: &Path, packets: u32, kept: u32, gap: u32) -> Result<PathBuf> {
        let numbers = [packets, kept, gap].map(|number| number.to_string());
        let capture = self.folder.path().join(numbers.join("-"));
        let mut command = Command::new(maker);
        command.arg(&capture).args(&numbers);
        run_measured(&mut command)?;
        Ok(capture)
    }

    /// Runs a program on the one processor.
    fn run(&self, program: &Path, arguments: &[OsString]) -> Result<Spent> {
        let mut command = Command::new("taskset");
        command.args(["-c", &self.processor.to_string()]);
        command.arg(program).args(arguments);
        run_measured(command.stdout(Stdio::null()).stderr(Stdio::null()))
    }

    fn replay(&self, agent: &Path, capture: &Path) -> Result<Spent> {
        self.run(agent, &["replay".into(), capture.into()])
    }

    fn compare(&self, agent: &Path, reader: &Reader, what: &str, capture: &Path) -> Result<Row> {
        let program = Path::new(reader.program);
        if self.run(program, &["--version".into()]).is_err()
            && self.run(program, &["-V".into()]).is_err()
        {
            return Ok(Row::missing(
                what,
                &format!("{} is not installed", reader.program),
            ));
        }
        let mut row = Row::new(what, UNIT);
        let per_packet = |spent: Spent| spent.processor.as_secs_f64() * 1e9 / f64::from(PACKETS);
        for _ in 0..ROUNDS {
            let other = self.run(program, &(reader.arguments)(self, capture))?;
            row.push(false, per_packet(other));
            row.push(true, per_packet(self.replay(agent, capture)?));
        }
        Ok(row)
    }

    fn measure_memory(&self, agent: &Path, packets: u32, capture: &Path) -> Result<Row> {
        let hours = f64::from(packets) * f64::from(SLOW_GAP) / HOUR;
        let what = format!("peak memory, {packets} packets in {hours:.1} h");
        let mut row = Row::new(&what, "MB");
        let spent = self.replay(agent, capture)?;
        row.push(true, spent.peak_memory as f64 / 1e6);
        Ok(row)
    }
}

/// An option with the capture, and further words.
fn words<const N: usize>(option: &str, capture: &Path, rest: [&str; N]) -> Vec<OsString> {
    let mut words = vec![option.into(), capture.into()];
    words.extend(rest.map(OsString::from));
    words
}
