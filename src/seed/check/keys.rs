//! The table of what a cloud-config may hold (`keys.txt`).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::model::cloud_init::Release;
use crate::seed::yaml::Kind;

/// What may stand at one place.
#[derive(Debug, Default)]
pub(super) struct Rule {
    kinds: Vec<Allowed>,
    /// The only texts it takes; any when empty.
    pub(super) one_of: Vec<&'static str>,
    /// The keys that the mapping needs; of each inner list, one.
    pub(super) required: Vec<Vec<&'static str>>,
    /// The first release that knows it.
    pub(super) since: Option<Release>,
    /// The first release that knows it no more.
    pub(super) gone: Option<Release>,
    /// Since when cloud-init warns of it.
    pub(super) deprecated: Option<Release>,
    /// What takes its place.
    pub(super) instead: Option<&'static str>,
    /// Whether keys that are not listed are fine.
    pub(super) is_open: bool,
    /// Whether the module takes numbers and truth values for text.
    pub(super) is_lenient: bool,
    /// Whether it counts in the image's own configuration only.
    pub(super) is_system: bool,
    keys: BTreeMap<&'static str, Self>,
    elements: Option<Box<Self>>,
    like: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allowed {
    Exactly(Kind),
    Any,
}

/// Stands for every key.
const EVERY: &str = "*";

impl Rule {
    /// Whether it may be anything.
    pub(super) fn is_any(&self) -> bool {
        self.kinds.contains(&Allowed::Any)
    }

    /// Whether a value of this kind may stand there.
    pub(super) fn takes(&self, kind: Kind) -> bool {
        kind == Kind::Unknown
            || self.kinds.iter().any(|allowed| match allowed {
                Allowed::Any => true,
                Allowed::Exactly(Kind::Number) => matches!(kind, Kind::Number | Kind::Whole),
                Allowed::Exactly(allowed) => *allowed == kind,
            })
    }

    /// The kinds that may stand there, in the order they are shown.
    pub(super) fn kinds(&self) -> impl Iterator<Item = Kind> + '_ {
        self.kinds.iter().filter_map(|allowed| match allowed {
            Allowed::Exactly(kind) => Some(*kind),
            Allowed::Any => None,
        })
    }

    /// The rule of a key.
    pub(super) fn key(&self, key: &str) -> Option<&Self> {
        let rule = self.keys.get(key).filter(|_| key != EVERY);
        rule.or_else(|| self.keys.get(EVERY))
    }

    /// The keys that are listed.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.keys.keys().copied().filter(|name| *name != EVERY)
    }

    /// The rule of the elements of the list.
    pub(super) fn elements(&self) -> Option<&Self> {
        self.elements.as_deref()
    }
}

/// All rules.
#[derive(Debug, Default)]
pub(super) struct Table {
    root: Rule,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table::default();
    for line in lines() {
        // That each line is read has a test.
        table.add(line);
    }
    table
});

fn lines() -> impl Iterator<Item = &'static str> {
    let lines = include_str!("keys.txt").lines();
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

impl Table {
    /// The table.
    pub(super) fn get() -> &'static Self {
        &TABLE
    }

    /// The rule of a whole document.
    pub(super) const fn root(&self) -> &Rule {
        &self.root
    }

    /// The rule that lists the keys and elements of one: itself, or the one it is like.
    pub(super) fn shape<'a>(&'a self, rule: &'a Rule) -> &'a Rule {
        rule.like.and_then(|place| self.at(place)).unwrap_or(rule)
    }

    fn at(&self, place: &str) -> Option<&Rule> {
        steps(place).try_fold(&self.root, |rule, step| match step {
            Step::Key(key) => rule.keys.get(key),
            Step::Element => rule.elements(),
        })
    }

    fn add(&mut self, line: &'static str) -> Option<()> {
        let mut words = line.split_whitespace();
        let place = words.next()?;
        let rule = steps(place).fold(&mut self.root, |rule, step| match step {
            Step::Key(key) => rule.keys.entry(key).or_default(),
            Step::Element => rule.elements.get_or_insert_default(),
        });
        rule.kinds = words.next()?.split('|').map(allowed).collect::<Option<_>>()?;
        words.try_for_each(|remark| rule.remark(remark))
    }
}

impl Rule {
    fn remark(&mut self, remark: &'static str) -> Option<()> {
        let (name, value) = remark.split_once('=').unwrap_or((remark, ""));
        match name {
            "since" => self.since = Some(value.parse().ok()?),
            "gone" => self.gone = Some(value.parse().ok()?),
            "deprecated" => self.deprecated = Some(value.parse().ok()?),
            "use" => self.instead = Some(value),
            "one-of" => self.one_of = value.split(',').collect(),
            "required" => self.required = value.split(',').map(|one| one.split('|').collect()).collect(),
            "as" => self.like = Some(value),
            "open" => self.is_open = true,
            "lenient" => self.is_lenient = true,
            "system" => self.is_system = true,
            _ => return None,
        }
        Some(())
    }
}

fn allowed(word: &str) -> Option<Allowed> {
    Some(Allowed::Exactly(match word {
        "any" => return Some(Allowed::Any),
        "text" => Kind::Text,
        "whole" => Kind::Whole,
        "number" => Kind::Number,
        "bool" => Kind::Bool,
        "null" => Kind::Null,
        "list" => Kind::List,
        "map" => Kind::Map,
        _ => return None,
    }))
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Element,
}

/// The way to a place: `users[].name` is the key `users`, an element, the key `name`.
fn steps(place: &str) -> impl Iterator<Item = Step<'_>> {
    place.split('.').flat_map(|part| {
        let key = part.trim_end_matches("[]");
        let depth = (part.len() - key.len()) / 2;
        std::iter::once(Step::Key(key)).chain(std::iter::repeat_n(Step::Element, depth))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_read() {
        let mut table = Table::default();
        let mut count = 0;
        for line in lines() {
            assert!(table.add(line).is_some(), "{line}");
            count += 1;
        }
        assert!(count > 600, "{count}");
    }

    #[test]
    fn every_place_is_listed_once_and_under_one_that_is_listed() {
        let places: Vec<_> = lines()
            .map(|line| line.split_whitespace().next().unwrap())
            .collect();
        for (index, place) in places.iter().enumerate() {
            assert!(!places[..index].contains(place), "{place} is listed twice");
            let parent = place
                .strip_suffix("[]")
                .or_else(|| Some(place.rsplit_once('.')?.0));
            assert!(parent.is_none_or(|parent| places.contains(&parent)), "{place}");
        }
    }

    #[test]
    fn a_place_that_is_like_another_and_a_key_that_takes_the_place_of_one_exist() {
        let table = Table::get();
        for line in lines() {
            let place = line.split_whitespace().next().unwrap();
            let rule = table.at(place).unwrap();
            assert!(rule.like.is_none_or(|like| table.at(like).is_some()), "{line}");
            let Some(instead) = rule.instead else { continue };
            let beside = place
                .rsplit_once('.')
                .map_or_else(|| instead.to_owned(), |(parent, _)| format!("{parent}.{instead}"));
            assert!(table.at(&beside).is_some(), "{line}");
        }
    }

    #[test]
    fn keys_are_found_by_name_by_star_and_by_likeness() {
        let table = Table::get();
        let user = table.shape(table.root().key("user").unwrap());
        assert!(
            user.key("name")
                .is_some_and(|rule| rule.takes(Kind::Text) && !rule.takes(Kind::Whole))
        );
        let repository = table.at("yum_repos.*").unwrap();
        assert!(
            repository
                .key("gpgcheck")
                .is_some_and(|rule| rule.takes(Kind::Bool))
        );
        assert!(table.root().key("*").is_none() && table.root().key("nothing").is_none());
        let timeout = table.at("reporting.*.timeout").unwrap();
        assert!(timeout.takes(Kind::Whole) && timeout.takes(Kind::Number) && !timeout.takes(Kind::Text));
    }
}
