//! What an installer is told instead of asking: answer files from templates of their own, in the syntax of each installer.
//!
//! The syntaxes quote in different ways, and some not at all. So a fact that is more than a word in any of them is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Output, State, Value};

use super::render::{TemplateProblem, Templates, in_source, strict};
use super::{SeedError, check, unknown};
use crate::model::workshop::{Answers, Family, Install, Mirror};
use crate::model::{Network, Vm, mac};

mod overlay;

/// Where answers are, under a network's gateway.
pub const FOLDER: &str = "install";
/// The disk that is installed on: the first, by its driver.
const DISK: &str = "/dev/vda";

/// The name of each family's template, in the templates' directory.
pub(super) const NAMES: [(Family, &str); 4] = [
    (Family::Debian, "install/preseed.cfg"),
    (Family::Ubuntu, "install/autoinstall.yaml"),
    (Family::RedHat, "install/kickstart.cfg"),
    (Family::Alpine, "install/alpine.answers"),
];

/// What is built in under these names.
pub(super) const BUILT_IN: [(&str, &str); 4] = [
    (
        "install/preseed.cfg",
        include_str!("../../seed-templates/install/preseed.cfg"),
    ),
    (
        "install/autoinstall.yaml",
        include_str!("../../seed-templates/install/autoinstall.yaml"),
    ),
    (
        "install/kickstart.cfg",
        include_str!("../../seed-templates/install/kickstart.cfg"),
    ),
    (
        "install/alpine.answers",
        include_str!("../../seed-templates/install/alpine.answers"),
    ),
];

/// The URL under which an installer on a network finds its answers, with a slash at its end.
pub fn answers_url(network: &Network) -> String {
    format!("http://{}/{FOLDER}/", network.subnet.gateway())
}

/// What there is under that URL for an installer of a family; nothing else is asked for.
const FILES: [(Family, &str, Part); 7] = [
    (Family::Debian, "preseed.cfg", Part::Answers),
    (Family::Ubuntu, "user-data", Part::Answers),
    (Family::Ubuntu, "meta-data", Part::MetaData),
    (Family::Ubuntu, "vendor-data", Part::Empty),
    (Family::RedHat, "kickstart.cfg", Part::Answers),
    (Family::Alpine, "alpine.answers", Part::Answers),
    (Family::Alpine, "alpine.apkovl.tar.gz", Part::Overlay),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The rendered template.
    Answers,
    /// What makes cloud-init read the answers.
    MetaData,
    /// There, and nothing in it.
    Empty,
    /// The answers, and what has them used.
    Overlay,
}

/// A file of what an installer is told: its name, and its contents.
pub type Told = (&'static str, Arc<[u8]>);

/// What an installer that runs in `vm` is told under a name; `None` where there is nothing of that name for it.
pub fn answer(
    templates: &Templates,
    vm: &Vm,
    network: &Network,
    install: &Install,
    name: &str,
) -> Result<Option<Told>, SeedError> {
    let is_it = |(family, file, _): &(Family, &str, Part)| *family == install.family && *file == name;
    let (Some(answers), Some((_, name, part))) = (&install.answers, FILES.into_iter().find(is_it)) else {
        return Ok(None);
    };
    let rendered = || {
        let facts = Facts::of(vm, network, (install, answers));
        let rendered = templates.install.render(install.family, &facts);
        rendered.map_err(|problem| SeedError::Template {
            vm: vm.name.clone(),
            problem,
        })
    };
    let told = match part {
        Part::Answers => Arc::from(rendered()?.into_bytes()),
        Part::MetaData => Arc::from(format!("instance-id: {}\n", vm.instance_id()).into_bytes()),
        Part::Empty => Arc::default(),
        Part::Overlay => Arc::from(overlay::archive(&rendered()?)),
    };
    Ok(Some((name, told)))
}

/// The answers as they are looked at: the rendered template; `None` for an installer that asks at the console.
pub fn shown(
    templates: &Templates,
    vm: &Vm,
    network: &Network,
    install: &Install,
) -> Result<Option<Arc<[u8]>>, SeedError> {
    let is_it =
        |(family, _, part): &&(Family, &str, Part)| *family == install.family && *part == Part::Answers;
    let Some((_, name, _)) = FILES.iter().find(is_it) else {
        return Ok(None);
    };
    Ok(answer(templates, vm, network, install, name)?.map(|(_, told)| told))
}

/// What is true of an installation, as the templates see it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Facts {
    hostname: String,
    domain: String,
    network: String,
    address: String,
    gateway: String,
    mac: String,
    default_user: String,
    mirror: Option<Mirror>,
}

impl Facts {
    fn of(vm: &Vm, network: &Network, (install, answers): (&Install, &Answers)) -> Self {
        Self {
            hostname: vm.name.to_string(),
            domain: network.domain.to_string(),
            network: network.name.to_string(),
            address: vm.address.to_string(),
            gateway: network.subnet.gateway().to_string(),
            mac: mac::text(vm.mac),
            default_user: install.default_user.clone(),
            mirror: answers.mirror.clone(),
        }
    }

    /// Facts to try a template with: with a mirror and without.
    fn samples() -> [Self; 2] {
        let without = Self {
            hostname: "install-sample".to_owned(),
            domain: "lab".to_owned(),
            network: "lab".to_owned(),
            address: "10.77.0.5".to_owned(),
            gateway: "10.77.0.1".to_owned(),
            mac: "52:54:00:12:34:56".to_owned(),
            default_user: "debian".to_owned(),
            mirror: None,
        };
        let with = Self {
            mirror: "http://10.77.0.9:3142/debian".parse().ok(),
            ..without.clone()
        };
        [without, with]
    }

    /// The facts under the names the templates use.
    fn context(&self) -> Value {
        let text = |text: &str| Value::from(text);
        let mirror = self.mirror.as_ref();
        let named = [
            ("hostname", text(&self.hostname)),
            ("domain", text(&self.domain)),
            ("network", text(&self.network)),
            ("address", text(&self.address)),
            ("gateway", text(&self.gateway)),
            ("dns", text(&self.gateway)),
            ("mac", text(&self.mac)),
            ("disk", text(DISK)),
            ("default_user", text(&self.default_user)),
            ("mirror", Value::from(mirror.map(ToString::to_string))),
            ("mirror_host", Value::from(mirror.map(Mirror::host))),
            ("mirror_directory", Value::from(mirror.map(Mirror::directory))),
        ];
        Value::from(BTreeMap::from(named))
    }
}

/// The compiled templates.
#[derive(Debug)]
pub(super) struct InstallTemplates {
    environment: Environment<'static>,
    /// Where each came from, for messages.
    origins: BTreeMap<&'static str, String>,
}

impl InstallTemplates {
    /// Compiles one template of each name and renders it with sample facts, so that a broken one is found before an installer
    /// meets it. `source` gives each its origin, for messages, and its text.
    pub(super) fn compile<E: From<TemplateProblem>>(
        source: impl Fn(&'static str, &'static str) -> Result<(String, String), E>,
    ) -> Result<Self, E> {
        let environment = strict(print);
        let mut templates = Self {
            environment,
            origins: BTreeMap::new(),
        };
        for (name, built_in) in BUILT_IN {
            let (origin, text) = source(name, built_in)?;
            templates
                .environment
                .add_template_owned(name, text)
                .map_err(|error| in_source(&origin, &error))?;
            templates.origins.insert(name, origin);
        }
        for (family, name) in NAMES {
            templates.prove(family, name)?;
        }
        Ok(templates)
    }

    fn prove(&self, family: Family, name: &'static str) -> Result<(), TemplateProblem> {
        let origin = self.origins.get(name).cloned().unwrap_or_default();
        for facts in Facts::samples() {
            let template = self.environment.get_template(name);
            let template = template.map_err(|error| in_source(&origin, &error))?;
            unknown::refuse(&origin, &template, &facts.context())?;
            let text = self.render(family, &facts)?;
            if family == Family::Ubuntu {
                check::vendor_data(&text).map_err(|problem| TemplateProblem::Output {
                    file: origin.clone(),
                    reason: problem.to_string(),
                })?;
            }
        }
        Ok(())
    }

    fn render(&self, family: Family, facts: &Facts) -> Result<String, TemplateProblem> {
        let name = NAMES
            .iter()
            .find(|(whose, _)| *whose == family)
            .map_or("", |(_, name)| name);
        let origin = self.origins.get(name).map_or(name, String::as_str);
        self.environment
            .get_template(name)
            .and_then(|template| template.render(facts.context()))
            .map_err(|error| in_source(origin, &error))
    }
}

/// How `{{ value }}` is printed: as it is, when it is a word in every syntax.
fn print(out: &mut Output<'_>, _state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let refused = |why: String| Err(Error::new(ErrorKind::InvalidOperation, why));
    let text = match value.kind() {
        ValueKind::String => value.as_str().unwrap_or_default(),
        ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
        other => return refused(format!("a {other} can not be printed in an answer file")),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:/@+~%=,".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return out.write_str(text).map_err(Error::from);
    }
    refused(format!(
        "`{}` is more than a word of letters, digits and -._:/@+~%=,",
        text.escape_debug()
    ))
}

#[cfg(test)]
mod tests;
