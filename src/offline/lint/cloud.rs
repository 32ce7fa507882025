//! What keeps cloud-init from treating a clone as a new machine, or from finding our metadata.

use serde::Deserialize;

use super::{Cure, Facts, Finding, Look};
use crate::offline::root::Kind;

const FOLDER: &str = "/etc/cloud/cloud.cfg.d";
/// Read after all others, which are read in the order of their names.
const OURS: &str = "/etc/cloud/cloud.cfg.d/99_zz_datasources.cfg";
/// What the seal writes: what Seedbed's documents are, and nothing that waits for another cloud.
const DATASOURCES: &str =
    "# Written when this image was sealed.\ndatasource_list: [NoCloud, ConfigDrive, OpenStack, Ec2, None]\n";

pub(super) fn findings(look: &Look<'_>, facts: &Facts) -> Vec<Finding> {
    if facts.cloud_init.is_none() {
        return vec![no_agent(facts)].into_iter().flatten().collect();
    }
    let found = [
        disabled(look),
        instance(look),
        seed(look),
        installer(look),
        datasources(look),
        network_off(look),
    ];
    found.into_iter().flatten().collect()
}

fn no_agent(facts: &Facts) -> Option<Finding> {
    if facts.views.iter().any(|view| view != "none") {
        return None;
    }
    Some(
        Finding::new(
            "no-agent",
            "no cloud-init, nor another program that reads metadata",
            vec!["/".to_owned()],
            "a clone comes up under the name, the accounts and the keys that are in the image",
        )
        .left("launch its clones with --offline, which writes all that into each before its first boot"),
    )
}

/// The keys of cloud-init's own configuration that matter here.
#[derive(Debug, Default, Deserialize)]
struct Settings {
    datasource_list: Option<Vec<String>>,
    network: Option<Network>,
}

#[derive(Debug, Default, Deserialize)]
struct Network {
    config: Option<serde_yaml::Value>,
}

/// Its files in the order of reading, the last word counts.
fn settings(look: &Look<'_>) -> Vec<(String, Settings)> {
    let folder = look
        .within(FOLDER)
        .into_iter()
        .filter(|path| path.ends_with(".cfg"));
    let paths = std::iter::once("/etc/cloud/cloud.cfg".to_owned()).chain(folder);
    paths
        .filter_map(|path| {
            let text = look.text(&path)?;
            // What cloud-init can not read either says nothing.
            Some((path, serde_yaml::from_str(&text).unwrap_or_default()))
        })
        .collect()
}

fn disabled(look: &Look<'_>) -> Option<Finding> {
    let path = "/etc/cloud/cloud-init.disabled";
    look.root.status(path).ok().flatten()?;
    Some(
        Finding::new(
            "cloud-init-disabled",
            "cloud-init that is switched off",
            vec![path.to_owned()],
            "a clone does not ask who it is",
        )
        .cured("removes it", Cure::Remove),
    )
}

fn instance(look: &Look<'_>) -> Option<Finding> {
    let mut paths = look.within("/var/lib/cloud");
    let has_something = |path: &String| match look.root.status(path) {
        Ok(Some(status)) if status.kind == Kind::Directory => !look.within(path).is_empty(),
        Ok(status) => status.is_some(),
        Err(_) => false,
    };
    paths.retain(|path| !path.ends_with("/seed") && has_something(path));
    // The package has empty directories, and scripts of its own for each boot.
    paths.retain(|path| {
        !path.ends_with("/scripts")
            || look
                .within(path)
                .iter()
                .any(|inner| !look.within(inner).is_empty())
    });
    if paths.is_empty() {
        return None;
    }
    Some(
        Finding::new(
            "instance",
            "what cloud-init remembers of another machine",
            paths,
            "some releases take a clone for that machine and leave it as it is",
        )
        .cured("removes it, as `cloud-init clean` does", Cure::Remove),
    )
}

fn seed(look: &Look<'_>) -> Option<Finding> {
    let seeds = look.within("/var/lib/cloud/seed");
    let paths: Vec<_> = seeds
        .into_iter()
        .filter(|path| !look.within(path).is_empty())
        .collect();
    if paths.is_empty() {
        return None;
    }
    Some(
        Finding::new(
            "baked-seed",
            "documents for cloud-init in the image",
            paths,
            "cloud-init reads them before it asks anybody: all clones are the machine that they describe",
        )
        .cured("removes them", Cure::Remove),
    )
}

/// What Ubuntu's installer leaves: its own documents as the only datasource.
fn installer(look: &Look<'_>) -> Option<Finding> {
    let names = [
        "99-installer.cfg",
        "90-installer-network.cfg",
        "50-curtin-networking.cfg",
        "curtin-preserve-sources.cfg",
        "subiquity-disable-cloudinit-networking.cfg",
    ];
    let paths = look.filled(names.map(|name| format!("{FOLDER}/{name}")));
    if paths.is_empty() {
        return None;
    }
    Some(
        Finding::new(
            "installer",
            "what the installer told cloud-init",
            paths,
            "cloud-init takes each clone for the machine that was installed, and asks nobody",
        )
        .cured("removes it", Cure::Remove),
    )
}

fn datasources(look: &Look<'_>) -> Option<Finding> {
    let (path, list) = settings(look)
        .into_iter()
        .filter(|(path, _)| !path.ends_with("/99-installer.cfg"))
        .filter_map(|(path, settings)| Some((path, settings.datasource_list?)))
        .next_back()?;
    let ours = ["NoCloud", "OpenStack", "Ec2"];
    if list.iter().any(|name| ours.contains(&name.as_str())) {
        return None;
    }
    let cure = Cure::Write(vec![(OURS.to_owned(), DATASOURCES.to_owned())]);
    Some(
        Finding::new(
            "datasources",
            format!("a datasource list without ours ({})", list.join(", ")),
            vec![path],
            "cloud-init does not look where a clone's documents are",
        )
        .cured(format!("writes {OURS}"), cure),
    )
}

/// The file that keeps cloud-init from configuring the network.
pub(super) fn network_disabled(look: &Look<'_>) -> Option<String> {
    let (path, config) = settings(look)
        .into_iter()
        .filter_map(|(path, settings)| Some((path, settings.network?.config?)))
        .next_back()?;
    (config.as_str() == Some("disabled")).then_some(path)
}

fn network_off(look: &Look<'_>) -> Option<Finding> {
    let path = network_disabled(look)?;
    let names = ["/etc/netplan", "/etc/systemd/network"];
    let bound = names.iter().flat_map(|folder| look.within(folder)).any(|path| {
        let text = look.text(&path).unwrap_or_default();
        text.to_ascii_lowercase().contains("macaddress")
    });
    if !bound {
        return None;
    }
    Some(
        Finding::new(
            "cloud-init-network",
            "cloud-init that may not configure the network, beside files that are bound to another machine",
            vec![path],
            "nothing gives a clone's interface an address",
        )
        .left("nothing more is needed once the bound files are sealed; take the line out if cloud-init is to do it"),
    )
}
