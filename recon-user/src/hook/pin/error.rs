//! Why pins can't be used.
//!
//! In: what bpffs or the kernel says of a folder. Out: a line with the folder, and what to type.

use std::io;
use std::path::Path;

use thiserror::Error;

/// Why pins can't be used. Nothing has changed then, and what was attached goes on.
#[derive(Debug, Error)]
pub enum PinError {
    /// The folder is on another file system.
    #[error(
        "--pins {folder}: it is not on a bpffs, where the kernel keeps programs; if none is mounted, type: mount -t bpf -o mode=0700 bpf /sys/fs/bpf (systemd does so at boot), and take --pins /sys/fs/bpf/recon"
    )]
    NotBpffs {
        /// The folder.
        folder: String,
    },
    /// A file is in its place.
    #[error("--pins {folder}: it is not a folder; take another name")]
    NotAFolder {
        /// The folder.
        folder: String,
    },
    /// Its permissions are too wide.
    #[error(
        "--pins {folder}: others than its owner may enter it, and the pinned maps hold recon's secrets; take a folder of recon's own, such as /sys/fs/bpf/recon, or type: chmod 700 {folder}"
    )]
    OpenToOthers {
        /// The folder.
        folder: String,
    },
    /// Somebody else may change what is in it.
    #[error(
        "--pins {folder}: it belongs to user {owner}, who could put maps of their own there; remove it, and mount its bpffs so that only root creates folders: mount -t bpf -o mode=0700 bpf /sys/fs/bpf"
    )]
    OfStranger {
        /// The folder.
        folder: String,
        /// Whose it is.
        owner: u32,
    },
    /// Another agent holds the lock.
    #[error(
        "--pins {folder}: another recon uses it, and goes on; end that one first, or take another folder"
    )]
    Taken {
        /// The folder.
        folder: String,
    },
    /// A folder can't be created.
    #[error(
        "--pins: can't create {folder}; create it as root with mode 0700, owned by recon's user"
    )]
    Create {
        /// The folder.
        folder: String,
        /// What the system says.
        source: io::Error,
    },
    /// Something can't be read or changed.
    #[error("--pins: {place}")]
    Access {
        /// The file or folder.
        place: String,
        /// What the system says.
        source: io::Error,
    },
    /// The kernel object of this binary can't be read.
    #[error("the kernel object in this binary does not parse; install recon again or rebuild it")]
    Object {
        /// What is wrong with it.
        source: aya_obj::ParseError,
    },
}

impl PinError {
    pub(super) fn create(path: &Path, source: io::Error) -> Self {
        let folder = path.display().to_string();
        Self::Create { folder, source }
    }

    pub(super) fn read(path: &Path, source: io::Error) -> Self {
        let place = path.display().to_string();
        Self::Access { place, source }
    }
}
