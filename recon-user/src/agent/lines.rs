//! Notifications as lines of stdout.
//!
//! In: notifications. Out: lines, with the processes behind each finding.
//! The decision held here: a finding is not copied. It is on the wall clock while its line is
//! formatted, and on the agent's clock when it goes to the log of incidents.

use super::Agent;
use super::clock::wall_offset;
use crate::drain::CountMaps;
use crate::incident::Notification;

impl<M: CountMaps> Agent<M> {
    /// Writes a line for each notification, with the processes of its finding.
    pub(super) fn write(&mut self, notifications: Vec<Notification>) {
        let offset = wall_offset();
        for mut notification in notifications {
            self.places.update_finding(notification.finding_mut());
            let finding = notification.finding();
            let who = finding.map_or_else(Vec::new, |finding| self.actors.of(finding));
            notification.shift(offset);
            self.record_evidence(&mut notification, &who);
            let line = self.lines.notification(&notification, &who);
            match line {
                Ok(line) => self.output.alert(line),
                Err(error) => {
                    let finding = notification.finding();
                    let id = finding.map_or("digest", |finding| finding.query.rule_id());
                    tracing::error!("{id}: can't write the line: {error}");
                    continue;
                }
            }
            notification.shift(-offset);
            self.totals.count_line(&notification);
            self.incident_log.note(notification, offset, who);
        }
        self.output.end_alerts();
    }
}
