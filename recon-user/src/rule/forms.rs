//! The built-in rules for captures, in which no packet names a process, and for those of a whole
//! network, in which every address counts as local besides.
//!
//! In: a profile. Out: its plans, some of them in the form that `default/capture.kql` and
//! `default/mirror.kql` give them.
//! The decision held here: a rule keeps its place, id, name and measure, so that settings and
//! references to it hold in all forms. The profile `source` stays as it is written.

use super::catalogue::{Profile, defaults};
use crate::kql::{Loader, Plan};

/// Files with forms of rules: name and content.
type Forms = (&'static str, &'static str);

const CAPTURE: Forms = ("capture.kql", include_str!("default/capture.kql"));
const MIRROR: Forms = ("mirror.kql", include_str!("default/mirror.kql"));

/// The built-in detections for captures of hosts.
#[must_use]
pub fn captured(profile: Profile) -> Vec<Plan> {
    with_forms(profile, &[CAPTURE])
}

/// The built-in detections for captures of a whole network.
#[must_use]
pub fn mirrored(profile: Profile) -> Vec<Plan> {
    with_forms(profile, &[CAPTURE, MIRROR])
}

/// The built-in detections for captures: of hosts, if somebody has named them, or of a network.
#[must_use]
pub fn of_captures(profile: Profile, are_hosts_named: bool) -> Vec<Plan> {
    match are_hosts_named {
        true => captured(profile),
        false => mirrored(profile),
    }
}

fn with_forms(profile: Profile, files: &[Forms]) -> Vec<Plan> {
    let mut plans = defaults(profile);
    if profile == Profile::Source {
        return plans;
    }
    for plan in files.iter().flat_map(|&file| read(file)) {
        let mut others = plans.iter_mut();
        let place = others.find(|other| (&other.id, &other.name) == (&plan.id, &plan.name));
        if let Some(other) = place {
            *other = plan;
        }
    }
    plans
}

fn read((name, text): Forms) -> Vec<Plan> {
    Loader::default().load(name, text.as_bytes()).plans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::rule_id;

    #[test]
    fn the_files_have_no_diagnostics() {
        for (name, text) in [CAPTURE, MIRROR] {
            let loaded = Loader::default().load(name, text.as_bytes());
            assert_eq!(loaded.diagnostics.render(&loaded.source), "", "{name}");
        }
    }

    #[test]
    fn each_form_takes_the_place_of_a_rule_with_the_same_id_threshold_and_severity() {
        let of_hosts = defaults(Profile::Outcomes);
        for (plans, files) in [
            (captured(Profile::Outcomes), &[CAPTURE][..]),
            (mirrored(Profile::Outcomes), &[CAPTURE, MIRROR]),
        ] {
            assert_eq!(of_hosts.len(), plans.len());
            let mut replaced = 0;
            for (host, form) in of_hosts.iter().zip(&plans) {
                assert_eq!(rule_id(host), rule_id(form));
                let above = |plan: &Plan| plan.threshold.map(|threshold| threshold.above);
                assert_eq!(above(host), above(form), "{}", host.id);
                assert_eq!(host.severity, form.severity, "{}", host.id);
                assert_eq!(host.window, form.window, "{}", host.id);
                replaced += usize::from(host.version != form.version);
            }
            let forms = files.iter().flat_map(|&file| read(file));
            assert_eq!(replaced, forms.count());
        }
    }

    #[test]
    fn the_profile_of_the_source_is_as_it_is_written() {
        let ids = |plans: Vec<Plan>| plans.iter().map(rule_id).collect::<Vec<_>>();
        let written = ids(defaults(Profile::Source));
        assert_eq!(ids(captured(Profile::Source)), written);
        assert_eq!(ids(mirrored(Profile::Source)), written);
    }
}
