//! How findings in images look to people.

use super::sheets;
use crate::control::{FindingInfo, LintInfo};

/// What was found in each image, and what is known of it.
pub(in crate::cli) fn lints(lints: &[LintInfo]) -> String {
    let shown = lints.iter().map(|lint| {
        let findings: String = lint.findings.iter().map(|found| finding(found, "seal")).collect();
        let end = match lint.findings.len() {
            0 => "\nNothing in it would hurt a clone.\n".to_owned(),
            count => format!("\n{count} found:\n{findings}"),
        };
        facts(lint) + &end
    });
    shown.collect::<Vec<_>>().join("\n")
}

/// What was done about what was found.
pub(in crate::cli) fn seals(lints: &[LintInfo]) -> String {
    let shown = lints.iter().map(|lint| {
        let (done, left): (Vec<_>, Vec<_>) = lint.findings.iter().partition(|finding| finding.sealed);
        let list = |findings: &[&FindingInfo], label: &str| -> String {
            findings.iter().map(|found| finding(found, label)).collect()
        };
        let mut text = match &lint.made {
            Some(made) => format!("{made} is {} without:\n{}", lint.image, list(&done, "done")),
            None => format!("nothing in {} is to be sealed\n", lint.image),
        };
        if !left.is_empty() {
            text += "\nleft to you:\n";
            text += &list(&left, "done");
        }
        text
    });
    shown.collect::<Vec<_>>().join("\n")
}

fn facts(lint: &LintInfo) -> String {
    let list = |words: &[String]| (!words.is_empty()).then(|| words.join(" "));
    sheets(std::iter::once(vec![
        ("Image", Some(lint.image.clone())),
        ("System", lint.distribution.clone()),
        ("cloud-init", lint.cloud_init.clone()),
        ("systemd", lint.systemd.clone()),
        ("Network", list(&lint.network)),
        ("Boot loader", lint.boot_loader.clone()),
        ("Views", list(&lint.views)),
    ]))
}

fn finding(finding: &FindingInfo, label: &str) -> String {
    let mut text = format!("\n  {}: {}\n", finding.rule, finding.what);
    for path in &finding.paths {
        text += "    ";
        // A guest chose it, and a terminal obeys some bytes.
        text.extend(path.escape_debug());
        text.push('\n');
    }
    text + "    why:  " + &finding.why + "\n    " + label + ": " + &finding.seal + "\n"
}
