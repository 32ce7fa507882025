//! The seed: the four `NoCloud` documents of one VM, made from its record and a template of `seed-templates/`.
//!
//! ```text
//!   meta-data       ours: instance-id, hostname, keys           (render.rs; no template can break it)
//!   user-data       the user's own bytes, untouched             (check.rs looked at them before the launch)
//!   vendor-data     the site's own (site.rs), and the VM's      (facts.rs, render.rs, files.rs; joined by multipart.rs)
//!                   template, rendered with its Facts
//!   script.ipxe     for a VM that boots from the network   (ipxe.rs)
//!   answer files    for an installer that asks nobody      (install.rs)
//!   network-config  empty for one NIC: DHCP carries the address (guest-contract §1.4: served, it holds for one boot);
//!                   DHCP on each of several                  (network_config.rs)
//! ```
//!
//! cloud-init merges vendor-data and user-data itself, and the user's value wins per top-level key. The registered keys are
//! in the meta-data, which it does not merge with anything, so no user-data can lose them.
//!
//! What cloud-init makes of all that (`merge.rs`), and of a user-data before a launch (`check.rs`), is told from the same two readers as
//! it has: `parts.rs` takes a document apart, `yaml.rs` reads a part as YAML 1.1.
//!
//! A guest that does not ask over HTTP is given the same by a device: the documents as a volume (`cidata.rs`), or what its
//! own agent reads (`ignition.rs`, `credentials.rs`).

use std::fmt;
use std::sync::Arc;

use crate::model::{Image, ImageName, NetBoot, Network, SeedKey, TemplateName, Vm, VmName};

pub mod check;
pub mod cidata;
pub mod credentials;
pub mod ec2;
pub mod facts;
pub mod files;
pub mod ignition;
pub mod install;
mod ipxe;
pub mod library;
mod meant;
mod merge;
mod multipart;
mod network_config;
pub mod openstack;
mod parts;
pub mod render;
pub mod site;
pub mod smbios;
mod unknown;
mod yaml;

pub use check::{Findings, UserDataProblem, check_user_data, findings, is_cloud_config};
pub use credentials::{Credential, credentials};
pub use facts::Facts;
pub use files::{TemplatesError, check as check_template, file_of};
pub use library::{Draft, Library, Origin};
pub use render::{TemplateProblem, Templates};
pub use site::{Site, SiteProblem};
pub use smbios::{smbios, url};

/// One of the documents a guest reads under its seed URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Document {
    /// Who the VM is.
    MetaData,
    /// What its user wants.
    UserData,
    /// What the operator wants.
    VendorData,
    /// Empty where it has one NIC; there because cloud-init 24.3 and newer wait ten seconds for it when it is missing.
    NetworkConfig,
}

impl Document {
    /// All documents, in the order they are shown.
    pub const ALL: [Self; 4] = [
        Self::MetaData,
        Self::UserData,
        Self::VendorData,
        Self::NetworkConfig,
    ];

    /// The name it is asked for by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MetaData => "meta-data",
            Self::UserData => "user-data",
            Self::VendorData => "vendor-data",
            Self::NetworkConfig => "network-config",
        }
    }

    /// The document of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|document| document.as_str() == name)
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The four documents of a VM, byte for byte as it is served them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// Who the VM is.
    pub meta_data: Arc<[u8]>,
    /// What its user wants; empty when nothing was given.
    pub user_data: Arc<[u8]>,
    /// What the operator wants.
    pub vendor_data: Arc<[u8]>,
    /// DHCP on each of several NICs; empty for one.
    pub network_config: Arc<[u8]>,
}

/// Why a seed could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeedError {
    /// The VM's template is not there.
    #[error("{vm}: there is no template `{template}`; there are {known}")]
    NoTemplate {
        /// Whose seed it was.
        vm: VmName,
        /// The missing template.
        template: TemplateName,
        /// Those that exist.
        known: String,
    },
    /// The VM's template failed on its facts.
    #[error("{vm}: {problem}")]
    Template {
        /// Whose seed it was.
        vm: VmName,
        /// What failed, with file and line.
        problem: TemplateProblem,
    },
    /// The VM boots an image from the network that is not there (any more), or that has no kernel beside its disk.
    #[error("{vm}: it boots the image {image} from the network, which has no kernel to serve")]
    NoKernel {
        /// Whose boot it was.
        vm: VmName,
        /// The image.
        image: ImageName,
    },
}

/// Makes one document of a VM. Only vendor-data depends on a template and can fail.
pub fn document(
    which: Document,
    templates: &Templates,
    vm: &Vm,
    network: &Network,
    image: Option<&Image>,
) -> Result<Arc<[u8]>, SeedError> {
    of_facts(which, templates, vm, || Facts::of(vm, network, image))
}

fn of_facts(
    which: Document,
    templates: &Templates,
    vm: &Vm,
    facts: impl FnOnce() -> Facts,
) -> Result<Arc<[u8]>, SeedError> {
    match which {
        Document::MetaData => Ok(bytes(render::meta_data(&facts()))),
        Document::UserData => Ok(vm.user_data.clone().unwrap_or_default()),
        Document::VendorData => vendor_data(templates, vm, &facts()),
        Document::NetworkConfig => Ok(bytes(network_config::network_config(vm))),
    }
}

/// Makes all documents of a VM, as it is served them.
pub fn documents(
    templates: &Templates,
    vm: &Vm,
    network: &Network,
    image: Option<&Image>,
) -> Result<Seed, SeedError> {
    all(|which| document(which, templates, vm, network, image))
}

/// Makes all documents of a VM to be looked at: as it is served them, with a word in the place of every secret of the
/// registry's. The user-data stays as it is: a VM whose user-data is not to be seen is given here with another.
pub fn concealed_documents(
    templates: &Templates,
    vm: &Vm,
    network: &Network,
    image: Option<&Image>,
) -> Result<Seed, SeedError> {
    let facts = Facts::of(vm, network, image).concealed();
    all(|which| of_facts(which, templates, vm, || facts.clone()))
}

fn all(made: impl Fn(Document) -> Result<Arc<[u8]>, SeedError>) -> Result<Seed, SeedError> {
    Ok(Seed {
        meta_data: made(Document::MetaData)?,
        user_data: made(Document::UserData)?,
        vendor_data: made(Document::VendorData)?,
        network_config: made(Document::NetworkConfig)?,
    })
}

/// Makes the iPXE script of a VM that boots from the network; `image` is the one it boots, and `key` what its seed URL has in it.
pub fn boot_script(
    templates: &Templates,
    vm: &Vm,
    (boot, key): (&NetBoot, Option<&SeedKey>),
    network: &Network,
    image: Option<&Image>,
) -> Result<Arc<[u8]>, SeedError> {
    let booted = ipxe::BootFacts::of(boot, network, image, key).map_err(|image| SeedError::NoKernel {
        vm: vm.name.clone(),
        image,
    })?;
    let rendered = templates.boot.render(&Facts::of(vm, network, image), &booted);
    rendered.map(bytes).map_err(|problem| SeedError::Template {
        vm: vm.name.clone(),
        problem,
    })
}

/// Makes the vendor-data of a VM: the site's, where there is one, then what its template says. cloud-init merges the two as it
/// merges parts: what the template sets counts more.
pub fn vendor_data(templates: &Templates, vm: &Vm, facts: &Facts) -> Result<Arc<[u8]>, SeedError> {
    let rendered = rendered(templates, vm, facts)?;
    Ok(match templates.site.of(&vm.network) {
        None => bytes(rendered),
        Some(site) => Arc::from(multipart::joined(&[site, rendered.as_bytes()])),
    })
}

/// Shows what cloud-init of a VM ends with: its documents merged as cloud-init merges them, with comments; with a word in the place
/// of every secret of the registry's, unless they are wanted.
pub fn merged(
    templates: &Templates,
    vm: &Vm,
    (network, image): (&Network, Option<&Image>),
    secrets: bool,
) -> Result<String, SeedError> {
    let facts = Facts::of(vm, network, image);
    let facts = if secrets { facts } else { facts.concealed() };
    let template = rendered(templates, vm, &facts)?;
    let documents = merge::Documents {
        site: templates.site.of(&vm.network).unwrap_or_default(),
        template: template.as_bytes(),
        user: vm.user_data.as_deref().unwrap_or_default(),
    };
    Ok(merge::shown(vm.name.as_str(), documents))
}

fn rendered(templates: &Templates, vm: &Vm, facts: &Facts) -> Result<String, SeedError> {
    if !templates.has(&vm.template) {
        return Err(SeedError::NoTemplate {
            vm: vm.name.clone(),
            template: vm.template.clone(),
            known: templates
                .names()
                .map(TemplateName::as_str)
                .collect::<Vec<_>>()
                .join(", "),
        });
    }
    templates
        .render(&vm.template, facts)
        .map_err(|problem| SeedError::Template {
            vm: vm.name.clone(),
            problem,
        })
}

fn bytes(text: String) -> Arc<[u8]> {
    Arc::from(text.into_bytes())
}

impl Seed {
    /// The document's bytes.
    pub const fn get(&self, which: Document) -> &Arc<[u8]> {
        match which {
            Document::MetaData => &self.meta_data,
            Document::UserData => &self.user_data,
            Document::VendorData => &self.vendor_data,
            Document::NetworkConfig => &self.network_config,
        }
    }

    /// All documents for people to read, each under a line with its name and size.
    pub fn render_text(&self) -> String {
        Document::ALL
            .into_iter()
            .map(|which| titled(which.as_str(), self.get(which)))
            .collect()
    }
}

/// A document for people to read, under a line with its name and size.
pub fn titled(name: &str, body: &[u8]) -> String {
    let mut text = format!("=== {name} ({} bytes) ===\n", body.len());
    text += &String::from_utf8_lossy(body);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

#[cfg(test)]
pub(crate) mod tests;
