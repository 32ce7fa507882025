//! `render` and `hosts`: the exact bytes of a view, before anything boots.

use std::sync::Arc;

use super::{Daemon, machines, selection};
use crate::control::{Refusal, View};
use crate::model::Vm;
use crate::{dhcp, export, seed};

/// One view of VMs as text, one after the other; of several, each under its name (a hosts line has the name in it).
pub(super) fn render(
    daemon: &Daemon,
    names: &[String],
    view: View,
    secrets: bool,
) -> Result<String, Refusal> {
    let vms = selection::vms(&daemon.directory(), names)?;
    let headed = vms.len() > 1 && view != View::Hosts;
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

fn one(daemon: &Daemon, vm: &Arc<Vm>, view: View, secrets: bool) -> Result<String, Refusal> {
    match view {
        View::Nocloud => nocloud(daemon, vm, secrets),
        View::Dhcp => Ok(dhcp::render(&*daemon.network_of(vm)?, vm)),
        View::Hosts => Ok(export::hosts_of(&daemon.directory(), vm)),
        View::Ipxe => ipxe(daemon, vm),
        View::Qemu => qemu(daemon, vm),
    }
}

fn nocloud(daemon: &Daemon, vm: &Arc<Vm>, secrets: bool) -> Result<String, Refusal> {
    let directory = daemon.directory();
    let image = vm.machine().and_then(|machine| directory.image(&machine.image));
    let (served, network) = (directory.served(vm), daemon.network_of(vm)?);
    let documents = if secrets {
        seed::documents
    } else {
        seed::concealed_documents
    };
    let seed = documents(&daemon.templates, &served, &network, image.map(|image| &**image))?;
    Ok(seed.render_text())
}

fn ipxe(daemon: &Daemon, vm: &Vm) -> Result<String, Refusal> {
    let boot = vm.boot().ok_or_else(|| {
        Refusal::request(format!("{} does not boot from the network", vm.name))
            .hint(format!("seedbed set {} --netboot IMAGE", vm.name))
    })?;
    let directory = daemon.directory();
    let image = directory.boot_image(boot);
    let script = seed::boot_script(&daemon.templates, vm, boot, &*daemon.network_of(vm)?, image)?;
    Ok(String::from_utf8_lossy(&script).into_owned())
}

fn qemu(daemon: &Daemon, vm: &Vm) -> Result<String, Refusal> {
    let machine = machines::machine_of(vm)?;
    let image = machines::image_of(daemon, machine)?;
    let argv = machines::argv(daemon, vm, machine, &image, &*daemon.network_of(vm)?)?;
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
