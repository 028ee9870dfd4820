//! The agent as a service: what its operator and the service manager hear, and how it reloads.
//!
//! In: requests of the control socket, SIGHUP, the ends of polls. Out: answers, a new
//! configuration, notifications.
//! The decisions held here: all of it happens between polls, so a reload never splits one. The
//! service manager hears of a poll only if that poll has drained the counts: an agent that hangs or
//! whose polls fail is restarted.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use super::interfaces::WatchedInterfaces;
use jiff::Timestamp;

use super::Agent;
use super::reload::{Asker, Loaded, Reloads};
use crate::blind::BlindPart;
use crate::cli::RunOptions;
use crate::drain::CountMaps;
use crate::logging::dropped_lines;
use crate::pipeline::PipelineSettings;
use crate::private_signals::PrivateSignals;
use crate::row::SignalSet;
use crate::service::{
    Answer, Asked, Body, ControlSocket, Notifier, Request, SHORT_VERSION, Status,
};
use crate::settings::InForce;

/// Lines of /proc/self/status that say what the process may still do.
const SANDBOX: [&str; 3] = ["CapEff", "NoNewPrivs", "Seccomp"];

/// What the agent owes its operator beyond alerts.
pub(super) struct Service {
    control: Option<ControlSocket>,
    notifier: Notifier,
    reloads: Reloads,
    since: Timestamp,
    /// What was attached to the cgroup at the start.
    socket_hooks: String,
    /// Signals that this host's hooks do not report correctly.
    ignored: SignalSet,
    /// Failed polls before the last one.
    failed_polls: u64,
    /// Whether a poll has drained the counts.
    is_ready: bool,
}

/// What the agent has to see to.
pub(super) enum Duty {
    /// A client asks for something.
    Answer(Asked),
    /// The files of a reload are read.
    Adopt(Box<Loaded>),
}

impl Service {
    /// Listens on the control socket, if there is to be one. Needs a tokio runtime.
    pub(super) fn start(options: &RunOptions, in_force: InForce) -> anyhow::Result<Self> {
        let control = options.control.as_deref().map(ControlSocket::listen);
        let notifier = Notifier::of_environment();
        if let Some(watchdog) = notifier.watchdog()
            && watchdog < 2 * options.interval
        {
            tracing::warn!(
                "the service manager's watchdog expects a sign of life every {watchdog:?}, and recon polls every {:?}: it would be restarted; raise WatchdogSec= or shorten --interval",
                options.interval
            );
        }
        Ok(Self {
            control: control.transpose()?,
            notifier,
            reloads: Reloads::new(options.rule_options.clone(), in_force),
            since: super::now(),
            socket_hooks: String::new(),
            ignored: SignalSet::default(),
            failed_polls: 0,
            is_ready: false,
        })
    }

    /// Notes what has been attached to the cgroup, and which signals are not to be trusted.
    pub(super) fn note_hooks(&mut self, socket_hooks: String, ignored: SignalSet) {
        (self.socket_hooks, self.ignored) = (socket_hooks, ignored);
        self.since = super::now();
    }

    /// The configuration in force.
    pub(super) fn in_force(&self) -> &InForce {
        self.reloads.in_force()
    }

    /// Waits for something to see to. May be cancelled.
    pub(super) async fn next_duty(&mut self) -> Duty {
        let Self {
            control, reloads, ..
        } = self;
        let asked = async {
            match control {
                Some(control) => control.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            asked = asked => Duty::Answer(asked),
            loaded = reloads.loaded() => Duty::Adopt(Box::new(loaded)),
        }
    }

    /// Begins to read the configuration again.
    pub(super) fn reload(&mut self, asker: Asker) {
        // Before the first poll, the end of a reload would pass for the end of the start.
        if self.is_ready {
            self.notifier.reloading();
        }
        self.reloads.request(asker);
    }

    /// Notes what came of a reload.
    fn note_reloaded(&mut self, result: String) {
        self.notifier.status(true, || result);
        if self.is_ready {
            self.notifier.ready();
        }
    }

    /// Notes a poll, by how many have failed so far: one more, and the service manager does not
    /// hear of it.
    fn note_poll(&mut self, failed: u64, interval: Duration, status: impl FnOnce() -> String) {
        if std::mem::replace(&mut self.failed_polls, failed) != failed {
            return;
        }
        let is_first = !std::mem::replace(&mut self.is_ready, true);
        if is_first {
            self.notifier.ready();
        }
        self.notifier.note_poll(interval);
        self.notifier.status(is_first, status);
    }

    /// The agent ends.
    pub(super) fn stopping(&self) {
        self.notifier.stopping();
    }
}

impl<M: CountMaps> Agent<M> {
    /// Sees to what the service has to do.
    pub(super) fn serve(
        &mut self,
        duty: Duty,
        service: &mut Service,
        interfaces: &WatchedInterfaces,
    ) {
        match duty {
            Duty::Answer(Asked { request, reply }) => {
                let answer = match request {
                    Request::Reload {} => return service.reload(Some(reply)),
                    Request::Ping {} => Answer::done(Body::Version(SHORT_VERSION.to_owned())),
                    Request::Status {} => {
                        Answer::done(Body::Status(Box::new(self.status(service, interfaces))))
                    }
                    Request::Live(request) => self.answer_live(&request, service, interfaces),
                    Request::Explain { id } => self.answer_explain(&id),
                };
                // A client that has gone has no use for the answer.
                let _ = reply.send(answer);
            }
            Duty::Adopt(loaded) => {
                let ignored = service.ignored;
                let apply = |new: &InForce| self.reconfigure(new, ignored);
                let result = service
                    .reloads
                    .finish(*loaded, super::now().to_string(), apply);
                service.note_reloaded(result);
            }
        }
    }

    /// Puts a new configuration in force. What unchanged rules have counted stays. Returns the
    /// rules that begin without it.
    fn reconfigure(&mut self, new: &InForce, ignored: SignalSet) -> Vec<String> {
        let settings = &new.settings;
        let pipeline = PipelineSettings::new(new, ignored);
        let reconfigured = self.pipeline.reconfigure(pipeline, super::now());
        self.write(reconfigured.notifications);
        self.actors.set_scanners(settings.scanner_names());
        self.actors.read_users();
        if settings.include_private {
            self.private = PrivateSignals::new(true);
        }
        self.blind.set_quiet(settings.quiet.0);
        self.lines.change_databases(&settings.databases);
        self.totals.add_rules(&new.rules);
        self.save_reload();
        reconfigured.fresh
    }

    /// Tells the service manager of a poll that has drained the counts.
    pub(super) fn note_poll(
        &self,
        service: &mut Service,
        interval: Duration,
        interfaces: &WatchedInterfaces,
    ) {
        service.note_poll(self.totals.failed_polls, interval, || {
            format!(
                "watching {}; {} polls, {} signals, {} lost, {} incidents open, {} alert lines",
                some_names(&names(interfaces)),
                self.totals.polls,
                self.totals.tally.signals,
                self.totals.tally.lost_total(),
                self.pipeline.open_incidents(),
                self.output.alerts(),
            )
        });
    }

    /// What the agent knows of itself.
    pub(super) fn status(&self, service: &Service, interfaces: &WatchedInterfaces) -> Status {
        let totals = &self.totals;
        let there = interfaces.watched.iter();
        let lines = there.filter_map(|it| interfaces.hooks.describe_interface(it.index?, &it.name));
        let hooks = lines.chain([service.socket_hooks.clone()]).collect();
        let (alerts_unwritten, events_unwritten) = self.output.unwritten();
        Status {
            version: SHORT_VERSION.to_owned(),
            pid: std::process::id(),
            since: service.since.to_string(),
            interfaces: names(interfaces),
            hooks,
            polls: totals.polls,
            failed_polls: totals.failed_polls,
            missed_polls: totals.missed_polls,
            signals: totals.tally.signals,
            sketched: totals.tally.sketched,
            lost: totals.tally.lost_total(),
            evicted: totals.evictions.evicted,
            refused: totals.evictions.refused,
            rules: service.in_force().rules.len() as u64,
            incidents_open: self.pipeline.open_incidents() as u64,
            alerts: self.output.alerts(),
            log_dropped: dropped_lines(),
            alerts_unwritten,
            events_unwritten,
            sinks: self.output.sinks().collect(),
            state_failures: self.state_failures(),
            blind: self.blind.open().map(BlindPart::to_string).collect(),
            sandbox: sandbox(),
            last_reload: service.reloads.last().cloned(),
        }
    }
}

/// The interfaces that are there.
fn names(interfaces: &WatchedInterfaces) -> Vec<String> {
    // The members of a bond have its name.
    let names: BTreeSet<_> = interfaces.named().map(|(_, name)| name).collect();
    names.into_iter().map(str::to_owned).collect()
}

/// The first names, and how many there are besides: a status is one line.
fn some_names(names: &[String]) -> String {
    const MOST: usize = 20;
    match names.split_at_checked(MOST) {
        Some((first, rest)) if !rest.is_empty() => {
            format!("{} and {} more", first.join(", "), rest.len())
        }
        _ => names.join(", "),
    }
}

/// What the kernel says that this process may still do.
fn sandbox() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines = status.lines().filter_map(|line| line.split_once(':'));
    let lines = lines.filter(|(name, _)| SANDBOX.contains(name));
    let shown: Vec<_> = lines
        .map(|(name, value)| format!("{name}={}", value.trim()))
        .collect();
    match shown.is_empty() {
        true => "unknown: /proc/self/status can't be read".to_owned(),
        false => shown.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::path::Path;

    use super::*;
    use crate::settings::{RuleOptions, in_force};

    const INTERVAL: Duration = Duration::from_secs(1);

    /// A service whose manager listens there.
    fn service(path: &Path) -> Service {
        let options = RuleOptions::default();
        let in_force = in_force(&options, crate::rule::defaults).expect("no file");
        Service {
            control: None,
            notifier: Notifier::to_path(path, 2 * INTERVAL),
            reloads: Reloads::new(options, in_force),
            since: Timestamp::UNIX_EPOCH,
            socket_hooks: String::new(),
            ignored: SignalSet::default(),
            failed_polls: 0,
            is_ready: false,
        }
    }

    /// What the manager has heard.
    fn heard(manager: &UnixDatagram) -> Vec<String> {
        let mut heard = Vec::new();
        let mut bytes = [0; 64];
        while let Ok(length) = manager.recv(&mut bytes) {
            let message = String::from_utf8_lossy(&bytes[..length]);
            heard.push(message.lines().next().unwrap_or_default().to_owned());
        }
        heard
    }

    /// The service manager hears of polls that have drained the counts, and of no others.
    #[test]
    fn failed_polls_are_no_sign_of_life() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("a socket");
        manager.set_nonblocking(true).expect("a socket");
        let mut service = service(&path);
        // (polls that have failed by then, what is heard)
        for (failed, expected) in [
            (1, &[][..]),
            (2, &[]),
            (2, &["READY=1", "WATCHDOG=1", "STATUS=2"]),
            (2, &["WATCHDOG=1"]),
            (3, &[]),
            (3, &["WATCHDOG=1"]),
        ] {
            service.note_poll(failed, INTERVAL, || failed.to_string());
            assert_eq!(heard(&manager), expected, "{failed}");
        }
    }

    /// Ready is who has polled, also if a reload comes first.
    #[test]
    fn a_reload_makes_nobody_ready() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("a socket");
        manager.set_nonblocking(true).expect("a socket");
        let mut service = service(&path);
        let reload = |service: &mut Service, result: &str| {
            service.reload(None);
            service.note_reloaded(result.to_owned());
            heard(&manager)
        };
        assert_eq!(reload(&mut service, "one"), ["STATUS=one"]);
        service.note_poll(0, INTERVAL, || "two".to_owned());
        assert_eq!(heard(&manager), ["READY=1", "WATCHDOG=1", "STATUS=two"]);
        let expected = ["RELOADING=1", "STATUS=three", "READY=1"];
        assert_eq!(reload(&mut service, "three"), expected);
    }

    #[test]
    fn a_status_names_some_interfaces() {
        for (count, expected) in [
            (0, ""),
            (2, "veth0, veth1"),
            (20, "veth18, veth19"),
            (21, "veth18, veth19 and 1 more"),
            (1000, "veth18, veth19 and 980 more"),
        ] {
            let names: Vec<_> = (0..count).map(|number| format!("veth{number}")).collect();
            let named = some_names(&names);
            assert!(named.ends_with(expected), "{count}: {named}");
        }
    }
}
