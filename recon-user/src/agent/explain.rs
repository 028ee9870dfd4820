//! What an incident rests on, for `recon explain`.
//!
//! In: an `event.id`, the agent between two polls. Out: an [`Explanation`], or why there is none.
//! The decision held here: what the group counts now is read from its window. Only where that is
//! gone, the numbers are those of the last line, and the answer says so.

use jiff::SignedDuration;
use recon_common::{Address, Signal};

use super::Agent;
use super::clock::{now, to_wall, wall_offset};
use super::incident_log::{LoggedIncident, LoggedLine};
use super::live::ips;
use crate::alert::{event_id, unit};
use crate::drain::CountMaps;
use crate::duration;
use crate::incident::{Finding, IncidentLife, Phase};
use crate::process::Process;
use crate::service::{
    Answer, Body, ExplainedCount, ExplainedLine, ExplainedRule, ExplainedSeverity, Explanation,
};
use crate::stable_hash::StableHash;
use crate::stream::{GroupKey, Query};

impl<M: CountMaps> Agent<M> {
    /// What the incident with that `event.id` rests on.
    pub(super) fn answer_explain(&self, id: &str) -> Answer {
        let Some(wanted) = StableHash::from_digits(id) else {
            return Answer::refused(format!(
                "`{id}` is not an event.id: it has 32 hexadecimal digits, as the alert has it"
            ));
        };
        let is_it = |incident: StableHash| event_id(incident, Some(&self.host)) == wanted;
        let now = now();
        let logged = self.incident_log.find(is_it);
        let current = match logged {
            Some(LoggedIncident { finding, .. }) => {
                let current = self.pipeline.incident_of(now, &finding.query, &finding.key);
                // A later one of the same group has another id.
                current.filter(|current| is_it(current.finding.incident))
            }
            None => self.pipeline.find_incident(now, is_it),
        };
        let life = current.as_ref().map(|current| current.life);
        let finding = current.as_ref().map(|current| &current.finding);
        match finding.or(logged.map(|logged| &*logged.finding)) {
            Some(finding) => {
                let explained = self.explain(finding, life, logged);
                Answer::done(Body::Explanation(Box::new(explained)))
            }
            None => Answer::refused(format!(
                "no incident {id}: recon explains those that are open and, of this process (pid {}), the last ones with lines; `recon status --json` lists event_id of open ones",
                std::process::id()
            )),
        }
    }

    fn explain(
        &self,
        finding: &Finding,
        life: Option<IncidentLife>,
        logged: Option<&LoggedIncident>,
    ) -> Explanation {
        let offset = wall_offset();
        let query = &finding.query;
        let source = finding.remote.filter(|_| !finding.is_outbound());
        let source = source.and_then(|remote| self.pipeline.known_source(remote));
        Explanation {
            event_id: event_id(finding.incident, Some(&self.host)).to_string(),
            state: state(life, logged).to_owned(),
            at: to_wall(now(), offset),
            rule: rule(query, unit(finding).to_string()),
            group: group(query, &finding.key),
            counted: counted(finding, life, offset),
            source: source.map(|source| self.show_source(source, offset)),
            processes: logged.map_or_else(Vec::new, |it| it.who.iter().map(described).collect()),
            severity: severity(finding),
            lines: logged.map_or_else(Vec::new, |logged| logged.lines.iter().map(line).collect()),
            lines_written: logged.map_or(0, |logged| logged.written),
            notes: self.notes(finding, life, logged, offset),
        }
    }

    /// What was not written, and why; what comes next.
    fn notes(
        &self,
        finding: &Finding,
        life: Option<IncidentLife>,
        logged: Option<&LoggedIncident>,
        offset: SignedDuration,
    ) -> Vec<String> {
        let mut notes = Vec::new();
        let least = self.pipeline.min_severity();
        if logged.is_none() && finding.severity < least {
            notes.push(format!(
                "it has no line: {} is below the least severity that is reported ({})",
                finding.severity.name(),
                least.name()
            ));
        } else if logged.is_none() {
            notes.push(
                "this process has written no line of its own about it: its lines were over the limit on lines of its rule (a left_out line or the digest counts them), or the process before wrote them".to_owned(),
            );
        }
        let Some(life) = life else {
            notes.push(
                "its group is gone: all that it counted has left the window, or it was evicted for lack of memory; the numbers are those of its last line".to_owned(),
            );
            return notes;
        };
        let at = |time| to_wall(time, offset);
        if life.is_withheld {
            notes.push(format!(
                "the cooldown of its rule withholds that it has begun until {}",
                at(life.may_report_at)
            ));
        } else {
            notes.push(format!(
                "{} polls over the threshold since its last report had no line: the next one comes when the count reaches {} (ten times what was reported), not before {}",
                life.suppressed,
                life.grows_at,
                at(life.may_report_at)
            ));
        }
        notes.push(match life.is_open {
            true => format!(
                "it is over at {} unless the count changes above the threshold before; `ended` is written if the count has grown beyond {} by then",
                at(life.ends_at),
                life.reported
            ),
            false => "it is over: what flares up within an hour, or within its window if that is longer, goes on with it".to_owned(),
        });
        notes
    }
}

fn state(life: Option<IncidentLife>, logged: Option<&LoggedIncident>) -> &'static str {
    let ended = Phase::Ended.name();
    let last = logged.and_then(|logged| logged.lines.back());
    match life {
        None if last.is_some_and(|line| line.phase == ended) => ended,
        None => "gone",
        Some(life) if life.is_withheld => "withheld",
        Some(life) if life.is_open => "open",
        Some(_) => ended,
    }
}

fn rule(query: &Query, unit: String) -> ExplainedRule {
    let plan = query.plan();
    ExplainedRule {
        id: query.rule_id().to_owned(),
        version: plan.version.clone(),
        name: plan.name.clone(),
        technique: plan.technique.clone(),
        place: plan.places.query.clone(),
        measure: query.measure_name().to_owned(),
        unit,
        threshold: query.threshold(),
        window: duration::text(query.window()),
        groups_by: plan
            .groups
            .iter()
            .map(|group| group.name.to_string())
            .collect(),
        after: query.after().to_vec(),
        unless: query.unless().to_vec(),
    }
}

/// By what a group is keyed, with its values.
fn group(query: &Query, key: &GroupKey) -> Vec<(String, String)> {
    let GroupKey {
        remote,
        local,
        port,
        pid,
        computed,
    } = key;
    let remote = remote.map(|remote| match query.key.network() {
        Some(size) => ("network", size.text(remote)),
        None => ("remote", remote.to_ip().to_string()),
    });
    let local = local.map(|local| ("local", local.to_ip().to_string()));
    let port = port.map(|port| ("port", port.to_string()));
    let pid = pid.map(|pid| ("pid", pid.to_string()));
    let plain = [remote, local, port, pid].into_iter().flatten();
    let plain = plain.map(|(name, value)| (name.to_owned(), value));
    let names = query.key.computed.iter();
    let names = names.map(|&position| query.plan().groups[position].name.to_string());
    plain.chain(names.zip(computed.iter().map(json))).collect()
}

/// A value as JSON has it.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn counted(
    finding: &Finding,
    life: Option<IncidentLife>,
    offset: SignedDuration,
) -> ExplainedCount {
    let mut signals: Vec<_> = finding.signals.iter().map(Signal::name).collect();
    signals.dedup();
    let columns = finding.columns.iter();
    ExplainedCount {
        is_now: life.is_some(),
        count: finding.count,
        greatest: life.map(|life| life.greatest),
        first: to_wall(finding.start, offset),
        last: to_wall(finding.end, offset),
        signals: signals.into_iter().map(str::to_owned).collect(),
        ports: match finding.port {
            Some(port) => vec![port],
            None => finding.ports.clone(),
        },
        remotes: match finding.remote {
            Some(remote) => vec![Address::to_ip(remote)],
            None => ips(&finding.remotes),
        },
        locals: match finding.local {
            Some(local) => vec![Address::to_ip(local)],
            None => ips(&finding.locals),
        },
        columns: columns
            .map(|(name, value)| (name.to_string(), json(value)))
            .collect(),
        lower_bound: finding.lower_bound,
    }
}

fn severity(finding: &Finding) -> ExplainedSeverity {
    let is_lower = finding.severity < finding.query.severity();
    ExplainedSeverity {
        of_rule: finding.query.severity().name().to_owned(),
        now: finding.severity.name().to_owned(),
        why: is_lower.then(|| {
            "the address is also a client's, in whose name somebody may forge: medium at most"
                .to_owned()
        }),
    }
}

fn line(line: &LoggedLine) -> ExplainedLine {
    let &LoggedLine {
        phase,
        at,
        count,
        severity,
        suppressed,
        ref evidence,
    } = line;
    ExplainedLine {
        phase: phase.to_owned(),
        at,
        count,
        severity: severity.to_owned(),
        suppressed,
        evidence: evidence.clone(),
    }
}

/// A process, in a few words.
fn described(process: &Process) -> String {
    let user = process.user_name.clone();
    let user = user.or(process.user.map(|user| user.to_string()));
    let parts = [
        Some(format!("pid {}", process.pid)),
        process.name.clone(),
        process.executable.clone(),
        user.map(|user| format!("user {user}")),
        process.command_line.clone(),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    parts.join(", ")
}
