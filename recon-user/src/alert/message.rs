//! The message of an alert, for a human reader: who did what to whom, how often, and the threshold;
//! what the source learned of this host; and what is at stake.
//!
//! In: a finding and its processes. Out: one line. Process names are already printable here.
//! The decision held here: texts are written where they stand. Strings of their own would each be
//! an allocation.

use std::fmt::{self, Display, Formatter, from_fn};

use recon_common::{Address, Tool};

use super::{actor, names};
use crate::address::IpText;
use crate::blind::BlindPart;
use crate::contact::Outcomes;
use crate::duration::Ticks;
use crate::incident::{Finding, Phase, Suppressed};
use crate::kql::Field;
use crate::process::Process;
use crate::stream::{Counted, Measure, counted};

/// The message of a line about findings.
#[derive(Clone, Copy)]
pub(super) enum Message<'a> {
    Finding(&'a Finding, &'a [Process]),
    /// The first of the suppressed findings.
    Suppressed(&'a Finding, &'a Suppressed, &'a [Process]),
}

impl Display for Message<'_> {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Finding(finding, who) => {
                let is_over = finding.phase == Phase::Ended;
                let ended = if is_over { " ended: " } else { ": " };
                write_all(to, [finding.query.id(), ended])?;
                write_sentence(to, finding, who)?;
                match &finding.query.plan().stake {
                    Some(stake) if !is_over && !found_nothing(finding) => {
                        write_all(to, [" - ", stake])
                    }
                    _ => Ok(()),
                }
            }
            Self::Suppressed(first, Suppressed { count, per, .. }, who) => {
                let (id, per) = (first.query.id(), Ticks::of(*per));
                write!(
                    to,
                    "{id}: {count} more left out in {per}, the first of them: "
                )?;
                write_sentence(to, first, who)
            }
        }
    }
}

/// Why a line is written.
#[derive(Clone, Copy)]
pub(super) enum Reason<'a> {
    /// What was counted, and the threshold.
    Finding(&'a Finding),
    Suppressed(&'a Suppressed),
    Blind(&'a BlindPart),
    HourIsOver,
}

impl Display for Reason<'_> {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Finding(finding) => match finding.query.after() {
                [_, ..] => to.write_str("scanned this host, then was accepted"),
                [] => write_measured(to, finding),
            },
            Self::Suppressed(Suppressed { count, per, .. }) => {
                let per = Ticks::of(*per);
                write!(to, "{count} findings over the limit on lines in {per}")
            }
            Self::Blind(part) => part.fmt(to),
            Self::HourIsOver => to.write_str("an hour is over"),
        }
    }
}

/// Whether its source knows that nothing is open to it.
fn found_nothing(finding: &Finding) -> bool {
    let outcomes = finding.outcomes.as_ref();
    outcomes.is_some_and(|outcomes| outcomes.open_ports.is_empty() && outcomes.silent == 0)
}

/// Who did what.
fn write_sentence(to: &mut Formatter<'_>, finding: &Finding, who: &[Process]) -> fmt::Result {
    write_ends(to, finding, who)?;
    to.write_str(": ")?;
    match finding.query.after() {
        [_, ..] => {
            to.write_str("scanned this host, then was accepted")?;
            if let Some(who) = actor::called(who) {
                write!(to, " by {who}")?;
            }
        }
        [] => write_measured(to, finding)?,
    }
    if let Some(outcomes) = &finding.outcomes {
        write_outcomes(to, outcomes, finding.phase == Phase::Ended)?;
    }
    write_likeness(to, finding)?;
    match finding.may_be_forged {
        true => to.write_str("; it is a client, in whose name somebody may forge"),
        false => Ok(()),
    }
}

/// Who did it, and to what.
fn write_ends(to: &mut Formatter<'_>, finding: &Finding, who: &[Process]) -> fmt::Result {
    let text = |address: Address| IpText::of(address.to_ip());
    let [remote, local] = [finding.remote, finding.local].map(|it| it.map(text));
    if finding.is_outbound() {
        match (actor::called(who), local) {
            (Some(who), _) => who.fmt(to)?,
            (None, Some(local)) => local.fmt(to)?,
            (None, None) => to.write_str("this host")?,
        }
        match (finding.query.measure, remote) {
            (Measure::Count, Some(remote)) => write_all(to, [" to ", remote.as_str()])?,
            (_, Some(remote)) => write_all(to, [" on ", remote.as_str()])?,
            (_, None) if finding.port.is_none() => {}
            (_, None) => to.write_str(" on")?,
        }
    } else {
        match (remote, finding.network) {
            (Some(remote), _) => remote.fmt(to)?,
            (None, Some(first)) => to.write_str(&finding.network_size().text(first))?,
            (None, None) => match finding.sources {
                Some(sources) => write_number(to, sources, " remotes")?,
                None => to.write_str("several remotes")?,
            },
        }
        if let Some(local) = local {
            write_all(to, [" on ", local.as_str()])?;
        }
    }
    match finding.port {
        Some(port) => {
            to.write_str(" port ")?;
            write_number(to, port, "")
        }
        None => Ok(()),
    }
}

/// What is counted, in the plural.
pub(crate) fn unit(finding: &Finding) -> impl Display {
    let query = &finding.query;
    from_fn(
        move |to| match (&query.plan().unit, counted(query.plan())) {
            (Some(unit), _) => to.write_str(unit),
            (None, Counted::Events) => {
                let signals = finding.signals.iter();
                let counted = signals.filter(|&signal| query.measured.signals.contains(signal));
                write_list(to, names(counted))
            }
            (None, Counted::Distinct(Field::LocalPort | Field::RemotePort)) => {
                to.write_str("distinct ports")
            }
            (None, Counted::Distinct(Field::LocalIp)) => to.write_str("distinct local addresses"),
            (None, Counted::Distinct(Field::RemoteIp)) => to.write_str("distinct remotes"),
            // A column has the name that the rule's author has given it.
            (None, _) => to.write_str(query.measure_name()),
        },
    )
}

fn write_measured(to: &mut Formatter<'_>, finding: &Finding) -> fmt::Result {
    let query = &finding.query;
    write_number(to, finding.count, " ")?;
    unit(finding).fmt(to)?;
    match query.threshold() {
        0 => {}
        threshold => {
            to.write_str(", over ")?;
            write_number(to, threshold, "")?;
        }
    }
    to.write_str(" in ")?;
    Ticks::of(query.window()).fmt(to)
}

/// What the probes look like.
fn write_likeness(to: &mut Formatter<'_>, finding: &Finding) -> fmt::Result {
    let called = |tool| match tool {
        Tool::Crafted => "a tool that crafts its SYNs",
        tool => tool.name(),
    };
    let mut tools = finding.tools.iter().map(called).peekable();
    if tools.peek().is_some() {
        to.write_str("; looks like ")?;
    }
    write_list(to, tools)
}

/// What the source has learned, and from what became of its attempts.
fn write_outcomes(to: &mut Formatter<'_>, outcomes: &Outcomes, is_over: bool) -> fmt::Result {
    let Outcomes {
        accepted,
        refused,
        half_open,
        silent,
        silent_with_listener,
        open_ports,
    } = outcomes;
    to.write_str("; ")?;
    match &open_ports[..] {
        [] if *silent == 0 => to.write_str("nothing open to it; ")?,
        // To a probe with odd flags or a datagram, silence may mean an open port.
        [] => {}
        ports => {
            to.write_str("open to it ")?;
            write_list(to, ports)?;
            to.write_str("; ")?;
        }
    }
    // Ports, each on its local address: a reader must not take them for connections.
    let targets = accepted + refused + half_open + silent;
    let targets_unit = if targets == 1 {
        " target "
    } else {
        " targets "
    };
    to.write_str("of ")?;
    write_number(to, targets, targets_unit)?;
    write_number(to, *accepted, " accepted, ")?;
    write_number(to, *half_open, " half-open, ")?;
    write_number(to, *refused, " refused, ")?;
    write_number(to, *silent, " not answered")?;
    // The latest attempts of an incident that goes on may be answered after its line.
    if !is_over && *silent > 0 {
        to.write_str(" yet")?;
    }
    served(*silent_with_listener).fmt(to)
}

/// Texts one after the other. A format takes several times as long.
fn write_all<const N: usize>(to: &mut Formatter<'_>, texts: [&str; N]) -> fmt::Result {
    texts.iter().try_for_each(|text| to.write_str(text))
}

/// A number and what follows it.
fn write_number(to: &mut Formatter<'_>, number: impl itoa::Integer, then: &str) -> fmt::Result {
    write_all(to, [itoa::Buffer::new().format(number), then])
}

/// Items with commas between them.
fn write_list(
    to: &mut Formatter<'_>,
    items: impl IntoIterator<Item = impl Display>,
) -> fmt::Result {
    items.into_iter().enumerate().try_for_each(|(place, item)| {
        if place > 0 {
            to.write_str(", ")?;
        }
        item.fmt(to)
    })
}

/// Attempts that were not answered though a socket of this host waits there.
pub(super) fn served(number: u64) -> impl Display {
    from_fn(move |to| match number {
        0 => Ok(()),
        number => write!(to, " ({number} of them though a socket waits there)"),
    })
}
