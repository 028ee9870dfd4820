//! What an incident rests on, as lines: rule, window, count, source, severity, lines, what comes
//! next.

use jiff::Timestamp;

use super::{of_source, shown, to_second};
use crate::service::live::{
    ExplainedCount, ExplainedLine, ExplainedRule, ExplainedSeverity, Explanation, LiveSource,
};

/// The width of the name of a line's subject.
const NAME: usize = 13;

/// What an incident rests on, step by step.
pub(in crate::service) fn of_explanation(explanation: &Explanation) -> String {
    let Explanation {
        event_id,
        state,
        at,
        rule,
        group,
        counted,
        source,
        processes,
        severity,
        lines: written,
        lines_written,
        notes,
    } = explanation;
    let mut lines = vec![line(
        "incident",
        &format!("{event_id}, {state}, as of {}", to_second(*at)),
    )];
    lines.extend(rule_lines(rule));
    let values: Vec<_> = group
        .iter()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    lines.push(line("group", &values.join(", ")));
    lines.extend(count_lines(counted, rule));
    if let Some(source) = source {
        lines.extend(standing_lines(source, *at));
    }
    lines.extend(processes.iter().map(|process| line("process", process)));
    let ExplainedSeverity { of_rule, now, why } = severity;
    let why = why
        .as_ref()
        .map_or_else(String::new, |why| format!(": {why}"));
    lines.push(line(
        "severity",
        &format!("{now}; the rule's is {of_rule}{why}"),
    ));
    if *lines_written > written.len() as u64 {
        let text = format!("{lines_written} written, the last {}:", written.len());
        lines.push(line("lines", &text));
    }
    lines.extend(written.iter().map(of_line));
    lines.extend(notes.iter().map(|note| line("note", note)));
    shown(&lines)
}

fn rule_lines(rule: &ExplainedRule) -> Vec<String> {
    let ExplainedRule {
        id,
        version,
        name,
        technique,
        place,
        measure,
        unit,
        threshold,
        window,
        groups_by,
        after,
        unless,
    } = rule;
    let technique = technique
        .as_ref()
        .map_or_else(String::new, |it| format!(", {it}"));
    let mut lines = vec![
        line(
            "rule",
            &format!("{id}, version {version}{technique}: {name}"),
        ),
        line("query", place),
        line(
            "fires",
            &format!(
                "above {threshold} {unit} ({measure}) in a sliding window of {window}, for each {}",
                groups_by.join(", ")
            ),
        ),
    ];
    if !after.is_empty() {
        let text = format!(
            "counts only remotes that {} has reported",
            after.join(" or ")
        );
        lines.push(line("after", &text));
    }
    if !unless.is_empty() {
        let text = format!(
            "counts no remotes that {} has reported",
            unless.join(" or ")
        );
        lines.push(line("unless", &text));
    }
    lines
}

fn count_lines(counted: &ExplainedCount, rule: &ExplainedRule) -> Vec<String> {
    let ExplainedCount {
        is_now,
        count,
        greatest,
        first,
        last,
        signals,
        ports,
        remotes,
        locals,
        columns,
        lower_bound,
    } = counted;
    let when = match is_now {
        true => "now",
        false => "in its last line",
    };
    let greatest = greatest.map_or_else(String::new, |it| format!(", {it} at most"));
    let least = match lower_bound {
        true => "; a lower bound, since something was lost meanwhile",
        false => "",
    };
    let mut lines = vec![
        line(
            "counted",
            &format!(
                "{count} {} {when}{greatest}, of {} that are not enough{least}",
                rule.unit, rule.threshold
            ),
        ),
        line(
            "window",
            &format!(
                "first event not before {}, last {}",
                to_second(*first),
                to_second(*last)
            ),
        ),
        line("signals", &signals.join(", ")),
    ];
    let numbers: Vec<_> = ports.iter().map(u16::to_string).collect();
    for (name, texts) in [
        ("ports", numbers),
        ("remotes", remotes.iter().map(ToString::to_string).collect()),
        ("locals", locals.iter().map(ToString::to_string).collect()),
    ] {
        if !texts.is_empty() {
            lines.push(line(name, &texts.join(", ")));
        }
    }
    let values = columns
        .iter()
        .map(|(name, value)| line("column", &format!("{name} = {value}")));
    lines.extend(values);
    lines
}

/// What the verdict on a source rests on.
fn standing_lines(source: &LiveSource, now: Timestamp) -> Vec<String> {
    let LiveSource {
        verdict,
        network_verdict,
        proven,
        successes,
        failures,
        weight,
        steps,
        ..
    } = source;
    let proven = match proven {
        true => "has completed a handshake",
        false => "has completed no handshake: its address may be forged",
    };
    vec![
        line("source", of_source(source, now).trim_start()),
        line(
            "verdict",
            &format!(
                "{verdict}: {failures} failures against {successes} successes, which weigh {weight}; {steps} more failures make a scanner, {steps} more successes a client"
            ),
        ),
        line(
            "standing",
            &format!("{proven}; its network: {network_verdict}"),
        ),
    ]
}

fn of_line(of: &ExplainedLine) -> String {
    let ExplainedLine {
        phase,
        at,
        count,
        severity,
        suppressed,
        evidence,
    } = of;
    let evidence = evidence
        .as_ref()
        .map_or_else(String::new, |file| format!("; packets in {file}"));
    let text = format!(
        "{phase} at {}, count {count}, {severity}; {suppressed} polls over the threshold before it without a line{evidence}",
        to_second(*at)
    );
    line("line", &text)
}

fn line(name: &str, text: &str) -> String {
    format!("{name:NAME$}{text}")
}
