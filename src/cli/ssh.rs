//! `seedbed ssh`: the real ssh, told whom it talks to and which host keys are right.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::context::Context;
use super::failure::Failure;
use super::keys;
use super::terminal::Terminal;
use crate::control::VmInfo;

/// Log in to a VM by ssh
///
/// Checks the VM's host keys against those that seedbed made for it, or that it told seedbed at its first boot, so there
/// is nothing to confirm. Ends with
/// ssh's exit code.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed ssh web1\n  seedbed ssh web1 -- systemctl is-system-running")]
pub(super) struct Args {
    /// The VM
    name: String,
    /// The private key to log in with
    #[arg(long, short, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// The account; the one that got the keys when not given
    #[arg(long, short, value_name = "USER")]
    login: Option<String>,
    /// What to run there instead of a shell
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(super) fn run(args: Args, context: &Context, _terminal: &mut Terminal) -> Result<(), Failure> {
    let vm = context.vm(&args.name)?;
    check(&vm)?;
    let user = args.login.as_deref().or(vm.default_user.as_deref());
    let user = user.ok_or_else(|| {
        Failure::refused(format!("which account of {} is meant is not known", vm.name))
            .hint(format!("name it: seedbed ssh {} --login USER", vm.name))
    })?;
    let identities = args
        .identity
        .map_or_else(keys::identities_behind_sudo, |file| vec![file]);
    let error = Command::new("ssh")
        .args(options(&vm, user, &identities))
        .arg(vm.ip.to_string())
        .args(args.command)
        .exec();
    Err(match error.kind() {
        std::io::ErrorKind::NotFound => {
            Failure::refused("ssh is not installed").hint("install it: sudo apt install openssh-client")
        }
        _ => Failure::io("can not run ssh", &error),
    })
}

/// Refuses what could not work, with a better word than a time-out.
fn check(vm: &VmInfo) -> Result<(), Failure> {
    let name = &vm.name;
    if !matches!(vm.state.as_str(), "running" | "external") {
        let hint = format!("start it: seedbed start {name} && seedbed wait {name}");
        return Err(Failure::refused(format!("{name} is {}", vm.state)).hint(hint));
    }
    if vm.host_keys.is_empty() {
        let failure = Failure::refused(format!("{name} did not tell its host keys yet"));
        return Err(failure.hint(format!(
            "not ready yet: seedbed wait {name}; if its first boot is long over, have it tell them on its console: \
             sudo cloud-init single --name phone_home --frequency always"
        )));
    }
    Ok(())
}

/// What ssh is told before the address.
fn options(vm: &VmInfo, user: &str, identities: &[PathBuf]) -> Vec<OsString> {
    let mut options = Vec::new();
    let mut option = |text: String| options.extend([OsString::from("-o"), text.into()]);
    option(format!("HostKeyAlias={}", vm.name));
    option(format!("UserKnownHostsFile={}", quoted(&vm.known_hosts)));
    // Only the keys the VM told count, whatever else this host believes about the address.
    option("GlobalKnownHostsFile=/dev/null".to_owned());
    option("StrictHostKeyChecking=yes".to_owned());
    option("CheckHostIP=no".to_owned());
    for identity in identities {
        options.extend(["-i".into(), identity.into()]);
    }
    options.extend(["-l".into(), user.into(), "--".into()]);
    options
}

/// A path as a value of `ssh_config(5)`, where blanks separate and `%` starts a token.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('%', "%%"))
}
