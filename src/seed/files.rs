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
mod tests {
    use super::*;

    fn loaded(name: &str, source: &str) -> Result<Templates, String> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(name), source).unwrap();
        Templates::load(Some(directory.path())).map_err(|error| error.to_string())
    }

    #[test]
    fn an_operators_template_replaces_the_built_in_one_of_its_name() {
        let templates = loaded("default.yaml", "#cloud-config\ntimezone: UTC\n").unwrap();
        let text = templates
            .render(&"default".parse().unwrap(), &super::super::Facts::bare())
            .unwrap();
        assert_eq!(text, "#cloud-config\ntimezone: UTC\n");
        assert!(templates.has(&"minimal".parse().unwrap()));
    }

    #[test]
    fn a_broken_template_is_refused_with_file_line_and_reason() {
        for (source, line, says) in [
            (
                "#cloud-config\nhostname: {{ hostnam }}\n",
                "site.yaml:2",
                "did you mean `hostname`?",
            ),
            (
                "#cloud-config\n{% if false %}\nx: {{ colour }}\n{% endif %}\n",
                "site.yaml:3",
                "`colour` is an unknown fact",
            ),
            (
                "#cloud-config\n{% for user in users %}\n# {{ user.nick }}\n{% endfor %}\n",
                "site.yaml:3",
                "undefined",
            ),
            (
                "#cloud-config\n\n{% if swap_device %}\n",
                "site.yaml:3",
                "unexpected end",
            ),
            (
                "#cloud-config\n{% if keys %}x: {{ keys | upper }}\n{% endif %}\n",
                "site.yaml:2",
                "unknown filter",
            ),
            ("hostname: {{ hostname }}\n", "", "#cloud-config"),
            ("#cloud-config\n- {{ hostname }}\n", "", "a list"),
            (
                "#cloud-config\nx: \"http://{{ gateway }}/\"\n",
                "line 2",
                "expected",
            ),
            ("#cloud-config\nx: '{{ keys[0] | safe }}'\n", "line 2", ""),
        ] {
            let error = loaded("site.yaml", source).unwrap_err();
            assert!(error.contains("site.yaml"), "{error}");
            assert!(
                error.contains(line) && error.contains(says),
                "{source:?}: {error}"
            );
        }
    }

    #[test]
    fn a_template_includes_built_in_ones_and_those_beside_it() {
        let own =
            "{% include \"built-in/default\" %}\n- type: text/x-shellscript\n  content: |\n    #!/bin/sh\n";
        let templates = loaded("default.yaml", own).unwrap();
        let facts = super::super::Facts::sample();
        let rendered = |name: &str| templates.render(&name.parse().unwrap(), &facts).unwrap();
        let plain = Templates::load(None)
            .unwrap()
            .render(&"default".parse().unwrap(), &facts)
            .unwrap();
        assert_eq!(
            rendered("default"),
            format!("{plain}- type: text/x-shellscript\n  content: |\n    #!/bin/sh\n")
        );
        // What is built in goes on as it was.
        assert!(rendered("docker-host").starts_with(&plain));
    }

    #[test]
    fn an_include_reaches_no_file_and_is_as_strict_as_the_rest() {
        for (source, says) in [
            ("{% include \"/etc/passwd\" %}\n", "/etc/passwd"),
            ("{% include \"../site.yaml\" %}\n", "../site.yaml"),
            ("{% include \"site.yaml\" %}\n", "site.yaml"),
            ("{% include hostname %}\n", "sample"),
            // Itself, without an end.
            ("#cloud-config\n{% include \"site\" %}\n", "site.yaml"),
            (
                "{% import \"built-in/minimal\" as x %}#cloud-config\n{{ x.y }}",
                "site.yaml",
            ),
        ] {
            let error = loaded("site.yaml", source).unwrap_err();
            assert!(
                error.contains(says) && error.contains("site.yaml"),
                "{source}: {error}"
            );
        }
    }

    #[test]
    fn what_is_wrong_in_an_included_template_is_told_of_that_one() {
        let directory = tempfile::tempdir().unwrap();
        let put = |name: &str, source: &str| std::fs::write(directory.path().join(name), source).unwrap();
        put("a.yaml", "{% include \"b\" %}\n");
        put("b.yaml", "#cloud-config\n\nx: {{ hostnam }}\n");
        let error = Templates::load(Some(directory.path())).unwrap_err().to_string();
        assert!(error.contains("b.yaml:3"), "{error}");
    }

    #[test]
    fn a_change_is_tried_beside_what_is_there_and_nothing_is_written() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.yaml"), "{% include \"b\" %}").unwrap();
        std::fs::write(directory.path().join("b.yaml"), "#cloud-config\n").unwrap();
        let drafted = |draft: &Draft| Templates::drafted(Some(directory.path()), Some(draft));
        let put = |source: &str| Draft::Put {
            name: "b".parse().unwrap(),
            source: source.to_owned(),
            file: PathBuf::from("mine/b.yaml"),
        };
        let name = "b".parse().unwrap();
        let with = drafted(&put("#cloud-config\ntimezone: UTC\n")).unwrap();
        assert_eq!(
            with.source(&name).as_deref(),
            Some("#cloud-config\ntimezone: UTC\n")
        );
        let broken = drafted(&put("#cloud-config\nx: {{ y }}\n"))
            .unwrap_err()
            .to_string();
        assert!(broken.contains("mine/b.yaml:2"), "{broken}");
        // What another one includes can not go.
        let gone = drafted(&Draft::Without(name.clone())).unwrap_err().to_string();
        assert!(gone.contains("a.yaml:1") && gone.contains("'b'"), "{gone}");
        let now = Templates::load(Some(directory.path())).unwrap();
        assert_eq!(now.source(&name).as_deref(), Some("#cloud-config\n"));
    }

    #[test]
    fn the_sites_vendor_data_is_read_and_checked_with_the_file_in_the_message() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("site");
        let load = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let networks = BTreeMap::from([("lab".parse().unwrap(), path.clone())]);
            Site::load(None, &networks).map_err(|error| error.to_string())
        };
        let site = load("#cloud-config\ntimezone: UTC\n").unwrap();
        let lab = "lab".parse().unwrap();
        assert_eq!(site.of(&lab), Some(&b"#cloud-config\ntimezone: UTC\n"[..]));
        let error = load("#cloud-config\n- x\n").unwrap_err();
        assert!(error.contains("site: it is a list"), "{error}");
        let error = Site::load(Some(Path::new("/nonexistent/site")), &BTreeMap::new()).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/site"), "{error}");
    }

    #[test]
    fn a_file_is_checked_without_a_daemon_beside_those_around_it() {
        let directory = tempfile::tempdir().unwrap();
        let put = |name: &str, source: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, source).unwrap();
            path
        };
        put("base.yaml", "#cloud-config\n");
        put("broken.yaml", "{{");
        let said = |path: &Path| check(path).map_err(|error| error.to_string());
        assert_eq!(
            said(&put("site.yaml", "{% include \"base\" %}\nx: {{ mac }}\n")),
            Ok(())
        );
        let error = said(&put("other.yaml", "{% include \"broken\" %}")).unwrap_err();
        assert!(error.contains("other.yaml:1"), "{error}");
        let error = said(&put("boot.ipxe", "#!ipxe\nchain {{ chain_url }}\n")).unwrap_err();
        assert!(error.contains("boot.ipxe:2"), "{error}");
        let error = said(&put("boot.ipxe", "#!ipxe\n# {{ gatewy }}\n")).unwrap_err();
        assert!(
            error.contains("boot.ipxe:2") && error.contains("`gateway`"),
            "{error}"
        );
        assert_eq!(said(&put("boot.ipxe", "#!ipxe\n# {{ gateway }}\n")), Ok(()));
    }

    #[test]
    fn a_file_that_can_not_be_a_template_is_named() {
        let error = loaded("My_Site.yaml", "#cloud-config\n").unwrap_err();
        assert!(
            error.contains("My_Site.yaml") && error.contains("RFC 1123"),
            "{error}"
        );
        let error = loaded("large.yaml", &"#".repeat(MAX_TEMPLATE + 1)).unwrap_err();
        assert!(error.contains("large.yaml"), "{error}");
        let error = Templates::load(Some(Path::new("/nonexistent/templates"))).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/templates"), "{error}");
    }

    #[test]
    fn other_files_beside_templates_are_left_alone() {
        for name in ["README", "default.yaml~", ".hidden.yaml", "notes.txt"] {
            assert!(loaded(name, "{{ not a template").is_ok(), "{name}");
        }
    }
}
