//! The library: which templates there are, where each came from and what it says; and what it would be with a change.

use std::fmt;
use std::path::PathBuf;

use super::render::Templates;
use super::site::Site;
use crate::model::TemplateName;

/// The templates in force, as guests are served them: replaced as a whole, so that one document is never made of two.
pub type Library = arc_swap::ArcSwap<Templates>;

/// Where a template came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It is built into the binary, under this name.
    BuiltIn(TemplateName),
    /// It is a file of the operator's.
    File(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn(name) => write!(f, "built-in {name}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A change of the operator's own templates that is not made yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Draft {
    /// A template is put there, or takes the place of the one of its name.
    Put {
        /// What it is called.
        name: TemplateName,
        /// What it says.
        source: String,
        /// The file it is from, for messages.
        file: PathBuf,
    },
    /// A template is taken away.
    Without(TemplateName),
}

impl Draft {
    /// The template that it is about.
    pub const fn name(&self) -> &TemplateName {
        match self {
            Self::Put { name, .. } | Self::Without(name) => name,
        }
    }
}

impl Templates {
    /// The templates there are, in alphabetical order, with where each came from.
    pub fn origins(&self) -> impl Iterator<Item = (&TemplateName, &Origin)> {
        self.origins.iter()
    }

    /// The same templates, beside this vendor-data of the site's.
    #[must_use]
    pub fn with_site(mut self, site: Site) -> Self {
        self.site = site;
        self
    }

    /// Where a template came from.
    pub fn origin_of(&self, name: &TemplateName) -> Option<&Origin> {
        self.origins.get(name)
    }
}
