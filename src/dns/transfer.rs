//! A zone as the messages of a transfer (RFC 5936): its start first and last, everything else in between. Pure.

use super::data::Data;
use super::encode::{Name, QUESTION_NAME, Writer};
use super::zone::QueryName;
use super::zone::records::{Entry, Zone, records, start};
use crate::model::{Directory, Network};

/// The most octets of one message. More would save nothing, and less wakes the asker more often.
const MESSAGE: usize = 16 * 1024;

/// A transfer that was asked for, and granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The asker's number for it.
    pub(super) id: u16,
    /// The asker's flags that are repeated: RD and CD.
    pub(super) flags: u16,
    /// The question, as it was asked.
    pub(super) question: Vec<u8>,
    /// The zone that it names.
    pub(super) name: QueryName,
}

impl Transfer {
    /// The messages, all from this directory; none when the zone is not there (any more).
    pub fn messages<'a>(
        &'a self,
        directory: &'a Directory,
        network: &'a Network,
    ) -> impl Iterator<Item = Vec<u8>> + Send + 'a {
        let zone = Zone::named(&self.name, network);
        let entries = zone.map(|zone| {
            let last = Data::Soa(start(directory, network));
            let ttl = network.dns.ttl.as_secs().try_into().unwrap_or_default();
            let last = Entry {
                owner: "@".into(),
                ttl,
                data: last,
            };
            records(directory, network, zone).chain(std::iter::once(last))
        });
        let mut entries = entries.into_iter().flatten().peekable();
        std::iter::from_fn(move || {
            entries.peek()?;
            self.message(&mut entries)
        })
    }

    /// As many records as fit one message.
    fn message<'a>(
        &self,
        entries: &mut std::iter::Peekable<impl Iterator<Item = Entry<'a>>>,
    ) -> Option<Vec<u8>> {
        const RESPONSE_AND_AUTHORITATIVE: u16 = 0x8400;
        let mut bytes = vec![0; MESSAGE];
        let mut writer = Writer::new(&mut bytes);
        writer.u16(self.id);
        writer.u16(RESPONSE_AND_AUTHORITATIVE | self.flags);
        writer.u16s(&[1, 0, 0, 0]);
        writer.bytes(&self.question);
        let mut count = 0;
        while let Some(entry) = entries.peek() {
            let before = writer.end();
            writer.data(owner(&entry.owner), entry.ttl, &entry.data);
            if !writer.fits() {
                writer.rewind(before);
                break;
            }
            count += 1;
            entries.next();
        }
        let answers_at = 6;
        writer.set_u16(answers_at, count);
        let length = writer.finish()?;
        bytes.truncate(length);
        // A record that fits no message at all would keep this up for ever.
        (count > 0).then_some(bytes)
    }
}

/// The zone's name is that of the question.
fn owner(owner: &str) -> Name<'_> {
    match owner {
        "@" => Name::At(QUESTION_NAME),
        labels => Name::Below(labels, QUESTION_NAME),
    }
}

#[cfg(test)]
mod tests;
