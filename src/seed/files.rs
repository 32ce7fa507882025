//! Loading templates: those built into the binary, then the operator's own, which replace built-in ones of their name.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::install::InstallTemplates;
use super::ipxe::BootTemplate;
use super::library::{Draft, Origin};
use super::render::{TemplateProblem, Templates};
use super::site::{self, Site, SiteProblem};
use crate::model::name::NameError;
use crate::model::{NetworkName, TemplateName};

const BUILT_IN: [(&str, &str); 4] = [
    ("ci-runner", include_str!("../../seed-templates/ci-runner.yaml")),
    ("default", include_str!("../../seed-templates/default.yaml")),
    (
        "docker-host",
        include_str!("../../seed-templates/docker-host.yaml"),
    ),
    ("minimal", include_str!("../../seed-templates/minimal.yaml")),
];

/// The template of the iPXE script, and the file of the operator's that replaces it.
const BOOT: &str = "boot.ipxe";
const BUILT_IN_BOOT: &str = include_str!("../../seed-templates/boot.ipxe");

/// A template is a page of text; a larger file is there by mistake.
const MAX_TEMPLATE: usize = 256 << 10;

/// Why the templates could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum TemplatesError {
    /// The directory or a file in it can not be read.
    #[error("can not read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file's name is no template's name.
    #[error("can not use {} as a template: {source}", path.display())]
    Name {
        /// Which file.
        path: PathBuf,
        /// Why its stem is no name.
        source: NameError,
    },
    /// The file is too large to be a template.
    #[error("can not use {} as a template: it has {size} bytes; at most {MAX_TEMPLATE} are allowed", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// Its size in bytes.
        size: usize,
    },
    /// A template is broken.
    #[error(transparent)]
    Broken(#[from] TemplateProblem),
    /// The site's vendor-data is broken.
    #[error("the vendor-data {}: {problem}", path.display())]
    Site {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: SiteProblem,
    },
}

impl Templates {
    /// Loads the built-in templates and those in the operator's directory: every file there that ends in `.yaml`,
    /// `boot.ipxe`, and those of installers under `install/`.
    ///
    /// Each is rendered with sample facts, so that a broken template stops the start and not a guest's first boot.
    pub fn load(operator_dir: Option<&Path>) -> Result<Self, TemplatesError> {
        Self::drafted(operator_dir, None)
    }

    /// What [`Self::load`] would load after a change.
    pub fn drafted(operator_dir: Option<&Path>, draft: Option<&Draft>) -> Result<Self, TemplatesError> {
        let mut templates = Self::built_in(boot(operator_dir)?, install(operator_dir)?)?;
        for path in operator_dir.map(template_files).transpose()?.unwrap_or_default() {
            let name = name_of(&path)?;
            if draft.is_none_or(|draft| *draft.name() != name) {
                templates.add(name, Origin::File(path.clone()), read(&path)?)?;
            }
        }
        if let Some(Draft::Put { name, source, file }) = draft {
            fits(file, source)?;
            templates.add(name.clone(), Origin::File(file.clone()), source.clone())?;
        }
        templates.prove()?;
        Ok(templates)
    }

    /// The templates that are built in.
    fn built_in(boot: BootTemplate, install: InstallTemplates) -> Result<Self, TemplatesError> {
        let mut templates = Self::with(boot, install);
        for (name, source) in BUILT_IN {
            let name: TemplateName = name.parse().map_err(|source| TemplatesError::Name {
                path: PathBuf::from(name),
                source,
            })?;
            templates.add_built_in(name, source)?;
        }
        Ok(templates)
    }
}

impl Site {
    /// Reads the site's vendor-data, and checks it.
    pub fn load(
        everywhere: Option<&Path>,
        networks: &BTreeMap<NetworkName, PathBuf>,
    ) -> Result<Self, TemplatesError> {
        Ok(Self {
            everywhere: everywhere.map(vendor_data).transpose()?.unwrap_or_default(),
            networks: networks
                .iter()
                .map(|(network, path)| Ok((network.clone(), vendor_data(path)?)))
                .collect::<Result<_, TemplatesError>>()?,
        })
    }
}

fn vendor_data(path: &Path) -> Result<Arc<[u8]>, TemplatesError> {
    let bytes = std::fs::read(path).map_err(|source| TemplatesError::Read {
        path: path.to_owned(),
        source,
    })?;
    site::check(&bytes).map_err(|problem| TemplatesError::Site {
        path: path.to_owned(),
        problem,
    })?;
    Ok(Arc::from(bytes))
}

/// The file of a template in the operator's directory.
pub fn file_of(operator_dir: &Path, name: &TemplateName) -> PathBuf {
    operator_dir.join(format!("{name}.yaml"))
}

/// Checks a file as the daemon would if it were in the operator's directory, without one: beside the built-in templates and
/// the files around it, which it may include.
pub fn check(path: &Path) -> Result<(), TemplatesError> {
    if path.file_name() == Some(OsStr::new(BOOT)) {
        BootTemplate::compile(&path.display().to_string(), read(path)?)?;
        return Ok(());
    }
    let name = name_of(path)?;
    let mut templates = Templates::built_in(boot(None)?, install(None)?)?;
    for beside in path
        .parent()
        .map(template_files)
        .and_then(Result::ok)
        .unwrap_or_default()
    {
        // One that is broken is found where it is used, or when it is checked itself.
        let added = name_of(&beside).and_then(|name| {
            let source = read(&beside)?;
            Ok(templates.add(name, Origin::File(beside.clone()), source)?)
        });
        drop(added);
    }
    templates.add(name.clone(), Origin::File(path.to_owned()), read(path)?)?;
    Ok(templates.prove_one(&name)?)
}

/// The template of the iPXE script.
fn boot(operator_dir: Option<&Path>) -> Result<BootTemplate, TemplatesError> {
    let own = operator_dir
        .map(|directory| directory.join(BOOT))
        .filter(|path| path.exists());
    let (origin, source) = match own {
        Some(path) => (path.display().to_string(), read(&path)?),
        None => (format!("built-in {BOOT}"), BUILT_IN_BOOT.to_owned()),
    };
    Ok(BootTemplate::compile(&origin, source)?)
}

/// The templates of installers' answers.
fn install(operator_dir: Option<&Path>) -> Result<InstallTemplates, TemplatesError> {
    InstallTemplates::compile(|name, built_in| {
        let own = operator_dir.map(|directory| directory.join(name));
        match own.filter(|path| path.exists()) {
            Some(path) => Ok((path.display().to_string(), read(&path)?)),
            None => Ok((format!("built-in {name}"), built_in.to_owned())),
        }
    })
}

/// The template files of a directory, sorted, so that the same one is complained about every time.
fn template_files(directory: &Path) -> Result<Vec<PathBuf>, TemplatesError> {
    let failed = |source| TemplatesError::Read {
        path: directory.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension() == Some(OsStr::new("yaml")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The template that a file is, by its name.
pub fn name_of(path: &Path) -> Result<TemplateName, TemplatesError> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    stem.parse().map_err(|source| TemplatesError::Name {
        path: path.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<String, TemplatesError> {
    let text = std::fs::read_to_string(path).map_err(|source| TemplatesError::Read {
        path: path.to_owned(),
        source,
    })?;
    fits(path, &text)?;
    Ok(text)
}

fn fits(path: &Path, text: &str) -> Result<(), TemplatesError> {
    if text.len() > MAX_TEMPLATE {
        return Err(TemplatesError::TooLarge {
            path: path.to_owned(),
            size: text.len(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
