//! What the agent sees, for `recon status` and `recon top`.
//!
//! In: a request, the agent between two polls. Out: a [`Live`].
//! The decision held here: it is put together when somebody asks, from what is kept anyway, and in
//! a bounded time. The lists are of the evidence about remotes and of the open incidents; a source
//! that the kernel counts only in sum is in neither, and a packet is in the totals alone.

use std::net::IpAddr;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use recon_common::{Address, Tool};

use super::Agent;
use super::clock::{now, to_wall, wall_offset};
use super::interfaces::WatchedInterfaces;
use super::service::Service;
use crate::alert::event_id;
use crate::contact::{KnownSource, KnownSources, SourceSelection};
use crate::drain::CountMaps;
use crate::incident::{CurrentIncident, Finding, Source};
use crate::process::Process;
use crate::service::{
    Answer, Body, Live, LiveIncident, LiveProcess, LiveRequest, LiveSource, MAX_INCIDENTS,
    MAX_SOURCES, VerdictCounts,
};

impl<M: CountMaps> Agent<M> {
    /// What the agent sees, or why the request is none.
    pub(super) fn answer_live(
        &self,
        request: &LiveRequest,
        service: &Service,
        interfaces: &WatchedInterfaces,
    ) -> Answer {
        let began = Instant::now();
        match self.live(request) {
            Ok(mut live) => {
                live.status = self.status(service, interfaces);
                live.took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                Answer::done(Body::Live(Box::new(live)))
            }
            Err(why) => Answer::refused(why),
        }
    }

    /// The same without what the agent knows of itself.
    pub(super) fn live(&self, request: &LiveRequest) -> Result<Live, String> {
        let LiveRequest {
            sort,
            limit,
            filter,
            follow,
        } = request;
        let filter = filter.as_ref().map(|text| text.parse()).transpose()?;
        let limit = limit.unwrap_or(MAX_SOURCES).min(MAX_SOURCES);
        let offset = wall_offset();
        let KnownSources {
            listed,
            matching,
            counts,
            lower_bound,
        } = self.pipeline.list_sources(SourceSelection {
            order: *sort,
            filter,
            limit: limit.into(),
        });
        let followed = follow.and_then(|ip| self.pipeline.known_source(Address::from(ip)));
        let show = |source: KnownSource| self.show_source(source, offset);
        let known = self.incident_log.iter();
        let known = known.map(|logged| (&*logged.finding.query, &logged.finding.key));
        let current = self.pipeline.list_incidents(now(), known, MAX_INCIDENTS);
        Ok(Live {
            at: Timestamp::now(),
            known_sources: VerdictCounts {
                client: counts.client,
                undecided: counts.undecided,
                scanner: counts.scanner,
            },
            sources_lower_bound: lower_bound,
            matching_sources: matching,
            sources: listed.into_iter().map(show).collect(),
            followed: followed.map(show),
            incidents: current
                .iter()
                .map(|it| self.show_incident(it, offset))
                .collect(),
            processes: self.processes_of(&current),
            ..Live::default()
        })
    }

    pub(super) fn show_source(&self, source: KnownSource, offset: SignedDuration) -> LiveSource {
        let KnownSource {
            ip,
            verdict,
            network_verdict,
            is_proven,
            outcomes,
            ports,
            port_range,
            successes,
            failures,
            weight,
            steps,
            tools,
            first,
            last,
        } = source;
        LiveSource {
            ip,
            label: self.pipeline.label(ip).map(|label| label.to_string()),
            facts: self.lines.facts_of(ip),
            verdict: verdict.name().to_owned(),
            network_verdict: network_verdict.name().to_owned(),
            proven: is_proven,
            targets: outcomes.accepted + outcomes.refused + outcomes.half_open + outcomes.silent,
            outcomes,
            successes,
            failures,
            weight,
            steps,
            ports,
            port_range,
            tools: tools.iter().map(Tool::name).map(str::to_owned).collect(),
            first: to_wall(first, offset),
            last: to_wall(last, offset),
        }
    }

    fn show_incident(&self, current: &CurrentIncident, offset: SignedDuration) -> LiveIncident {
        let CurrentIncident { finding, life } = current;
        let query = &finding.query;
        let logged = self.incident_log.get(finding.incident);
        let last = logged.and_then(|logged| logged.lines.back());
        LiveIncident {
            event_id: event_id(finding.incident, Some(&self.host)).to_string(),
            rule_id: query.rule_id().to_owned(),
            rule: query.plan().name.clone(),
            severity: finding.severity.name().to_owned(),
            phase: last.map(|line| line.phase.to_owned()),
            source: source_text(finding, logged.map_or(&[], |logged| &logged.who)),
            local: finding.local.map(Address::to_ip),
            port: finding.port,
            measure: query.measure_name().to_owned(),
            count: finding.count,
            greatest: life.greatest,
            threshold: query.threshold(),
            since: to_wall(life.began_at, offset),
            over_at: to_wall(life.over_at, offset),
        }
    }

    /// The processes behind incidents about what this host sends, each once.
    fn processes_of(&self, current: &[CurrentIncident]) -> Vec<LiveProcess> {
        let mut processes: Vec<LiveProcess> = Vec::new();
        let outbound = current.iter().map(|it| &it.finding);
        for finding in outbound.filter(|finding| finding.is_outbound()) {
            let rule = finding.query.rule_id();
            let logged = self.incident_log.get(finding.incident);
            for &pid in &finding.pids {
                let known = processes.iter().position(|process| process.pid == pid);
                let known = known.unwrap_or_else(|| {
                    processes.push(LiveProcess {
                        pid,
                        name: None,
                        executable: None,
                        user: None,
                        rules: Vec::new(),
                        count: 0,
                    });
                    processes.len() - 1
                });
                let process = &mut processes[known];
                process.count = process.count.max(finding.count);
                if !process.rules.iter().any(|other| other == rule) {
                    process.rules.push(rule.to_owned());
                }
                let mut who = logged.into_iter().flat_map(|logged| &logged.who);
                if let Some(found) = who.find(|found| found.pid == pid) {
                    let user = found.user.map(|user| user.to_string());
                    process.name.clone_from(&found.name);
                    process.executable.clone_from(&found.executable);
                    process.user = found.user_name.clone().or(user);
                }
            }
        }
        processes
    }
}

/// Who did it: an address, a network, a process, or how many.
fn source_text(finding: &Finding, who: &[Process]) -> String {
    match finding.source() {
        Some(Source::Remote(remote)) => remote.to_ip().to_string(),
        Some(Source::Network(first, size)) => size.text(first),
        Some(Source::Process(pid)) => {
            let named = who.iter().find(|process| process.pid == pid);
            match named.and_then(|process| process.name.as_deref()) {
                Some(name) => format!("{name} (pid {pid})"),
                None => format!("pid {pid}"),
            }
        }
        None => match finding.sources {
            Some(sources) => format!("{sources} remotes"),
            None if finding.is_outbound() => "several processes".to_owned(),
            None => "several remotes".to_owned(),
        },
    }
}

/// The addresses of a list.
pub(super) fn ips(addresses: &[Address]) -> Vec<IpAddr> {
    addresses.iter().map(|address| address.to_ip()).collect()
}
