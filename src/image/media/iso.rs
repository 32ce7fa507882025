//! A reader of ISO 9660 volumes: it finds files by their paths, and trusts nothing that the volume says.
//!
//! Names are those of Rock Ridge where the volume has them, else Joliet's, else the plain ones (`LINUX.;1`), and are compared
//! without regard to case. Sections are those of ECMA-119 (ISO 9660), of IEEE P1282 (Rock Ridge) and of P1281 (SUSP, which
//! carries it). There are crates that read more of the format, but those that are kept up read a whole tree at once, into
//! buffers as large as the volume claims.

use std::io::{self, Read, Seek, SeekFrom};

use super::record::{self, Record};

/// The size of a sector and, on every volume that is taken, of a logical block (§6.1.2).
pub const SECTOR: u64 = SECTOR_LEN as u64;
const SECTOR_LEN: usize = 2048;

/// Where the volume descriptors begin (§6.2.1), and how many are looked at.
const DESCRIPTORS: u64 = 16;
const MOST_DESCRIPTORS: u64 = 32;
/// The most of one directory that is read, in octets: some 20,000 names.
const LONGEST_DIRECTORY: u64 = 2 << 20;
/// How deep a path may lead.
const DEEPEST: usize = 8;

/// Why a volume can not be read.
#[derive(Debug, thiserror::Error)]
pub enum IsoError {
    /// There is no ISO 9660 on it.
    #[error("is no ISO 9660 image")]
    NoIso,
    /// It contradicts itself or the length of its file.
    #[error("is damaged or cut short ({0}): get it again and compare its checksum")]
    Damaged(&'static str),
    /// The kernel refused.
    #[error("can not be read: {0}")]
    Io(#[from] io::Error),
}

/// A run of octets of the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where it begins, in octets.
    pub start: u64,
    /// How long it is, in octets.
    pub len: u64,
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is called.
    pub name: String,
    /// Whether it is a directory; if not, it is a plain file.
    pub directory: bool,
    /// Where it is.
    pub extent: Extent,
}

/// Whose names a volume is read by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// Those of ISO 9660 itself.
    Plain,
    /// Rock Ridge's, behind this many octets of each system use field.
    RockRidge {
        /// What SUSP's `SP` entry says (P1281 §5.3).
        skip: usize,
    },
    /// Joliet's.
    Joliet,
}

/// A volume.
#[derive(Debug)]
pub struct Iso<R> {
    source: R,
    /// The length of the file, in octets.
    len: u64,
    label: String,
    root: Extent,
    names: Names,
}

impl<R: Read + Seek> Iso<R> {
    /// Reads the volume's descriptors.
    pub fn open(mut source: R) -> Result<Self, IsoError> {
        let len = source.seek(SeekFrom::End(0))?;
        let mut iso = Self {
            source,
            len,
            label: String::new(),
            root: Extent { start: 0, len: 0 },
            names: Names::Plain,
        };
        let mut joliet = None;
        let mut found = false;
        for number in 0..MOST_DESCRIPTORS {
            let sector = iso.sector((DESCRIPTORS + number) * SECTOR)?;
            let Some(descriptor) = record::descriptor(&sector) else {
                break;
            };
            match descriptor {
                record::Descriptor::Primary { label, root } if !found => {
                    found = true;
                    (iso.label, iso.root) = (label, root);
                }
                record::Descriptor::Joliet { root } => joliet = joliet.or(Some(root)),
                record::Descriptor::End => break,
                record::Descriptor::Primary { .. } | record::Descriptor::Other => {}
            }
        }
        if !found {
            return Err(IsoError::NoIso);
        }
        iso.choose_names(joliet)?;
        Ok(iso)
    }

    /// The volume's label, as `blkid` shows it.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Rock Ridge announces itself in the first record of the root (P1281 §5.3).
    fn choose_names(&mut self, joliet: Option<Extent>) -> Result<(), IsoError> {
        let first = self.sector(self.checked(self.root)?.start)?;
        if let Some(skip) = record::rock_ridge(&first) {
            self.names = Names::RockRidge { skip };
        } else if let Some(root) = joliet {
            (self.names, self.root) = (Names::Joliet, root);
        }
        Ok(())
    }

    /// The file of that path, such as `/install.amd/vmlinuz`; `None` where there is none, or where it is something else.
    pub fn file(&mut self, path: &str) -> Result<Option<Extent>, IsoError> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let entries = self.list(folder)?;
        let found = entries
            .into_iter()
            .find(|entry| !entry.directory && entry.is(name));
        Ok(found.map(|entry| entry.extent))
    }

    /// What is in the directory of that path; nothing where there is none.
    pub fn list(&mut self, path: &str) -> Result<Vec<Entry>, IsoError> {
        let mut at = self.root;
        for name in path.split('/').filter(|name| !name.is_empty()).take(DEEPEST) {
            let entries = self.directory(at)?;
            match entries
                .into_iter()
                .find(|entry| entry.directory && entry.is(name))
            {
                Some(found) => at = found.extent,
                None => return Ok(Vec::new()),
            }
        }
        self.directory(at)
    }

    /// The octets of an extent, to read from.
    pub fn read(&mut self, extent: Extent) -> Result<impl Read + '_, IsoError> {
        let extent = self.checked(extent)?;
        self.source.seek(SeekFrom::Start(extent.start))?;
        Ok((&mut self.source).take(extent.len))
    }

    fn directory(&mut self, extent: Extent) -> Result<Vec<Entry>, IsoError> {
        let extent = self.checked(extent)?;
        if extent.len > LONGEST_DIRECTORY {
            return Err(IsoError::Damaged("a directory is longer than any"));
        }
        let mut entries = Vec::new();
        let mut at = extent.start;
        while at < extent.start + extent.len {
            // A record never goes over the end of a sector (§6.8.1.1).
            let sector = self.sector(at)?;
            for record in Record::all(&sector) {
                entries.extend(record.entry(self.names));
            }
            at += SECTOR;
        }
        Ok(entries)
    }

    fn sector(&mut self, start: u64) -> Result<[u8; SECTOR_LEN], IsoError> {
        let mut sector = [0; SECTOR_LEN];
        if start.saturating_add(SECTOR) > self.len {
            return Err(if start < (DESCRIPTORS + 1) * SECTOR {
                IsoError::NoIso
            } else {
                IsoError::Damaged("it ends before its contents do")
            });
        }
        self.source.seek(SeekFrom::Start(start))?;
        self.source.read_exact(&mut sector)?;
        Ok(sector)
    }

    fn checked(&self, extent: Extent) -> Result<Extent, IsoError> {
        let end = extent.start.checked_add(extent.len);
        if end.is_some_and(|end| end <= self.len) {
            Ok(extent)
        } else {
            Err(IsoError::Damaged("something lies beyond its end"))
        }
    }
}

impl Entry {
    /// Whether it goes by this name.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

#[cfg(test)]
pub(super) mod tests;
