//! What outlives a reload of the limit on lines.
//!
//! In: a limiter, and where its queries are now. Out: the limiter under another limit, and what is
//! left of the periods of queries that are gone.
//! The decision held here: the digest of the hour goes on to name rules that are gone, since their
//! findings belong to it.

use std::sync::Arc;

use jiff::Timestamp;

use super::{LineLimit, LineLimiter, Notification};
use crate::stream::Query;

impl LineLimiter {
    /// Goes on under another limit. `successor` finds the query in whose place another is now.
    pub(crate) fn reconfigure(
        &mut self,
        limit: LineLimit,
        successor: &dyn Fn(&Query) -> Option<Arc<Query>>,
        now: Timestamp,
    ) -> Vec<Notification> {
        let periods = std::mem::take(&mut self.periods);
        let mut gone = Vec::new();
        for mut period in periods {
            match successor(&period.query) {
                Some(query) => {
                    period.succeed(&query, limit.lines_of(&query));
                    self.periods.push(period);
                }
                None => gone.push(period),
            }
        }
        let notifications = self.close(gone, now);
        self.limit = limit;
        if let Some(hour) = &mut self.hour {
            hour.succeed(successor);
        }
        notifications
    }
}
