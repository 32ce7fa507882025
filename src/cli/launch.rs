//! `seedbed launch`: new VMs from an image.

use std::time::Duration;

use super::context::Context;
use super::failure::Failure;
use super::hardware;
use super::keys;
use super::policy::Policy;
use super::registration::Registration;
use super::terminal::Terminal;
use crate::control::{LaunchVms, Request};
use crate::model::time::parse_span;

/// Launch VMs from an image
///
/// Registers them, clones their disks and starts them. What is not given follows from the name, or is chosen.
/// Without --key and --owner, your own first SSH key may log in.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    seedbed launch web1 --image debian-12 --wait\n  \
    seedbed launch web[1-20] -i debian-12 -c 2 -m 1G --swap 512M\n  \
    seedbed launch db1 -i debian-12 --ip 10.77.0.50 --key ~/.ssh/ops.pub --user-data db.yaml")]
#[command(override_usage = "seedbed launch [OPTIONS] --image <IMAGE> <NAME>...")]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true))]
pub(super) struct Args {
    /// Names and ranges: web1, web[1-20], db[1-3,7]
    #[arg(value_name = "NAME", group = "which")]
    names: Vec<String>,
    /// The same, as an option
    #[arg(long = "name", short = 'n', value_name = "NAME", group = "which")]
    more_names: Vec<String>,
    /// The base image
    #[arg(long, short)]
    image: String,
    /// Virtual CPUs
    #[arg(long, short, value_name = "COUNT")]
    cpus: Option<u16>,
    /// Memory, such as 512M or 2G
    #[arg(long, short, value_name = "SIZE")]
    memory: Option<String>,
    /// Size of the root disk, such as 10G; the image's own when not given
    #[arg(long, short, value_name = "SIZE")]
    disk: Option<String>,
    /// Size of the swap disk; 0 for none
    #[arg(long, value_name = "SIZE")]
    swap: Option<String>,
    /// For an image without cloud-init: write what it is to be into its disk before it starts
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    hardware: hardware::Created,
    #[command(flatten)]
    registration: Registration,
    /// Wait until they are ready, for 10 minutes when no SPAN is given
    #[arg(long, value_name = "SPAN", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "10m", value_parser = parse_span)]
    wait: Option<Duration>,
    #[command(flatten)]
    policy: Policy,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let mut names = args.names;
    names.extend(args.more_names);
    // An owner has keys of his own, in the key ring.
    let own = if args.registration.accounts.owner.is_some() {
        Vec::new()
    } else {
        keys::own_unless(&args.registration.key, terminal)?
    };
    let image = Some(args.image.as_str());
    let mut register = args.registration.of(names.clone(), (context, terminal), image)?;
    register.keys.extend(own);
    register.custom.offline = args.offline.then_some(true);
    let request = Request::Launch(LaunchVms {
        register,
        image: args.image,
        cpus: args.cpus,
        memory: args.memory,
        disk: args.disk,
        swap: args.swap,
        wait_seconds: args.wait.map(|span| span.as_secs()),
        hardware: args.hardware.wanted(),
        policy: args.policy.settings(),
    });
    let vms = context.watch_vms(&request, &names, terminal)?;
    for vm in vms.iter().filter(|vm| vm.keys.is_empty()) {
        let why = vm.owner.as_ref().map_or_else(
            || "it has no keys".to_owned(),
            |owner| format!("its owner {owner} has no keys in the key ring"),
        );
        terminal.say(&format!("nobody may log in to {} by ssh: {why}", vm.name));
    }
    terminal.vm_sentences(&vms)
}
