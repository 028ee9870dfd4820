//! Logins as rows.
//!
//! In: sessions whose first program was started. Out: the row of each.
//! The decision held here: a poll keeps a bounded number, since anybody who may log in may log in
//! often.

use jiff::Timestamp;
use recon_common::Signal;

use crate::process::login::Session;
use crate::row::{Row, RowKey, Standing};

/// Logins that are kept for a poll.
pub(super) const MAX_LOGINS: usize = 1 << 12;

/// The row of a login.
pub(super) fn login_row(session: Session, host: &str, time: Timestamp) -> Row<'_> {
    let Session {
        remote,
        local,
        port,
    } = session;
    Row {
        key: RowKey {
            remote: Some(remote.into()),
            local: Some(local.into()),
            port: Some(port),
            pid: None,
            image: 0,
            ending: None,
            tool: None,
            interface: None,
            netns: None,
            signal: Signal::Login,
        },
        count: 1,
        time,
        device: host,
        process: None,
        is_scanner: false,
        listener: None,
        standing: Standing::default(),
        sources: None,
    }
}
