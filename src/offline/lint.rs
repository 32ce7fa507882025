//! What in a base image would hurt its clones, and what is known of it. Pure, over a guest's root directory.

use std::cell::RefCell;

use serde::{Deserialize, Serialize};

use super::root::{Kind, Root, RootError};

mod boot;
mod cloud;
mod facts;
mod identity;
mod network;

pub use facts::Facts;

/// What was found in a guest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What is known of it.
    pub facts: Facts,
    /// What would hurt a clone; in a report on sealing, what was done about it.
    pub findings: Vec<Finding>,
}

/// Something that would hurt a clone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Its name, for programs: `machine-id`.
    pub rule: String,
    /// What it is.
    pub what: String,
    /// Where.
    pub paths: Vec<String>,
    /// Why it hurts a clone.
    pub why: String,
    /// What sealing does, or what the user does where it does nothing.
    pub seal: String,
    /// Whether sealing does away with it.
    pub sealed: bool,
    /// How it is done away with.
    #[serde(skip)]
    pub cure: Option<Cure>,
}

/// How a finding is done away with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cure {
    /// Its paths are removed, directories with all that is in them.
    Remove,
    /// Its paths become empty files.
    Empty,
    /// Files are written; they keep their owner and mode.
    Write(Vec<(String, String)>),
    /// A link is made to something.
    Link {
        /// The link.
        path: String,
        /// What it points to.
        target: String,
    },
}

impl Finding {
    fn new(rule: &str, what: impl Into<String>, paths: Vec<String>, why: impl Into<String>) -> Self {
        Self {
            rule: rule.to_owned(),
            what: what.into(),
            paths,
            why: why.into(),
            seal: String::new(),
            sealed: false,
            cure: None,
        }
    }

    /// Sealing does this.
    fn cured(mut self, how: impl Into<String>, cure: Cure) -> Self {
        self.seal = how.into();
        self.sealed = true;
        self.cure = Some(cure);
        self
    }

    /// Sealing does nothing; the user does this.
    fn left(mut self, to_do: &str) -> Self {
        self.seal = format!("nothing: {to_do}");
        self
    }
}

/// Looks for everything that would hurt a clone.
pub fn lint(root: &Root) -> Report {
    let look = Look::new(root);
    let facts = facts::facts(&look);
    let mut findings = identity::findings(&look, &facts);
    findings.extend(network::findings(&look, &facts));
    findings.extend(cloud::findings(&look, &facts));
    findings.extend(boot::findings(&look, &facts));
    findings.extend(look.unreadable.take().into_iter().map(|error| {
        Finding::new(
            "unreadable",
            error.why.to_string(),
            vec![error.path],
            "what is in it is not known",
        )
        .left("look at it in a VM: seedbed image edit")
    }));
    Report { facts, findings }
}

/// A look at a guest's files, which remembers what it could not read.
struct Look<'a> {
    root: &'a Root,
    unreadable: RefCell<Vec<RootError>>,
}

impl<'a> Look<'a> {
    const fn new(root: &'a Root) -> Self {
        Self {
            root,
            unreadable: RefCell::new(Vec::new()),
        }
    }

    fn or_empty<T: Default>(&self, result: Result<T, RootError>) -> T {
        result.unwrap_or_else(|error| {
            self.unreadable.borrow_mut().push(error);
            T::default()
        })
    }

    /// A file's text; none where there is no file.
    fn text(&self, path: &str) -> Option<String> {
        self.or_empty(self.root.read_text(path))
    }

    /// A large file's text, at most so many bytes.
    fn large(&self, path: &str, most: u64) -> String {
        let bytes = self
            .or_empty(self.root.read_up_to(path, most))
            .unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The paths of what is in a directory.
    fn within(&self, directory: &str) -> Vec<String> {
        let names = self.or_empty(self.root.list(directory));
        names.iter().map(|name| format!("{directory}/{name}")).collect()
    }

    /// Those of these paths that are regular files with something in them.
    fn filled(&self, paths: impl IntoIterator<Item = String>) -> Vec<String> {
        let filled = |path: &String| {
            self.or_empty(self.root.status(path))
                .is_some_and(|status| status.kind == Kind::File && status.len > 0)
        };
        paths.into_iter().filter(filled).collect()
    }

    fn exists(&self, path: &str) -> bool {
        self.root.exists(path)
    }
}

/// A text without the lines that a predicate is true of.
fn without(text: &str, doomed: impl Fn(&str) -> bool) -> String {
    let kept = text.lines().filter(|line| !doomed(line.trim()));
    kept.fold(String::new(), |text, line| text + line + "\n")
}

#[cfg(test)]
mod tests;
