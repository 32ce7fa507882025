//! A YAML document as cloud-init's reader (`PyYAML`, which follows YAML 1.1) has it: as a tree that knows its lines, and whose single
//! values stay as they were written. What they are to cloud-init is told when it is asked for.

mod kind;
mod read;

use std::rc::Rc;

pub(super) use self::kind::{Kind, is_sexagesimal};
pub(super) use self::read::read;

/// A value and where it stands. Two are the same where their values are, wherever they stand.
#[derive(Debug)]
pub(super) struct Node {
    /// Its line, from 1; of a block, that of its first text; 0 of what stands in no document.
    pub(super) line: usize,
    /// Whether it is a literal block (`|`), whose lines are lines of the document.
    pub(super) is_literal: bool,
    /// What it is.
    pub(super) value: Value,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// A single value.
    Scalar(Scalar),
    /// A list.
    List(Vec<Rc<Node>>),
    /// A mapping, in the order it was written; of a key that is given twice, the last.
    Map(Vec<Entry>),
    /// What can not be followed, and why.
    Unknown(String),
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

/// A key and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The key.
    pub(super) key: Rc<Node>,
    /// The line of an earlier value of the same key, which is lost.
    pub(super) lost: Option<usize>,
    /// The value.
    pub(super) value: Rc<Node>,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for Node {}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.value == other.value
    }
}

impl Eq for Entry {}

impl Scalar {
    /// What cloud-init takes it for.
    pub(super) fn kind(&self) -> Kind {
        match &self.form {
            Form::Plain => Kind::of_plain(&self.text),
            Form::Text => Kind::Text,
            Form::Tagged(tag) => Kind::of_tag(tag),
        }
    }

    /// Whether it is nothing.
    pub(super) fn is_null(&self) -> bool {
        self.kind() == Kind::Null
    }

    /// Whether it is a text as it stands there, and not one in base64.
    pub(super) fn is_text(&self) -> bool {
        self.kind() == Kind::Text && !matches!(&self.form, Form::Tagged(tag) if tag == "binary")
    }
}

impl Node {
    /// A value that stands in no document.
    pub(super) fn of(value: Value) -> Rc<Self> {
        Rc::new(Self {
            line: 0,
            is_literal: false,
            value,
        })
    }

    /// A text that stands in no document.
    pub(super) fn of_text(text: String) -> Rc<Self> {
        Self::of(Value::Scalar(Scalar {
            text,
            form: Form::Text,
        }))
    }

    /// What cloud-init takes it for.
    pub(super) fn kind(&self) -> Kind {
        match &self.value {
            Value::Scalar(scalar) => scalar.kind(),
            Value::List(_) => Kind::List,
            Value::Map(_) => Kind::Map,
            Value::Unknown(_) => Kind::Unknown,
        }
    }

    /// Its text, where it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) if scalar.is_text() => Some(&scalar.text),
            _ => None,
        }
    }

    /// Whether it is nothing.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.is_null())
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Rc<Self>> {
        match &self.value {
            Value::Map(entries) => find(entries, key),
            _ => None,
        }
    }

    /// Whether both are the same key.
    pub(super) fn is_key(&self, other: &Self) -> bool {
        match (self.as_key(), other.as_key()) {
            (Some(one), Some(other)) => one == other,
            _ => self == other,
        }
    }

    /// What tells it from other keys; `None` of a list or a mapping, which are no keys to cloud-init.
    fn as_key(&self) -> Option<(&str, bool)> {
        match &self.value {
            Value::Scalar(scalar) => Some((&scalar.text, scalar.is_text())),
            _ => None,
        }
    }
}

impl Entry {
    /// The key, as it is written; nothing of one that is a list or a mapping.
    pub(super) fn name(&self) -> &str {
        self.key.as_key().map_or("", |(text, _)| text)
    }

    /// The line of the key, from 1.
    pub(super) fn line(&self) -> usize {
        self.key.line
    }
}

/// The value of a key.
pub(super) fn find<'a>(entries: &'a [Entry], key: &str) -> Option<&'a Rc<Node>> {
    entries
        .iter()
        .find(|entry| entry.key.text() == Some(key))
        .map(|entry| &entry.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_the_same_wherever_they_stand() {
        let document = read("a:\n  x: |\n    t\nb: {x: \"t\\n\"}\nc: {x: t}\n")
            .unwrap()
            .unwrap();
        assert_eq!(document.get("a"), document.get("b"));
        assert_ne!(document.get("a"), document.get("c"));
    }

    #[test]
    fn scalars_stay_as_they_were_written() {
        let document = read("a: yes\nb: 'yes'\nc: 0644\nd: |\n  x\n  y\ne: !!int '5'\n")
            .unwrap()
            .unwrap();
        let scalar = |key: &str| match &document.get(key).unwrap().value {
            Value::Scalar(scalar) => (scalar.text.clone(), scalar.form.clone()),
            other => panic!("{other:?}"),
        };
        assert_eq!(scalar("a"), ("yes".to_owned(), Form::Plain));
        assert_eq!(scalar("b"), ("yes".to_owned(), Form::Text));
        assert_eq!(scalar("c"), ("0644".to_owned(), Form::Plain));
        assert_eq!(scalar("d"), ("x\ny\n".to_owned(), Form::Text));
        assert_eq!(scalar("e"), ("5".to_owned(), Form::Tagged("int".to_owned())));
    }

    #[test]
    fn a_text_is_one_as_it_stands_there() {
        for (text, is_text) in [
            ("yes", false),
            ("No", false),
            ("10.77.0.1", true),
            ("1.5", false),
            ("0x1F", false),
            ("!!str 5", true),
            ("!!binary aGk=", false),
        ] {
            let document = read(text).unwrap().unwrap();
            assert_eq!(document.text().is_some(), is_text, "{text}");
        }
    }

    #[test]
    fn keys_are_the_same_where_their_texts_and_kinds_are() {
        let document = read("a: 0\n'a': 1\n5: 2\n'5': 3\n").unwrap().unwrap();
        let Value::Map(entries) = &document.value else {
            panic!("{document:?}")
        };
        let names: Vec<_> = entries.iter().map(|entry| (entry.name(), entry.line())).collect();
        assert_eq!(names, [("a", 2), ("5", 3), ("5", 4)]);
        assert!(!entries[1].key.is_key(&entries[2].key));
    }
}
