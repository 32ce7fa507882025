//! The parts of an ISO 9660 volume: its descriptors and the records of its directories, taken from octets.

use super::iso::{Entry, Extent, Names, SECTOR};

/// What of a volume descriptor counts here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Descriptor {
    /// The volume itself (ECMA-119 §8.4).
    Primary {
        /// Its label.
        label: String,
        /// Its root directory.
        root: Extent,
    },
    /// The same with names in UCS-2 (Joliet).
    Joliet {
        /// Its root directory.
        root: Extent,
    },
    /// One that is of no use here.
    Other,
    /// There are no more.
    End,
}

/// Reads a volume descriptor; `None` for anything else.
pub(super) fn descriptor(sector: &[u8]) -> Option<Descriptor> {
    if sector.get(1..6)? != b"CD001" {
        return None;
    }
    let root = || Record(sector.get(156..190)?).extent();
    Some(match sector.first()? {
        1 if has_blocks(sector) => Descriptor::Primary {
            label: text(sector.get(40..72)?),
            root: root()?,
        },
        2 if has_blocks(sector) && is_joliet(sector.get(88..120)?) => Descriptor::Joliet { root: root()? },
        255 => Descriptor::End,
        _ => Descriptor::Other,
    })
}

/// Whether logical blocks are as long as sectors (§8.4.12), as every writer has made them for decades.
fn has_blocks(sector: &[u8]) -> bool {
    sector.get(128..130) == Some(&[0, 8])
}

/// Joliet's mark: the escape sequences of UCS-2 (§8.5.6).
fn is_joliet(escapes: &[u8]) -> bool {
    [b"%/@", b"%/C", b"%/E"]
        .iter()
        .any(|level| escapes.starts_with(*level))
}

fn text(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    text.trim_end_matches([' ', '\0']).to_owned()
}

/// A directory record (§9.1).
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a>(&'a [u8]);

/// The file flags (§9.1.6).
const DIRECTORY: u8 = 1 << 1;
const ASSOCIATED: u8 = 1 << 2;
const MULTI_EXTENT: u8 = 1 << 7;
/// What comes before a record's name.
const NAME: usize = 33;

impl<'a> Record<'a> {
    /// The records of one sector of a directory.
    pub(super) fn all(sector: &'a [u8]) -> impl Iterator<Item = Self> {
        let mut rest = sector;
        std::iter::from_fn(move || {
            let len = usize::from(*rest.first()?);
            // Behind the last record of a sector there are zeros.
            let record = rest.get(..len).filter(|_| len > NAME)?;
            rest = rest.get(len..)?;
            Some(Self(record))
        })
    }

    fn u32(self, at: usize) -> Option<u64> {
        let octets: [u8; 4] = self.0.get(at..at + 4)?.try_into().ok()?;
        Some(u64::from(u32::from_le_bytes(octets)))
    }

    /// Where its octets are, behind an extended attribute record (§9.1.2 to §9.1.4).
    fn extent(self) -> Option<Extent> {
        let attributes = u64::from(*self.0.get(1)?);
        Some(Extent {
            start: (self.u32(2)? + attributes) * SECTOR,
            len: self.u32(10)?,
        })
    }

    /// What it names; nothing for the directory itself, the one above it, and what is in several parts or no file at all.
    pub(super) fn entry(self, names: Names) -> Option<Entry> {
        let flags = *self.0.get(25)?;
        let is_interleaved = self.0.get(26..28)? != [0, 0];
        if flags & (ASSOCIATED | MULTI_EXTENT) != 0 || is_interleaved {
            return None;
        }
        let identifier = self.identifier()?;
        if matches!(identifier, [0 | 1]) {
            return None;
        }
        let name = match names {
            Names::Plain => plain(identifier),
            Names::Joliet => ucs2(identifier),
            Names::RockRidge { skip } => {
                let fields = || Fields(self.system_use().get(skip..).unwrap_or_default());
                if fields().any(|field| field.is_link_or_moved()) {
                    return None;
                }
                rock_ridge_name(fields()).unwrap_or_else(|| plain(identifier))
            }
        };
        Some(Entry {
            name,
            directory: flags & DIRECTORY != 0,
            extent: self.extent()?,
        })
    }

    fn identifier(self) -> Option<&'a [u8]> {
        let len = usize::from(*self.0.get(32)?);
        self.0.get(NAME..NAME + len)
    }

    /// What other standards add behind the name, which is padded to an even length (§9.1.12, §9.1.13).
    fn system_use(self) -> &'a [u8] {
        let len = self.identifier().map_or(0, <[u8]>::len);
        let padded = len + usize::from(len.is_multiple_of(2));
        self.0.get(NAME + padded..).unwrap_or_default()
    }
}

/// Whether the first record of a root says that the volume has Rock Ridge, and how much of each system use field is somebody
/// else's.
pub(super) fn rock_ridge(sector: &[u8]) -> Option<usize> {
    let field = Fields(Record::all(sector).next()?.system_use()).next()?;
    match field {
        Field {
            mark: b"SP",
            data: [0xbe, 0xef, skip, ..],
        } => Some(usize::from(*skip)),
        _ => None,
    }
}

/// A system use entry (P1281 §4).
#[derive(Debug, Clone, Copy)]
struct Field<'a> {
    mark: &'a [u8; 2],
    data: &'a [u8],
}

impl Field<'_> {
    /// Whether it makes its record something else than the file or directory that it seems: a symbolic link, or a directory
    /// that was too deep and lies elsewhere (P1282 §4.1.3, §4.1.5).
    fn is_link_or_moved(&self) -> bool {
        matches!(self.mark, b"SL" | b"CL" | b"RE")
    }
}

/// The system use entries of one field.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let mark = self.0.first_chunk()?;
        let len = usize::from(*self.0.get(2)?);
        let data = self.0.get(4..len)?;
        self.0 = self.0.get(len..)?;
        Some(Field { mark, data })
    }
}

/// The name in the `NM` entries (P1282 §4.1.4). One that goes on elsewhere on the volume (`CE`) is longer than any that is looked for.
fn rock_ridge_name<'a>(fields: impl Iterator<Item = Field<'a>>) -> Option<String> {
    let mut name = Vec::new();
    for field in fields.filter(|field| field.mark == b"NM") {
        name.extend_from_slice(field.data.get(1..)?);
    }
    (!name.is_empty()).then(|| String::from_utf8_lossy(&name).into_owned())
}

/// A plain name without its version, and without the dot of an extension that is not there (§7.5).
fn plain(identifier: &[u8]) -> String {
    let name = String::from_utf8_lossy(identifier);
    let name = name.split_once(';').map_or(&*name, |(name, _)| name);
    name.strip_suffix('.').unwrap_or(name).to_owned()
}

/// A name in big-endian UCS-2, without its version.
fn ucs2(identifier: &[u8]) -> String {
    let (units, _odd) = identifier.as_chunks::<2>();
    let units: Vec<_> = units.iter().map(|unit| u16::from_be_bytes(*unit)).collect();
    let name = String::from_utf16_lossy(&units);
    let name = name.split_once(';').map_or(&*name, |(name, _)| name);
    name.to_owned()
}
