//! An initramfs archive: the `newc` format of cpio, as the kernel reads it.
//!
//! In: folders, links and files with their content. Out: the bytes of an archive.
//! The decision held here: recon writes the format itself instead of calling cpio(1), which a new
//! machine lacks and which copies the files' owners from the disk. An entry is a header of
//! hexadecimal numbers (Documentation/driver-api/early-userspace/buffer-format.rst). The archive is
//! not compressed, since an emulated processor reads it faster than it unpacks one.

use std::collections::BTreeSet;

/// Starts every header.
const MAGIC: &str = "070701";
/// Names and contents are padded to a multiple of this.
const ALIGNMENT: usize = 4;
/// The name of the last entry.
const END: &str = "TRAILER!!!";

/// File types of inode(7), with the permissions of all entries.
const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;

/// An archive that grows.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    paths: BTreeSet<String>,
}

impl Archive {
    /// Adds a folder with its parents, unless it exists.
    pub(super) fn folder(&mut self, path: &str) {
        if path.is_empty() || self.has(path) {
            return;
        }
        self.around(path);
        self.entry(path, FOLDER, &[]);
    }

    /// Adds an executable file, and its parent folders.
    pub(super) fn program(&mut self, path: &str, content: &[u8]) {
        self.around(path);
        self.entry(path, PROGRAM, content);
    }

    /// Adds a symbolic link, and its parent folders.
    pub(super) fn link(&mut self, path: &str, target: &str) {
        self.around(path);
        self.entry(path, LINK, target.as_bytes());
    }

    /// Whether the archive has this path.
    pub(super) fn has(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    fn around(&mut self, path: &str) {
        self.folder(path.rsplit_once('/').map_or("", |(folder, _)| folder));
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry(END, 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        self.paths.insert(path.to_owned());
        let links = 1;
        let numbers = [
            self.entries,
            mode,
            0, // user
            0, // group
            links,
            0, // time
            length(content.len()),
            0, // device the archive was made on, and that of a device node
            0,
            0,
            0,
            // Includes the zero byte that ends the name.
            length(path.len() + 1),
            0, // checksum, which this format has none of
        ];
        self.bytes.extend_from_slice(MAGIC.as_bytes());
        for number in numbers {
            self.bytes
                .extend_from_slice(format!("{number:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.fill_up();
        self.bytes.extend_from_slice(content);
        self.fill_up();
    }

    fn fill_up(&mut self) {
        self.bytes
            .resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
    }
}

/// The format has 32 bits for a length; no file here comes near 4 GiB.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_the_bytes_of_the_format() {
        let mut archive = Archive::default();
        archive.program("bin/a", b"hello");
        archive.folder("bin");
        archive.link("sh", "a");
        let bytes = archive.finish();
        let expected = [
            header(1, 0o040_755, 0, 4) + "bin\0\0\0",
            header(2, 0o100_755, 5, 6) + "bin/a\0hello\0\0\0",
            header(3, 0o120_777, 1, 3) + "sh\0\0\0\0a\0\0\0",
            header(4, 0, 0, 11) + "TRAILER!!!\0\0\0\0",
        ];
        assert_eq!(String::from_utf8_lossy(&bytes), expected.concat());

        fn header(entry: u32, mode: u32, content: u32, name: u32) -> String {
            format!(
                "070701{entry:08x}{mode:08x}{0}{0}00000001{0}{content:08x}{0}{0}{0}{0}{name:08x}{0}",
                "00000000"
            )
        }
    }
}
