//! What a VM is told about itself by a device of its own instead of by HTTP: made from its record as it is now.

use super::Daemon;
use crate::control::Refusal;
use crate::machine::SeedDevice;
use crate::model::image::View;
use crate::model::{Image, Network, Vm};
use crate::seed::{self, Credential, Seed};

/// How a VM of an image learns who it is, and why so, for people.
pub(super) fn told(image: Option<&Image>) -> String {
    let view = image.map_or(View::Auto, |image| image.view);
    let what = match view {
        View::Auto => "OpenStack's metadata over HTTP before the network is up, else cloud-init's NoCloud",
        View::NoCloud => "cloud-init's NoCloud over HTTP",
        View::OpenStack => "OpenStack's metadata over HTTP",
        View::Ec2 => "EC2's metadata over HTTP",
        View::Cidata => "cloud-init's NoCloud on a read-only disk",
        View::Ignition => "Ignition's config in QEMU's firmware configuration",
        View::Credentials => "systemd's credentials in the SMBIOS table",
        View::None => "DHCP and DNS only",
    };
    let why = match image {
        None => "someone else runs it".to_owned(),
        Some(_) if view == View::Auto => "its image names no other view".to_owned(),
        Some(image) => format!("its image {} was added so", image.name),
    };
    format!("{}: {what} ({why})", view.as_str())
}

/// The device that tells a VM about itself, where its image needs one.
pub(super) fn of(
    daemon: &Daemon,
    vm: &Vm,
    image: &Image,
    network: &Network,
) -> Result<Option<SeedDevice>, Refusal> {
    if matches!(image.view, View::Credentials | View::None) && vm.user_data.is_some() {
        return Err(Refusal::request(format!(
            "{} has a user-data that it never reads: its image {} has no agent (view {})",
            vm.name,
            image.name,
            image.view.as_str()
        ))
        .hint(format!(
            "take it away with an empty file: seedbed set {} --user-data /dev/null",
            vm.name
        )));
    }
    Ok(Some(match image.view {
        View::Cidata => {
            let seed = seed::documents(&daemon.templates, vm, network, Some(image))?;
            SeedDevice::Disk(volume(vm, &seed)?)
        }
        View::Ignition => SeedDevice::Ignition(ignition(vm, image)?),
        View::Credentials => SeedDevice::Strings(strings(vm, network)),
        View::Auto | View::NoCloud | View::OpenStack | View::Ec2 | View::None => return Ok(None),
    }))
}

/// The bytes of a VM's `cidata` volume with these documents.
pub(super) fn volume(vm: &Vm, seed: &Seed) -> Result<Vec<u8>, Refusal> {
    seed::cidata::volume(vm, seed).map_err(|error| {
        Refusal::internal(format!(
            "the cidata volume of {} can not be made: {error}",
            vm.name
        ))
    })
}

/// A VM's Ignition config. A user-data of another kind is refused: Ignition would not get it, and nobody would notice.
pub(super) fn ignition(vm: &Vm, image: &Image) -> Result<Vec<u8>, Refusal> {
    match vm.user_data.as_deref() {
        Some(other) if !seed::ignition::is_meant(other) => Err(Refusal::request(format!(
            "the user-data of {} is no Ignition config, which is all that its image {} reads",
            vm.name, image.name
        ))
        .hint(format!(
            "give one, made by `butane` for example: seedbed set {} --user-data config.ign; an empty file leaves it to us",
            vm.name
        ))),
        _ => Ok(seed::ignition::config(vm, image)),
    }
}

/// The strings that carry a VM's systemd credentials.
pub(super) fn strings(vm: &Vm, network: &Network) -> Vec<String> {
    seed::credentials(vm, network)
        .iter()
        .map(Credential::smbios)
        .collect()
}
