//! From facts to documents: the meta-data, and vendor-data from templates that were compiled once.
//!
//! Nothing a fact holds can change the structure of a document: every value is written as a JSON string, and JSON is YAML.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};

use super::check;
use super::facts::Facts;
use super::install::InstallTemplates;
use super::ipxe::BootTemplate;
use super::library::Origin;
use super::site::Site;
use super::unknown;
use crate::model::TemplateName;

/// What an `include` puts before the name of a template that is built in: no name of the operator's has a slash.
const BUILT_IN: &str = "built-in/";

/// The templates there are, compiled; rendering one reads no file, and an `include` finds what is compiled or fails.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    /// Where each came from.
    pub(super) origins: BTreeMap<TemplateName, Origin>,
    /// What VMs are given besides.
    pub(super) site: Site,
    /// The one of the iPXE script.
    pub(super) boot: BootTemplate,
    /// Those of what installers are told.
    pub(super) install: InstallTemplates,
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateProblem {
    /// It can not be compiled, or fails on its facts.
    #[error("template {file}:{line}: {reason}")]
    Source {
        /// The file, or `built-in NAME`.
        file: String,
        /// The line in it, from 1.
        line: usize,
        /// What was found and what was expected.
        reason: String,
    },
    /// It renders to something that is no cloud-config.
    #[error("template {file} renders to something else than a cloud-config: {reason}")]
    Output {
        /// The file, or `built-in NAME`.
        file: String,
        /// What is wrong; lines are those of the rendered text.
        reason: String,
    },
    /// It renders to something that iPXE does not take for a script.
    #[error("template {file} renders to something else than an iPXE script: its first line has to be #!ipxe")]
    Script {
        /// The file, or `built-in NAME`.
        file: String,
    },
}

/// Writes the meta-data. The hostname is the fully qualified one: cloud-init takes the first label for the short name, and
/// the others that read `hostname` want it whole (guest-contract §1.6).
pub fn meta_data(facts: &Facts) -> String {
    let mut text = format!(
        "instance-id: {}\nlocal-hostname: {fqdn}\nhostname: {fqdn}\n",
        quoted(&facts.instance_id),
        fqdn = quoted(&facts.fqdn),
    );
    if facts.keys.is_empty() {
        text.push_str("public-keys: []\n");
    } else {
        text.push_str("public-keys:\n");
    }
    for key in &facts.keys {
        text.push_str("  - ");
        text.push_str(&quoted(key));
        text.push('\n');
    }
    text
}

/// The text as a double-quoted scalar that JSON and YAML 1.1 read alike.
///
/// Escaped beside JSON's own: what YAML refuses as unprintable (DEL, C1, the non-characters), reads as a line break (U+0085,
/// U+2028, U+2029) or skips (U+FEFF). All of it is in the basic plane, so no surrogate pairs are written: YAML has none.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\u{0}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                // Writing to a String can not fail.
                let _infallible = write!(out, "\\u{:04x}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}

/// How a template's values are printed.
type Formatter = fn(&mut Output<'_>, &mut State<'_, '_>, &Value) -> Result<(), Error>;

/// An environment in which a name that is no fact is an error, lines of tags alone leave nothing, and `print` writes all values.
pub(super) fn strict(print: Formatter) -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_formatter(print);
    // Only delimiters can be refused, and these keep the usual ones.
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build();
    environment.set_syntax(syntax.unwrap_or_default());
    environment
}

impl Templates {
    /// No seed templates yet, and those of the iPXE script and of installers.
    pub(super) fn with(boot: BootTemplate, install: InstallTemplates) -> Self {
        let mut environment = strict(print);
        environment.add_filter("tojson", |value: Value| {
            scalar(&value).map(Value::from_safe_string)
        });
        environment.add_filter("safe", minijinja::filters::safe);
        environment.add_filter("join", minijinja::filters::join);
        environment.add_filter("length", minijinja::filters::length);
        Self {
            environment,
            origins: BTreeMap::new(),
            site: Site::default(),
            boot,
            install,
        }
    }

    /// Compiles a template that is built in. It stays within reach of an `include` when the operator's own takes its name.
    pub(super) fn add_built_in(
        &mut self,
        name: TemplateName,
        source: &'static str,
    ) -> Result<(), TemplateProblem> {
        let origin = Origin::BuiltIn(name.clone());
        self.environment
            .add_template_owned(built_in(&name), source)
            .map_err(|error| in_source(&origin.to_string(), &error))?;
        self.add(name, origin, source.to_owned())
    }

    /// Compiles a template, in place of the one of that name.
    pub(super) fn add(
        &mut self,
        name: TemplateName,
        origin: Origin,
        source: String,
    ) -> Result<(), TemplateProblem> {
        self.environment
            .add_template_owned(name.to_string(), source)
            .map_err(|error| in_source(&origin.to_string(), &error))?;
        self.origins.insert(name, origin);
        Ok(())
    }

    /// Tries every template, so that a broken one is found before a VM meets it.
    pub(super) fn prove(&self) -> Result<(), TemplateProblem> {
        self.names().try_for_each(|name| self.prove_one(name))
    }

    /// Looks for names that are no facts, and renders the template with sample facts.
    pub(super) fn prove_one(&self, name: &TemplateName) -> Result<(), TemplateProblem> {
        let origin = self.origin(name.as_str());
        let template = self.environment.get_template(name.as_str());
        let template = template.map_err(|error| in_source(&origin, &error))?;
        unknown::refuse(&origin, &template, &Facts::sample().context())?;
        for facts in [Facts::sample(), Facts::bare()] {
            let text = self.render(name, &facts)?;
            check::vendor_data(&text).map_err(|problem| TemplateProblem::Output {
                file: origin.clone(),
                reason: problem.to_string(),
            })?;
        }
        Ok(())
    }

    /// What the template of that name says.
    pub fn source(&self, name: &TemplateName) -> Option<String> {
        let template = self.environment.get_template(name.as_str()).ok()?;
        Some(template.source().to_owned())
    }

    /// Whether a template of that name is built in, whoever's is in force.
    pub fn has_built_in(&self, name: &TemplateName) -> bool {
        self.environment.get_template(&built_in(name)).is_ok()
    }

    /// Whether there is a template of that name.
    pub fn has(&self, name: &TemplateName) -> bool {
        self.origins.contains_key(name)
    }

    /// The templates there are, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &TemplateName> {
        self.origins.keys()
    }

    /// Renders a template.
    pub fn render(&self, name: &TemplateName, facts: &Facts) -> Result<String, TemplateProblem> {
        self.environment
            .get_template(name.as_str())
            .and_then(|template| template.render(facts.context()))
            .map_err(|error| self.told(name, &error))
    }

    /// What is wrong, and in which file: of a template that is included, in that one's own.
    fn told(&self, name: &TemplateName, error: &Error) -> TemplateProblem {
        let error = root_of(error);
        let origin = match error.name() {
            Some(included) => self.origin(included),
            None => self.origin(name.as_str()),
        };
        in_source(&origin, error)
    }

    /// Where the template that goes by this name in an `include` came from, for messages.
    fn origin(&self, name: &str) -> String {
        let (named, is_built_in) = match name.strip_prefix(BUILT_IN) {
            Some(name) => (name, true),
            None => (name, false),
        };
        match named.parse::<TemplateName>() {
            Ok(name) if is_built_in => Origin::BuiltIn(name).to_string(),
            Ok(name) => self
                .origins
                .get(&name)
                .map_or(name.to_string(), Origin::to_string),
            Err(_) => name.to_owned(),
        }
    }
}

/// How an `include` names a template that is built in.
fn built_in(name: &TemplateName) -> String {
    format!("{BUILT_IN}{name}")
}

/// What went wrong first: where templates include others, an error has the one it arose from inside.
fn root_of(error: &Error) -> &Error {
    let mut root = error;
    while let Some(inner) = std::error::Error::source(root).and_then(|inner| inner.downcast_ref::<Error>()) {
        root = inner;
    }
    root
}

/// How `{{ value }}` is printed: quoted, unless the template's author said that it is not to be (`| safe`, `| tojson`).
fn print(out: &mut Output<'_>, _state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let text = if value.is_safe() {
        value.to_string()
    } else {
        scalar(value)?
    };
    out.write_str(&text).map_err(Error::from)
}

/// A value as JSON; of facts there are texts, numbers, nothing, and lists of them.
fn scalar(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::None => Ok("null".to_owned()),
        ValueKind::Bool | ValueKind::Number => Ok(value.to_string()),
        ValueKind::String => Ok(quoted(value.as_str().unwrap_or_default())),
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value
                .try_iter()?
                .map(|item| scalar(&item))
                .collect::<Result<Vec<_>, _>>()?;
            Ok(format!("[{}]", items.join(", ")))
        }
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        other => Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("a {other} can not be printed; print its parts"),
        )),
    }
}

pub(super) fn in_source(origin: &str, error: &Error) -> TemplateProblem {
    let reason = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    TemplateProblem::Source {
        file: origin.to_owned(),
        line: error.line().unwrap_or(1),
        reason,
    }
}
