//! Requests about what the site has beside its VMs: keys and templates.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What may be asked of the key ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum RingRequest {
    /// Adds keys; answered by [`super::Answer::Done`].
    Add(AddKey),
    /// Shows keys, all when `names` is empty; answered by [`super::Answer::Keys`].
    List {
        /// Which.
        names: Vec<String>,
    },
    /// Deletes keys; answered by [`super::Answer::Done`].
    Remove {
        /// Which.
        names: Vec<String>,
    },
}

/// What may be asked of the templates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum TemplateRequest {
    /// Shows the templates; answered by [`super::Answer::Templates`].
    List,
    /// Shows what a template says; answered by [`super::Answer::Text`].
    Show {
        /// Which.
        name: String,
    },
    /// Adds a template; answered by [`super::Answer::Done`].
    Add(AddTemplate),
    /// Deletes a template of the operator's; answered by [`super::Answer::Done`].
    Remove {
        /// Which.
        name: String,
    },
    /// Takes the files anew; answered by [`super::Answer::Done`].
    Reload,
}

/// A template to add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddTemplate {
    /// Its name.
    pub name: String,
    /// What it says.
    pub source: String,
    /// The file it is from, for messages.
    pub file: PathBuf,
    /// Whether it takes the place of the operator's own of that name.
    pub replace: bool,
}

/// Keys for the key ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddKey {
    /// Their name.
    pub name: String,
    /// Whose they are.
    pub owner: Option<String>,
    /// The keys, one line each.
    pub keys: Vec<String>,
    /// Where they came from, for whoever looks at the list: `agent`, `gh:ann`.
    pub source: String,
    /// Whether they may take the place of those of that name.
    pub replace: bool,
}
