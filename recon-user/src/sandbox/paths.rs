//! The files that a running agent may open: Landlock.
//!
//! In: the folders of what is opened again while the agent runs. Out: a ruleset for the kernel.
//! The decisions held here: a rule covers the folder of a file and not the file, since editors and
//! log rotation put another file in its place. /proc, /sys and the folders of rules may be read;
//! nothing may be executed, no TCP port bound, and none connected but those of sinks.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, Ruleset,
    RulesetAttr, RulesetCreatedAttr, path_beneath_rules,
};

use crate::parent_folder::parent_folder;

/// The newest kernel interface whose rights are known here. What an older kernel does not know it
/// does not limit.
const NEWEST: ABI = ABI::V5;
/// What is always read.
const ALWAYS_READ: [&str; 2] = ["/proc", "/sys"];

/// The folders of files that a running agent opens, and whom it connects to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Paths {
    read: Vec<PathBuf>,
    written: Vec<PathBuf>,
    peers: Vec<SocketAddr>,
}

impl Paths {
    /// Adds a file or a folder that is read again.
    pub(crate) fn read(&mut self, path: &Path) {
        self.read.extend(folders_of(path));
    }

    /// Adds a file that is written, and may be created again.
    pub(crate) fn write_file(&mut self, path: &Path) {
        self.written.extend(folders_of(path));
    }

    /// Adds a peer that is connected to again.
    pub(crate) fn connect(&mut self, peer: SocketAddr) {
        self.peers.push(peer);
    }

    /// Whom recon may connect to.
    pub(super) fn peers(&self) -> Vec<String> {
        self.peers.iter().map(ToString::to_string).collect()
    }

    /// The folders below which files may be written.
    pub(super) fn written(&self) -> Vec<String> {
        let mut folders: Vec<_> = self
            .written
            .iter()
            .map(|folder| folder.display().to_string())
            .collect();
        folders.sort();
        folders.dedup();
        folders
    }

    /// The rules, ready for a thread to live under.
    ///
    /// # Errors
    /// This kernel has no Landlock, or it is turned off.
    pub(super) fn ruleset(&self) -> io::Result<OwnedFd> {
        if landlock_version().is_none() {
            return Err(io::Error::other(
                "this kernel has none, or its list of security modules (lsm=) leaves it out",
            ));
        }
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let write: BitFlags<AccessFs> = AccessFs::from_all(NEWEST) & !AccessFs::Execute;
        let always = ALWAYS_READ.iter().map(Path::new);
        let read_folders = always.chain(self.read.iter().map(PathBuf::as_path));
        let ports = self.peers.iter();
        let ports = ports.map(|peer| Ok(NetPort::new(peer.port(), AccessNet::ConnectTcp)));
        let created = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(NEWEST))
            .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(NEWEST)))
            .and_then(Ruleset::create)
            .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(read_folders, read)))
            .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(&self.written, write)))
            .and_then(|ruleset| ruleset.add_rules(ports));
        let created = created.map_err(io::Error::other)?;
        let descriptor: Option<OwnedFd> = created.into();
        descriptor.ok_or_else(|| io::ErrorKind::Unsupported.into())
    }
}

/// The folder of a file, as it is named and as links in its name lead to it. A folder is its own.
fn folders_of(path: &Path) -> Vec<PathBuf> {
    let folder_of = |path: PathBuf| match path.is_dir() {
        true => path,
        false => parent_folder(&path).to_owned(),
    };
    let mut folders = vec![folder_of(path.to_owned())];
    if let Ok(resolved) = path.canonicalize() {
        folders.push(folder_of(resolved));
    }
    let mut absolute: Vec<_> = folders
        .into_iter()
        .map(|folder| folder.canonicalize().unwrap_or(folder))
        .collect();
    absolute.dedup();
    absolute
}

/// The version of the kernel's Landlock, if it has it and it is turned on.
pub(crate) fn landlock_version() -> Option<u32> {
    /// `LANDLOCK_CREATE_RULESET_VERSION` of linux/landlock.h.
    const ASK_VERSION: libc::c_uint = 1;
    let nothing = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag the kernel reads no attributes, and only returns a number.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            nothing,
            0_usize,
            ASK_VERSION,
        )
    };
    u32::try_from(version).ok().filter(|&version| version > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_folder_of_a_file_counts_and_where_its_link_leads() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("a folder");
        fs::create_dir(root.join("etc")).expect("a folder");
        fs::create_dir(root.join("data")).expect("a folder");
        fs::write(root.join("data/recon.toml"), "").expect("a file");
        symlink("../data/recon.toml", root.join("etc/recon.toml")).expect("a link");
        for (path, expected) in [
            ("data/recon.toml", &["data"][..]),
            ("data", &["data"]),
            ("data/not yet", &["data"]),
            ("etc/recon.toml", &["etc", "data"]),
        ] {
            let expected: Vec<_> = expected.iter().map(|name| root.join(name)).collect();
            assert_eq!(folders_of(&root.join(path)), expected, "{path}");
        }
        let here = Path::new(".").canonicalize().expect("a folder");
        assert_eq!(folders_of(Path::new("rows.jsonl")), [here]);
    }
}
