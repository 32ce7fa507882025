//! `seedbed clone`: VMs that begin as another one is.

use super::context::Context;
use super::failure::Failure;
use super::terminal::Terminal;
use crate::control::{CloneVm, Request};

/// Clone a VM
///
/// A clone has a copy of its disks, its size and its settings, and is someone of its own: another name, address, MAC, UUID and host
/// key, and no aliases. cloud-init sets it up anew at its first start, with its own name. Where the file system can share (Btrfs,
/// XFS), a copy takes no room and no time; else it takes what was written to the disk.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  seedbed clone web1 web2\n  seedbed clone web1 'web[2-5]' --start\n  \
    seedbed clone db1 db1-test --live"
)]
pub(super) struct Args {
    /// The VM
    #[arg(value_name = "VM")]
    vm: String,
    /// Names and ranges of its clones
    #[arg(value_name = "NEW", required = true)]
    names: Vec<String>,
    /// Also if it runs: it stands still while it is copied, and its clones begin as after a power cut
    #[arg(long)]
    live: bool,
    /// Start the clones then
    #[arg(long)]
    start: bool,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let names = args.names.clone();
    let request = Request::Clone(CloneVm {
        vm: args.vm,
        names: args.names,
        live: args.live,
        start: args.start,
    });
    let vms = context.watch_vms(&request, &names, terminal)?;
    terminal.vm_sentences(&vms)
}
