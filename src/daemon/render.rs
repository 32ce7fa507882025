//! `render` and `hosts`: the exact bytes of a view, before anything boots.

use std::sync::Arc;

use super::{Daemon, machines, nics, seed_device, selection};
use crate::control::{Refusal, View};
use crate::model::{Image, Vm};
use crate::seed::{Facts, Seed};
use crate::{dhcp, export, seed};

/// One view of VMs as text, one after the other; of several, each under its name (a line of hosts or DNS has the name in
/// it).
pub(super) fn render(
    daemon: &Daemon,
    names: &[String],
    view: View,
    secrets: bool,
) -> Result<String, Refusal> {
    let vms = selection::vms(&daemon.directory(), names)?;
    if view == View::DhcpJson {
        let mut list = Vec::new();
        for vm in &vms {
            let networks = nics::networks(daemon, vm)?.into_iter();
            list.extend(networks.map(|network| dhcp::render_json(&network, vm)));
        }
        return Ok(serde_json::Value::Array(list).to_string());
    }
    let headed = vms.len() > 1 && !matches!(view, View::Hosts | View::Dns);
    let text = |vm: &Arc<Vm>| {
        let head = if headed {
            format!("# {}\n", vm.name)
        } else {
            String::new()
        };
        one(daemon, vm, view, secrets).map(|text| head + &text)
    };
    vms.iter().map(text).collect()
}

/// The `cidata` volume of one VM.
pub(super) fn volume(daemon: &Daemon, name: String, secrets: bool) -> Result<Vec<u8>, Refusal> {
    let vms = selection::vms(&daemon.directory(), &[name])?;
    let [vm] = &vms[..] else {
        let message = format!("{} volumes can not be written as one", vms.len());
        return Err(Refusal::request(message).hint("name one VM"));
    };
    let vm = shown(&daemon.directory().served(vm), secrets);
    let seed = seed_of(daemon, &vm, secrets)?;
    seed_device::volume(&vm, &seed)
}

fn one(daemon: &Daemon, vm: &Arc<Vm>, view: View, secrets: bool) -> Result<String, Refusal> {
    let vm = &*shown(&daemon.directory().served(vm), secrets);
    if view == View::Ignition && !secrets && vm.has_secret_user_data() {
        return Ok(CONCEALED.to_owned());
    }
    match view {
        View::Nocloud => Ok(seed_of(daemon, vm, secrets)?.render_text()),
        View::Merged => merged(daemon, vm, secrets),
        View::Openstack => openstack(daemon, vm, secrets),
        View::Ec2 => ec2(daemon, vm),
        View::Ignition => ignition(daemon, vm),
        View::Credentials => credentials(daemon, vm),
        View::Dns => Ok(export::records_of(&daemon.directory(), vm)),
        View::DhcpJson => Ok(dhcp::render_json(&*daemon.network_of(vm)?, vm).to_string()),
        View::Dhcp => {
            let networks = nics::networks(daemon, vm)?.into_iter();
            Ok(networks.map(|network| dhcp::render(&network, vm)).collect())
        }
        View::Hosts => Ok(export::hosts_of(&daemon.directory(), vm)),
        View::Ipxe => ipxe(daemon, vm),
        View::Answers => answers(daemon, vm),
        View::Qemu => qemu(daemon, vm),
    }
}

/// What stands in the place of a user-data that is a secret.
const CONCEALED: &str = "#cloud-config\n# (secret)\n";

/// A VM to be looked at: its user-data is shown only where it is no secret, or secrets are wanted.
fn shown(vm: &Arc<Vm>, secrets: bool) -> Arc<Vm> {
    if secrets || !vm.has_secret_user_data() {
        return Arc::clone(vm);
    }
    Arc::new(Vm {
        user_data: Some(Arc::from(CONCEALED.as_bytes())),
        ..Vm::clone(vm)
    })
}

/// The documents of a VM; without its secrets, unless they are wanted.
fn seed_of(daemon: &Daemon, vm: &Vm, secrets: bool) -> Result<Seed, Refusal> {
    let network = daemon.network_of(vm)?;
    let image = image(daemon, vm);
    let documents = if secrets {
        seed::documents
    } else {
        seed::concealed_documents
    };
    Ok(documents(
        &daemon.templates.now(),
        vm,
        &network,
        image.as_deref(),
    )?)
}

/// What cloud-init makes of all documents.
fn merged(daemon: &Daemon, vm: &Vm, secrets: bool) -> Result<String, Refusal> {
    let (network, image) = (daemon.network_of(vm)?, image(daemon, vm));
    let of = (&*network, image.as_deref());
    Ok(seed::merged(&daemon.templates.now(), vm, of, secrets)?)
}

/// OpenStack's documents, each under a line with its name and size.
fn openstack(daemon: &Daemon, vm: &Vm, secrets: bool) -> Result<String, Refusal> {
    let (network, image) = (daemon.network_of(vm)?, image(daemon, vm));
    let facts = Facts::of(vm, &network, image.as_deref());
    let seed = seed_of(daemon, vm, secrets)?;
    let mut text = String::new();
    for which in seed::openstack::Document::ALL {
        let vendor_data = || Ok(Arc::clone(&seed.vendor_data));
        // What it has not is answered with 404.
        if let Some(body) = seed::openstack::document(which, &facts, (vm, &network), vendor_data)? {
            text += &seed::titled(which.as_str(), &body);
        }
    }
    Ok(text)
}

fn ec2(daemon: &Daemon, vm: &Vm) -> Result<String, Refusal> {
    let facts = Facts::of(vm, &*daemon.network_of(vm)?, image(daemon, vm).as_deref());
    let leaves = seed::ec2::leaves(&facts, vm).into_iter();
    Ok(leaves.fold(String::new(), |lines, (path, value)| {
        lines + "/latest/" + &path + ": " + &value + "\n"
    }))
}

fn ignition(daemon: &Daemon, vm: &Vm) -> Result<String, Refusal> {
    let image = machines::image_of(daemon, machines::machine_of(vm)?)?;
    let config = seed_device::ignition(vm, &image)?;
    Ok(String::from_utf8_lossy(&config).into_owned())
}

fn credentials(daemon: &Daemon, vm: &Vm) -> Result<String, Refusal> {
    let strings = seed_device::strings(vm, &*daemon.network_of(vm)?);
    Ok(strings
        .iter()
        .fold(String::new(), |lines, text| lines + text.trim_end() + "\n"))
}

/// The image of a VM, where it has one that is there.
fn image(daemon: &Daemon, vm: &Vm) -> Option<Arc<Image>> {
    daemon.directory().image_of(&vm.hosting).cloned()
}

fn answers(daemon: &Daemon, vm: &Vm) -> Result<String, Refusal> {
    let network = daemon.network_of(vm)?;
    let shown = match vm.install() {
        Some(install) => seed::install::shown(&daemon.templates.now(), vm, &network, install)?,
        None => None,
    };
    let shown = shown.ok_or_else(|| {
        Refusal::request(format!("no unattended installer runs in {}", vm.name))
            .hint("start one: seedbed image install NAME --unattended")
    })?;
    Ok(String::from_utf8_lossy(&shown).into_owned())
}

fn ipxe(daemon: &Daemon, vm: &Vm) -> Result<String, Refusal> {
    let boot = vm.boot().ok_or_else(|| {
        Refusal::request(format!("{} does not boot from the network", vm.name))
            .hint(format!("seedbed set {} --netboot IMAGE", vm.name))
    })?;
    let directory = daemon.directory();
    let image = directory.boot_image(boot);
    let key = directory.site().seed_key(vm);
    let network = daemon.network_of(vm)?;
    let script = seed::boot_script(&daemon.templates.now(), vm, (boot, key.as_ref()), &network, image)?;
    Ok(String::from_utf8_lossy(&script).into_owned())
}

fn qemu(daemon: &Daemon, vm: &Vm) -> Result<String, Refusal> {
    let machine = machines::machine_of(vm)?;
    let image = machines::image_of(daemon, machine)?;
    let network = daemon.network_of(vm)?;
    let seed = seed_device::of(daemon, vm, &image, &network)?;
    let argv = machines::argv(daemon, vm, (machine, &image, seed.as_ref()), &network)?;
    Ok(shell(&argv))
}

/// An argument list as a shell would take it, one option a line.
fn shell(argv: &[String]) -> String {
    let mut text = String::new();
    for (index, word) in argv.iter().enumerate() {
        let option = index > 0 && word.starts_with('-');
        text.push_str(if option {
            " \\\n  "
        } else if index > 0 {
            " "
        } else {
            ""
        });
        text.push_str(&quoted(word));
    }
    text.push('\n');
    text
}

fn quoted(word: &str) -> String {
    let plain = word
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-_./:=,+@%".contains(&b));
    if plain && !word.is_empty() {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_pasted_into_a_shell() {
        let argv = ["qemu", "-name", "it's", "-m", "512M"].map(str::to_owned);
        assert_eq!(shell(&argv), "qemu \\\n  -name 'it'\\''s' \\\n  -m 512M\n");
    }
}
