//! `seedbed set`: changes VMs.

use super::accounts::Accounts;
use super::confidence::Confidence;
use super::context::Context;
use super::failure::Failure;
use super::hardware;
use super::keys;
use super::nics::ChangedNics;
use super::policy::Policy;
use super::registration::Custom;
use super::terminal::Terminal;
use super::user_data::UserData;
use crate::control::{Request, SetVms};

/// Change VMs
///
/// What is not given stays as it is. For a VM that runs, each change says when it counts: at once, when the guest asks DHCP
/// again, from its next start on, or when cloud-init sets it up anew. An empty value takes what was set for the VM alone
/// away: `--ntp ''`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  seedbed set web1 --ip 10.77.0.30\n  seedbed set web[1-20] --memory 2G\n  seedbed set db1 --disk 20G --add-disk data=100G"
)]
#[command(override_usage = "seedbed set [OPTIONS] <NAME>...")]
#[command(mut_arg("user_data", |file| file.help("Your own cloud-init user-data; - for standard input, an empty file for none")))]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true)
    .args(["ip", "mac", "cpus", "memory", "key", "user_data", "template", "new_instance", "release_secrets"])
    .args(Custom::IDS).args(Accounts::IDS).args(Confidence::IDS)
    .args(hardware::Changed::IDS).args(Policy::IDS).args(ChangedNics::IDS))]
pub(super) struct Args {
    /// Names and ranges: web1, web[1-20], db[1-3,7]
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// A new address, for one VM
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,
    /// A new hardware address, for one VM
    #[arg(long)]
    mac: Option<String>,
    /// Virtual CPUs
    #[arg(long, short, value_name = "COUNT")]
    cpus: Option<u16>,
    /// Memory, such as 512M or 2G
    #[arg(long, short, value_name = "SIZE")]
    memory: Option<String>,
    /// SSH key that may log in, a file of such, or a name in the key ring; replaces all it had
    #[arg(long, value_name = "FILE|KEY|NAME")]
    key: Vec<String>,
    #[command(flatten)]
    user_data: UserData,
    /// The seed template
    #[arg(long, value_name = "NAME")]
    template: Option<String>,
    /// Make it another instance: cloud-init sets it up anew at its next start, on the disk it has
    #[arg(long)]
    new_instance: bool,
    /// Tell it its secrets once more, as in its first boot
    #[arg(long)]
    release_secrets: bool,
    #[command(flatten)]
    hardware: hardware::Changed,
    #[command(flatten)]
    accounts: Accounts,
    #[command(flatten)]
    confidence: Confidence,
    #[command(flatten)]
    custom: Custom,
    #[command(flatten)]
    policy: Policy,
    #[command(flatten)]
    nics: ChangedNics,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let keys = keys::given(&args.key)?;
    let mut custom = args.custom.settings();
    args.accounts.add_to(&mut custom)?;
    args.confidence.add_to(&mut custom)?;
    let given = !args.key.is_empty();
    custom.ring = given.then_some(keys.names);
    let vms = context.vms(&Request::Set(SetVms {
        names: args.names,
        ip: args.ip,
        mac: args.mac,
        cpus: args.cpus,
        memory: args.memory,
        keys: given.then_some(keys.lines),
        force: args.user_data.force,
        user_data: args.user_data.checked((context, terminal), None)?,
        template: args.template,
        custom,
        new_instance: args.new_instance,
        release_secrets: args.release_secrets,
        hardware: args.hardware.wanted(),
        policy: args.policy.settings(),
        nics: args.nics.settings()?,
    }))?;
    terminal.vm_sentences(&vms)
}
