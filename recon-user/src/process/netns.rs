//! Which network namespace has a cookie.
//!
//! In: the folder of iproute2's names, and /proc. Out: the cookies of the namespaces there, each
//! with a name.
//! The decisions held here:
//! - The kernel tells a namespace's cookie only inside of it, so a thread enters one after the
//!   other. Without CAP_SYS_ADMIN it enters none. A namespace without a name of iproute2 is called
//!   by its inode, as the links in /proc show it.
//! - Whoever may make namespaces may make many. So a look has a deadline, and the next one goes on
//!   where it ended.
//! - Only a look that went through all of them shows that a namespace is gone. What a lack of
//!   descriptors hides, or a look's end, may yet be found.

use std::collections::HashSet;
use std::fs::{self, DirEntry, File, ReadDir};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};

use crate::diagnostic::visible;
use crate::hook::netns_cookie;

use super::reader;

/// Where iproute2 keeps names.
const NAMED: &str = "/run/netns";
const PROC: &str = "/proc";

/// A namespace that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Namespace {
    pub(crate) cookie: u64,
    /// Its name, or `net:[INODE]`.
    pub(crate) name: String,
}

/// What a look has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) found: Vec<Namespace>,
    /// Whether these are all that have a name or a process.
    pub(crate) is_all: bool,
    /// Whether the time was not enough, so that the next look goes on.
    pub(crate) is_cut_short: bool,
}

/// A search for all namespaces, in looks of bounded time.
#[derive(Debug)]
pub(crate) struct NamespaceSearch {
    named: PathBuf,
    proc_root: PathBuf,
    /// What a look that was cut short has left.
    left: Option<Pass>,
}

impl Default for NamespaceSearch {
    fn default() -> Self {
        Self::of(Path::new(NAMED), Path::new(PROC))
    }
}

impl NamespaceSearch {
    fn of(named: &Path, proc_root: &Path) -> Self {
        Self {
            named: named.to_owned(),
            proc_root: proc_root.to_owned(),
            left: None,
        }
    }

    /// Looks for that long at most.
    pub(crate) fn look(&mut self, patience: Duration) -> Look {
        let deadline = Instant::now() + patience;
        let mut search = Self {
            left: self.left.take(),
            ..Self::of(&self.named, &self.proc_root)
        };
        let looked = reader::read(move || {
            // The thread that enters namespaces ends afterwards.
            let inside = thread::Builder::new()
                .name("recon-netns".to_owned())
                .spawn(move || {
                    let look = search.look_until(|| Instant::now() >= deadline);
                    (look, search.left)
                });
            inside.ok()?.join().ok()
        });
        let (look, left) = looked.flatten().unwrap_or_default();
        self.left = left;
        look
    }

    /// Enters one namespace after the other, until it is late.
    fn look_until(&mut self, is_late: impl Fn() -> bool) -> Look {
        let mut look = Look {
            is_all: self.left.is_none(),
            ..Look::default()
        };
        let pass = self.left.take();
        let mut pass = pass.unwrap_or_else(|| Pass::begin(&self.named, &self.proc_root));
        loop {
            if is_late() {
                look.is_all = false;
                look.is_cut_short = true;
                self.left = Some(pass);
                return look;
            }
            let Some(next) = pass.next_path() else {
                break;
            };
            match next.and_then(|(path, name)| pass.enter(&path, name)) {
                Ok(found) => look.found.extend(found),
                Err(error) if is_final(&error) => {}
                Err(error) => {
                    tracing::debug!("not all network namespaces can be entered: {error}");
                    pass.is_all = false;
                }
            }
        }
        look.is_all &= pass.is_all;
        look
    }
}

/// One pass over all namespaces.
#[derive(Debug)]
struct Pass {
    named: Option<ReadDir>,
    processes: Option<ReadDir>,
    /// The inodes of those that were entered.
    seen: HashSet<u64>,
    is_all: bool,
}

impl Pass {
    fn begin(named: &Path, proc_root: &Path) -> Self {
        let mut is_all = true;
        let mut open = |folder| {
            fs::read_dir(folder)
                .inspect_err(|error| is_all &= is_final(error))
                .ok()
        };
        let (named, processes) = (open(named), open(proc_root));
        Self {
            named,
            processes,
            seen: HashSet::new(),
            is_all,
        }
    }

    /// The next path of a namespace, with the name that iproute2 gave it.
    fn next_path(&mut self) -> Option<io::Result<(PathBuf, Option<String>)>> {
        let is_process = |entry: &DirEntry| {
            let name = entry.file_name();
            name.as_encoded_bytes().iter().all(u8::is_ascii_digit)
        };
        if let Some(entry) = self.named.iter_mut().flatten().next() {
            return Some(entry.map(|entry| {
                let name = visible(entry.file_name().as_encoded_bytes());
                (entry.path(), Some(name))
            }));
        }
        let mut processes = self.processes.iter_mut().flatten();
        let next = processes.find(|entry| entry.as_ref().map_or(true, is_process))?;
        Some(next.map(|entry| (entry.path().join("ns/net"), None)))
    }

    /// Enters that namespace for good, unless this pass has been there.
    fn enter(&mut self, path: &Path, name: Option<String>) -> io::Result<Option<Namespace>> {
        let inode = fs::metadata(path)?.ino();
        if !self.seen.insert(inode) {
            return Ok(None);
        }
        setns(File::open(path)?, CloneFlags::CLONE_NEWNET)?;
        Ok(Some(Namespace {
            cookie: netns_cookie()?,
            name: name.unwrap_or_else(|| format!("net:[{inode}]")),
        }))
    }
}

/// Whether another try would fail as well: there is no such namespace any more, the file is none,
/// or the agent may not enter it.
fn is_final(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw);
    matches!(
        number,
        Some(
            Errno::ENOENT
                | Errno::ESRCH
                | Errno::ENOTDIR
                | Errno::EINVAL
                | Errno::EPERM
                | Errno::EACCES
                | Errno::ENOPROTOOPT
        )
    )
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::os::unix::fs::symlink;

    use super::*;

    const OWN: &str = "/proc/thread-self/ns/net";

    /// Looks on a thread of its own, since it enters namespaces.
    fn look(search: &mut NamespaceSearch, entries: usize) -> Look {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let left = Cell::new(entries);
                search.look_until(|| left.replace(left.get().saturating_sub(1)) == 0)
            });
            inside.join().expect("a look")
        })
    }

    /// The test's own namespace, if the test may enter it.
    fn own(name: &str) -> Vec<Namespace> {
        let may_enter = thread::spawn(|| {
            let own = File::open(OWN).expect("a namespace");
            setns(own, CloneFlags::CLONE_NEWNET).is_ok()
        });
        let cookie = netns_cookie().expect("a cookie");
        let own = Namespace {
            cookie,
            name: name.to_owned(),
        };
        match may_enter.join() {
            Ok(true) => vec![own],
            _ => Vec::new(),
        }
    }

    #[test]
    fn what_is_no_namespace_is_not_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let process = folder.path().join("77/ns");
        fs::create_dir_all(&process).expect("a folder");
        fs::write(process.join("net"), "").expect("a file");
        fs::create_dir(folder.path().join("sys")).expect("a folder");
        symlink(OWN, folder.path().join("own")).expect("a link");
        let mut search = NamespaceSearch::of(folder.path(), folder.path());
        let expected = Look {
            found: own("own"),
            is_all: true,
            is_cut_short: false,
        };
        assert_eq!(look(&mut search, usize::MAX), expected);
    }

    #[test]
    fn what_may_yet_be_found_is_not_all() {
        let folder = tempfile::tempdir().expect("a folder");
        symlink("loop", folder.path().join("loop")).expect("a link");
        let mut search = NamespaceSearch::of(folder.path(), folder.path());
        assert_eq!(look(&mut search, usize::MAX), Look::default());
    }

    #[test]
    fn a_look_goes_on_where_the_last_one_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        for process in 1..=3 {
            let process = folder.path().join(format!("{process}/ns"));
            fs::create_dir_all(&process).expect("a folder");
        }
        symlink(OWN, folder.path().join("3/ns/net")).expect("a link");
        let mut search = NamespaceSearch::of(Path::new("/nowhere"), folder.path());
        // (entries that there is time for, whether it is cut short, whether it has found all)
        let looks = [
            (0, true, false),
            (2, true, false),
            (3, false, false),
            (9, false, true),
        ];
        let mut found = Vec::new();
        for (number, (entries, is_cut_short, is_all)) in looks.into_iter().enumerate() {
            let look = look(&mut search, entries);
            assert_eq!(
                (look.is_cut_short, look.is_all),
                (is_cut_short, is_all),
                "{number}"
            );
            found.push(look.found.len());
        }
        let own = own("").len();
        assert_eq!(found[0], 0);
        assert_eq!(found[1] + found[2], own, "once in a pass");
        assert_eq!(found[3], own, "and again in the next");
    }
}
