//! Files of networks, as `allow_files` and `deny_files` name them.
//!
//! In: paths. Out: a [`NetworkSet`] for each, or all errors in them.
//! The decisions held here: a file is read line by line, so that its size is bounded by its
//! networks and not by a limit. A byte order mark before the first line is skipped. A file that
//! several rules name is read once. An error refuses the whole file: half a list is no list.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Refused, Settings};
use crate::address::{Network, NetworkSet};
use crate::diagnostic::{BYTE_ORDER_MARK, visible};

/// Begins a comment.
const COMMENT: u8 = b'#';
/// The longest line, in bytes.
const MAX_LINE: u64 = 1024;
/// Errors shown of one file.
const MAX_ERRORS: usize = 20;
/// Bytes that are read at once.
const BUFFER: usize = 1 << 16;

/// The networks of files, by path.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Lists(BTreeMap<PathBuf, Arc<NetworkSet>>);

impl Lists {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// All errors in all files.
    pub(super) fn read(settings: &Settings) -> Result<Self, Refused> {
        let mut lists = BTreeMap::new();
        let mut errors = String::new();
        for path in settings.list_files() {
            if lists.contains_key(path) {
                continue;
            }
            match read_file(path) {
                Ok(set) => drop(lists.insert(path.clone(), Arc::new(set))),
                Err(Refused(message)) => errors.push_str(&message),
            }
        }
        match errors.is_empty() {
            true => Ok(Self(lists)),
            false => Err(Refused(errors)),
        }
    }

    /// The networks of these files.
    pub(super) fn of<'a>(
        &'a self,
        paths: &'a [PathBuf],
    ) -> impl Iterator<Item = (&'a PathBuf, &'a Arc<NetworkSet>)> {
        paths.iter().filter_map(|path| self.0.get_key_value(path))
    }

    /// What differs from the files of `before` that have the same path: a line for each.
    pub(super) fn changes(&self, before: &Self) -> Vec<String> {
        let both = self.0.iter().filter_map(|(path, new)| {
            let old = before.0.get(path)?;
            (old != new).then(|| {
                let name = visible(path.as_os_str().as_bytes());
                let (old, new) = (old.networks(), new.networks());
                format!("{name}: {old} -> {new} networks")
            })
        });
        both.collect()
    }
}

impl Settings {
    /// The files that lists of remotes are in.
    pub(crate) fn list_files(&self) -> impl Iterator<Item = &PathBuf> {
        let of_rules = self.rules.values().flat_map(|rule| {
            let lists = [&rule.value.allow_files, &rule.value.deny_files];
            lists.into_iter().flatten().flatten()
        });
        self.allow_files
            .iter()
            .chain(&self.deny_files)
            .chain(of_rules)
    }
}

fn read_file(path: &Path) -> Result<NetworkSet, Refused> {
    let unreadable = |error| Refused::unreadable(path, &error);
    let mut options = File::options();
    // To open a named pipe would wait for its writer.
    let options = options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = options.open(path).map_err(unreadable)?;
    let kind = file.metadata().map_err(unreadable)?;
    if kind.is_dir() {
        return Err(unreadable(io::ErrorKind::IsADirectory.into()));
    }
    if !kind.is_file() {
        let message = "this is not a regular file, and a reload could not read it again";
        return Err(unreadable(io::Error::other(message)));
    }
    let mut reader = NetworkReader {
        lines: BufReader::with_capacity(BUFFER, file),
        line: Vec::new(),
        number: 0,
        errors: Vec::new(),
    };
    let mut failed = None;
    let set = std::iter::from_fn(|| {
        reader.next_network().unwrap_or_else(|error| {
            failed = Some(error);
            None
        })
    })
    .collect();
    if let Some(error) = failed {
        return Err(unreadable(error));
    }
    if reader.errors.is_empty() {
        return Ok(set);
    }
    let name = visible(path.as_os_str().as_bytes());
    let errors = reader.errors.iter();
    let mut lines: String = errors.map(|error| format!("{name}:{error}\n")).collect();
    if reader.errors.len() == MAX_ERRORS {
        lines += &format!("{name}: no more than {MAX_ERRORS} messages are shown\n");
    }
    Err(Refused(lines))
}

/// Reads networks, one a line.
struct NetworkReader<R> {
    lines: R,
    line: Vec<u8>,
    /// The number of the last line.
    number: u64,
    /// `LINE:COLUMN: error: MESSAGE`
    errors: Vec<String>,
}

impl<R: BufRead> NetworkReader<R> {
    /// The next network. None at the end, or after too many errors.
    fn next_network(&mut self) -> io::Result<Option<Network>> {
        while self.errors.len() < MAX_ERRORS {
            self.line.clear();
            let mut line = (&mut self.lines).take(MAX_LINE + 1);
            if line.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            if self.line.len() as u64 > MAX_LINE {
                self.error(0, &format!("a line has at most {MAX_LINE} bytes"));
                // The rest of the line would be another one.
                return Ok(None);
            }
            let line = match self.line.strip_prefix(BYTE_ORDER_MARK) {
                Some(rest) if self.number == 1 => rest,
                _ => &self.line,
            };
            let mut parts = line.split(|&byte| byte == COMMENT);
            let before_comment = parts.next().unwrap_or_default();
            let text = before_comment.trim_ascii();
            if text.is_empty() {
                continue;
            }
            let Ok(text) = std::str::from_utf8(text) else {
                self.error(0, "this is not UTF-8");
                continue;
            };
            match text.parse() {
                Ok(network) => return Ok(Some(network)),
                Err(error) => {
                    let column = before_comment.len() - before_comment.trim_ascii_start().len();
                    let error: String = error;
                    self.error(column, &visible(error.as_bytes()));
                }
            }
        }
        Ok(None)
    }

    fn error(&mut self, column: usize, message: &str) {
        let (line, column) = (self.number, column + 1);
        self.errors
            .push(format!("{line}:{column}: error: {message}"));
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::fs;
    use std::net::{IpAddr, Ipv4Addr};

    use nix::sys::stat::Mode;

    use super::*;

    #[test]
    fn files_are_read_line_by_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("list");
        let long = format!("192.0.2.1\n#{}\n192.0.2.2\n", "x".repeat(2000));
        let many = "x\n".repeat(MAX_ERRORS + 5);
        for (text, expected) in [
            ("", Ok(0)),
            ("# ours\n\n \t\n", Ok(0)),
            (
                "192.0.2.1\n198.51.100.0/24 # office\r\n2001:db8::/32",
                Ok(3),
            ),
            ("  192.0.2.1\t\n", Ok(1)),
            ("\u{feff}192.0.2.1\r\n192.0.2.2\r\n", Ok(2)),
            ("\u{feff}# ours", Ok(0)),
            (
                "192.0.2.1\n  192.0.2.300\n# x\n192.0.2.1/24\n192.0.2.2 192.0.2.3",
                Err(&[
                    "list:2:3: error: `192.0.2.300` is not a network: use an address and a prefix length",
                    "list:4:1: error: `192.0.2.1/24` has bits set after its prefix: use 192.0.2.0/24",
                    "list:5:1: error: `192.0.2.2 192.0.2.3` is not a network",
                ][..]),
            ),
            ("192.0.2.1\n\u{feff}192.0.2.2", Err(&["list:2:1: error:"])),
            (
                "\x1b[2J",
                Err(&["list:1:1: error: `\\u{1b}[2J` is not a network"]),
            ),
            (
                &long,
                Err(&["list:2:1: error: a line has at most 1024 bytes"]),
            ),
            (
                &many,
                Err(&["list:20:1: error", "list: no more than 20 messages"]),
            ),
        ] {
            fs::write(&path, text).expect("a file");
            match (read_file(&path), expected) {
                (Ok(set), Ok(networks)) => assert_eq!(set.networks(), networks, "{text}"),
                (Err(Refused(message)), Err(lines)) => {
                    for line in lines {
                        assert!(message.contains(line), "no {line:?} in {message}");
                    }
                }
                (read, _) => panic!("{text}: {read:?}"),
            }
        }
        fs::write(&path, b"192.0.2.1\n\xff\xfe\n").expect("a file");
        let Refused(message) = read_file(&path).expect_err("no UTF-8");
        assert!(
            message.contains("list:2:1: error: this is not UTF-8"),
            "{message}"
        );
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).expect("a pipe");
        for (path, expected) in [
            (pipe, "this is not a regular file"),
            (PathBuf::from("/dev/zero"), "this is not a regular file"),
            (folder.path().join("missing"), "No such file or directory"),
            (folder.path().to_owned(), "is a directory"),
        ] {
            let Refused(message) = read_file(&path).expect_err("no file");
            assert!(message.contains(expected), "{message}");
        }
    }

    /// Loading or searching it address by address would take days.
    #[test]
    fn a_list_may_have_a_million_addresses() {
        const ADDRESSES: u32 = 1_000_000;
        /// Spreads the numbers over all addresses: an odd factor maps no two to one.
        const SPREAD: u32 = 2_654_435_761;
        let address = |number: u32| Ipv4Addr::from_bits(number.wrapping_mul(SPREAD));
        let mut text = String::new();
        for number in 0..ADDRESSES {
            writeln!(text, "{}", address(number)).expect("memory");
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("list");
        fs::write(&path, &text).expect("a file");
        let set = read_file(&path).expect("a list");
        assert_eq!(set.networks(), ADDRESSES as usize);
        let found = (0..2 * ADDRESSES).filter(|&number| set.contains(IpAddr::V4(address(number))));
        assert_eq!(found.count(), ADDRESSES as usize);
    }
}
