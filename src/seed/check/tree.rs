//! A YAML document as a tree that knows its lines.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::scalar::Kind;

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    /// Its line, from 1; of a block, that of its first text.
    pub(super) line: usize,
    /// What it is.
    pub(super) value: Value,
    depth: usize,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Value {
    /// A single value.
    Scalar {
        /// What cloud-init takes it for.
        kind: Kind,
        /// As it is written, without quotes.
        text: String,
        /// Whether it is a literal block (`|`), whose lines are lines of the document.
        literal: bool,
    },
    /// A list.
    List(Vec<Rc<Node>>),
    /// A mapping; of a key that is given twice, the last.
    Map(Vec<Entry>),
    /// What a tag of its own makes of it, or a list that holds itself.
    Unknown,
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Entry {
    /// The key, as it is written.
    pub(super) key: String,
    /// Its line, from 1.
    pub(super) line: usize,
    /// The line of an earlier value of the same key, which is lost.
    pub(super) lost: Option<usize>,
    /// The value.
    pub(super) value: Rc<Node>,
}

impl Node {
    /// What cloud-init takes it for.
    pub(super) const fn kind(&self) -> Kind {
        match &self.value {
            Value::Scalar { kind, .. } => *kind,
            Value::List(_) => Kind::List,
            Value::Map(_) => Kind::Map,
            Value::Unknown => Kind::Unknown,
        }
    }

    /// Its text, where it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar {
                kind: Kind::Text,
                text,
                ..
            } => Some(text),
            _ => None,
        }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries
                .iter()
                .find(|entry| entry.key == key)
                .map(|entry| &*entry.value),
            _ => None,
        }
    }
}

/// Reads the first document of a text; `None` when there is none, or when it is no YAML.
pub(super) fn read(text: &str) -> Option<Rc<Node>> {
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    loop {
        let (event, span) = parser.next_event()?.ok()?;
        let line = span.start.line();
        match event {
            Event::DocumentEnd => return builder.root,
            Event::StreamEnd => return None,
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) => {}
            event => builder.take(event, line),
        }
        if builder.is_too_much {
            return None;
        }
    }
}

/// A list or a mapping that is not complete yet.
#[derive(Debug)]
struct Open {
    line: usize,
    anchor: usize,
    is_unknown: bool,
    /// How deep what it holds goes, aliases included.
    depth: usize,
    what: Collection,
}

#[derive(Debug)]
enum Collection {
    List(Vec<Rc<Node>>),
    Map {
        entries: Vec<Entry>,
        places: HashMap<String, usize>,
        key: Option<(String, usize)>,
        merged: Vec<Rc<Node>>,
    },
}

/// How deep a document may go; the other reader has the same limit.
const DEEPEST: usize = 128;
/// The most entries that merge keys may add: a few lines could stand for more than there is memory.
const MOST_MERGED: usize = 100_000;

#[derive(Debug, Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    merged: usize,
    is_too_much: bool,
    root: Option<Rc<Node>>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, line: usize) {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = Value::Scalar {
                    kind: kind(&text, style, tag.as_deref()),
                    text: text.into_owned(),
                    literal: style == ScalarStyle::Literal,
                };
                self.complete(
                    Node {
                        line,
                        value,
                        depth: 0,
                    },
                    anchor,
                );
            }
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned();
                let node = known.unwrap_or_else(|| {
                    Rc::new(Node {
                        line,
                        value: Value::Unknown,
                        depth: 0,
                    })
                });
                self.place(node);
            }
            Event::SequenceStart(anchor, tag) => {
                self.begin(Collection::List(Vec::new()), (anchor, tag.as_deref()), line);
            }
            Event::MappingStart(anchor, tag) => {
                let map = Collection::Map {
                    entries: Vec::new(),
                    places: HashMap::new(),
                    key: None,
                    merged: Vec::new(),
                };
                self.begin(map, (anchor, tag.as_deref()), line);
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
    }

    fn begin(&mut self, what: Collection, (anchor, tag): (usize, Option<&Tag>), line: usize) {
        let is_unknown =
            tag.is_some_and(|tag| !(tag.is_yaml_core_schema() && matches!(&*tag.suffix, "seq" | "map")));
        self.is_too_much |= self.open.len() >= DEEPEST;
        self.open.push(Open {
            line,
            anchor,
            is_unknown,
            depth: 0,
            what,
        });
    }

    fn end(&mut self) {
        let Some(open) = self.open.pop() else { return };
        let value = match open.what {
            _ if open.is_unknown => Value::Unknown,
            Collection::List(items) => Value::List(items),
            Collection::Map { entries, merged, .. } => Value::Map(self.with_merged(entries, &merged)),
        };
        let (line, depth) = (open.line, open.depth.saturating_add(1));
        self.is_too_much |= depth > DEEPEST;
        self.complete(Node { line, value, depth }, open.anchor);
    }

    fn complete(&mut self, node: Node, anchor: usize) {
        let node = Rc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.place(node);
    }

    /// Puts a complete value where it belongs.
    fn place(&mut self, node: Rc<Node>) {
        let open = self.open.last_mut().map(|open| {
            open.depth = open.depth.max(node.depth);
            &mut open.what
        });
        match open {
            None => self.root = Some(node),
            Some(Collection::List(items)) => items.push(node),
            Some(Collection::Map {
                entries,
                places,
                key,
                merged,
            }) => match key.take() {
                None => *key = Some((key_text(&node), node.line)),
                Some((key, _)) if key == MERGE => merged.push(node),
                Some((key, line)) => insert(entries, places, (key, line), node),
            },
        }
    }

    /// Adds what merge keys name; what stands in the mapping itself counts more.
    fn with_merged(&mut self, mut entries: Vec<Entry>, merged: &[Rc<Node>]) -> Vec<Entry> {
        if merged.is_empty() {
            return entries;
        }
        let mut known: HashSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
        let sources = merged.iter().flat_map(|node| match &node.value {
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        });
        for source in sources {
            let Value::Map(others) = &source.value else {
                continue;
            };
            self.merged = self.merged.saturating_add(others.len());
            if self.merged > MOST_MERGED {
                self.is_too_much = true;
                break;
            }
            let new = others.iter().filter(|other| known.insert(other.key.clone()));
            entries.extend(new.map(|other| Entry {
                key: other.key.clone(),
                line: other.line,
                lost: None,
                value: Rc::clone(&other.value),
            }));
        }
        entries
    }
}

/// The key that has the entries of other mappings added (<https://yaml.org/type/merge.html>).
const MERGE: &str = "<<";

fn key_text(node: &Node) -> String {
    match &node.value {
        Value::Scalar { text, .. } => text.clone(),
        _ => String::new(),
    }
}

/// Adds an entry, in the place of an earlier one of the same key.
fn insert(
    entries: &mut Vec<Entry>,
    places: &mut HashMap<String, usize>,
    (key, line): (String, usize),
    value: Rc<Node>,
) {
    let mut entry = Entry {
        key,
        line,
        lost: None,
        value,
    };
    if let Some(earlier) = places.get(&entry.key).and_then(|place| entries.get_mut(*place)) {
        entry.lost = Some(earlier.line);
        *earlier = entry;
    } else {
        places.insert(entry.key.clone(), entries.len());
        entries.push(entry);
    }
}

fn kind(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Kind {
    match tag {
        Some(tag) if tag.is_yaml_core_schema() => Kind::of_tag(&tag.suffix),
        Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => Kind::Text,
        Some(_) => Kind::Unknown,
        None if style == ScalarStyle::Plain => Kind::of_plain(text),
        None => Kind::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<'a>(node: &'a Node, keys: &[&str]) -> &'a Node {
        keys.iter().fold(node, |node, key| node.get(key).unwrap())
    }

    #[test]
    fn values_know_their_lines_and_kinds() {
        let tree = read("#cloud-config\na: x\nb:\n  - 1\n  - {c: yes}\nd: |\n  text\ne: \"5\"\nf: !!str 5\n")
            .unwrap();
        assert_eq!(
            (at(&tree, &["a"]).line, at(&tree, &["a"]).kind()),
            (2, Kind::Text)
        );
        let Value::List(items) = &at(&tree, &["b"]).value else {
            panic!("{tree:?}")
        };
        assert_eq!((items[0].line, items[0].kind()), (4, Kind::Whole));
        assert_eq!(
            (at(&items[1], &["c"]).line, at(&items[1], &["c"]).kind()),
            (5, Kind::Bool)
        );
        let block = at(&tree, &["d"]);
        assert!(matches!(block.value, Value::Scalar { literal: true, .. }));
        assert_eq!((block.line, block.text()), (7, Some("text\n")));
        assert_eq!(at(&tree, &["e"]).kind(), Kind::Text);
        assert_eq!(at(&tree, &["f"]).kind(), Kind::Text);
    }

    #[test]
    fn aliases_and_merge_keys_are_followed() {
        let tree =
            read("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: text\nc: *a\nd: {<<: [*a, {z: 3}]}\n").unwrap();
        assert_eq!(at(&tree, &["b", "x"]).kind(), Kind::Whole);
        assert_eq!(at(&tree, &["b", "y"]).kind(), Kind::Text);
        assert_eq!(at(&tree, &["c", "y"]).kind(), Kind::Whole);
        assert_eq!(at(&tree, &["d", "z"]).kind(), Kind::Whole);
    }

    #[test]
    fn of_a_key_that_is_given_twice_the_last_counts() {
        let tree = read("a: 1\nb: 2\na: text\n").unwrap();
        let Value::Map(entries) = &tree.value else {
            panic!("{tree:?}")
        };
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[0].lost, entries[0].line), (Some(1), 3));
        assert_eq!(at(&tree, &["a"]).kind(), Kind::Text);
    }

    #[test]
    fn what_a_tag_makes_of_a_value_is_not_known() {
        let tree = read("a: !x y\nb: !!set {c}\nc: &c [*c]\n").unwrap();
        assert_eq!(at(&tree, &["a"]).kind(), Kind::Unknown);
        assert_eq!(at(&tree, &["b"]).kind(), Kind::Unknown);
        assert_eq!(at(&tree, &["c"]).kind(), Kind::List);
    }

    #[test]
    fn what_goes_too_deep_has_no_tree() {
        assert!(read(&format!("{}x{}", "[".repeat(100), "]".repeat(100))).is_some());
        assert!(read(&format!("{}x{}", "[".repeat(200), "]".repeat(200))).is_none());
        let chain = (1..50_000)
            .map(|n| format!("- &a{n} [*a{}]\n", n - 1))
            .collect::<Vec<_>>()
            .concat();
        assert!(read(&format!("- &a0 x\n{chain}")).is_none());
    }

    #[test]
    fn merge_keys_that_stand_for_more_than_there_is_memory_are_not_followed() {
        let many = (0..2_000)
            .map(|n| format!("k{n}: 1, "))
            .collect::<Vec<_>>()
            .concat();
        let text = format!("a: &a {{{many}}}\nb:\n{}", "  - {<<: *a}\n".repeat(100));
        assert!(read(&text).is_none());
    }

    #[test]
    fn what_is_no_yaml_has_no_tree() {
        assert!(read("a: [b\n").is_none());
        assert!(read("").is_none());
        assert!(read("# only this\n").is_none_or(|node| node.kind() == Kind::Null));
    }
}
