//! The parts of a document, as cloud-init takes it apart (`user_data.py`, `handlers/__init__.py`).

use mail_parser::{MessageParser, MimeHeaders as _, PartType};

use super::yaml::{self, Node};
use crate::seed::check::is_mime;
use crate::seed::multipart::GZIP;

/// One part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// What it is, as a MIME type.
    pub(super) kind: String,
    /// Its own way to merge, from its header.
    pub(super) merge_type: String,
    /// The name that orders scripts; given by its number where it has none.
    pub(super) name: String,
    /// What it says.
    pub(super) content: Vec<u8>,
}

/// Beginnings and what they stand for, the longest first.
const BEGINNINGS: [(&str, &str); 9] = [
    ("#cloud-config-archive", ARCHIVE),
    ("#cloud-config-jsonp", "text/cloud-config-jsonp"),
    ("## template: jinja", "text/jinja2"),
    ("#cloud-boothook", "text/cloud-boothook"),
    ("#cloud-config", CLOUD_CONFIG),
    ("#part-handler", "text/part-handler"),
    ("#include-once", INCLUDE_ONCE),
    ("#include", INCLUDE),
    ("#!", SCRIPT),
];
const ARCHIVE: &str = "text/cloud-config-archive";
pub(super) const CLOUD_CONFIG: &str = "text/cloud-config";
pub(super) const SCRIPT: &str = "text/x-shellscript";
pub(super) const INCLUDE: &str = "text/x-include-url";
pub(super) const INCLUDE_ONCE: &str = "text/x-include-once-url";
/// What a document is before anybody has looked.
const UNKNOWN: &str = "text/x-not-multipart";
/// What is compressed.
pub(super) const COMPRESSED: &str = "application/gzip";
const COMPRESSED_KINDS: [&str; 8] = [
    COMPRESSED,
    "application/gzip-compressed",
    "application/gzipped",
    "application/x-compress",
    "application/x-compressed",
    "application/x-gunzip",
    "application/x-gzip",
    "application/x-gzip-compressed",
];

/// Takes a document apart, behind those that were taken apart before it. What is compressed is one part, whatever is in it.
pub(super) fn add_document(parts: &mut Vec<Part>, document: &[u8]) {
    if document.is_empty() {
        return;
    }
    if document.starts_with(&GZIP) {
        add(parts, leaf(COMPRESSED, document));
    } else if is_mime(document) {
        for part in message(document) {
            add(parts, part);
        }
    } else {
        add(parts, leaf(UNKNOWN, document));
    }
}

fn leaf(kind: &str, content: &[u8]) -> Part {
    Part {
        kind: kind.to_owned(),
        merge_type: String::new(),
        name: String::new(),
        content: content.to_owned(),
    }
}

/// The leaves of a message, in their order.
fn message(document: &[u8]) -> Vec<Part> {
    let Some(message) = MessageParser::default().parse(document) else {
        return Vec::new();
    };
    let leaves = message
        .parts
        .iter()
        .filter(|part| !matches!(part.body, PartType::Multipart(_) | PartType::Message(_)));
    leaves
        .map(|part| {
            let kind = part.content_type().map_or_else(
                || "text/plain".to_owned(),
                |kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default()).to_lowercase(),
            );
            // Their case counts (handlers/cloud_config.py).
            let header = |name: &str| {
                let found = part.headers.iter().find(|header| header.name() == name)?;
                Some(found.value().as_text()?.trim().to_owned())
            };
            Part {
                kind,
                merge_type: header("Merge-Type")
                    .or_else(|| header("X-Merge-Type"))
                    .unwrap_or_default(),
                name: part.attachment_name().unwrap_or_default().to_owned(),
                content: part.contents().to_owned(),
            }
        })
        .collect()
}

/// Adds a part under the type that it has when looked at, and the parts of an archive in its place.
fn add(parts: &mut Vec<Part>, mut part: Part) {
    if COMPRESSED_KINDS.contains(&&*part.kind) {
        COMPRESSED.clone_into(&mut part.kind);
    }
    let is_looked_at = ["text/plain", UNKNOWN, SCRIPT].contains(&&*part.kind);
    if let Some(kind) = by_beginning(&part.content).filter(|_| is_looked_at) {
        kind.clone_into(&mut part.kind);
    }
    if part.kind == ARCHIVE {
        for inner in archive(&part.content) {
            attach(parts, inner);
        }
    } else {
        attach(parts, part);
    }
}

fn attach(parts: &mut Vec<Part>, mut part: Part) {
    if part.name.is_empty() {
        part.name = format!("part-{:03}", parts.len() + 1);
    }
    parts.push(part);
}

fn by_beginning(content: &[u8]) -> Option<&'static str> {
    let start = content.trim_ascii_start();
    let begins = |beginning: &str| {
        start
            .get(..beginning.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(beginning.as_bytes()))
    };
    let found = BEGINNINGS.iter().find(|(beginning, _)| begins(beginning));
    found
        .filter(|_| std::str::from_utf8(content).is_ok())
        .map(|(_, kind)| *kind)
}

fn archive(content: &[u8]) -> Vec<Part> {
    let text = String::from_utf8_lossy(content);
    let Ok(Some(Node::List(items))) = yaml::read(&text) else {
        return Vec::new();
    };
    items.iter().filter_map(item).collect()
}

/// A part of an archive; its other keys are its headers.
fn item(item: &Node) -> Option<Part> {
    let text = |key: &str| item.get(key).and_then(Node::text).map(str::to_owned);
    let content = match item {
        Node::Map(_) => text("content").unwrap_or_default(),
        other => other.text()?.to_owned(),
    };
    let kind = text("type").unwrap_or_else(|| {
        by_beginning(content.as_bytes())
            .unwrap_or(CLOUD_CONFIG)
            .to_owned()
    });
    Some(Part {
        kind,
        merge_type: text("Merge-Type")
            .or_else(|| text("X-Merge-Type"))
            .unwrap_or_default(),
        name: text("filename").unwrap_or_default(),
        content: content.into_bytes(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(document: &[u8]) -> Vec<Part> {
        let mut parts = Vec::new();
        add_document(&mut parts, document);
        parts
    }

    fn kinds(document: &[u8]) -> Vec<(String, String)> {
        of(document)
            .into_iter()
            .map(|part| (part.kind, part.name))
            .collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected
            .iter()
            .map(|(kind, name)| ((*kind).to_owned(), (*name).to_owned()))
            .collect()
    }

    #[test]
    fn a_document_is_taken_apart_by_types_and_beginnings() {
        assert_eq!(kinds(b""), []);
        assert_eq!(kinds(b"\n#Cloud-Config\n"), pairs(&[(CLOUD_CONFIG, "part-001")]));
        assert_eq!(kinds(b"hello"), pairs(&[(UNKNOWN, "part-001")]));
        assert_eq!(kinds(&[0x1f, 0x8b, 8]), pairs(&[(COMPRESSED, "part-001")]));
        let archive = b"#cloud-config-archive\n- '#!/bin/sh'\n- a: 1\n- {type: text/x-shellscript, content: x, filename: own}\n- 'b: 1'\n";
        assert_eq!(
            kinds(archive),
            pairs(&[
                (SCRIPT, "part-001"),
                (CLOUD_CONFIG, "part-002"),
                (SCRIPT, "own"),
                (CLOUD_CONFIG, "part-004")
            ])
        );
    }

    #[test]
    fn a_message_within_a_message_is_walked_through() {
        let inner = b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/cloud-config\n\
            Merge-Type: list(append)\n\n#cloud-config\na: [1]\n--x\nContent-Type: text/x-shellscript\n\n## template: jinja\n#!/bin/sh\n--x--\n";
        let message = crate::seed::multipart::joined(&[
            b"#cloud-config-archive\n- '#!/bin/sh'\n",
            inner,
            "#cloud-boothook\nü".as_bytes(),
        ]);
        let parts = of(&message);
        let kinds: Vec<_> = parts.iter().map(|part| part.kind.as_str()).collect();
        assert_eq!(
            kinds,
            [SCRIPT, CLOUD_CONFIG, "text/jinja2", "text/cloud-boothook"]
        );
        assert_eq!(parts[1].merge_type, "list(append)");
        assert_eq!(parts[3].content, "#cloud-boothook\nü".as_bytes());
        assert_eq!(parts[3].name, "part-004");
    }
}
