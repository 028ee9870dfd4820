//! The user that the packaged service runs as.
//!
//! In: its name. Out: whether a user is that one.
//! The decisions held here: the user is looked up once, and before the sandbox, which hides
//! /etc/passwd. "It can't be looked up" is an answer of its own: whoever asks decides what is safe
//! then.

use std::fs;
use std::io::{self, ErrorKind};
use std::sync::OnceLock;

use nix::unistd::Uid;

use crate::passwd::{self, PASSWD};

/// Its name.
const SERVICE_USER: &str = "recon";

/// Whether it is the user of the packaged service. `None` if that can't be looked up.
pub(super) fn is_service_user(user: Uid) -> Option<bool> {
    let service = look_up_service_user().ok()?;
    Some(service == Some(user))
}

/// Looks the user up, unless that was done before. `None` if there is no such user.
pub(super) fn look_up_service_user() -> Result<Option<Uid>, ErrorKind> {
    static FOUND: OnceLock<Result<Option<Uid>, ErrorKind>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let found = find_service_user();
        if let Err(error) = &found {
            tracing::warn!(
                "can't look up user {SERVICE_USER}: {error}: recon takes nothing over that this user's recon has left, such as a folder of --pins, and leaves its filters of clsact; make /etc/passwd readable"
            );
        }
        found.map_err(|error| error.kind())
    })
}

fn find_service_user() -> io::Result<Option<Uid>> {
    let text = match fs::read(PASSWD) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let mut users = passwd::users(&text);
    let service = users.find(|&(name, _)| name == SERVICE_USER.as_bytes());
    Ok(service.map(|(_, user)| Uid::from_raw(user)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use landlock::{ABI, Access as _, AccessFs, Ruleset, RulesetAttr as _, RulesetCreated};
    use std::thread;

    /// Landlock lets a running agent read no /etc/passwd.
    #[test]
    fn the_sandbox_changes_no_answer() {
        let user = Uid::from_raw(12_345);
        let before = is_service_user(user);
        let work = move || {
            // Of this thread only; nothing may be opened.
            let created = Ruleset::default()
                .handle_access(AccessFs::from_all(ABI::V1))
                .and_then(Ruleset::create);
            created
                .and_then(RulesetCreated::restrict_self)
                .expect("a domain");
            assert_eq!(is_service_user(user), before);
        };
        thread::spawn(work).join().expect("the work");
    }
}
