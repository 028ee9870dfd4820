//! Which network namespace has a cookie.
//!
//! In: the folder of iproute2's names, and /proc. Out: the cookies of the namespaces there, each
//! with a name.
//! The decisions held here: the kernel tells a namespace's cookie only inside of it, so a thread
//! enters one after the other. Without CAP_SYS_ADMIN it enters none. A namespace without a name of
//! iproute2 is called by its inode, as the links in /proc show it. Whoever may make namespaces may
//! make many, so that a look has a deadline.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use nix::sched::{CloneFlags, setns};

use crate::diagnostic::visible;
use crate::hook::netns_cookie;

/// Where iproute2 keeps names.
const NAMED: &str = "/run/netns";

/// A namespace that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Namespace {
    pub(crate) cookie: u64,
    /// Its name, or `net:[INODE]`.
    pub(crate) name: String,
}

/// The namespaces that have a name or a process, and whether these are all.
pub(crate) fn find_namespaces(proc_root: &Path, deadline: Instant) -> (Vec<Namespace>, bool) {
    thread::scope(|scope| {
        let inside = thread::Builder::new()
            .name("recon-netns".to_owned())
            .spawn_scoped(scope, || enter_all(Path::new(NAMED), proc_root, deadline));
        let found = inside.ok().and_then(|inside| inside.join().ok());
        found.unwrap_or_default()
    })
}

/// Enters all namespaces, on a thread that ends afterwards.
fn enter_all(named: &Path, proc_root: &Path, deadline: Instant) -> (Vec<Namespace>, bool) {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for (path, name) in named_paths(named).chain(process_paths(proc_root)) {
        if Instant::now() >= deadline {
            return (found, false);
        }
        let Ok(inode) = fs::metadata(&path).map(|metadata| metadata.ino()) else {
            continue;
        };
        if !seen.insert(inode) {
            continue;
        }
        if let Some(cookie) = cookie_of(&path) {
            let name = name.unwrap_or_else(|| format!("net:[{inode}]"));
            found.push(Namespace { cookie, name });
        }
    }
    (found, true)
}

fn named_paths(named: &Path) -> impl Iterator<Item = (PathBuf, Option<String>)> {
    let entries = fs::read_dir(named).into_iter().flatten().flatten();
    entries.map(|entry| {
        let name = visible(entry.file_name().as_encoded_bytes());
        (entry.path(), Some(name))
    })
}

fn process_paths(proc_root: &Path) -> impl Iterator<Item = (PathBuf, Option<String>)> {
    let entries = fs::read_dir(proc_root).into_iter().flatten().flatten();
    let is_process = |name: &[u8]| name.iter().all(u8::is_ascii_digit);
    entries
        .filter(move |entry| is_process(entry.file_name().as_encoded_bytes()))
        .map(|entry| (entry.path().join("ns/net"), None))
}

/// Enters that namespace for good, and returns its cookie.
fn cookie_of(path: &Path) -> Option<u64> {
    let namespace = File::open(path).ok()?;
    setns(namespace, CloneFlags::CLONE_NEWNET).ok()?;
    Some(netns_cookie()).filter(|&cookie| cookie != 0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_no_namespace_is_not_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let process = folder.path().join("77/ns");
        fs::create_dir_all(&process).expect("a folder");
        fs::write(process.join("net"), "").expect("a file");
        fs::create_dir(folder.path().join("sys")).expect("a folder");
        let deadline = Instant::now() + Duration::from_secs(10);
        let found = enter_all(folder.path(), folder.path(), deadline);
        assert_eq!(found, (Vec::new(), true));
    }

    #[test]
    fn a_look_has_a_deadline() {
        let found = enter_all(Path::new(NAMED), Path::new("/proc"), Instant::now());
        assert_eq!(found, (Vec::new(), false));
    }
}
