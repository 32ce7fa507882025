//! Doing away with what would hurt a clone. Pure, over a guest's root directory.

use super::lint::{Cure, Finding, Report, lint};
use super::root::{Root, RootError};

/// The most rounds: what one cure uncovers, the next finds.
const ROUNDS: usize = 3;

/// Does what [`lint`] says that sealing does. The report has what was done, and then what is left to the user.
pub fn seal(root: &Root) -> Result<Report, RootError> {
    let mut done: Vec<Finding> = Vec::new();
    let mut report = lint(root);
    for _ in 0..ROUNDS {
        let curable: Vec<_> = report
            .findings
            .extract_if(.., |finding| finding.cure.is_some())
            .collect();
        if curable.is_empty() {
            break;
        }
        for finding in curable {
            if let Some(cure) = &finding.cure {
                apply(root, cure, &finding.paths)?;
            }
            done.push(finding);
        }
        report = lint(root);
    }
    done.append(&mut report.findings);
    Ok(Report {
        findings: done,
        ..report
    })
}

fn apply(root: &Root, cure: &Cure, paths: &[String]) -> Result<(), RootError> {
    match cure {
        Cure::Remove => paths
            .iter()
            .try_for_each(|path| root.remove_tree(path).map(|_| ())),
        Cure::Empty => paths.iter().try_for_each(|path| root.write(path, b"", 0o444)),
        Cure::Write(files) => files.iter().try_for_each(|(path, text)| {
            root.make_dir(folder(path), 0o755)?;
            root.write(path, text.as_bytes(), 0o644)
        }),
        Cure::Link { path, target } => {
            root.make_dir(folder(path), 0o755)?;
            root.symlink(target, path)
        }
    }
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("/", |(folder, _)| folder)
}
