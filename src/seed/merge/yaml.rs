//! A YAML document as cloud-init's reader (`PyYAML`, which follows YAML 1.1) has it, without ever deciding what a plain scalar is: a
//! `yes` or a `0644` is passed on as it was written.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput, Tag};

/// How deep a document may go.
const DEEPEST: usize = 64;
/// The most values a document may stand for, with its aliases: a few lines could stand for more than there is memory.
const MOST: usize = 100_000;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// A single value.
    Scalar(Scalar),
    /// A list.
    List(Vec<Self>),
    /// A mapping, in the order it was written.
    Map(Vec<(Self, Self)>),
}

/// A single value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scalar {
    /// As it was written, without quotes.
    pub(super) text: String,
    /// How that is to be taken.
    pub(super) form: Form,
}

/// How a single value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// Without quotes: a text, a number, a date, true or false, or nothing.
    Plain,
    /// Quoted or as a block: a text.
    Text,
    /// With a tag of YAML's own, such as `int` for `!!int`.
    Tagged(String),
}

impl Scalar {
    /// Whether it is nothing.
    pub(super) fn is_null(&self) -> bool {
        self.form == Form::Plain && matches!(&*self.text, "" | "~" | "null" | "Null" | "NULL")
    }

    /// Whether cloud-init takes it for a text.
    pub(super) fn is_text(&self) -> bool {
        match &self.form {
            Form::Text => true,
            Form::Tagged(tag) => tag == "str",
            Form::Plain => !self.is_null() && !is_truth(&self.text) && !is_number(&self.text),
        }
    }
}

impl Node {
    /// A text.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Scalar(scalar) if scalar.is_text() => Some(&scalar.text),
            _ => None,
        }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries
                .iter()
                .find(|(known, _)| known.text() == Some(key))
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// Whether it is nothing.
    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Scalar(scalar) if scalar.is_null())
    }

    /// Whether both are the same key.
    pub(super) fn is_key(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Scalar(one), Self::Scalar(other)) => {
                one.text == other.text && one.is_text() == other.is_text()
            }
            _ => self == other,
        }
    }
}

/// `PyYAML`'s resolver.py.
fn is_truth(text: &str) -> bool {
    let is_one_of = |words: &[&str]| {
        words.iter().any(|word| {
            let title = word.get(..1).unwrap_or_default().to_uppercase() + word.get(1..).unwrap_or_default();
            text == *word || text == word.to_uppercase() || text == title
        })
    };
    is_one_of(&["yes", "no", "true", "false", "on", "off"])
}

/// Whether it is a number or a date, by the look of it: digits and what stands between them.
fn is_number(text: &str) -> bool {
    let digits = text.trim_start_matches(['-', '+', '.']);
    digits.starts_with(|first: char| first.is_ascii_digit())
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || b"._:+-xTtZ ".contains(&byte))
        && digits.matches('.').count() < 2
}

/// Reads a text; `None` where it says nothing. The error says why cloud-init, or this reader, can not follow it.
pub(super) fn read(text: &str) -> Result<Option<Node>, String> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        values: 0,
    };
    let mut root = None;
    loop {
        match reader.next()? {
            Event::StreamEnd => return Ok(root.filter(|node: &Node| !node.is_null())),
            Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
            Event::DocumentStart(_) if root.is_some() => {
                return Err("it is more than one YAML document".to_owned());
            }
            Event::DocumentStart(_) => {
                let first = reader.next()?;
                root = Some(reader.node(first, 0)?);
            }
            _ => return Err("it is no YAML".to_owned()),
        }
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    values: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Event<'a>, String> {
        match self.parser.next_event() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(format!("it is no YAML: {error}")),
            None => Err("it is no YAML".to_owned()),
        }
    }

    fn node(&mut self, event: Event<'a>, depth: usize) -> Result<Node, String> {
        self.count(1)?;
        if depth > DEEPEST {
            return Err(format!("it goes deeper than {DEEPEST} levels"));
        }
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let form = form(style, tag.as_deref())?;
                let text = text.into_owned();
                (Node::Scalar(Scalar { text, form }), anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                untagged(tag.as_deref())?;
                (Node::List(self.list(depth)?), anchor)
            }
            Event::MappingStart(anchor, tag) => {
                untagged(tag.as_deref())?;
                (Node::Map(self.map(depth)?), anchor)
            }
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned();
                let node = node.ok_or("an alias stands for what it is in itself")?;
                self.count(size(&node))?;
                (node, 0)
            }
            _ => return Err("it is no YAML".to_owned()),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, String> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(items),
                event => items.push(self.node(event, depth + 1)?),
            }
        }
    }

    /// Of a key that is given twice the last counts; what a merge key (`<<`) names counts less than what stands there itself.
    fn map(&mut self, depth: usize) -> Result<Vec<(Node, Node)>, String> {
        let mut entries = Vec::new();
        let mut merged = Vec::new();
        loop {
            let key = match self.next()? {
                Event::MappingEnd => break,
                event => self.node(event, depth + 1)?,
            };
            let next = self.next()?;
            let value = self.node(next, depth + 1)?;
            match (&key, value) {
                (Node::Scalar(scalar), Node::List(maps)) if is_merge(scalar) => merged.extend(maps),
                (Node::Scalar(scalar), map) if is_merge(scalar) => merged.push(map),
                (_, value) => put(&mut entries, key, value),
            }
        }
        for map in merged {
            let Node::Map(others) = map else {
                return Err("a merge key names something else than mappings".to_owned());
            };
            let is_new = |(key, _): &(Node, Node)| !entries.iter().any(|(known, _)| known.is_key(key));
            let new: Vec<_> = others.into_iter().filter(is_new).collect();
            entries.extend(new);
        }
        Ok(entries)
    }

    fn count(&mut self, more: usize) -> Result<(), String> {
        self.values += more;
        if self.values > MOST {
            return Err("it stands for more values than are followed".to_owned());
        }
        Ok(())
    }
}

/// Puts a value under a key, in the place of the one there.
pub(super) fn put(entries: &mut Vec<(Node, Node)>, key: Node, value: Node) {
    match entries.iter_mut().find(|(known, _)| known.is_key(&key)) {
        Some((_, known)) => *known = value,
        None => entries.push((key, value)),
    }
}

fn is_merge(scalar: &Scalar) -> bool {
    scalar.form == Form::Plain && scalar.text == "<<"
}

fn size(node: &Node) -> usize {
    1 + match node {
        Node::Scalar(_) => 0,
        Node::List(items) => items.iter().map(size).sum(),
        Node::Map(entries) => entries.iter().map(|(key, value)| size(key) + size(value)).sum(),
    }
}

fn form(style: ScalarStyle, tag: Option<&Tag>) -> Result<Form, String> {
    match tag {
        Some(tag) if tag.is_yaml_core_schema() => Ok(Form::Tagged(tag.suffix.clone())),
        Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => Ok(Form::Text),
        Some(tag) => Err(unknown(tag)),
        None if style == ScalarStyle::Plain => Ok(Form::Plain),
        None => Ok(Form::Text),
    }
}

fn untagged(tag: Option<&Tag>) -> Result<(), String> {
    match tag {
        Some(tag) if !(tag.is_yaml_core_schema() && matches!(&*tag.suffix, "seq" | "map")) => {
            Err(unknown(tag))
        }
        _ => Ok(()),
    }
}

fn unknown(tag: &Tag) -> String {
    format!("it has the tag {}{}", tag.handle, tag.suffix)
        .escape_debug()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> Node {
        read(text).unwrap().unwrap()
    }

    #[test]
    fn scalars_stay_as_they_were_written() {
        let read = node("a: yes\nb: 'yes'\nc: 0644\nd: |\n  x\n  y\n");
        let scalar = |key: &str| match read.get(key) {
            Some(Node::Scalar(scalar)) => (scalar.text.clone(), scalar.form.clone()),
            other => panic!("{other:?}"),
        };
        assert_eq!(scalar("a"), ("yes".to_owned(), Form::Plain));
        assert_eq!(scalar("b"), ("yes".to_owned(), Form::Text));
        assert_eq!(scalar("c"), ("0644".to_owned(), Form::Plain));
        assert_eq!(scalar("d"), ("x\ny\n".to_owned(), Form::Text));
        for (text, is_text) in [
            ("yes", false),
            ("No", false),
            ("10.77.0.1", true),
            ("1.5", false),
            ("0x1F", false),
        ] {
            let scalar = Scalar {
                text: text.to_owned(),
                form: Form::Plain,
            };
            assert_eq!(scalar.is_text(), is_text, "{text}");
        }
    }

    #[test]
    fn aliases_merge_keys_and_keys_that_come_twice_are_followed() {
        let merged = node("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: *x\nz: last\n");
        assert_eq!(merged.get("y"), Some(&node("{b: 3, a: 1}")));
        assert_eq!(merged.get("z"), Some(&node("last")));
    }

    #[test]
    fn what_can_not_be_followed_is_told_and_not_guessed() {
        assert_eq!(read("# nothing\n"), Ok(None));
        assert_eq!(read("null\n"), Ok(None));
        let line = |n: usize| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(","));
        let bomb = (1..9).map(line).collect::<String>();
        for (text, says) in [
            ("a: [b\n", "no YAML"),
            ("a: 1\n---\nb: 1\n", "more than one"),
            ("a: !vault x\n", "!vault"),
            (&format!("a0: &a0 x\n{bomb}"), "more values"),
            (&"[".repeat(200), ""),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
