//! Room for open files: maps, programs, links and sockets take one descriptor each.
//!
//! In: the limits of this process. Out: the soft limit raised as far as it may be, or an error.
//! The decision held here: a shell's limit is for programs that use `select`. recon raises it by
//! itself, as other daemons do. What can't be raised and is too low is an error before anything is
//! attached: halfway, it would look like a kernel that lacks a hook.

use anyhow::{Context as _, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors that recon takes with a few interfaces, and some to spare.
const LEAST: u64 = 128;
/// Descriptors for about a thousand interfaces.
const WANTED: u64 = 8192;

/// Raises the limit on open files.
///
/// # Errors
/// The limit is too low and may not be raised.
pub(crate) fn raise_limit() -> anyhow::Result<()> {
    let (soft, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).context("can't read the limit on open files")?;
    if soft >= WANTED {
        return Ok(());
    }
    // With CAP_SYS_RESOURCE also beyond the hard limit.
    let candidates = [(WANTED, hard.max(WANTED)), (hard.min(WANTED), hard)];
    let mut candidates = candidates.into_iter();
    let raised =
        candidates.find(|&(soft, hard)| setrlimit(Resource::RLIMIT_NOFILE, soft, hard).is_ok());
    let limit = raised.map_or(soft, |(soft, _)| soft);
    ensure!(
        limit >= LEAST,
        "{limit} files may be open, and recon needs {LEAST}: as root, type `ulimit -n {WANTED}` in the shell that starts recon, or set LimitNOFILE={WANTED} in its systemd unit"
    );
    Ok(())
}
