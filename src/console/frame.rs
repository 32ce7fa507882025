//! What viewers and brokers tell each other: frames of a kind, a length and that many octets.
//!
//! ```text
//!   kind (1 octet) | length (2, big-endian) | payload
//! ```
//!
//! A VM keeps the broker that it was started with, over any upgrade of the program. So each side says the highest version
//! it knows, does nothing that is newer than the other's, and passes over kinds it does not know and what follows the
//! fields of a payload that it does.

/// The version of what is described here.
pub const VERSION: u8 = 1;
/// The most octets of a payload.
pub const LONGEST: usize = u16::MAX as usize;
const HEADER: usize = 3;

const READ_ONLY: u8 = 1;
const WITHOUT_PAST: u8 = 2;

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

impl Size {
    fn octets(size: Option<Self>) -> [u8; 4] {
        let ([a, b], [c, d]) = size.map_or(([0; 2], [0; 2]), |size| {
            (size.rows.to_be_bytes(), size.columns.to_be_bytes())
        });
        [a, b, c, d]
    }

    /// No size has a zero in it: that is a viewer without a terminal.
    fn of([a, b, c, d]: [u8; 4]) -> Option<Self> {
        let (rows, columns) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        (rows > 0 && columns > 0).then_some(Self { rows, columns })
    }
}

/// How a viewer wants to look on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attach {
    /// The highest version it knows.
    pub version: u8,
    /// Nothing that it types is to reach the guest.
    pub read_only: bool,
    /// It wants what the guest said before.
    pub past: bool,
    /// Its terminal, where it has one.
    pub size: Option<Size>,
}

/// What a viewer tells its broker. The first is an [`Attach`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromViewer {
    /// It is there.
    Attach(Attach),
    /// Octets for the guest.
    Keys(Vec<u8>),
    /// Its terminal has another size now.
    Resized(Size),
}

impl FromViewer {
    /// Appends it to what is sent.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Attach(attach) => {
                let read_only = if attach.read_only { READ_ONLY } else { 0 };
                let past = if attach.past { 0 } else { WITHOUT_PAST };
                let [a, b, c, d] = Size::octets(attach.size);
                put(0, &[attach.version, read_only | past, a, b, c, d], out);
            }
            Self::Keys(bytes) => put(1, bytes, out),
            Self::Resized(size) => put(2, &Size::octets(Some(*size)), out),
        }
    }

    /// What a frame says; `None` for what is passed over.
    pub fn decode(frame: &Frame) -> Option<Self> {
        match frame.kind {
            0 => {
                let [version, flags, size @ ..] = *frame.payload.first_chunk::<6>()?;
                Some(Self::Attach(Attach {
                    version,
                    read_only: flags & READ_ONLY != 0,
                    past: flags & WITHOUT_PAST == 0,
                    size: Size::of(size),
                }))
            }
            1 => Some(Self::Keys(frame.payload.clone())),
            2 => Size::of(*frame.payload.first_chunk()?).map(Self::Resized),
            _ => None,
        }
    }
}

/// How a viewer is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Welcome {
    /// The highest version the broker knows.
    pub version: u8,
    /// How many others look on.
    pub others: u16,
    /// The terminal the guest was last used on, where that is known.
    pub size: Option<Size>,
}

/// Why a broker has nothing more to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The VM's QEMU ended.
    Vm,
    /// It has as many viewers as it takes.
    Full,
}

/// What a broker tells a viewer. The first is a [`Welcome`], or an [`End`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToViewer {
    /// It is let in.
    Welcome(Welcome),
    /// What the guest said before.
    Past(Vec<u8>),
    /// What the guest says.
    Output(Vec<u8>),
    /// So many octets of it are left out, because the viewer was too slow for them.
    Skipped(u64),
    /// The guest is now used on a terminal of this size.
    Resized(Size),
    /// Nothing follows.
    End(End),
}

impl ToViewer {
    /// Appends it to what is sent.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Welcome(welcome) => {
                let [a, b, c, d] = Size::octets(welcome.size);
                let [high, low] = welcome.others.to_be_bytes();
                put(0, &[welcome.version, high, low, a, b, c, d], out);
            }
            Self::Past(bytes) => put(1, bytes, out),
            Self::Output(bytes) => put(2, bytes, out),
            Self::Skipped(count) => put(3, &count.to_be_bytes(), out),
            Self::Resized(size) => put(4, &Size::octets(Some(*size)), out),
            Self::End(End::Vm) => put(5, &[0], out),
            Self::End(End::Full) => put(5, &[1], out),
        }
    }

    /// What a frame says; `None` for what is passed over.
    pub fn decode(frame: &Frame) -> Option<Self> {
        match frame.kind {
            0 => {
                let [version, high, low, size @ ..] = *frame.payload.first_chunk::<7>()?;
                Some(Self::Welcome(Welcome {
                    version,
                    others: u16::from_be_bytes([high, low]),
                    size: Size::of(size),
                }))
            }
            1 => Some(Self::Past(frame.payload.clone())),
            2 => Some(Self::Output(frame.payload.clone())),
            3 => Some(Self::Skipped(u64::from_be_bytes(*frame.payload.first_chunk()?))),
            4 => Size::of(*frame.payload.first_chunk()?).map(Self::Resized),
            5 => Some(Self::End(match frame.payload.first()? {
                1 => End::Full,
                _ => End::Vm,
            })),
            _ => None,
        }
    }
}

/// One frame, whatever it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is about.
    pub kind: u8,
    /// What it says about it.
    pub payload: Vec<u8>,
}

/// Appends a frame; more than one where the octets do not fit into one.
fn put(kind: u8, payload: &[u8], out: &mut Vec<u8>) {
    for part in payload.chunks(LONGEST) {
        // `chunks` lets no part be longer.
        let [high, low] = u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes();
        out.extend([kind, high, low]);
        out.extend(part);
    }
}

/// Takes frames out of octets that come in parts of any size.
#[derive(Debug, Default)]
pub struct Decoder {
    waiting: Vec<u8>,
}

impl Decoder {
    /// Adds what came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend(bytes);
    }

    /// Takes the next frame out, when all of it has come.
    pub fn take(&mut self) -> Option<Frame> {
        let [kind, high, low] = *self.waiting.first_chunk::<HEADER>()?;
        let end = HEADER + usize::from(u16::from_be_bytes([high, low]));
        let payload = self.waiting.get(HEADER..end)?.to_vec();
        self.waiting.drain(..end);
        Some(Frame { kind, payload })
    }
}

#[cfg(test)]
mod tests;
