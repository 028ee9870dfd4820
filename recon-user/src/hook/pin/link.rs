//! A link that is pinned.
//!
//! In: a path. Out: the link's descriptor, which keeps it whoever removes the pin.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::bpf::{self, LinkInfo};

/// A pinned link. Dropping it leaves the pin, and so the link.
#[derive(Debug)]
pub(in crate::hook) struct PinnedLink {
    path: PathBuf,
    link: OwnedFd,
}

impl PinnedLink {
    /// Opens what is pinned there. `None` if it is no link.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let link = bpf::open_pinned(path)?;
        if !is_link(link.as_fd()) {
            return Ok(None);
        }
        Ok(Some(Self {
            path: path.to_owned(),
            link,
        }))
    }

    /// What the kernel says of it.
    pub(super) fn info(&self) -> io::Result<LinkInfo> {
        bpf::link_info(&self.link)
    }

    /// Makes it run another program from the next packet or call on.
    pub(super) fn update(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        bpf::update_link(&self.link, program)
    }

    /// The same link, pinned at another path, too.
    pub(super) fn pin_at(self, path: &Path) -> io::Result<Self> {
        bpf::pin(&self.link, path)?;
        let path = path.to_owned();
        Ok(Self { path, ..self })
    }

    /// The same link under the name that it has got.
    pub(super) fn renamed(self, path: PathBuf) -> Self {
        Self { path, ..self }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A handle that keeps the link.
    pub(super) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.link.try_clone()
    }

    /// Detaches the link and removes the pin, and with it the link: nothing else holds it.
    pub(in crate::hook) fn remove(self) -> io::Result<()> {
        // A tracepoint's can't be detached, nor one that is detached already, or in a sandbox. Then
        // the kernel does so after the last handle is gone.
        let _ = bpf::detach_link(&self.link);
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl AsFd for PinnedLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}

/// Whether the descriptor is one of a link. The kernel answers other questions about maps and
/// programs with the same calls.
fn is_link(descriptor: BorrowedFd<'_>) -> bool {
    let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    // "bpf-link" or "bpf_link", by how it was opened. Without /proc, what recon has named as a link
    // is taken for one.
    fs::read_link(path).map_or(true, |kind| kind.to_string_lossy().contains("link"))
}
