//! Strings, numbers, lists and packets of SSH (RFC 4251 §5, RFC 4253 §6). Pure.

use super::Problem;

/// The longest packet that every implementation takes (RFC 4253 §6.1).
pub(super) const LONGEST: usize = 35_000;
/// The shortest: padding counts.
const SHORTEST: usize = 12;

/// What is read off, from the front.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next octets.
    pub(super) fn octets(&mut self, count: usize) -> Result<&'a [u8], Problem> {
        let (octets, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(Problem::Malformed("a message ends too early"))?;
        self.0 = rest;
        Ok(octets)
    }

    /// The next octet.
    pub(super) fn octet(&mut self) -> Result<u8, Problem> {
        self.octets(1)
            .map(|octet| octet.first().copied().unwrap_or_default())
    }

    /// The next number.
    pub(super) fn number(&mut self) -> Result<u32, Problem> {
        let octets = self.octets(4)?;
        Ok(octets
            .iter()
            .fold(0, |number, octet| number << 8 | u32::from(*octet)))
    }

    /// The next string.
    pub(super) fn string(&mut self) -> Result<&'a [u8], Problem> {
        let length = self.number()?;
        self.octets(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// The next list of names.
    pub(super) fn names(&mut self) -> Result<Vec<&'a str>, Problem> {
        let text =
            std::str::from_utf8(self.string()?).map_err(|_| Problem::Malformed("a name is no text"))?;
        Ok(text.split(',').collect())
    }
}

/// Puts a string down.
pub(super) fn put_string(out: &mut Vec<u8>, octets: &[u8]) {
    out.extend(u32::try_from(octets.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(octets);
}

/// Puts a number of any length down that is not negative: without leading zeros, but for one where the first bit is set.
pub(super) fn put_mpint(out: &mut Vec<u8>, octets: &[u8]) {
    let start = octets
        .iter()
        .position(|octet| *octet != 0)
        .unwrap_or(octets.len());
    let octets = octets.get(start..).unwrap_or_default();
    if octets.first().is_some_and(|first| first & 0x80 != 0) {
        put_string(out, &[&[0], octets].concat());
    } else {
        put_string(out, octets);
    }
}

/// A packet before keys are in use: its length is a multiple of eight, and it has at least four octets of padding.
pub(super) fn packet(payload: &[u8]) -> Vec<u8> {
    let padding = 8 - (payload.len() + 5) % 8;
    let padding = if padding < 4 { padding + 8 } else { padding };
    let length = u32::try_from(payload.len() + padding + 1).unwrap_or(u32::MAX);
    let mut out = length.to_be_bytes().to_vec();
    out.push(u8::try_from(padding).unwrap_or_default());
    out.extend(payload);
    out.resize(out.len() + padding, 0);
    out
}

/// How many octets follow the four that tell it.
pub(super) fn length_of_packet(start: [u8; 4]) -> Result<usize, Problem> {
    let length = usize::try_from(u32::from_be_bytes(start)).unwrap_or(usize::MAX);
    if (SHORTEST..=LONGEST).contains(&length) {
        Ok(length)
    } else {
        Err(Problem::Malformed("a packet has a length that none has"))
    }
}

/// The payload of what follows the length.
pub(super) fn payload(packet: &[u8]) -> Result<&[u8], Problem> {
    let (padding, rest) = packet
        .split_first()
        .ok_or(Problem::Malformed("an empty packet"))?;
    let end = rest.len().checked_sub(usize::from(*padding));
    let payload = end.and_then(|end| rest.get(..end));
    payload.ok_or(Problem::Malformed("more padding than packet"))
}

/// A server's words, as they may be shown.
pub(super) fn shown(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    text.trim_end()
        .chars()
        .take(80)
        .flat_map(char::escape_debug)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_written_as_the_examples_of_rfc_4251() {
        let written = |octets: &[u8]| {
            let mut out = Vec::new();
            put_mpint(&mut out, octets);
            out
        };
        assert_eq!(written(&[0]), [0, 0, 0, 0]);
        assert_eq!(
            written(&[0x09, 0xa3, 0x78, 0xf9, 0xb2, 0xe3, 0x32, 0xa7]),
            [0, 0, 0, 8, 0x09, 0xa3, 0x78, 0xf9, 0xb2, 0xe3, 0x32, 0xa7]
        );
        assert_eq!(written(&[0, 0x80]), [0, 0, 0, 2, 0, 0x80]);
    }

    proptest! {
        #[test]
        fn a_packet_is_read_as_it_was_written(sent in proptest::collection::vec(any::<u8>(), 0..300)) {
            let packet = packet(&sent);
            let (start, rest) = packet.split_first_chunk::<4>().unwrap();
            prop_assert_eq!(packet.len() % 8, 0);
            prop_assert!(packet.len() >= 16 && rest[0] >= 4);
            prop_assert_eq!(length_of_packet(*start).unwrap(), rest.len());
            prop_assert_eq!(payload(rest).unwrap(), sent);
        }

        #[test]
        fn any_octets_are_read_or_refused(octets in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut reader = Reader(&octets);
            while reader.names().is_ok() && !reader.0.is_empty() {}
            drop(payload(&octets));
            prop_assert!(shown(&octets).chars().all(|c| !c.is_control()));
        }
    }
}
