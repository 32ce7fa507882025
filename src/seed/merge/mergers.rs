//! How cloud-init merges one value with another: its `mergers` package (`mergers/__init__.py`, `m_dict.py`, `m_list.py`, `m_str.py`),
//! option by option.

use std::rc::Rc;

use crate::seed::yaml::{Entry, Node, Value};

/// How parts of one document are merged when none says otherwise (`handlers/cloud_config.py`): the later replaces.
pub(super) const OF_PARTS: &str = "dict(replace)+list()+str()";
/// How user-data and vendor-data are merged with each other (`DEF_MERGE_TYPE`): what is there stays, and mappings are joined.
pub(super) const OF_DOCUMENTS: &str = "list()+dict()+str()";

/// What merges mappings, lists and texts; what is missing leaves such values as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mergers {
    map: Option<Options>,
    list: Option<Options>,
    text: Option<Options>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Options(Vec<String>);

impl Options {
    fn has(&self, word: &str) -> bool {
        self.0.iter().any(|option| option == word)
    }

    fn recurse_list(&self) -> bool {
        self.has("recurse_list") || self.has("recurse_array")
    }
}

impl Mergers {
    /// Reads `dict(recurse_list,no_replace)+list(append)`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut mergers = Self::default();
        for merger in text.split('+') {
            let merger = merger.trim().to_lowercase().replace('-', "_");
            if merger.is_empty() {
                continue;
            }
            let (name, options) = merger
                .strip_suffix(')')
                .and_then(|rest| rest.split_once('('))
                .ok_or_else(|| format!("`{}` is no way to merge", merger.escape_debug()))?;
            let options = options
                .split(',')
                .map(str::trim)
                .filter(|option| !option.is_empty());
            mergers.add(name, options.map(str::to_owned).collect())?;
        }
        Ok(mergers)
    }

    /// Reads what a cloud-config says itself, and takes it out: `merge_how` or `merge_type`, as a text or as a list.
    pub(super) fn taken_from(entries: &mut Vec<Entry>) -> Result<Option<Self>, String> {
        let Some(said) = ["merge_how", "merge_type"]
            .iter()
            .find_map(|key| take(entries, key))
        else {
            return Ok(None);
        };
        if let Some(text) = said.text() {
            return Self::parse(text).map(Some);
        }
        let Value::List(listed) = &said.value else {
            return Err("its merge_how is neither a text nor a list".to_owned());
        };
        let mut mergers = Self::default();
        for merger in listed {
            let (name, options) = settings(merger).ok_or("its merge_how can not be followed")?;
            mergers.add(name, options)?;
        }
        Ok(Some(mergers))
    }

    /// The first one of a kind counts.
    fn add(&mut self, name: &str, options: Vec<String>) -> Result<(), String> {
        let place = match name.strip_prefix("m_").unwrap_or(name) {
            "dict" => &mut self.map,
            "list" => &mut self.list,
            "str" => &mut self.text,
            other => return Err(format!("there is no merger `{}`", other.escape_debug())),
        };
        place.get_or_insert(Options(options));
        Ok(())
    }

    /// These, and where they have nothing for a kind, those.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            map: self.map.or(other.map),
            list: self.list.or(other.list),
            text: self.text.or(other.text),
        }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What becomes of a value when another is merged into it. The error is where cloud-init itself fails.
    pub(super) fn merge(&self, value: &Rc<Node>, with: &Rc<Node>) -> Result<Rc<Node>, String> {
        match (&value.value, &self.map, &self.list, &self.text) {
            (Value::Map(entries), Some(options), _, _) => match &with.value {
                Value::Map(others) => Ok(Node::of(Value::Map(self.merge_maps(options, entries, others)?))),
                _ => Ok(Rc::clone(value)),
            },
            (Value::List(items), _, Some(options), _) => self.merge_lists(options, items, with),
            (Value::Scalar(scalar), _, _, Some(options)) if scalar.is_text() => {
                if !options.has("append") {
                    return Ok(Rc::clone(with));
                }
                let text = with
                    .text()
                    .ok_or("something else than a text is appended to a text")?;
                Ok(Node::of_text(format!("{}{text}", scalar.text)))
            }
            _ => Ok(Rc::clone(value)),
        }
    }

    fn merge_maps(
        &self,
        options: &Options,
        entries: &[Entry],
        others: &[Entry],
    ) -> Result<Vec<Entry>, String> {
        let mut entries = entries.to_vec();
        let (replace, delete) = (options.has("replace"), options.has("allow_delete"));
        let kinds = (options.recurse_list(), options.has("recurse_str"), true);
        for other in others {
            let is_same = |known: &Entry| known.key.is_key(&other.key);
            match entries.iter_mut().find(|known| is_same(known)) {
                None => entries.push(other.clone()),
                Some(_) if delete && other.value.is_null() => entries.retain(|known| !is_same(known)),
                Some(known) if replace => known.value = Rc::clone(&other.value),
                Some(known) => known.value = self.merge_where(&known.value, &other.value, kinds)?,
            }
        }
        Ok(entries)
    }

    /// Merges values of these kinds (list, text, mapping); of others the old one stays.
    fn merge_where(
        &self,
        old: &Rc<Node>,
        new: &Rc<Node>,
        (list, text, map): (bool, bool, bool),
    ) -> Result<Rc<Node>, String> {
        let is_merged = match &new.value {
            Value::List(_) => list,
            Value::Map(_) => map,
            Value::Scalar(scalar) => text && scalar.is_text(),
            Value::Unknown(_) => false,
        };
        if is_merged {
            self.merge(old, new)
        } else {
            Ok(Rc::clone(old))
        }
    }

    fn merge_lists(
        &self,
        options: &Options,
        items: &[Rc<Node>],
        with: &Rc<Node>,
    ) -> Result<Rc<Node>, String> {
        let method = ["append", "prepend", "replace", "no_replace"]
            .into_iter()
            .find(|method| options.has(method))
            .unwrap_or("replace");
        if method == "replace" && !matches!(with.value, Value::List(_)) {
            return Ok(Rc::clone(with));
        }
        let has_entries = matches!(&with.value, Value::Map(entries) if !entries.is_empty());
        if method == "no_replace" && has_entries && !items.is_empty() {
            return Err("a mapping is merged into a list, place by place".to_owned());
        }
        let new = iterated(with)?;
        let merged = match method {
            "append" => [items, &new].concat(),
            "prepend" => [&new, items].concat(),
            "no_replace" => items.to_vec(),
            _ => self.in_their_places(options, items, &new)?,
        };
        Ok(Node::of(Value::List(merged)))
    }

    /// Merges items into those of the same places; what is beyond those stays away.
    fn in_their_places(
        &self,
        options: &Options,
        items: &[Rc<Node>],
        new: &[Rc<Node>],
    ) -> Result<Vec<Rc<Node>>, String> {
        let beyond = items.iter().skip(new.len()).cloned().map(Ok);
        let places = items.iter().zip(new);
        places
            .map(|(old, new)| self.in_place(options, old, new))
            .chain(beyond)
            .collect()
    }

    fn in_place(&self, options: &Options, old: &Rc<Node>, new: &Rc<Node>) -> Result<Rc<Node>, String> {
        let is_merged = match &new.value {
            Value::List(_) => options.recurse_list(),
            Value::Map(_) => options.has("recurse_dict"),
            Value::Scalar(scalar) => options.has("recurse_str") && scalar.is_text(),
            Value::Unknown(_) => false,
        };
        if is_merged {
            self.merge(old, new)
        } else {
            Ok(Rc::clone(new))
        }
    }
}

/// What Python makes of a value where it takes a list: of a mapping its keys, of a text its characters.
fn iterated(node: &Node) -> Result<Vec<Rc<Node>>, String> {
    match &node.value {
        Value::List(items) => Ok(items.clone()),
        Value::Map(entries) => Ok(entries.iter().map(|entry| Rc::clone(&entry.key)).collect()),
        Value::Scalar(scalar) if scalar.is_text() => {
            let characters = scalar.text.chars();
            Ok(characters
                .map(|character| Node::of_text(character.to_string()))
                .collect())
        }
        Value::Scalar(_) | Value::Unknown(_) => {
            Err("something else than a list is merged into a list".to_owned())
        }
    }
}

/// A merger of a list: `{name: dict, settings: [replace]}` or `[dict, replace]`.
fn settings(merger: &Node) -> Option<(&str, Vec<String>)> {
    let (name, options) = match &merger.value {
        Value::Map(_) => match &merger.get("settings")?.value {
            Value::List(options) => (merger.get("name")?, options.as_slice()),
            _ => return None,
        },
        Value::List(words) => words.split_first()?,
        Value::Scalar(_) | Value::Unknown(_) => return None,
    };
    let options = options.iter().map(|option| option.text().map(str::to_owned));
    Some((name.text()?.trim(), options.collect::<Option<_>>()?))
}

fn take(entries: &mut Vec<Entry>, key: &str) -> Option<Rc<Node>> {
    let place = entries.iter().position(|known| known.key.text() == Some(key))?;
    let value = entries.remove(place).value;
    (!value.is_null()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::yaml::read;

    fn merged(how: &str, value: &str, with: &str) -> Result<Rc<Node>, String> {
        let node = |text: &str| read(text).unwrap().unwrap();
        Mergers::parse(how)?.merge(&node(value), &node(with))
    }

    #[test]
    fn what_is_no_way_to_merge_is_told() {
        for (how, says) in [
            ("dict", "`dict`"),
            ("set(x)", "`set`"),
            ("list(append", "`list(append`"),
        ] {
            let error = Mergers::parse(how).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        assert!(Mergers::parse("").unwrap().is_empty());
    }

    #[test]
    fn what_cloud_init_fails_on_is_no_value() {
        for (how, with) in [("list(append)", "1"), ("list(no_replace)", "{a: y}")] {
            let error = merged(how, "[x]", with).unwrap_err();
            assert!(error.contains("into a list"), "{error}");
        }
        assert_eq!(
            merged("list(append)", "[x]", "{a: y}"),
            Ok(read("[x, a]").unwrap().unwrap())
        );
        assert_eq!(
            merged("list()", "[x]", "{a: y}"),
            Ok(read("a: y").unwrap().unwrap())
        );
        // Without a merger for mappings a mapping stays as it is.
        assert_eq!(
            merged("list(append)", "a: 1", "a: 2"),
            Ok(read("a: 1").unwrap().unwrap())
        );
    }

    #[test]
    fn an_entry_that_is_nothing_takes_the_other_away_where_that_is_allowed() {
        let how = "dict(replace,allow_delete)";
        assert_eq!(
            merged(how, "{a: 1, b: 2}", "{a: null}"),
            Ok(read("b: 2").unwrap().unwrap())
        );
    }
}
