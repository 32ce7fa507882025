//! The parts of a document, as cloud-init tells what they are and takes it apart (`user_data.py`, `handlers/__init__.py`): a script and
//! a cloud-config are one themselves, an archive and a MIME message hold several.

use std::rc::Rc;

use mail_parser::{Encoding, MessageParser, MessagePart, MimeHeaders as _, PartType};

use super::yaml::{self, Node, Value};

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
    /// Where its lines are.
    pub(super) lines: Lines,
}

/// Where the lines of a part are in its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lines {
    /// The part's first line is the one after so many.
    After(usize),
    /// The part is encoded, or written in another way: its lines are its own.
    Own(String),
}

impl Lines {
    /// The place of a line of the part.
    pub(super) fn place(&self, line: usize) -> String {
        match self {
            Self::After(before) => format!("line {}", before.saturating_add(line)),
            Self::Own(part) => format!("{part}, line {line}"),
        }
    }
}

/// Beginnings and what they stand for, the longest first. cloud-init 20.4 is the last that knows Upstart's.
const BEGINNINGS: [(&str, &str); 10] = [
    ("#cloud-config-archive", ARCHIVE),
    ("#cloud-config-jsonp", JSON_PATCH),
    ("## template: jinja", JINJA),
    ("#cloud-boothook", BOOTHOOK),
    (CLOUD_CONFIG_LINE, CLOUD_CONFIG),
    ("#part-handler", PART_HANDLER),
    ("#include-once", INCLUDE_ONCE),
    ("#upstart-job", "text/upstart-job"),
    ("#include", INCLUDE),
    ("#!", SCRIPT),
];
/// The first line of a cloud-config.
pub(super) const CLOUD_CONFIG_LINE: &str = "#cloud-config";
pub(super) const ARCHIVE: &str = "text/cloud-config-archive";
pub(super) const BOOTHOOK: &str = "text/cloud-boothook";
pub(super) const CLOUD_CONFIG: &str = "text/cloud-config";
pub(super) const JINJA: &str = "text/jinja2";
pub(super) const JSON_PATCH: &str = "text/cloud-config-jsonp";
pub(super) const PART_HANDLER: &str = "text/part-handler";
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

/// How a compressed document begins (RFC 1952 section 2.3.1).
pub(super) const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Whether cloud-init takes it for MIME: its first 4,096 bytes name the MIME version.
pub(super) fn is_mime(document: &[u8]) -> bool {
    const FIELD: &[u8] = b"mime-version:";
    document
        .get(..4_096)
        .unwrap_or(document)
        .windows(FIELD.len())
        .any(|window| window.eq_ignore_ascii_case(FIELD))
}

/// What cloud-init takes a document for by its first characters, in any case (guest-contract §2.1), as a MIME type.
pub(super) fn kind_by_beginning(content: &[u8]) -> Option<&'static str> {
    let found = BEGINNINGS
        .iter()
        .find(|(beginning, _)| begins_with(content, beginning));
    found.map(|(_, kind)| *kind)
}

/// Whether the first text in it is this, in any case.
pub(super) fn begins_with(content: &[u8], beginning: &str) -> bool {
    content
        .trim_ascii_start()
        .get(..beginning.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(beginning.as_bytes()))
}

/// All parts of a document.
pub(super) fn of(document: &[u8]) -> Vec<Part> {
    let mut parts = Vec::new();
    add_document(&mut parts, document);
    parts
}

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
        lines: Lines::After(0),
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
        .enumerate()
        .map(|(index, part)| leaf_of(part, index, document))
        .collect()
}

fn leaf_of(part: &MessagePart<'_>, index: usize, document: &[u8]) -> Part {
    let kind = part.content_type().map_or_else(
        || "text/plain".to_owned(),
        |kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default()).to_lowercase(),
    );
    // Their case counts (handlers/cloud_config.py).
    let header = |name: &str| {
        let found = part.headers.iter().find(|header| header.name() == name)?;
        Some(found.value().as_text()?.trim().to_owned())
    };
    let start = usize::try_from(part.offset_body).unwrap_or(usize::MAX);
    let lines = match part.encoding {
        Encoding::None => Lines::After(count_lines(document.get(..start).unwrap_or_default())),
        Encoding::QuotedPrintable | Encoding::Base64 => Lines::Own(numbered(index)),
    };
    Part {
        kind,
        merge_type: header("Merge-Type")
            .or_else(|| header("X-Merge-Type"))
            .unwrap_or_default(),
        name: part.attachment_name().unwrap_or_default().to_owned(),
        content: part.contents().to_owned(),
        lines,
    }
}

/// Adds a part under the type that it has when looked at, and the parts of an archive in its place. Those count under the type they
/// are given there: cloud-init looks into none of them again.
fn add(parts: &mut Vec<Part>, mut part: Part) {
    if COMPRESSED_KINDS.contains(&&*part.kind) {
        COMPRESSED.clone_into(&mut part.kind);
    }
    let is_looked_at = ["text/plain", UNKNOWN, SCRIPT].contains(&&*part.kind);
    if is_looked_at
        && std::str::from_utf8(&part.content).is_ok()
        && let Some(kind) = kind_by_beginning(&part.content)
    {
        kind.clone_into(&mut part.kind);
    }
    if part.kind == ARCHIVE {
        for inner in archive(&part) {
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

fn archive(archive: &Part) -> Vec<Part> {
    let text = String::from_utf8_lossy(&archive.content);
    let Ok(Some(tree)) = yaml::read(&text) else {
        return Vec::new();
    };
    let Value::List(items) = &tree.value else {
        return Vec::new();
    };
    let numbered = items.iter().enumerate();
    numbered
        .filter_map(|(index, node)| item(node, index, &archive.lines))
        .collect()
}

/// A part of an archive; its other keys are its headers.
fn item(item: &Rc<Node>, index: usize, outer: &Lines) -> Option<Part> {
    let text = |key: &str| item.get(key).and_then(|value| value.text()).map(str::to_owned);
    let (content, said) = match &item.value {
        Value::Map(_) => {
            let said = item.get("content").unwrap_or(item);
            (said.text().unwrap_or_default(), said)
        }
        _ => (item.text()?, item),
    };
    // What neither its type nor its first line tells is a cloud-config.
    let kind = text("type").filter(|kind| !kind.is_empty()).unwrap_or_else(|| {
        kind_by_beginning(content.as_bytes())
            .unwrap_or(CLOUD_CONFIG)
            .to_owned()
    });
    Some(Part {
        kind,
        merge_type: text("Merge-Type")
            .or_else(|| text("X-Merge-Type"))
            .unwrap_or_default(),
        name: text("filename").unwrap_or_default(),
        content: content.as_bytes().to_owned(),
        lines: within(outer, said, index),
    })
}

/// Where the lines of a part of an archive are: those of a literal block are lines of the archive.
fn within(outer: &Lines, content: &Node, index: usize) -> Lines {
    match outer {
        Lines::After(before) if content.is_literal => {
            // The block's line is that of its first text; its empty lines before that are lines of it too.
            let text = content.text().unwrap_or_default();
            let empty = text.bytes().take_while(|byte| *byte == b'\n').count();
            let above = content.line.saturating_sub(empty).saturating_sub(1);
            Lines::After(before.saturating_add(above))
        }
        Lines::After(_) => Lines::Own(numbered(index)),
        Lines::Own(name) => Lines::Own(format!("{name}, {}", numbered(index))),
    }
}

fn numbered(index: usize) -> String {
    format!("part {}", index.saturating_add(1))
}

fn count_lines(bytes: &[u8]) -> usize {
    bytes.split(|byte| *byte == b'\n').count().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(kinds, [SCRIPT, CLOUD_CONFIG, JINJA, BOOTHOOK]);
        assert_eq!(parts[1].merge_type, "list(append)");
        assert_eq!(parts[3].content, "#cloud-boothook\nü".as_bytes());
        assert_eq!(parts[3].name, "part-004");
    }

    #[test]
    fn what_a_document_is_is_told_by_its_beginning() {
        assert_eq!(kind_by_beginning(b"\n #Cloud-Config-Archive\n"), Some(ARCHIVE));
        assert_eq!(kind_by_beginning(b"#include-once\n"), Some(INCLUDE_ONCE));
        assert_eq!(kind_by_beginning(b"#!/bin/sh\n\xff"), Some(SCRIPT));
        assert_eq!(kind_by_beginning(b"# cloud-config\n"), None);
        for (index, (beginning, _)) in BEGINNINGS.iter().enumerate() {
            let later = &BEGINNINGS[index + 1..];
            assert!(
                !later.iter().any(|(longer, _)| longer.starts_with(beginning)),
                "{beginning}"
            );
        }
    }

    #[test]
    fn parts_know_where_their_lines_are() {
        let archive = "#cloud-config-archive\n- |\n\n  a: 1\n- 'b: 1'\n- {type: '', content: 'c: 1'}\n";
        let lines = |document: &[u8]| {
            of(document)
                .into_iter()
                .map(|part| part.lines)
                .collect::<Vec<_>>()
        };
        let own = |part: &str| Lines::Own(part.to_owned());
        assert_eq!(
            lines(archive.as_bytes()),
            [Lines::After(2), own("part 2"), own("part 3")]
        );
        // Five lines of headers and boundary stand before it; in base64 its lines are its own.
        let plain = crate::seed::multipart::joined(&[archive.as_bytes()]);
        assert_eq!(lines(&plain), [Lines::After(8), own("part 2"), own("part 3")]);
        let encoded =
            crate::seed::multipart::joined(&[b"#!/bin/sh", format!("{archive}# \u{fc}").as_bytes()]);
        assert_eq!(lines(&encoded)[1], own("part 2, part 1"));
        assert_eq!(Lines::After(2).place(3), "line 5");
        assert_eq!(own("part 2").place(3), "part 2, line 3");
    }

    #[test]
    fn an_archive_within_an_archive_is_looked_into_by_nobody() {
        let nested = b"#cloud-config-archive\n- \"#cloud-config-archive\\n- 'a: 1'\"\n- {type: text/plain, content: '#!/bin/sh'}\n";
        assert_eq!(
            kinds(nested),
            pairs(&[(ARCHIVE, "part-001"), ("text/plain", "part-002")])
        );
    }
}
