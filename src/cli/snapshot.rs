//! `seedbed snapshot`: states of a VM's disks that it can go back to.

use super::context::{Context, unexpected};
use super::failure::Failure;
use super::terminal::Terminal;
use crate::control::{Answer, Request, SnapshotRequest};

/// Take snapshots of VMs' disks, and go back to them
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    Create(CreateArgs),
    #[command(visible_alias = "ls")]
    List(ListArgs),
    Restore(RestoreArgs),
    #[command(visible_alias = "rm")]
    Delete(DeleteArgs),
}

/// Take a snapshot
///
/// It has all disks but swap. A VM that runs stands still while they are copied, for a moment where the file system can share
/// (Btrfs, XFS), else for as long as that takes, and the snapshot is what a power cut would have left.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  seedbed snapshot create web1\n  seedbed snapshot create web1 before-upgrade"
)]
pub(super) struct CreateArgs {
    /// The VM
    vm: String,
    /// What it is called; the next number when not given
    name: Option<String>,
}

/// List the snapshots of a VM
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed snapshot list web1")]
pub(super) struct ListArgs {
    /// The VM
    vm: String,
}

/// Take a VM back to a snapshot
///
/// Asks nothing: what was written to its disks since is gone. Name, address and settings stay; the snapshot stays too. A VM that
/// runs is refused, unless --force powers it off first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed snapshot restore web1 before-upgrade --force --start")]
pub(super) struct RestoreArgs {
    /// The VM
    vm: String,
    /// The snapshot
    name: String,
    /// Also if it runs: power it off first
    #[arg(long, short)]
    force: bool,
    /// Start it then
    #[arg(long)]
    start: bool,
}

/// Delete a snapshot
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed snapshot delete web1 before-upgrade")]
pub(super) struct DeleteArgs {
    /// The VM
    vm: String,
    /// The snapshot
    name: String,
}

pub(super) fn run(verb: Verb, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let (vm, request) = match verb {
        Verb::Create(CreateArgs { vm, name }) => (vm.clone(), SnapshotRequest::Create { vm, name }),
        Verb::List(ListArgs { vm }) => return list(vm, context, terminal),
        Verb::Restore(RestoreArgs {
            vm,
            name,
            force,
            start,
        }) => (
            vm.clone(),
            SnapshotRequest::Restore {
                vm,
                name,
                force,
                start,
            },
        ),
        Verb::Delete(DeleteArgs { vm, name }) => (vm.clone(), SnapshotRequest::Delete { vm, name }),
    };
    context.done(&Request::Snapshot(request), &[vm], terminal)
}

fn list(vm: String, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    match context.ask(&Request::Snapshot(SnapshotRequest::List { vm }))? {
        Answer::Snapshots(snapshots) => terminal.snapshots(&snapshots),
        other => Err(unexpected(&other)),
    }
}
