//! A cloud-config against the table of keys: what cloud-init does not know, or takes for something else.

use std::fmt::Write as _;
use std::rc::Rc;

use super::finding::{Finding, Findings};
use super::keys::{Rule, Table};
use crate::model::cloud_init::Release;
use crate::seed::meant::meant;
use crate::seed::parts::Lines;
use crate::seed::yaml::{Entry, Kind, Node, Value, is_sexagesimal};

/// The most values that are looked at: by aliases, a few lines can stand for very many.
const MOST_VALUES: usize = 100_000;
/// For so many unknown keys the one that was meant is looked for.
const MOST_UNKNOWN: usize = 200;
/// Up to so many known keys are told where another was found.
const FEW_KEYS: usize = 8;

/// Looks at a cloud-config that `release` is to read, or any release when it is not known.
pub(super) fn check(document: &Node, lines: &Lines, release: Option<Release>, findings: &mut Findings) {
    let mut visit = Visit {
        table: Table::get(),
        lines,
        release,
        findings,
        key: String::new(),
        values: 0,
        unknown: 0,
    };
    if let Value::Map(entries) = &document.value {
        for entry in entries {
            visit.top(entry);
        }
    }
}

struct Visit<'a> {
    table: &'static Table,
    lines: &'a Lines,
    release: Option<Release>,
    findings: &'a mut Findings,
    /// The key that is looked at: `users[0].name`.
    key: String,
    values: usize,
    unknown: usize,
}

impl Visit<'_> {
    fn finding(&self, line: usize, what: String) -> Finding {
        Finding {
            place: self.lines.place(line),
            key: self.key.clone(),
            what,
        }
    }

    fn problem(&mut self, line: usize, what: String) {
        let finding = self.finding(line, what);
        self.findings.problem(finding);
    }

    fn warning(&mut self, line: usize, what: String) {
        let finding = self.finding(line, what);
        self.findings.warning(finding);
    }

    /// Does something with a key added to the path.
    fn under(&mut self, key: &str, look: impl FnOnce(&mut Self)) {
        let length = self.key.len();
        if length > 0 && !key.starts_with('[') {
            self.key.push('.');
        }
        self.key.push_str(&shown(key));
        look(self);
        self.key.truncate(length);
    }

    fn top(&mut self, entry: &Entry) {
        let root = self.table.root();
        self.under(entry.name(), |visit| match root.key(entry.name()) {
            Some(rule) => visit.known(entry, rule),
            None => visit.unknown_top(entry),
        });
    }

    /// A key at the top that the table does not have: part handlers and modules of a site have keys of their own.
    fn unknown_top(&mut self, entry: &Entry) {
        match self.nearest(entry.name(), self.table.root()) {
            Some(near) => self.problem(
                entry.line(),
                format!("cloud-init has no such key; did you mean {near}?"),
            ),
            None => self.warning(
                entry.line(),
                "cloud-init has no such key: nobody reads it unless a module of the image's own does"
                    .to_owned(),
            ),
        }
        self.traps(&entry.value);
    }

    fn known(&mut self, entry: &Entry, rule: &'static Rule) {
        if let Some(lost) = entry.lost {
            let lost = self.lines.place(lost);
            self.warning(
                entry.line(),
                format!("it is given twice: what {lost} says is lost"),
            );
        }
        self.age(entry.line(), rule);
        self.value(&entry.value, rule);
    }

    /// Tells what this or that release makes of a key.
    fn age(&mut self, line: usize, rule: &Rule) {
        let release = self.release;
        if let Some(since) = rule
            .since
            .filter(|since| release.is_some_and(|release| release < *since))
        {
            let image = release.map_or_else(String::new, |release| format!("{release} "));
            self.warning(
                line,
                format!("the image's cloud-init {image}does not know it yet: it is new in {since}"),
            );
        }
        let reached = |then: &Release| release.is_none_or(|release| release >= *then);
        if let Some(gone) = rule.gone.filter(reached) {
            self.warning(line, format!("cloud-init {gone} and newer know it no more"));
        }
        if let Some(deprecated) = rule.deprecated.filter(reached) {
            let instead = rule
                .instead
                .map_or_else(String::new, |instead| format!(": write {instead}"));
            self.warning(
                line,
                format!("it is deprecated since cloud-init {deprecated}{instead}"),
            );
        }
        if rule.is_system {
            self.warning(
                line,
                "cloud-init reads it from the image's own configuration, not from a user-data".to_owned(),
            );
        }
    }

    fn value(&mut self, node: &Node, rule: &'static Rule) {
        self.values = self.values.saturating_add(1);
        if self.values > MOST_VALUES {
            return;
        }
        if rule.is_any() {
            return self.traps(node);
        }
        if !rule.takes(node.kind()) {
            return self.mismatch(node, rule);
        }
        let shape = self.table.shape(rule);
        match &node.value {
            Value::Scalar(_) => self.one_of(node, rule),
            Value::List(items) => self.items(items, shape),
            Value::Map(entries) => self.map(node, entries, shape),
            Value::Unknown(_) => {}
        }
    }

    fn one_of(&mut self, node: &Node, rule: &Rule) {
        let Some(text) = node.text() else { return };
        if rule.one_of.is_empty() || rule.one_of.contains(&text) {
            return;
        }
        let texts = rule.one_of.join(", ");
        self.problem(
            node.line,
            format!("expected one of {texts}; found `{}`", shown(text)),
        );
    }

    fn items(&mut self, items: &[Rc<Node>], rule: &'static Rule) {
        for (index, item) in items.iter().enumerate() {
            self.under(&format!("[{index}]"), |visit| match rule.elements() {
                Some(rule) => {
                    visit.age(item.line, rule);
                    visit.value(item, rule);
                }
                None => visit.traps(item),
            });
        }
    }

    fn map(&mut self, node: &Node, entries: &[Entry], rule: &'static Rule) {
        for entry in entries {
            self.under(entry.name(), |visit| match rule.key(entry.name()) {
                Some(rule) => visit.known(entry, rule),
                None if rule.is_open => visit.traps(&entry.value),
                None => visit.unknown(entry, rule),
            });
        }
        for names in &rule.required {
            if !entries.iter().any(|entry| names.contains(&entry.name())) {
                self.problem(node.line, format!("the key {} is missing", names.join(" or ")));
            }
        }
    }

    fn unknown(&mut self, entry: &Entry, rule: &Rule) {
        let mut what = "cloud-init has no such key".to_owned();
        let known: Vec<_> = rule.current().collect();
        if let Some(near) = self.nearest(entry.name(), rule) {
            write!(what, "; did you mean {near}?").ok();
        } else if (1..=FEW_KEYS).contains(&known.len()) {
            write!(what, "; it knows {}", known.join(", ")).ok();
        }
        self.problem(entry.line(), what);
    }

    fn nearest(&mut self, key: &str, rule: &Rule) -> Option<&'static str> {
        self.unknown = self.unknown.saturating_add(1);
        (self.unknown <= MOST_UNKNOWN)
            .then(|| meant(key, rule.current()))
            .flatten()
    }

    fn mismatch(&mut self, node: &Node, rule: &Rule) {
        let expected = expected(rule);
        let found = found(node);
        let is_text_without_quotes = rule.takes(Kind::Text)
            && matches!(node.kind(), Kind::Whole | Kind::Number | Kind::Bool | Kind::Date);
        let advice = if is_text_without_quotes {
            "; put it in quotes"
        } else {
            ""
        };
        let what = format!("expected {expected}, found {found}{advice}");
        if rule.is_lenient && is_text_without_quotes {
            self.warning(node.line, what);
        } else {
            self.problem(node.line, what);
        }
    }

    /// Warns of values that are not what they look like, where anything may stand.
    fn traps(&mut self, node: &Node) {
        self.values = self.values.saturating_add(1);
        if self.values > MOST_VALUES {
            return;
        }
        match &node.value {
            Value::Scalar(scalar)
                if scalar.text.contains(':') && matches!(scalar.kind(), Kind::Whole | Kind::Number) =>
            {
                let what = format!(
                    "cloud-init takes it for {}; put it in quotes if it is none",
                    found(node)
                );
                self.warning(node.line, what);
            }
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.under(&format!("[{index}]"), |visit| visit.traps(item));
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    self.under(entry.name(), |visit| visit.traps(&entry.value));
                }
            }
            Value::Scalar(_) | Value::Unknown(_) => {}
        }
    }
}

impl Rule {
    /// The keys that are listed and that the newest release still wants.
    fn current(&self) -> impl Iterator<Item = &'static str> + '_ {
        let is_current = |rule: &Self| rule.gone.is_none() && rule.deprecated.is_none();
        self.names()
            .filter(move |name| self.key(name).is_some_and(is_current))
    }
}

/// What may stand there, in words: `a text or a list`.
fn expected(rule: &Rule) -> String {
    let kinds: Vec<_> = rule.kinds().map(word).collect();
    match kinds.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => "anything".to_owned(),
    }
}

const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "a text",
        Kind::Whole => "a whole number",
        Kind::Number => "a number",
        Kind::Bool => "true or false",
        Kind::Date => "a date",
        Kind::Null => "nothing",
        Kind::List => "a list",
        Kind::Map => "a mapping",
        Kind::Unknown => "a tagged value",
    }
}

/// What stands there, in words: `the number 0644 (420)`.
fn found(node: &Node) -> String {
    let Value::Scalar(scalar) = &node.value else {
        return word(node.kind()).to_owned();
    };
    let (kind, text) = (scalar.kind(), &*scalar.text);
    let shown = shown(text);
    match kind {
        Kind::Whole => match disguised(text) {
            Some(value) => format!("the number {shown} ({value} to cloud-init)"),
            None => format!("the number {shown}"),
        },
        Kind::Number if is_sexagesimal(text.split('.').next().unwrap_or_default()) => {
            format!("the number {shown} to the base of sixty")
        }
        Kind::Number => format!("the number {shown}"),
        Kind::Bool => format!("the truth value {shown}"),
        Kind::Date => format!("the date {shown}"),
        Kind::Text | Kind::Null | Kind::List | Kind::Map | Kind::Unknown => word(kind).to_owned(),
    }
}

/// The start of a text, fit to be shown on one line.
fn shown(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}

/// The value of a whole number that is written in octal, or to the base of sixty, perhaps without meaning to.
fn disguised(text: &str) -> Option<u128> {
    let digits = text.replace('_', "");
    if is_sexagesimal(&digits) {
        return digits.split(':').try_fold(0_u128, |value, place| {
            value.checked_mul(60)?.checked_add(place.parse().ok()?)
        });
    }
    let octal = digits.strip_prefix('0').filter(|octal| !octal.is_empty())?;
    u128::from_str_radix(octal, 8).ok()
}
