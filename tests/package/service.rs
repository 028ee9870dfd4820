//! The service under a running systemd: what happens to it loses no count.
//!
//! In: a booted system with the package installed. Out: events in the middle of two series of
//! packets, one of which must not reach the threshold and one that must, by exactly one packet.

use std::cell::Cell;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use recon_tests::frame::{Path as Flow, syn};
use recon_tests::hooks::{attached, attached_to_cgroup, most_programs};
use recon_tests::lab::{HOST, HOST_LINK};
use recon_tests::seen::Seen;
use recon_tests::{Lab, PATIENCE, Sender};
use serde_json::Value;

use crate::booted::{Booted, wait_for};
use crate::{MOST_EXPOSURE, SETTINGS};

const UNIT: &str = "recon.service";
const ALERTS: &str = "/var/log/recon/alerts.jsonl";
const BPFFS: &str = "/sys/fs/bpf";
/// The rules of the ten queries, which count every packet.
const COUNT_ALL: &str = "profile = \"source\"\n";
/// More than this many packets from a remote to a port are an alert.
const THRESHOLD: u16 = 20;
const PORT: u16 = 2000;
/// The watchdog's time in these tests, by a drop-in: the unit's own takes a minute.
const DROP_IN: &str = "/etc/systemd/system/recon.service.d/test.conf";
const WATCHDOG: &str = "[Service]\nWatchdogSec=10s\n";
/// The watchdog's time, that of the abort, and that of a start on a loaded machine.
const RESTART_TIME: Duration = Duration::from_secs(60);
/// What a running agent keeps of the unit's capabilities, and their numbers in linux/capability.h.
const KEPT: [(&str, u32); 4] = [
    ("CAP_DAC_READ_SEARCH", 2),
    ("CAP_NET_ADMIN", 12),
    ("CAP_SYS_PTRACE", 19),
    ("CAP_BPF", 39),
];

/// What happens to a service.
pub(super) struct Event {
    pub(super) name: &'static str,
    happens: fn(&Service<'_>) -> Result<()>,
    /// Whether the same process goes on.
    keeps_process: bool,
    /// How often systemd starts it again by itself.
    restarts: u32,
}

const EVENT: Event = Event {
    name: "",
    happens: |_| Ok(()),
    keeps_process: false,
    restarts: 0,
};

pub(super) const EVENTS: &[Event] = &[
    Event {
        name: "an upgrade",
        happens: |service| {
            // The maps of the version before have another layout: what they hold must be read.
            service.wait_polled()?;
            service.install(service.package)
        },
        ..EVENT
    },
    Event {
        name: "a reload",
        happens: |service| service.reload(),
        keeps_process: true,
        ..EVENT
    },
    Event {
        name: "a refused reload",
        happens: |service| service.reload_in_vain(),
        keeps_process: true,
        ..EVENT
    },
    Event {
        name: "a restart",
        happens: |service| service.systemctl("--no-block restart"),
        ..EVENT
    },
    Event {
        name: "kill -9",
        happens: |service| service.systemctl("kill --kill-whom=main --signal=KILL"),
        restarts: 1,
        ..EVENT
    },
    Event {
        name: "an agent that hangs",
        happens: |service| service.systemctl("kill --kill-whom=main --signal=STOP"),
        restarts: 1,
        ..EVENT
    },
    Event {
        name: "a stop, and a start before the network is up",
        happens: |service| service.start_before_network(),
        ..EVENT
    },
];

/// The service of an installed package.
pub(super) struct Service<'a> {
    pub(super) booted: Booted<'a>,
    lab: &'a Lab,
    /// What an upgrade installs.
    package: &'a Path,
    sender: Sender,
    /// How many remotes have sent something.
    remotes: Cell<u8>,
}

impl<'a> Service<'a> {
    /// Installs nothing: it prepares what the service will find.
    pub(super) fn prepare(lab: &'a Lab, booted: Booted<'a>, package: &'a Path) -> Result<Self> {
        let drop_in = booted.root().file(DROP_IN);
        let folder = drop_in.parent().context("a folder")?;
        fs::create_dir_all(folder)?;
        fs::write(&drop_in, WATCHDOG)?;
        booted.run("systemctl daemon-reload")?;
        Ok(Self {
            booted,
            lab,
            package,
            sender: lab.sender()?,
            remotes: Cell::new(0),
        })
    }

    /// Installs a package, or upgrades to it.
    pub(super) fn install(&self, package: &Path) -> Result<()> {
        let run = |line: &str| self.booted.run(line);
        self.booted.root().with_package(package, run)
    }

    /// Lets the service count every packet.
    pub(super) fn count_all(&self) -> Result<()> {
        let settings = self.booted.root().file(SETTINGS);
        let text = fs::read_to_string(&settings)?;
        fs::write(&settings, format!("{COUNT_ALL}{text}"))?;
        self.systemctl("reload")
    }

    pub(super) fn systemctl(&self, command: &str) -> Result<()> {
        self.booted
            .run(&format!("systemctl {command} {UNIT}"))
            .map(drop)
    }

    fn property(&self, name: &str) -> Result<String> {
        self.booted.property(UNIT, name)
    }

    /// What the agent knows of itself.
    fn status(&self) -> Result<Value> {
        let text = self.booted.run("recon status --json")?;
        serde_json::from_str(&text).context(text)
    }

    /// Waits until what was sent is judged.
    fn wait_polled(&self) -> Result<()> {
        /// The poll that goes on may have begun before.
        const POLLS: u64 = 2;
        let polls = || -> Result<u64> { self.status()?["polls"].as_u64().context("polls") };
        let before = polls()?;
        wait_for("two polls", PATIENCE, || {
            Ok((polls()? >= before + POLLS).then_some(()))
        })
    }

    /// What happened is in the journal.
    pub(super) fn explain(&self) -> String {
        let line = "systemctl --no-pager show --property=ActiveState,SubState,StatusText,MainPID,NRestarts recon
            journalctl --no-pager --quiet --output=cat --lines=60 --unit=recon";
        let said = self.booted.finish(line);
        said.map_or_else(|error| error.to_string(), |said| said.output)
    }

    /// It runs as systemd and the unit say: its own user, fewer capabilities, little exposed.
    pub(super) fn check_process(&self) -> Result<()> {
        self.wait_status(&format!("watching {HOST_LINK};"))?;
        let pid = self.property("MainPID")?;
        let status = self.booted.run(&format!("cat /proc/{pid}/status"))?;
        let field = |name: &str| {
            let mut lines = status.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.unwrap_or_default().trim().to_owned()
        };
        let user = self.booted.run("id --user recon")?;
        let user = user.trim();
        ensure!(
            user != "0" && field("Uid") == [user; 4].join("\t"),
            "{status}"
        );
        let kept = KEPT.iter().fold(0_u64, |set, (_, bit)| set | 1 << bit);
        let is_kept = u64::from_str_radix(&field("CapEff"), 16)? == kept;
        ensure!(is_kept, "not {KEPT:?}: {status}");
        // The second mode of seccomp is a filter.
        ensure!(
            field("NoNewPrivs") == "1" && field("Seccomp") == "2",
            "{status}"
        );
        let threshold = format!("--threshold={MOST_EXPOSURE}");
        let said = self.booted.run(&format!(
            "systemd-analyze security --no-pager {threshold} {UNIT}"
        ))?;
        ensure!(said.contains("Overall exposure level"), "{said}");
        Ok(())
    }

    /// Lets something happen in the middle of two series of packets.
    pub(super) fn check(&self, event: &Event) -> Result<()> {
        let (quiet, loud) = (self.new_remote(), self.new_remote());
        let process = self.property("MainPID")?;
        let restarts: u32 = self.property("NRestarts")?.parse()?;
        self.send(quiet, THRESHOLD / 2)?;
        self.send(loud, THRESHOLD / 2)?;
        (event.happens)(self)?;
        // Where the agent has ended, nobody reads yet what the hooks count.
        self.send(quiet, 1)?;
        self.send(loud, 1)?;
        wait_for("the service", RESTART_TIME, || {
            let is_same = self.property("MainPID")? == process;
            let is_active = self.property("ActiveState")? == "active";
            Ok((is_active && is_same == event.keeps_process).then_some(()))
        })?;
        self.send(quiet, THRESHOLD / 2 - 1)?;
        self.send(loud, THRESHOLD / 2)?;
        let counts = wait_for("the alert", PATIENCE, || {
            let counts = self.counts(loud)?;
            Ok((!counts.is_empty()).then_some(counts))
        })?;
        ensure!(counts == [u64::from(THRESHOLD) + 1], "{counts:?}");
        let counts = self.counts(quiet)?;
        ensure!(counts.is_empty(), "counted more than was sent: {counts:?}");
        let programs = most_programs(self.lab)?;
        ensure!(programs == 1, "a hook has {programs} programs");
        // A start by hand begins at none again.
        let by_itself = self.property("NRestarts")?.parse::<u32>()?;
        let by_itself = by_itself.saturating_sub(restarts);
        ensure!(by_itself == event.restarts, "{by_itself} restarts");
        Ok(())
    }

    /// A stop leaves nothing in the kernel.
    pub(super) fn ensure_nothing_attached(&self) -> Result<()> {
        let left = [attached(self.lab)?, attached_to_cgroup(self.lab)?].concat();
        ensure!(left.is_empty(), "still attached: {left:?}");
        // systemd keeps the folder itself busy until its command after the stop has ended.
        let pins = self
            .booted
            .run(&format!("find {BPFFS} -path '*/recon/*'"))?;
        ensure!(pins.is_empty(), "still pinned: {pins}");
        Ok(())
    }

    fn start_before_network(&self) -> Result<()> {
        self.systemctl("stop")?;
        self.ensure_nothing_attached()?;
        let host = self.lab.host();
        host.ip(&format!("link set {HOST_LINK} down\n"))?;
        self.systemctl("start")?;
        host.ip(&format!("link set {HOST_LINK} up\n"))?;
        wait_for("the interface", PATIENCE, || {
            Ok((self.status()?["interfaces"][0] == HOST_LINK).then_some(()))
        })
    }

    fn reload(&self) -> Result<()> {
        self.change_settings("quiet = \"12m\"\n", |service| {
            service.systemctl("reload")?;
            service.wait_status("reloaded: ")
        })
    }

    /// What was in force stays: its packets go on to count.
    fn reload_in_vain(&self) -> Result<()> {
        self.change_settings("quiet = \"soon\"\n", |service| {
            let refused = service.booted.finish(&format!("systemctl reload {UNIT}"))?;
            ensure!(!refused.status.success(), "{refused:?}");
            service.wait_status("reload refused: ")
        })
    }

    /// Puts lines before the settings, and takes them away again.
    fn change_settings(&self, lines: &str, then: impl Fn(&Self) -> Result<()>) -> Result<()> {
        let settings = self.booted.root().file(SETTINGS);
        let text = fs::read_to_string(&settings)?;
        fs::write(&settings, format!("{lines}{text}"))?;
        let done = then(self);
        fs::write(&settings, text)?;
        done
    }

    fn wait_status(&self, start: &str) -> Result<()> {
        wait_for(start, PATIENCE, || {
            Ok(self
                .property("StatusText")?
                .starts_with(start)
                .then_some(()))
        })
    }

    fn new_remote(&self) -> Ipv4Addr {
        self.remotes.set(self.remotes.get() + 1);
        Ipv4Addr::new(203, 0, 113, self.remotes.get())
    }

    /// Sends SYNs from a remote to the closed port.
    fn send(&self, remote: Ipv4Addr, packets: u16) -> Result<()> {
        let frame = Flow::new(remote, HOST).tcp(syn(PORT), &[])?;
        (0..packets).try_for_each(|_| self.sender.send(&frame))
    }

    /// The counts of the alerts about a remote's packets to the port.
    fn counts(&self, remote: Ipv4Addr) -> Result<Vec<u64>> {
        let mut seen = Seen::default();
        let alerts = self.booted.root().file(ALERTS);
        let text = fs::read_to_string(&alerts).unwrap_or_default();
        text.lines().for_each(|line| seen.read_stdout(line));
        ensure!(seen.garbage.is_empty(), "{:?}", seen.garbage);
        let of_remote = seen
            .fired("port-scan", "count")
            .filter(|alert| alert.text("source.ip") == Some(remote.to_string()));
        let counts = of_remote.map(|alert| alert.field("recon.count")?.as_u64());
        counts
            .collect::<Option<_>>()
            .context("an alert without a count")
    }
}
