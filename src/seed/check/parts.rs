//! The documents within a user-data: a cloud-config is one itself; an archive and a MIME message hold several.

use mail_parser::{Encoding, MessageParser, MimeHeaders as _, PartType};

use super::schema::Lines;
use super::tree::{self, Node, Value};
use super::{ARCHIVE, CLOUD_CONFIG, PASSED, is_mime, starts_with};

/// How deep messages and archives may hold each other.
const DEEPEST: usize = 4;

/// A cloud-config within a user-data.
#[derive(Debug)]
pub(super) struct Document {
    /// What it says.
    pub(super) text: String,
    /// Where its lines are.
    pub(super) lines: Lines,
}

/// All cloud-configs within a user-data; what is compressed, or a template for the guest to fill in, is passed.
pub(super) fn of(bytes: &[u8]) -> Vec<Document> {
    let mut found = Vec::new();
    add(bytes, "", &Lines::After(0), (DEEPEST, &mut found));
    found
}

/// Adds the cloud-configs in some bytes, which are of this MIME type where it is known.
fn add(bytes: &[u8], kind: &str, lines: &Lines, (depth, found): (usize, &mut Vec<Document>)) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let start = bytes.trim_ascii_start();
    if kind.is_empty() && is_mime(bytes) {
        return message(bytes, (depth, found));
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if starts_with(start, ARCHIVE) || kind == "text/cloud-config-archive" {
        return archive(text, lines, (depth, found));
    }
    let is_marked = starts_with(start, CLOUD_CONFIG) && !starts_with(start, "#cloud-config-jsonp");
    // The first line of what is marked by its type need not say it again.
    let is_typed = kind == "text/cloud-config" && !starts_with(start, TEMPLATE);
    if is_typed || is_marked && UNTYPED.contains(&kind) {
        found.push(Document {
            text: text.to_owned(),
            lines: lines.clone(),
        });
    }
}

/// The types of parts that are told by their first line instead (cloud-init's `user_data.py`).
const UNTYPED: [&str; 3] = ["", "text/plain", "text/x-not-multipart"];
const TEMPLATE: &str = "## template: jinja";

fn message(bytes: &[u8], (depth, found): (usize, &mut Vec<Document>)) {
    let Some(message) = MessageParser::default().parse(bytes) else {
        return;
    };
    let leaves = message
        .parts
        .iter()
        .filter(|part| !matches!(part.body, PartType::Multipart(_) | PartType::Message(_)));
    for (index, part) in leaves.enumerate() {
        let kind = part.content_type().map_or_else(
            || "text/plain".to_owned(),
            |kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default()).to_lowercase(),
        );
        let start = usize::try_from(part.offset_body).unwrap_or(usize::MAX);
        let lines = match part.encoding {
            Encoding::None => Lines::After(count_lines(bytes.get(..start).unwrap_or_default())),
            Encoding::QuotedPrintable | Encoding::Base64 => Lines::Own(part_name(index)),
        };
        add(part.contents(), &kind, &lines, (depth, found));
    }
}

fn archive(text: &str, lines: &Lines, (depth, found): (usize, &mut Vec<Document>)) {
    let Some(tree) = tree::read(text) else { return };
    let Value::List(parts) = &tree.value else { return };
    for (index, part) in parts.iter().enumerate() {
        let content = part.get("content").unwrap_or(part);
        let Some(inner) = content.text() else { continue };
        let typed = part.get("type").and_then(Node::text).unwrap_or_default();
        let start = inner.trim_start().as_bytes();
        let says = PASSED.iter().any(|kind| starts_with(start, kind));
        // What neither its type nor its first line tells is a cloud-config (cloud-init's user_data.py).
        let kind = if typed.is_empty() && !says {
            "text/cloud-config"
        } else {
            typed
        };
        let inner_lines = within(lines, content, index);
        add(inner.as_bytes(), kind, &inner_lines, (depth, found));
    }
}

/// Where the lines of a part of an archive are: those of a literal block are lines of the archive.
fn within(outer: &Lines, content: &Node, index: usize) -> Lines {
    match (outer, &content.value) {
        (
            Lines::After(before),
            Value::Scalar {
                literal: true, text, ..
            },
        ) => {
            // The block's line is that of its first text; its empty lines before that are lines of it too.
            let empty = text.bytes().take_while(|byte| *byte == b'\n').count();
            let above = content.line.saturating_sub(empty).saturating_sub(1);
            Lines::After(before.saturating_add(above))
        }
        (Lines::After(_), _) => Lines::Own(part_name(index)),
        (Lines::Own(name), _) => Lines::Own(format!("{name}, {}", part_name(index))),
    }
}

fn part_name(index: usize) -> String {
    format!("part {}", index.saturating_add(1))
}

fn count_lines(bytes: &[u8]) -> usize {
    bytes.split(|byte| *byte == b'\n').count().saturating_sub(1)
}
