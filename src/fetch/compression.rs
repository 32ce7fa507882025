//! What published files are packed in. The end of the name says it, never the content.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::errors::{FrameDecoderError as Unreadable, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// The memory that unpacking may take, in KiB: `xz -9` needs 64 MiB, and a header could ask for 4 GiB.
const XZ_MEMORY: u32 = 256 << 10;
/// The window of `zstd --ultra -22` and `--long`, in bytes; a header could ask for terabytes.
const ZSTD_WINDOW: u64 = 128 << 20;

/// A compressed format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// `.bz2`.
    Bzip2,
    /// `.gz` (RFC 1952).
    Gzip,
    /// `.xz`.
    Xz,
    /// `.zst` (RFC 8878).
    Zstd,
}

impl Compression {
    /// The name of what is in a file, and what it is packed in: `disk.raw` and xz of `disk.raw.xz`.
    pub fn split(name: &str) -> (&str, Option<Self>) {
        let endings = [
            (".bz2", Self::Bzip2),
            (".gz", Self::Gzip),
            (".xz", Self::Xz),
            (".zst", Self::Zstd),
        ];
        let packed = endings
            .into_iter()
            .find_map(|(ending, compression)| Some((name.strip_suffix(ending)?, compression)));
        match packed {
            Some((inner, compression)) if !inner.is_empty() => (inner, Some(compression)),
            _ => (name, None),
        }
    }

    /// The format's own name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bzip2 => "bzip2",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }

    /// What is in `packed`, all parts of it. Checksums inside are compared; what is cut short or follows the end is an error.
    pub fn unpack<'a>(self, packed: impl BufRead + 'a) -> Box<dyn Read + 'a> {
        match self {
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(packed)),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
            Self::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(packed, true, XZ_MEMORY)),
            Self::Zstd => Box::new(Frames::of(packed)),
        }
    }
}

/// The frames of a zstd file, one behind the other: `pzstd` and `zstd --adapt` write many.
struct Frames<R> {
    packed: R,
    frame: FrameDecoder,
    /// Whether the frame is not at its end.
    begun: bool,
}

impl<R: BufRead> Frames<R> {
    fn of(packed: R) -> Self {
        let mut frame = FrameDecoder::new();
        frame.set_max_window_size(ZSTD_WINDOW);
        Self {
            packed,
            frame,
            begun: false,
        }
    }

    /// Begins the next frame, behind what is to be skipped; it stays as it is at the end of the file.
    fn begin(&mut self) -> io::Result<()> {
        while !self.begun && !self.packed.fill_buf()?.is_empty() {
            match self.frame.init(&mut self.packed) {
                Ok(()) => self.begun = true,
                Err(Unreadable::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    skip(&mut self.packed, length.into())?;
                }
                Err(error) => return Err(invalid(error)),
            }
        }
        Ok(())
    }

    /// Ends a frame all of whose content was read.
    fn end(&mut self) -> io::Result<()> {
        self.begun = false;
        match (
            self.frame.get_checksum_from_data(),
            self.frame.get_calculated_checksum(),
        ) {
            (Some(stored), found) if found != Some(stored) => {
                Err(invalid("the checksum of its content is another"))
            }
            _ => Ok(()),
        }
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            self.begin()?;
            if !self.begun {
                return Ok(0);
            }
            while self.frame.can_collect() == 0 && !self.frame.is_finished() {
                self.frame
                    .decode_blocks(&mut self.packed, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(invalid)?;
            }
            match self.frame.read(buffer)? {
                0 => self.end()?,
                count => return Ok(count),
            }
        }
    }
}

fn skip(packed: &mut impl BufRead, length: u64) -> io::Result<()> {
    let skipped = io::copy(&mut packed.take(length), &mut io::sink())?;
    if skipped == length {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests;
