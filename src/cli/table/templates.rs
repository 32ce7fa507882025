//! How templates look to people. Pure.

use super::columns;
use crate::control::TemplateInfo;

/// Templates as a table.
pub(in crate::cli) fn templates(templates: &[TemplateInfo]) -> String {
    let rows = templates.iter().map(|template| {
        let note = if template.replaces_built_in {
            " (in place of the built-in one)"
        } else {
            ""
        };
        vec![
            template.name.clone(),
            template.used_by.len().to_string(),
            format!("{}{note}", template.origin),
        ]
    });
    columns(&["NAME", "VMS", "ORIGIN"], rows)
}
