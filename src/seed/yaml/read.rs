//! The reader: what `PyYAML` makes of aliases, merge keys and keys that are given twice.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::{Entry, Form, Node, Scalar, Value};

/// How deep a document may go, its aliases included; serde's reader has the same limit.
const DEEPEST: usize = 128;
/// The most entries that merge keys may add: a few lines could stand for more than there is memory.
const MOST_MERGED: usize = 100_000;

/// Reads a text; `None` where it says nothing. The error says why cloud-init, or this reader, can not follow it.
pub(in crate::seed) fn read(text: &str) -> Result<Option<Rc<Node>>, String> {
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    loop {
        let next = parser.next_event().ok_or("it is no YAML")?;
        let (event, span) = next.map_err(|error| format!("it is no YAML: {error}"))?;
        match event {
            Event::StreamEnd => return Ok(builder.root.filter(|node| !node.is_null())),
            Event::DocumentStart(_) if builder.root.is_some() => {
                return Err("it is more than one YAML document".to_owned());
            }
            event => builder.take(event, span.start.line())?,
        }
    }
}

/// A list or a mapping that is not complete yet.
#[derive(Debug)]
struct Open {
    line: usize,
    anchor: usize,
    /// Why it can not be followed, where it has a tag of its own.
    unknown: Option<String>,
    /// How deep what it holds goes, aliases included.
    depth: usize,
    what: Collection,
}

#[derive(Debug)]
enum Collection {
    List(Vec<Rc<Node>>),
    Map(Mapping),
}

#[derive(Debug, Default)]
struct Mapping {
    entries: Vec<Entry>,
    places: HashMap<(String, bool), usize>,
    key: Option<Rc<Node>>,
    /// What its merge keys name.
    merged: Vec<Rc<Node>>,
}

#[derive(Debug, Default)]
struct Builder {
    open: Vec<Open>,
    /// What aliases stand for, and how deep that goes.
    anchors: HashMap<usize, (Rc<Node>, usize)>,
    merged: usize,
    root: Option<Rc<Node>>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(text.into_owned(), style, tag.as_deref());
                let is_literal = style == ScalarStyle::Literal;
                let node = Node {
                    line,
                    is_literal,
                    value,
                };
                self.complete(node, (anchor, 0));
            }
            Event::Alias(anchor) => {
                let (node, depth) = self
                    .anchors
                    .get(&anchor)
                    .cloned()
                    .unwrap_or_else(|| (in_itself(line), 0));
                self.place(node, depth);
            }
            Event::SequenceStart(anchor, tag) => {
                self.begin(Collection::List(Vec::new()), (anchor, tag.as_deref()), line)?;
            }
            Event::MappingStart(anchor, tag) => {
                let map = Collection::Map(Mapping::default());
                self.begin(map, (anchor, tag.as_deref()), line)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end()?,
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn begin(
        &mut self,
        what: Collection,
        (anchor, tag): (usize, Option<&Tag>),
        line: usize,
    ) -> Result<(), String> {
        is_followed(self.open.len().saturating_add(1))?;
        let own = tag.filter(|tag| !matches!(of_yaml(tag), Some("seq" | "map")));
        self.open.push(Open {
            line,
            anchor,
            unknown: own.map(tagged),
            depth: 0,
            what,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let value = match (open.unknown, open.what) {
            (Some(why), _) => Value::Unknown(why),
            (None, Collection::List(items)) => Value::List(items),
            (None, Collection::Map(map)) => self.with_merged(map.entries, &map.merged)?,
        };
        let depth = open.depth.saturating_add(1);
        is_followed(depth)?;
        let node = Node {
            line: open.line,
            is_literal: false,
            value,
        };
        self.complete(node, (open.anchor, depth));
        Ok(())
    }

    fn complete(&mut self, node: Node, (anchor, depth): (usize, usize)) {
        let node = Rc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, (Rc::clone(&node), depth));
        }
        self.place(node, depth);
    }

    /// Puts a complete value where it belongs.
    fn place(&mut self, node: Rc<Node>, depth: usize) {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        open.depth = open.depth.max(depth);
        match &mut open.what {
            Collection::List(items) => items.push(node),
            Collection::Map(map) => match map.key.take() {
                None => map.key = Some(node),
                Some(key) if is_merge(&key) => map.merged.push(node),
                Some(key) => map.insert(key, node),
            },
        }
    }

    /// Adds what merge keys name; what stands in the mapping itself counts more.
    fn with_merged(&mut self, mut entries: Vec<Entry>, merged: &[Rc<Node>]) -> Result<Value, String> {
        if merged.is_empty() {
            return Ok(Value::Map(entries));
        }
        let mut known: HashSet<_> = entries.iter().filter_map(|entry| identity(&entry.key)).collect();
        let sources = merged.iter().flat_map(|node| match &node.value {
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        });
        for source in sources {
            let others = match &source.value {
                Value::Map(others) => others,
                Value::Unknown(why) => return Ok(Value::Unknown(why.clone())),
                _ => {
                    let why = "a merge key names something else than mappings";
                    return Ok(Value::Unknown(why.to_owned()));
                }
            };
            self.merged = self.merged.saturating_add(others.len());
            if self.merged > MOST_MERGED {
                return Err("it stands for more values than are followed".to_owned());
            }
            let new = others
                .iter()
                .filter(|other| identity(&other.key).is_none_or(|key| known.insert(key)));
            entries.extend(new.map(|other| Entry {
                lost: None,
                ..other.clone()
            }));
        }
        Ok(Value::Map(entries))
    }
}

impl Mapping {
    /// Adds an entry, in the place of an earlier one of the same key.
    fn insert(&mut self, key: Rc<Node>, value: Rc<Node>) {
        let identity = identity(&key);
        let place = identity.as_ref().and_then(|identity| self.places.get(identity));
        let mut entry = Entry {
            key,
            lost: None,
            value,
        };
        if let Some(earlier) = place.and_then(|place| self.entries.get_mut(*place)) {
            entry.lost = Some(earlier.line());
            *earlier = entry;
            return;
        }
        if let Some(identity) = identity {
            self.places.insert(identity, self.entries.len());
        }
        self.entries.push(entry);
    }
}

/// What tells a key from others, to look it up by.
fn identity(key: &Node) -> Option<(String, bool)> {
    key.as_key().map(|(text, is_text)| (text.to_owned(), is_text))
}

/// The key that has the entries of other mappings added (<https://yaml.org/type/merge.html>).
fn is_merge(key: &Node) -> bool {
    matches!(&key.value, Value::Scalar(scalar) if scalar.form == Form::Plain && scalar.text == "<<")
}

fn is_followed(depth: usize) -> Result<(), String> {
    if depth > DEEPEST {
        return Err(format!("it goes deeper than {DEEPEST} levels"));
    }
    Ok(())
}

fn scalar(text: String, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let form = match tag {
        Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => Form::Text,
        Some(tag) => match of_yaml(tag) {
            Some(name) => Form::Tagged(name.to_owned()),
            None => return Value::Unknown(tagged(tag)),
        },
        None if style == ScalarStyle::Plain => Form::Plain,
        None => Form::Text,
    };
    Value::Scalar(Scalar { text, form })
}

/// The name of a tag of YAML's own, such as `int` for `!!int`, also where it is written in full (`!<tag:yaml.org,2002:int>`).
fn of_yaml(tag: &Tag) -> Option<&str> {
    if tag.is_yaml_core_schema() {
        return Some(&tag.suffix);
    }
    let whole = tag.handle.is_empty().then_some(&tag.suffix)?;
    whole.strip_prefix("tag:yaml.org,2002:")
}

/// Why a value with a tag of its own is not followed.
fn tagged(tag: &Tag) -> String {
    format!("it has the tag {}{}", tag.handle, tag.suffix)
        .escape_debug()
        .collect()
}

/// Where an alias stands in what it stands for.
fn in_itself(line: usize) -> Rc<Node> {
    Rc::new(Node {
        line,
        is_literal: false,
        value: Value::Unknown("an alias stands for what it is in itself".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    /// The tree of a document that says something.
    fn tree(text: &str) -> Rc<Node> {
        read(text).unwrap().unwrap()
    }

    fn refused(text: &str) -> String {
        read(text).unwrap_err()
    }

    fn at<'a>(node: &'a Node, keys: &[&str]) -> &'a Node {
        keys.iter().fold(node, |node, key| node.get(key).unwrap())
    }

    #[test]
    fn values_know_their_lines_and_kinds() {
        let tree = tree("#cloud-config\na: x\nb:\n  - 1\n  - {c: yes}\nd: |\n  text\ne: \"5\"\nf: !!str 5\n");
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
        assert!(block.is_literal && !at(&tree, &["e"]).is_literal);
        assert_eq!((block.line, block.text()), (7, Some("text\n")));
        assert_eq!(at(&tree, &["e"]).kind(), Kind::Text);
        assert_eq!(at(&tree, &["f"]).kind(), Kind::Text);
    }

    #[test]
    fn aliases_and_merge_keys_are_followed() {
        let tree = tree("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: text\nc: *a\nd: {<<: [*a, {z: 3}]}\n");
        assert_eq!(at(&tree, &["b", "x"]).kind(), Kind::Whole);
        assert_eq!(at(&tree, &["b", "y"]).kind(), Kind::Text);
        assert_eq!(at(&tree, &["c", "y"]).kind(), Kind::Whole);
        assert_eq!(at(&tree, &["d", "z"]).kind(), Kind::Whole);
    }

    #[test]
    fn of_a_key_that_is_given_twice_the_last_counts() {
        let tree = tree("a: 1\nb: 2\na: text\n");
        let Value::Map(entries) = &tree.value else {
            panic!("{tree:?}")
        };
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[0].lost, entries[0].line()), (Some(1), 3));
        assert_eq!(at(&tree, &["a"]).kind(), Kind::Text);
    }

    #[test]
    fn what_a_tag_makes_of_a_value_is_not_known() {
        let tree = tree("a: !x y\nb: !!set {c}\nc: &c [*c]\n");
        assert_eq!(at(&tree, &["a"]).kind(), Kind::Unknown);
        assert_eq!(at(&tree, &["b"]).kind(), Kind::Unknown);
        assert_eq!(at(&tree, &["c"]).kind(), Kind::List);
    }

    #[test]
    fn what_stands_in_a_mapping_counts_more_than_what_its_merge_keys_name() {
        let merged = tree("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: {'<<': *x}\n");
        assert_eq!(at(&merged, &["y"]), &*tree("{b: 3, a: 1}"));
        assert_eq!(at(&merged, &["z", "<<", "b"]).kind(), Kind::Whole);
    }

    #[test]
    fn what_can_not_be_followed_says_why() {
        let tree = tree("a: !vault x\nb: &b [*b]\nc: {<<: text}\nd: {<<: !x {}}\n");
        let Value::List(items) = &at(&tree, &["b"]).value else {
            panic!("{tree:?}")
        };
        for (node, says) in [
            (at(&tree, &["a"]), "!vault"),
            (&*items[0], "in itself"),
            (at(&tree, &["c"]), "merge key"),
            (at(&tree, &["d"]), "!x"),
        ] {
            assert!(
                matches!(&node.value, Value::Unknown(why) if why.contains(says)),
                "{node:?}"
            );
        }
    }

    #[test]
    fn a_tag_of_yamls_own_may_be_written_in_full() {
        let tree = tree(
            "!<tag:yaml.org,2002:str> a: !<tag:yaml.org,2002:int> '5'\nb: !<tag:yaml.org,2002:seq> []\n",
        );
        assert_eq!(at(&tree, &["a"]).kind(), Kind::Whole);
        assert_eq!(at(&tree, &["b"]).kind(), Kind::List);
    }

    #[test]
    fn what_goes_too_deep_is_not_followed() {
        assert_eq!(
            tree(&format!("{}x{}", "[".repeat(100), "]".repeat(100))).kind(),
            Kind::List
        );
        read(&format!("{}x{}", "[".repeat(200), "]".repeat(200))).unwrap_err();
        let chain = (1..50_000)
            .map(|n| format!("- &a{n} [*a{}]\n", n - 1))
            .collect::<Vec<_>>()
            .concat();
        assert!(refused(&format!("- &a0 x\n{chain}")).contains("deeper"));
    }

    #[test]
    fn merge_keys_that_stand_for_more_than_there_is_memory_are_not_followed() {
        let many = (0..2_000)
            .map(|n| format!("k{n}: 1, "))
            .collect::<Vec<_>>()
            .concat();
        let text = format!("a: &a {{{many}}}\nb:\n{}", "  - {<<: *a}\n".repeat(100));
        assert!(refused(&text).contains("more values"));
    }

    #[test]
    fn what_is_no_yaml_is_refused_and_what_says_nothing_is_nothing() {
        assert!(refused("a: [b\n").contains("no YAML"));
        assert!(refused("a: 1\n---\nb: 1\n").contains("more than one"));
        for nothing in ["", "# only this\n", "null\n", "---\n...\n"] {
            assert_eq!(read(nothing), Ok(None), "{nothing:?}");
        }
    }
}
