//! Names in a template that are no facts: found before anything is rendered, also where no sample leads to, and told with
//! their line and the fact that was probably meant.

use minijinja::{Template, Value};

use super::meant::meant;
use super::render::TemplateProblem;

/// Refuses a template that uses a name which is none of the facts.
pub(super) fn refuse(
    origin: &str,
    template: &Template<'_, '_>,
    facts: &Value,
) -> Result<(), TemplateProblem> {
    let known: Vec<Value> = facts.try_iter().map(Iterator::collect).unwrap_or_default();
    let known: Vec<&str> = known.iter().filter_map(Value::as_str).collect();
    let first = template
        .undeclared_variables(false)
        .into_iter()
        .filter(|name| !known.contains(&name.as_str()))
        .map(|name| (line_of(template.source(), &name), name))
        .min();
    match first {
        None => Ok(()),
        Some((line, name)) => Err(TemplateProblem::Source {
            file: origin.to_owned(),
            line,
            reason: told(&name, &known),
        }),
    }
}

fn told(name: &str, known: &[&str]) -> String {
    match meant(name, known.iter().copied()) {
        Some(fact) => format!("`{name}` is an unknown fact; did you mean `{fact}`?"),
        None => format!("`{name}` is an unknown fact; there are {}", known.join(", ")),
    }
}

/// The line, from 1, on which a tag names it first.
fn line_of(source: &str, name: &str) -> usize {
    let mut line = 1;
    let mut rest = source;
    while let Some((before, tag, after)) = next_tag(rest) {
        line += newlines(before);
        if let Some(place) = place_of(tag, name) {
            return line + newlines(tag.get(..place).unwrap_or_default());
        }
        line += newlines(tag);
        rest = after;
    }
    line
}

fn newlines(text: &str) -> usize {
    text.matches('\n').count()
}

/// What stands before the next tag, the tag or comment, and what follows.
fn next_tag(text: &str) -> Option<(&str, &str, &str)> {
    let (start, end) = [("{{", "}}"), ("{%", "%}"), ("{#", "#}")]
        .into_iter()
        .filter_map(|(open, close)| Some((text.find(open)?, close)))
        .min()?;
    let (before, tag) = text.split_at(start);
    let length = tag.find(end).map_or(tag.len(), |found| found + end.len());
    let (tag, after) = tag.split_at(length);
    Some((before, tag, after))
}

/// Where in a tag a name stands as a variable: a whole word, in no text and after no dot.
fn place_of(tag: &str, name: &str) -> Option<usize> {
    if tag.starts_with("{#") {
        return None;
    }
    let word = |c: char| c.is_alphanumeric() || c == '_';
    tag.match_indices(name).map(|(place, _)| place).find(|place| {
        let (before, from) = tag.split_at(*place);
        let after = from.get(name.len()..).unwrap_or_default();
        let is_quoted = ['"', '\'']
            .iter()
            .any(|quote| before.matches(*quote).count() % 2 == 1);
        !is_quoted && !before.ends_with(word) && !before.trim_end().ends_with('.') && !after.starts_with(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_on_its_line_as_a_variable_only() {
        let source = "{#- nme\nnme -#}\nnme: {{ user.nme }} {{ \"nme\" }}\n{% for x in names %}\n\
                      {% if a and\n   nme %}{% endif %}{{ nme }}";
        assert_eq!(line_of(source, "nme"), 6);
        assert_eq!(line_of("{{ a", "a"), 1);
    }

    #[test]
    fn the_nearest_fact_is_named_where_one_is_near() {
        let known = ["hostname", "fqdn", "swap_device"];
        assert!(told("hostnam", &known).ends_with("did you mean `hostname`?"));
        assert!(told("swapdevice", &known).ends_with("did you mean `swap_device`?"));
        assert!(told("colour", &known).ends_with("there are hostname, fqdn, swap_device"));
    }
}
