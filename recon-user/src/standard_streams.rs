//! Stdin, stdout and stderr, as this process got them.
//!
//! In: the descriptors 0 to 2. Out: an error if lines written there would be lost or broken.
//! The decisions held here: a closed stdout is an error, since alerts would be written nowhere.
//! Rust's runtime opens /dev/null in place of a closed descriptor, so recon looks before the
//! runtime starts. Two streams into one file are an error if they would overwrite each other.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{FileStat, SFlag, fstat};

/// Stdin, as the name of a file.
pub(crate) const STDIN: &str = "-";
/// How files begin that gzip and zstd have compressed.
pub(crate) const GZIP: &[u8] = b"\x1f\x8b";
pub(crate) const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
/// How files begin that programs have compressed, and what decompresses those.
const COMPRESSED: [(&[u8], &str); 5] = [
    (GZIP, "zcat"),
    (ZSTD, "zstdcat"),
    (b"\xfd7zXZ", "xzcat"),
    (b"BZh", "bzcat"),
    (b"\x04\x22\x4d\x18", "lz4cat"),
];

/// The program that decompresses what begins so, if that is compressed.
pub(crate) fn decompressor(start: &[u8]) -> Option<&'static str> {
    let found = COMPRESSED.iter().find(|(mark, _)| start.starts_with(mark));
    found.map(|&(_, cat)| cat)
}

/// Why lines can't be read from stdin, can't be written to stdout, or can't be read back.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The descriptor 1 is not open.
    #[error(
        "stdout is closed, so nothing could be written there; redirect it to a file or a pipe, or to /dev/null if nobody reads it"
    )]
    Closed,
    /// The descriptor 0 is not open.
    #[error("stdin is closed, so nothing could be read from it; redirect it from a file or a pipe")]
    StdinClosed,
    /// The descriptor 1 is open for reading only.
    #[error(
        "stdout is not open for writing, so nothing could be written there; redirect it to a file or a pipe"
    )]
    ReadOnly,
    /// Stdout can't be examined.
    #[error("can't examine stdout")]
    Examine(#[from] nix::Error),
    /// Stdout and stderr overwrite each other.
    #[error(
        "stdout and stderr go to one file, each at a position of its own, so their lines would overwrite each other; use two files, or 2>&1"
    )]
    Overwritten,
}

/// Whether the descriptor 0 was closed when this process started.
static STDIN_WAS_CLOSED: AtomicBool = AtomicBool::new(false);
/// Whether the descriptor 1 was closed when this process started.
static STDOUT_WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// The C runtime calls what this section lists before it calls `main`, and so before Rust's runtime
/// opens /dev/null.
#[used]
// SAFETY: the section holds pointers to functions of the C calling convention, and the C runtime
// may pass arguments that they do not take.
#[unsafe(link_section = ".init_array")]
static EXAMINE: extern "C" fn() = examine_descriptors;

extern "C" fn examine_descriptors() {
    for (descriptor, was_closed) in [
        (libc::STDIN_FILENO, &STDIN_WAS_CLOSED),
        (libc::STDOUT_FILENO, &STDOUT_WAS_CLOSED),
    ] {
        // SAFETY: two integers.
        let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFD) };
        was_closed.store(flags < 0, Ordering::Relaxed);
    }
}

/// Whether there is something to read from stdin.
///
/// # Errors
/// [`StreamError::StdinClosed`].
pub(crate) fn check_stdin() -> Result<(), StreamError> {
    match STDIN_WAS_CLOSED.load(Ordering::Relaxed) {
        true => Err(StreamError::StdinClosed),
        false => Ok(()),
    }
}

/// Whether lines can be written to stdout, and stay whole.
///
/// # Errors
/// [`StreamError`].
pub fn check_stdout() -> Result<(), StreamError> {
    if STDOUT_WAS_CLOSED.load(Ordering::Relaxed) {
        return Err(StreamError::Closed);
    }
    let stdout = io::stdout();
    if open_flags(stdout.as_fd())? & OFlag::O_ACCMODE == OFlag::O_RDONLY {
        return Err(StreamError::ReadOnly);
    }
    match overwrite_each_other(stdout.as_fd(), io::stderr().as_fd()) {
        true => Err(StreamError::Overwritten),
        false => Ok(()),
    }
}

fn open_flags(file: BorrowedFd<'_>) -> nix::Result<OFlag> {
    fcntl(file, FcntlArg::F_GETFL).map(OFlag::from_bits_retain)
}

/// Whether both lead to the same file, pipe or socket. A device, such as a terminal or /dev/null,
/// may have several writers.
pub(crate) fn is_same_file(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    let (Ok(one), Ok(other)) = (fstat(one), fstat(other)) else {
        return false;
    };
    !is_device(&one) && (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

fn is_device(file: &FileStat) -> bool {
    kind(file) == SFlag::S_IFCHR
}

fn kind(file: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(file.st_mode & SFlag::S_IFMT.bits())
}

/// Whether both write to one file on disk, at positions of their own.
fn overwrite_each_other(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    let is_on_disk = fstat(one).is_ok_and(|file| kind(&file) == SFlag::S_IFREG);
    let appends = |file| open_flags(file).is_ok_and(|flags| flags.contains(OFlag::O_APPEND));
    is_on_disk
        && is_same_file(one, other)
        && !(appends(one) && appends(other))
        && have_own_positions(one, other)
}

/// Whether two descriptors of this process were opened separately. False if the kernel does not
/// say.
fn have_own_positions(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    /// `KCMP_FILE` of the kernel's linux/kcmp.h.
    const KCMP_FILE: libc::c_int = 0;
    let pid = nix::unistd::getpid().as_raw();
    // SAFETY: integers only.
    let order = unsafe {
        libc::syscall(
            libc::SYS_kcmp,
            pid,
            pid,
            KCMP_FILE,
            one.as_raw_fd(),
            other.as_raw_fd(),
        )
    };
    order > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn files_are_compared_by_what_they_lead_to() {
        let named = tempfile::NamedTempFile::new().expect("a file");
        let open = |append: bool| {
            let mut options = File::options();
            options.write(true).append(append);
            options.open(named.path()).expect("it exists")
        };
        let (first, second) = (open(false), open(false));
        let copy = first.try_clone().expect("a descriptor");
        let (third, fourth) = (open(true), open(true));
        let null = File::options()
            .write(true)
            .open("/dev/null")
            .expect("it exists");
        let (_, pipe) = io::pipe().expect("a pipe");
        let pipe_copy = pipe.try_clone().expect("a descriptor");
        let other = tempfile::tempfile().expect("a file");
        // (what, one, other, whether they are the same, whether they overwrite each other)
        for (what, one, other, same, overwrite) in [
            ("opened twice", first.as_fd(), second.as_fd(), true, true),
            ("opened once", first.as_fd(), copy.as_fd(), true, false),
            ("one appends", first.as_fd(), third.as_fd(), true, true),
            ("both append", third.as_fd(), fourth.as_fd(), true, false),
            ("two files", first.as_fd(), other.as_fd(), false, false),
            ("a device", null.as_fd(), null.as_fd(), false, false),
            ("a pipe", pipe.as_fd(), pipe_copy.as_fd(), true, false),
        ] {
            assert_eq!(is_same_file(one, other), same, "{what}");
            assert_eq!(overwrite_each_other(one, other), overwrite, "{what}");
        }
    }
}
