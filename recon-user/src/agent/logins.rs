//! Logins as rows.
//!
//! In: sessions whose first program was started. Out: the row of each.
//! The decision held here: a poll keeps a bounded number, since anybody who may log in may log in
//! often.

use jiff::Timestamp;
use recon_common::Signal;

use crate::process::login::Session;
use crate::row::{Row, RowKey};

/// Logins that are kept for a poll.
pub(super) const MAX_LOGINS: usize = 1 << 12;

/// The row of a login.
pub(super) fn login_row(session: Session, host: &str, time: Timestamp) -> Row<'_> {
    let Session {
        remote,
        local,
        port,
    } = session;
    let key = RowKey {
        remote: Some(remote.into()),
        local: Some(local.into()),
        port: Some(port),
        ..RowKey::of(Signal::Login)
    };
    Row {
        device: host,
        ..Row::bare(key, 1, time)
    }
}
