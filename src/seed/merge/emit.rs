//! Values as YAML that people read, and cloud-init as it read the documents they are from.

use super::yaml::{Form, Node, Scalar};
use crate::seed::render::quoted;

/// A mapping's entry, over as many lines as it takes.
pub(super) fn entry(key: &Node, value: &Node) -> String {
    let mut text = String::new();
    add_entry(&mut text, key, value, 0);
    text
}

fn add_entry(text: &mut String, key: &Node, value: &Node, indent: usize) {
    match key {
        Node::Scalar(scalar) => text.push_str(&in_line(scalar)),
        // A list or a mapping as a key: YAML allows it, and cloud-init has none.
        other => text.push_str(&flow(other)),
    }
    text.push(':');
    add_value(text, value, indent);
}

/// What follows the colon of a key or the dash of an item.
fn add_value(text: &mut String, value: &Node, indent: usize) {
    match value {
        Node::List(items) if !items.is_empty() => {
            text.push('\n');
            add_items(text, items, indent);
        }
        Node::Map(entries) if !entries.is_empty() => {
            text.push('\n');
            add_entries(text, entries, indent + 2);
        }
        Node::Scalar(scalar) => {
            text.push(' ');
            add_scalar(text, scalar, indent + 2);
        }
        empty => {
            text.push(' ');
            text.push_str(&flow(empty));
            text.push('\n');
        }
    }
}

fn add_entries(text: &mut String, entries: &[(Node, Node)], indent: usize) {
    for (key, value) in entries {
        pad(text, indent);
        add_entry(text, key, value, indent);
    }
}

fn add_items(text: &mut String, items: &[Node], indent: usize) {
    for item in items {
        pad(text, indent);
        text.push('-');
        match item {
            // The first entry stands on the line of the dash.
            Node::Map(entries) if !entries.is_empty() => {
                let mut inner = String::new();
                add_entries(&mut inner, entries, indent + 2);
                text.push(' ');
                text.push_str(inner.trim_start_matches(' '));
            }
            Node::List(inner) if !inner.is_empty() => {
                text.push('\n');
                add_items(text, inner, indent + 2);
            }
            other => add_value(text, other, indent),
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
    match node {
        Node::Scalar(scalar) if scalar.form == Form::Plain && scalar.is_text() => quoted(&scalar.text),
        Node::Scalar(scalar) => in_line(scalar),
        Node::List(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Node::Map(entries) => {
            let entries = entries
                .iter()
                .map(|(key, value)| format!("{}: {}", flow(key), flow(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::yaml::read;
    use super::*;
    use proptest::prelude::*;

    fn again(text: &str) -> String {
        let Some(Node::Map(entries)) = read(text).unwrap() else {
            panic!("{text}")
        };
        entries.iter().map(|(key, value)| entry(key, value)).collect()
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

    fn nodes() -> impl Strategy<Value = Node> {
        let text = prop_oneof![
            "[ -~\n]{0,12}",
            any::<String>(),
            "[a-z]{1,5}\n[ a-z#]{0,5}\n{0,2}"
        ];
        let text = text.prop_map(|text| {
            Node::Scalar(Scalar {
                text,
                form: Form::Text,
            })
        });
        let plain = "[a-z0-9][a-z0-9./]{0,6}".prop_map(|text| {
            Node::Scalar(Scalar {
                text,
                form: Form::Plain,
            })
        });
        prop_oneof![text, plain].prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Node::List),
                proptest::collection::vec(inner, 0..4).prop_map(|values| {
                    let key = |n: usize| {
                        Node::Scalar(Scalar {
                            text: format!("k{n}"),
                            form: Form::Plain,
                        })
                    };
                    Node::Map(
                        values
                            .into_iter()
                            .enumerate()
                            .map(|(n, value)| (key(n), value))
                            .collect(),
                    )
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_as_it_was(value in nodes()) {
            let key = Node::Scalar(Scalar { text: "k".to_owned(), form: Form::Plain });
            let text = entry(&key, &value);
            let read = read(&text).unwrap_or_else(|error| panic!("{error}: {text}")).unwrap();
            let Node::Map(entries) = read else { panic!("{text}") };
            let shown = &entries[0].1;
            prop_assert!(*shown == value || shown.is_null() && value.is_null(), "{text}");
            // Another reader agrees that it is YAML.
            prop_assert!(serde_yaml::from_str::<serde_yaml::Value>(&text).is_ok(), "{text}");
        }
    }
}
