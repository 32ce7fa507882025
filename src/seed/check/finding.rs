//! What was found in a user-data, and how it is told.

use std::fmt;

/// The most problems, and the most warnings, that are told of one user-data.
pub(super) const MOST_TOLD: usize = 20;

/// Something in a user-data that does not do what it seems to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// Where it stands: `line 7`, or `part 2, line 3` of a part that is encoded.
    pub(super) place: String,
    /// The key it is about: `users[0].name`; empty for the whole of it.
    pub(super) key: String,
    /// What is wrong, and what was expected.
    pub(super) what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for word in [&self.place, &self.key] {
            if !word.is_empty() {
                write!(f, "{word}: ")?;
            }
        }
        f.write_str(&self.what)
    }
}

/// All that was found in a user-data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    problems: Told,
    warnings: Told,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Told {
    findings: Vec<Finding>,
    hidden: usize,
}

impl Told {
    fn add(&mut self, finding: Finding) {
        if self.findings.len() < MOST_TOLD {
            self.findings.push(finding);
        } else {
            self.hidden = self.hidden.saturating_add(1);
        }
    }

    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<_> = self.findings.iter().map(Finding::to_string).collect();
        if self.hidden > 0 {
            lines.push(format!("... and {} more", self.hidden));
        }
        lines
    }
}

impl Findings {
    /// Adds what keeps a VM from being launched.
    pub(super) fn problem(&mut self, finding: Finding) {
        self.problems.add(finding);
    }

    /// Adds what is told and no more.
    pub(super) fn warning(&mut self, finding: Finding) {
        self.warnings.add(finding);
    }

    /// What keeps a VM from being launched unless it is forced, a line each, at most twenty and how many more.
    pub fn problems(&self) -> Vec<String> {
        self.problems.lines()
    }

    /// What is told and no more, a line each, at most twenty and how many more.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lines()
    }
}
