//! The agent: attaches the hooks, then drains, evaluates and writes at every interval.
//!
//! In: the options of `recon run`. Out: alerts on stdout, everything else on stderr. [`actors`]
//! resolves processes, and [`losses`] says what a poll could not see.
//! The decisions held here: a failure at the start ends the agent with a message. Once the agent
//! runs, only a signal, a closed stdout or a frozen map ends it. Another failed poll is logged,
//! counted and tried again; the kernel keeps the counts meanwhile.

pub(crate) mod actors;
mod calls;
mod canary;
mod change_log;
mod clock;
mod commits;
mod confine;
pub(crate) mod descriptors;
pub(crate) mod doubts;
mod explain;
mod incident_log;
mod interfaces;
mod kernel_log;
mod lines;
mod links;
mod listener;
mod live;
mod logins;
mod losses;
mod meter;
mod names;
mod namespaces;
mod output;
mod output_files;
mod places;
mod poll;
pub(crate) mod record;
mod refusals;
mod reload;
mod repair;
mod ring_loss_log;
mod route;
mod saving;
mod selected;
mod service;
pub(crate) mod sight;
mod signals;
mod totals;
mod watched;

use std::time::Instant;

use anyhow::Context;
use jiff::Timestamp;
use recon_common::ImageId;
use tokio::time::{Interval as Ticks, MissedTickBehavior, interval_at};

use crate::alert::AlertLines;
use crate::blind::{Blind, BlindPart};
use crate::cli::RunOptions;
use crate::drain::{
    Callers, CountMaps, Drain, DrainError, ExecEvents, Forks, Grace, ImageNumbers, KernelLog,
};
use crate::hook::{self, Cgroup, Hooks, KernelFeatures, Netns, Pins, ProgramOptions};
use crate::pipeline::{Pipeline, PipelineSettings};
use crate::private_signals::PrivateSignals;
use crate::process::ServedPorts;
use crate::process::login::Session;
use crate::process_limits::{check_memory, let_owner_use_new_files};
use crate::settings::InForce;
use crate::state::LoadedState;
use actors::Actors;
use calls::Calls;
use clock::now;
use confine::confine;
use doubts::Memory;
use incident_log::IncidentLog;
use interfaces::WatchedInterfaces;
use logins::MAX_LOGINS;
use meter::Meter;
use names::NameFeed;
use output::AgentOutput;
use places::PlaceNames;
use record::Recorder;
use saving::Saving;
use selected::Selected;
use service::Service;
use sight::{attach_sockets, untrusted};
use signals::{HeldSignals, Request, Signals};
use totals::Totals;

/// Runs until a signal or a closed stdout.
///
/// # Errors
/// The agent can't start: interfaces, privileges, BPF. No program stays attached.
pub fn run(options: &RunOptions, in_force: InForce) -> anyhow::Result<()> {
    descriptors::raise_limit()?;
    let_owner_use_new_files();
    let settings = &in_force.settings;
    check_memory(settings.memory(), settings.databases.bytes())?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("can't start the runtime")?
        .block_on(watch(options, in_force))
}

async fn watch(options: &RunOptions, in_force: InForce) -> anyhow::Result<()> {
    let (interval, entries) = (options.interval, options.table_entries);
    let pins = hook::open_pins(options.pins.as_deref(), entries)?;
    let has_table = pins.as_ref().is_some_and(Pins::is_adopted);
    let memory = Memory::of_machine().map(|memory| match has_table {
        true => memory.with_table(entries),
        false => memory,
    });
    for doubt in doubts::doubts(&in_force, interval, entries, memory)? {
        tracing::warn!("{doubt}");
    }
    let selected = Selected::new(&options.interfaces, options.xdp, pins.as_ref())?;
    let cgroup = Cgroup::select(options.cgroup.as_deref())?;
    for (content, database) in in_force.settings.databases.files() {
        let setting = content.setting();
        tracing::info!("enrich.{setting}: {}", database.in_words());
    }
    let host = output::host_name();
    let output = output::open(options, &in_force.settings, &host)?;
    let evidence = record::start_writer(options, &in_force.settings)?;
    let (saving, loaded) = saving::open(options.state.as_deref())?;
    let mut service = Service::start(options, in_force)?;
    let mut meter = Meter::start(options)?;
    let in_force = service.in_force();
    let settings = &in_force.settings;
    // From here on, no signal kills the agent.
    let mut signals = Signals::catch().context("can't listen for signals")?;
    let held = HeldSignals::hold();
    let committed = loaded.as_ref().and_then(LoadedState::commit);
    let programs = ProgramOptions {
        table_entries: entries,
        netns: settings.netns,
        kernel_log: options.kernel_log,
        dns_names: settings.enrich.names,
        record: evidence.is_some().then_some(settings.record.payload.0),
    };
    let mut hooks = Hooks::load_pinned(programs, pins)?;
    for feature in KernelFeatures::of_kernel().missing() {
        tracing::info!("{feature}");
    }
    let drain = hooks.open_drain(Grace::detect(), committed)?;
    let mut executions = ExecEvents::open(hooks.ebpf())?;
    let images = ImageNumbers::open(hooks.ebpf())?;
    let forks = Forks::open(hooks.ebpf())?;
    let callers = Callers::open(hooks.ebpf())?;
    let kernel_log = options.kernel_log.then(|| KernelLog::open(hooks.ebpf()));
    let names = settings.enrich.names.then(|| NameFeed::open(hooks.ebpf()));
    let recorder = evidence.map(|writer| Recorder::open(hooks.ebpf(), writer, settings));
    let sockets = attach_sockets(&mut hooks, cgroup.as_ref(), in_force);
    let scanners = settings.scanner_names();
    // After the hook that reports new processes, so that none is missed.
    let actors = Actors::new(scanners, cgroup.map(|cgroup| cgroup.root), images, forks)
        .context("can't start the thread that looks up processes")?;
    let (mut interfaces, taken) = WatchedInterfaces::attach(hooks, selected)?;
    drop(held);
    taken.iter().for_each(|taken| tracing::info!("{taken}"));
    let ignored = untrusted(&sockets, &taken);
    if let Some(meter) = &mut meter {
        meter.set_socket_hooks(&sockets);
    }
    let pipeline_settings = PipelineSettings::new(in_force, ignored);
    let mut agent = Agent {
        drain,
        actors,
        pipeline: Pipeline::new(pipeline_settings.clone()),
        calls: Calls::new(settings.netns == Netns::All),
        served: ServedPorts::open(),
        places: PlaceNames::new(callers, interfaces.named()),
        private: PrivateSignals::new(settings.include_private),
        output,
        blind: Blind::new(settings.quiet.0),
        table_entries: options.table_entries,
        lines: AlertLines::of_this_host(&host)
            .written_as(options.format)
            .enriched_by(settings.databases.clone()),
        host,
        logins: Vec::new(),
        last: now(),
        totals: Totals::default(),
        frozen: None,
        saving,
        meter,
        incident_log: IncidentLog::default(),
        kernel_log: kernel_log.transpose()?,
        name_feed: names.transpose()?,
        recorder: recorder.transpose()?,
    };
    let lost = interfaces.hooks.settle();
    agent.restore(loaded, pipeline_settings);
    agent.blind.lose(BlindPart::Signals, lost);
    interfaces.report_found_detached(&mut agent.blind, now());
    let server = agent.meter.as_ref().map(Meter::thread);
    confine(options, settings, &agent.output, server);
    // Who scrapes before the first poll sees each counter at 0.
    agent.totals.add_rules(&in_force.rules);
    agent.publish(&interfaces, in_force.rules.len(), false);
    tracing::info!(
        "watching {}, polling every {:?}; alerts go to {}",
        watched::join_names(&taken),
        options.interval,
        agent.output.alerts_go_to()
    );

    service.note_hooks(sockets.to_string(), ignored);
    let mut ticks = interval_at(
        tokio::time::Instant::now() + options.interval,
        options.interval,
    );
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    agent
        .poll_until(
            &mut executions,
            &mut interfaces,
            &mut ticks,
            &mut signals,
            &mut service,
        )
        .await;
    service.stopping();
    agent.served.watch(interfaces.indexes());
    agent.places.rename(interfaces.take_renamed());
    agent.places.begin_poll(interfaces.named());
    let names = interfaces.named();
    let names: Vec<_> = names
        .map(|(index, name)| (index, name.to_owned()))
        .collect();
    let pins = interfaces.detach();
    // Only now is there no frame that counters have and the log has not.
    agent.end_kernel_log(&names);
    agent.end_names();
    agent.note_started(&mut executions);
    match agent.end(pins.is_some()) {
        Some(frozen) => Err(frozen).context(
            "recon can't go on with its maps, nor make new ones while it runs: start it again",
        ),
        None => Ok(()),
    }
}

struct Agent<M> {
    drain: Drain<M>,
    actors: Actors,
    pipeline: Pipeline,
    /// Calls in other network namespaces.
    calls: Calls,
    /// The ports of this host's own sockets.
    served: ServedPorts,
    /// The names of interfaces and network namespaces.
    places: PlaceNames,
    private: PrivateSignals,
    output: AgentOutput,
    blind: Blind,
    /// How many keys a poll can have.
    table_entries: u32,
    host: String,
    lines: AlertLines,
    /// The logins since the previous poll.
    logins: Vec<Session>,
    /// The time of the previous poll.
    last: Timestamp,
    totals: Totals,
    /// A map that somebody has frozen: the agent ends.
    frozen: Option<DrainError>,
    /// Where the state is saved, if it is.
    saving: Option<Saving>,
    /// Who answers scrapes, if somebody does.
    meter: Option<Meter>,
    /// The incidents of which lines are written.
    incident_log: IncidentLog,
    /// The log of frames that can't be read, if it is on.
    kernel_log: Option<KernelLog>,
    /// Where names of remotes come from, if they are on.
    name_feed: Option<NameFeed>,
    /// What keeps the headers of packets, if they are recorded.
    recorder: Option<Recorder>,
}

impl<M: CountMaps> Agent<M> {
    /// Polls until a signal or a closed stdout.
    async fn poll_until(
        &mut self,
        executions: &mut ExecEvents,
        interfaces: &mut WatchedInterfaces,
        ticks: &mut Ticks,
        signals: &mut Signals,
        service: &mut Service,
    ) {
        // A poll that is due waits for one answer at most, and at least one request is answered
        // between two polls, however many come.
        let mut has_served = false;
        let mut polled = Instant::now();
        loop {
            let due = tokio::select! {
                biased;
                request = signals.next_request() => match request {
                    Request::Stop => return,
                    Request::Reopen => {
                        self.output.reopen();
                        service.reload(None);
                        continue;
                    }
                },
                duty = service.next_duty(), if !has_served || polled.elapsed() < ticks.period() => {
                    has_served = true;
                    self.serve(duty, service, interfaces);
                    continue;
                }
                due = ticks.tick() => due,
                () = executions.wait() => {
                    self.note_started(executions);
                    continue;
                }
                () = interfaces.wait() => {
                    interfaces.follow_changes(&mut self.blind, now());
                    continue;
                }
            };
            let began = Instant::now();
            (has_served, polled) = (false, began);
            let late = due.elapsed().as_nanos() / ticks.period().as_nanos();
            let missed = u64::try_from(late).unwrap_or(u64::MAX);
            self.totals.missed_polls += missed;
            self.note_delay(missed, ticks.period());
            interfaces.begin_poll(&mut self.blind, now());
            self.places.rename(interfaces.take_renamed());
            interfaces.repair(&mut self.blind, &self.totals.tally, now());
            // The kernel reports a program before it counts its first packet.
            self.note_started(executions);
            self.served.watch(interfaces.indexes());
            self.places.begin_poll(interfaces.named());
            self.log_lost_frames(interfaces);
            self.learn_names();
            let has_drained = self.poll(|drain, row| drain.poll(row));
            if has_drained {
                interfaces.compare_traffic(&mut self.blind, &self.totals.tally);
            }
            self.totals.count_poll(began, has_drained);
            self.publish(interfaces, service.in_force().rules.len(), has_drained);
            self.note_poll(service, ticks.period(), interfaces);
            if self.output.is_closed() {
                tracing::info!("stdout is closed: ending");
                return;
            }
            if self.frozen.is_some() {
                return;
            }
        }
    }

    fn note_started(&mut self, executions: &mut ExecEvents) {
        let Self { actors, logins, .. } = self;
        executions.drain(|executed| {
            actors.processes.record_exec(executed);
            if logins.len() < MAX_LOGINS {
                logins.extend(actors.processes.login(ImageId::unpack(executed.image)));
            }
        });
    }

    /// Ends the agent after the programs are detached, unless they stay. Evaluates and writes
    /// their last counts. Returns why it could not, if a map is frozen.
    fn end(mut self, stays: bool) -> Option<DrainError> {
        if self.frozen.is_some() {
            tracing::debug!("no last poll: it would fail like the one before");
        } else if stays {
            if self.drain.is_behind() {
                self.poll(|drain, row| drain.poll(row));
            }
            self.poll(|drain, row| drain.poll(row));
        } else {
            if let Err(error) = self.drain.wait_for_programs() {
                tracing::warn!("{error}: what the programs counted last may be missing");
            }
            self.poll(|drain, row| drain.finish(row));
        }
        let frozen = self.frozen.take();
        self.save_or_finish();
        self.log_totals();
        frozen
    }
}

#[cfg(test)]
mod tests;
