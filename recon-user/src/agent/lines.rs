//! Notifications as lines of stdout.
//!
//! In: notifications. Out: lines, with the processes behind each finding.

use super::Agent;
use super::clock::wall_offset;
use crate::drain::CountMaps;
use crate::incident::Notification;

impl<M: CountMaps> Agent<M> {
    /// Writes a line for each notification, with the processes of its finding.
    pub(super) fn write(&mut self, notifications: &mut [Notification]) {
        let offset = wall_offset();
        for notification in notifications {
            self.places.update_finding(notification.finding_mut());
            let original = &*notification;
            let notification = &original.shifted(offset);
            let finding = notification.finding();
            let who = finding.map_or_else(Vec::new, |finding| self.actors.of(finding));
            match self.lines.notification(notification, &who) {
                Ok(line) => {
                    self.output.alert(line);
                    self.totals.count_line(notification);
                    self.incident_log.note(original, offset, who);
                }
                Err(error) => {
                    let id = finding.map_or("digest", |finding| finding.query.rule_id());
                    tracing::error!("{id}: can't write the line: {error}");
                }
            }
        }
    }
}
