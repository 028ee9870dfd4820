//! Who recon is to a NATS server.
//!
//! In: a file that not any user may read. Out: a part of what a client says first.
//! The decision held here: no message shows a line of the file, which may be a secret.

use std::path::Path;

use anyhow::{bail, ensure};
use serde::Serialize;

use super::secret_file::read_secret;

/// Who recon is to the server. Has no debug output.
#[derive(Clone, Default, Serialize)]
pub(super) struct NatsCredentials {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_token: Option<String>,
}

/// What a file says of recon: `user` and `password`, or `token`, each a line with a colon. `#`
/// begins a comment.
pub(super) fn read_credentials(path: &Path) -> anyhow::Result<NatsCredentials> {
    let text = read_secret(path)?;
    let name = path.display();
    let mut found = NatsCredentials::default();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // Not the line itself, which may be a secret.
        let place = format!("{name}:{}", number + 1);
        let (key, value) = line.split_once(':').unwrap_or_default();
        let part = match key.trim() {
            "user" => &mut found.user,
            "password" => &mut found.pass,
            "token" => &mut found.auth_token,
            _ => bail!("{place}: use `user: NAME` and `password: WORD`, or `token: WORD`"),
        };
        ensure!(part.is_none(), "{place}: this is there already; remove one");
        *part = Some(value.trim().to_owned());
    }
    ensure!(
        matches!(
            (&found.user, &found.pass, &found.auth_token),
            (Some(_), Some(_), None) | (None, None, Some(_))
        ),
        "{name}: use `user: NAME` and `password: WORD`, or `token: WORD`"
    );
    Ok(found)
}
