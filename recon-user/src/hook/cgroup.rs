//! The cgroup whose sockets are watched.
//!
//! In: the kernel's list of mounts, and the operator's folder. Out: a [`Cgroup`], or an error.
//! The decision held here: the default is the root of cgroup2, wherever it is mounted
//! (/sys/fs/cgroup, or /sys/fs/cgroup/unified on hosts with both versions), so that every process
//! of the host counts. A folder given by name is checked before anything is attached.

use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

use super::HookError;

/// A folder of cgroup2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cgroup {
    /// The watched folder: the sockets of its processes count, and those of the folders below.
    pub(crate) watched: PathBuf,
    /// Where cgroup2 is mounted.
    pub(crate) root: PathBuf,
}

impl Cgroup {
    /// The cgroup of that folder, or the root of cgroup2; `None` if this host has none.
    ///
    /// # Errors
    /// [`HookError::ReadCgroup`] or [`HookError::NotCgroup2`] if `folder` is no cgroup of version
    /// 2.
    pub(crate) fn select(folder: Option<&Path>) -> Result<Option<Self>, HookError> {
        let root = mount_point();
        let Some(folder) = folder else {
            return Ok(root.map(|root| Self {
                watched: root.clone(),
                root,
            }));
        };
        let name = folder.display().to_string();
        let kind = match statfs(folder) {
            Ok(kind) => kind,
            Err(error) => {
                return Err(HookError::ReadCgroup {
                    folder: name,
                    source: error.into(),
                });
            }
        };
        if kind.filesystem_type() != CGROUP2_SUPER_MAGIC || !folder.is_dir() {
            let hint = root.map_or_else(
                || "this host has no cgroup2 mounted".to_owned(),
                |root| format!("cgroup2 is mounted at {}", root.display()),
            );
            return Err(HookError::NotCgroup2 { folder: name, hint });
        }
        Ok(Some(Self {
            watched: folder.to_owned(),
            root: root.unwrap_or_else(|| folder.to_owned()),
        }))
    }

    pub(super) fn open(&self) -> std::io::Result<File> {
        File::open(&self.watched)
    }
}

/// Where cgroup2 is mounted.
fn mount_point() -> Option<PathBuf> {
    // Without /proc, no cgroup can be found either.
    find_cgroup2(&fs::read("/proc/self/mounts").ok()?)
}

fn find_cgroup2(mounts: &[u8]) -> Option<PathBuf> {
    let lines = mounts.split(|&byte| byte == b'\n');
    lines.into_iter().find_map(|line| {
        let mut fields = line.split(|&byte| byte == b' ');
        let (_, folder, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == b"cgroup2").then(|| std::ffi::OsString::from_vec(unescape_octal(folder)).into())
    })
}

/// A field of /proc/mounts, where blanks and the like are a backslash and three octal digits
/// (fstab(5)).
fn unescape_octal(field: &[u8]) -> Vec<u8> {
    const DIGITS: usize = 3;
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [byte, tail @ ..] = rest {
        let code = tail
            .get(..DIGITS)
            .filter(|_| *byte == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(code.unwrap_or(*byte));
        rest = &tail[code.map_or(0, |_| DIGITS)..];
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_found_among_the_mounts() {
        let v1 = "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n";
        for (mounts, expected) in [
            (
                "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n".to_owned(),
                Some("/sys/fs/cgroup"),
            ),
            (
                format!("{v1}none /sys/fs/cgroup/unified cgroup2 rw 0 0\n"),
                Some("/sys/fs/cgroup/unified"),
            ),
            (
                "x /a\\040b\\134c\\ cgroup2 rw 0 0".to_owned(),
                Some("/a b\\c\\"),
            ),
            (v1.to_owned(), None),
            ("cgroup2".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(
                find_cgroup2(mounts.as_bytes()),
                expected.map(PathBuf::from),
                "{mounts}"
            );
        }
    }

    #[test]
    fn a_folder_that_is_not_a_cgroup_is_refused() {
        for folder in ["/proc", "/no/such/folder", "/etc/passwd"] {
            let refused = Cgroup::select(Some(Path::new(folder)));
            assert!(
                matches!(
                    &refused,
                    Err(HookError::ReadCgroup { folder: named, .. }
                        | HookError::NotCgroup2 { folder: named, .. }) if named == folder
                ),
                "{refused:?}"
            );
        }
    }
}
