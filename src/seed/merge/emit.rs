//! Values as YAML that people read, and cloud-init as it read the documents they are from.

use std::rc::Rc;

use crate::seed::render::quoted;
use crate::seed::yaml::{Entry, Form, Node, Scalar, Value};

/// A mapping's entry, over as many lines as it takes.
pub(super) fn entry(entry: &Entry) -> String {
    let mut text = String::new();
    add_entry(&mut text, entry, 0);
    text
}

fn add_entry(text: &mut String, entry: &Entry, indent: usize) {
    match &entry.key.value {
        Value::Scalar(scalar) => text.push_str(&in_line(scalar)),
        // A list or a mapping as a key: YAML allows it, and cloud-init has none.
        _ => text.push_str(&flow(&entry.key)),
    }
    text.push(':');
    add_value(text, &entry.value, indent);
}

/// What follows the colon of a key or the dash of an item.
fn add_value(text: &mut String, value: &Node, indent: usize) {
    match &value.value {
        Value::List(items) if !items.is_empty() => {
            text.push('\n');
            add_items(text, items, indent);
        }
        Value::Map(entries) if !entries.is_empty() => {
            text.push('\n');
            add_entries(text, entries, indent + 2);
        }
        Value::Scalar(scalar) => {
            text.push(' ');
            add_scalar(text, scalar, indent + 2);
        }
        _ => {
            text.push(' ');
            text.push_str(&flow(value));
            text.push('\n');
        }
    }
}

fn add_entries(text: &mut String, entries: &[Entry], indent: usize) {
    for entry in entries {
        pad(text, indent);
        add_entry(text, entry, indent);
    }
}

fn add_items(text: &mut String, items: &[Rc<Node>], indent: usize) {
    for item in items {
        pad(text, indent);
        text.push('-');
        match &item.value {
            // The first entry stands on the line of the dash.
            Value::Map(entries) if !entries.is_empty() => {
                let mut inner = String::new();
                add_entries(&mut inner, entries, indent + 2);
                text.push(' ');
                text.push_str(inner.trim_start_matches(' '));
            }
            Value::List(inner) if !inner.is_empty() => {
                text.push('\n');
                add_items(text, inner, indent + 2);
            }
            _ => add_value(text, item, indent),
        }
    }
}

fn pad(text: &mut String, indent: usize) {
    text.extend(std::iter::repeat_n(' ', indent));
}

fn add_scalar(text: &mut String, scalar: &Scalar, indent: usize) {
    if scalar.form != Form::Text || !is_block(&scalar.text) {
        text.push_str(&in_line(scalar));
        text.push('\n');
        return;
    }
    text.push_str(match scalar.text.strip_suffix('\n') {
        None => "|-\n",
        Some(rest) if rest.ends_with('\n') => "|+\n",
        Some(_) => "|\n",
    });
    for line in scalar.text.split_inclusive('\n') {
        if line != "\n" {
            pad(text, indent);
        }
        text.push_str(line);
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
}

/// Whether a text is one of several lines that a block shows as they are.
fn is_block(text: &str) -> bool {
    let is_plain = |c: char| c == '\n' || c == '\t' || (' '..='~').contains(&c);
    text.trim_end_matches('\n').contains('\n')
        && !text.starts_with([' ', '\n', '\t'])
        && text.chars().all(is_plain)
}

fn in_line(scalar: &Scalar) -> String {
    match &scalar.form {
        Form::Text => quoted(&scalar.text),
        Form::Tagged(tag) => format!("!!{tag} {}", quoted(&scalar.text)),
        Form::Plain if scalar.is_null() => "null".to_owned(),
        // One of several lines is read with them folded; what it is then is a text.
        Form::Plain if scalar.text.contains('\n') => quoted(&scalar.text),
        Form::Plain => scalar.text.clone(),
    }
}

/// On one line.
fn flow(node: &Node) -> String {
    match &node.value {
        Value::Scalar(scalar) if scalar.form == Form::Plain && scalar.is_text() => quoted(&scalar.text),
        Value::Scalar(scalar) => in_line(scalar),
        Value::List(items) => {
            let items = items.iter().map(|item| flow(item));
            format!("[{}]", items.collect::<Vec<_>>().join(", "))
        }
        Value::Map(entries) => {
            let entries = entries
                .iter()
                .map(|entry| format!("{}: {}", flow(&entry.key), flow(&entry.value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        // Nothing with it in it is merged.
        Value::Unknown(_) => "null".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::yaml::read;
    use proptest::prelude::*;

    fn again(text: &str) -> String {
        let document = read(text).unwrap().unwrap();
        let Value::Map(entries) = &document.value else {
            panic!("{text}")
        };
        entries.iter().map(entry).collect()
    }

    #[test]
    fn values_are_shown_as_people_write_them() {
        let text = "a: yes\nb: \"yes\"\nc:\n- x: 1\n  y:\n  - |\n    #!/bin/sh\n    echo\n- []\n-\n  - 1\nd: null\ne: {}\nf: |-\n  a\n\n  b\n";
        assert_eq!(again(text), text);
        assert_eq!(
            again("{a: [1, {b: c}], ? [k] : v}"),
            "a:\n- 1\n- b: c\n[\"k\"]: v\n"
        );
    }

    fn plain(text: String) -> Rc<Node> {
        Node::of(Value::Scalar(Scalar {
            text,
            form: Form::Plain,
        }))
    }

    fn under(key: &str, value: Rc<Node>) -> Entry {
        Entry {
            key: plain(key.to_owned()),
            lost: None,
            value,
        }
    }

    fn nodes() -> impl Strategy<Value = Rc<Node>> {
        let text = prop_oneof![
            "[ -~\n]{0,12}",
            any::<String>(),
            "[a-z]{1,5}\n[ a-z#]{0,5}\n{0,2}"
        ];
        let scalars = prop_oneof![
            text.prop_map(Node::of_text),
            "[a-z0-9][a-z0-9./]{0,6}".prop_map(plain)
        ];
        scalars.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(|items| Node::of(Value::List(items))),
                proptest::collection::vec(inner, 0..4).prop_map(|values| {
                    let numbered = values.into_iter().enumerate();
                    let entries = numbered.map(|(n, value)| under(&format!("k{n}"), value));
                    Node::of(Value::Map(entries.collect()))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_as_it_was(value in nodes()) {
            let text = entry(&under("k", Rc::clone(&value)));
            let read = read(&text).unwrap_or_else(|error| panic!("{error}: {text}")).unwrap();
            let shown = read.get("k").unwrap();
            prop_assert!(*shown == value || shown.is_null() && value.is_null(), "{text}");
            // Another reader agrees that it is YAML.
            prop_assert!(serde_yaml::from_str::<serde_yaml::Value>(&text).is_ok(), "{text}");
        }
    }
}
