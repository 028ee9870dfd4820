//! Files and stdin, decompressed.
//!
//! In: a path. Out: the bytes of a capture, and how far the file has been read.
//! The decision held here: the first bytes say how a file is compressed, not its name. What ends in
//! the middle of a compressed stream is a file that was cut, not one that is corrupt.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;

use super::CaptureError;
use super::zstd::ZstdFrames;
use crate::diagnostic::visible;
use crate::standard_streams::{GZIP, STDIN, ZSTD, check_stdin, decompressor};

/// How much of a file is read at once.
const CHUNK: usize = 64 << 10;

/// The second to fourth byte of a Zstandard frame to be skipped, whose first is 0x50 to 0x5f.
const ZSTD_SKIPPED: &[u8] = b"\x2a\x4d\x18";

/// How far a file has been read.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadProgress {
    read: Rc<Cell<u64>>,
    has_ended: Rc<Cell<bool>>,
}

impl ReadProgress {
    /// Bytes of the file that have been read.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.read.get()
    }

    /// Whether all of it has been read.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.get()
    }
}

/// The bytes of a capture.
pub(crate) struct Input {
    /// The file, as messages show it.
    pub(crate) name: String,
    /// Its bytes, decompressed.
    pub(super) bytes: Box<dyn Read>,
    /// How far it has been read.
    pub(crate) source: ReadProgress,
    /// The length of the file, if it is one on disk.
    pub(crate) length: Option<u64>,
    /// Whether the bytes were compressed.
    pub(super) is_compressed: bool,
}

impl Input {
    /// Opens a file, or stdin for `-`.
    ///
    /// # Errors
    /// It can't be opened, or is compressed by a format that recon does not read.
    pub(crate) fn open(path: &Path) -> Result<Self, CaptureError> {
        if path == Path::new(STDIN) {
            let name = "stdin".to_owned();
            check_stdin().map_err(|error| CaptureError::Open {
                name: name.clone(),
                source: io::Error::other(error),
            })?;
            return Self::of(name, io::stdin(), None).map_err(|error| match error {
                CaptureError::Compressed { cat, .. } => CaptureError::CompressedStdin { cat },
                error => error,
            });
        }
        let name = visible(path.as_os_str().as_bytes());
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
        match opened {
            Ok((metadata, file)) => {
                let length = metadata.is_file().then_some(metadata.len());
                Self::of(name, file, length)
            }
            Err(source) => Err(CaptureError::Open { name, source }),
        }
    }

    /// Decompresses a stream by its first bytes.
    ///
    /// # Errors
    /// As [`Input::open`].
    pub(crate) fn of(
        name: String,
        reader: impl Read + 'static,
        length: Option<u64>,
    ) -> Result<Self, CaptureError> {
        let source = ReadProgress::default();
        let watched = CountingReader {
            reader,
            source: source.clone(),
        };
        let mut file = BufReader::with_capacity(CHUNK, watched);
        let start = match file.fill_buf() {
            Ok(start) => start,
            Err(source) => return Err(CaptureError::Open { name, source }),
        };
        let is_gzip = start.starts_with(GZIP);
        let is_zstd = start.starts_with(ZSTD) || start.get(1..4) == Some(ZSTD_SKIPPED);
        let (bytes, is_compressed): (Box<dyn Read>, bool) = if is_gzip {
            (Box::new(MultiGzDecoder::new(file)), true)
        } else if is_zstd {
            (Box::new(ZstdFrames::new(file)), true)
        } else if let Some(cat) = decompressor(start) {
            return Err(CaptureError::Compressed { name, cat });
        } else {
            (Box::new(file), false)
        };
        Ok(Self {
            name,
            bytes,
            source,
            length,
            is_compressed,
        })
    }
}

impl Input {
    /// The first bytes, up to that many, which are read again.
    ///
    /// # Errors
    /// They can't be read.
    pub(crate) fn peek(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let mut start = Vec::new();
        let read = self.bytes.by_ref().take(length).read_to_end(&mut start);
        // What breaks off later than at its first byte is for whoever reads on.
        if start.is_empty() {
            read?;
        }
        let rest = std::mem::replace(&mut self.bytes, Box::new(io::empty()));
        self.bytes = Box::new(Cursor::new(start.clone()).chain(rest));
        Ok(start)
    }

    /// Drops what is between the first bytes, up to that many, and the next line break.
    ///
    /// # Errors
    /// It can't be read.
    pub(crate) fn cut_line(&mut self, kept: u64) -> io::Result<()> {
        let start = self.peek(kept)?;
        let rest = std::mem::replace(&mut self.bytes, Box::new(io::empty()));
        let mut rest = BufReader::with_capacity(CHUNK, rest);
        io::copy(&mut rest.by_ref().take(start.len() as u64), &mut io::sink())?;
        rest.skip_until(b'\n')?;
        let start = Cursor::new(start).chain(&b"\n"[..]);
        self.bytes = Box::new(start.chain(rest));
        Ok(())
    }

    /// Its bytes, as lines are read.
    pub(crate) fn into_reader(self) -> Box<dyn BufRead> {
        Box::new(BufReader::with_capacity(CHUNK, self.bytes))
    }
}

/// A reader that takes note of how much has been read.
struct CountingReader<R> {
    reader: R,
    source: ReadProgress,
}

impl<R: Read> Read for CountingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        let ReadProgress {
            read: sum,
            has_ended,
        } = &self.source;
        sum.set(sum.get() + read as u64);
        has_ended.set(read == 0 && !buffer.is_empty());
        Ok(read)
    }
}
