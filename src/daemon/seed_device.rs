//! What a VM is told about itself by a device of its own instead of by HTTP: made from its record as it is now.

use super::Daemon;
use crate::control::Refusal;
use crate::machine::SeedDevice;
use crate::model::image::View;
use crate::model::{Image, Network, Vm};
use crate::seed::{self, Credential, Seed};

/// How a VM of an image learns who it is, and why so, for people.
pub(super) fn told(vm: &Vm, image: Option<&Image>) -> String {
    let view = vm.view(image);
    let what = match view {
        View::Auto => "OpenStack's metadata over HTTP before the network is up, else cloud-init's NoCloud",
        View::NoCloud => "cloud-init's NoCloud over HTTP",
        View::OpenStack => "OpenStack's metadata over HTTP",
        View::Ec2 => "EC2's metadata over HTTP",
        View::Cidata => "cloud-init's NoCloud on a read-only disk",
        View::Ignition => "Ignition's config in QEMU's firmware configuration",
        View::Credentials => "systemd's credentials in the SMBIOS table",
        View::Offline => "written into its disk before it starts",
        View::None => "DHCP and DNS only",
    };
    let why = match image {
        None => "someone else runs it".to_owned(),
        Some(image) if view != image.view => "it was launched so".to_owned(),
        Some(_) if view == View::Auto => "its image names no other view".to_owned(),
        Some(image) => format!("its image {} was added so", image.id),
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
    let view = vm.view(Some(image));
    if !view.has_user_data() && vm.user_data.is_some() {
        return Err(Refusal::request(format!(
            "{} has a user-data that it never reads: its image {} has no agent (view {})",
            vm.name,
            image.id,
            view.as_str()
        ))
        .hint(format!(
            "take it away with an empty file: seedbed set {} --user-data /dev/null",
            vm.name
        )));
    }
    Ok(Some(match view {
        View::Cidata => {
            let seed = seed::documents(&daemon.templates.now(), vm, network, Some(image))?;
            SeedDevice::Disk(volume(vm, &seed)?)
        }
        View::Ignition => SeedDevice::Ignition(ignition(vm, image)?),
        View::Credentials => SeedDevice::Strings(strings(vm, network)),
        View::Auto | View::NoCloud | View::OpenStack | View::Ec2 | View::Offline | View::None => {
            return Ok(None);
        }
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
            vm.name, image.id
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::examples;

    fn image(view: View) -> Image {
        Image {
            view,
            ..examples::image()
        }
    }

    #[test]
    fn how_a_vm_is_told_and_why_is_one_sentence() {
        let mut vm = examples::vm("web1", "10.77.0.11");
        assert_eq!(
            told(&vm, None),
            "auto: OpenStack's metadata over HTTP before the network is up, else cloud-init's NoCloud (someone else runs it)"
        );
        assert_eq!(
            told(&vm, Some(&image(View::NoCloud))),
            "nocloud: cloud-init's NoCloud over HTTP (its image debian-12@1 was added so)"
        );
        assert_eq!(
            told(&vm, Some(&image(View::Cidata))),
            "cidata: cloud-init's NoCloud on a read-only disk (its image debian-12@1 was added so)"
        );
        vm.customize(|custom| custom.offline = true);
        assert_eq!(
            told(&vm, Some(&image(View::Auto))),
            "offline: written into its disk before it starts (it was launched so)"
        );
    }

    #[test]
    fn ignition_gets_its_own_kind_of_user_data_or_what_we_make() {
        let with = |user_data: Option<&[u8]>| {
            let vm = Vm {
                user_data: user_data.map(Into::into),
                ..examples::vm("web1", "10.77.0.11")
            };
            ignition(&vm, &image(View::Ignition))
        };
        let own = br#"{"ignition":{"version":"3.0.0"}}"#;
        assert_eq!(with(Some(own)).unwrap(), own);
        assert!(with(None).unwrap().starts_with(br#"{"ignition""#));
        let refusal = with(Some(b"#cloud-config\n")).unwrap_err();
        assert!(refusal.message.contains("no Ignition config"), "{refusal}");
        assert!(
            refusal
                .hint
                .is_some_and(|hint| hint.contains("seedbed set web1 --user-data"))
        );
    }
}
