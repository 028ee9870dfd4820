//! Files that hold secrets: a key, a token.
//!
//! In: a path. Out: its text, unless others may read it.
//! The decision held here: a file that others may read is refused and not only warned of. The
//! settings may be shown to anybody, and these must not.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, ensure};

/// Permissions of users who are neither the owner nor of the group.
const OTHERS: u32 = 0o007;
/// Far more than keys and headers are.
const LARGEST: u64 = 64 << 10;

/// Reads it.
///
/// # Errors
/// It can't be read, others may read it, or it is no text.
pub(super) fn read_secret(path: &Path) -> anyhow::Result<String> {
    let name = path.display();
    let can_not_read = || format!("can't read {name}");
    let file = File::open(path).with_context(can_not_read)?;
    let permissions = file.metadata().with_context(can_not_read)?.permissions();
    ensure!(
        permissions.mode() & OTHERS == 0,
        "any user may open {name}, which holds a secret: type chmod o= {name}"
    );
    let mut text = String::new();
    let read = file.take(LARGEST + 1).read_to_string(&mut text);
    let read = read.with_context(can_not_read)?;
    ensure!(
        read as u64 <= LARGEST,
        "{name} is larger than {LARGEST} bytes"
    );
    Ok(text)
}
