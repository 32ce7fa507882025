//! What `image install` and `image edit` have in common: a VM whose disk becomes an image when it powers off.

use super::super::console::{self, End};
use super::{Context, Failure, Terminal};
use crate::control::{ImageRequest, Request, VmInfo, WorkshopSize};

/// The size and place of the VM, and whether to stay with it.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Virtual CPUs
    #[arg(long, short, value_name = "COUNT")]
    cpus: Option<u16>,
    /// Memory, such as 2G
    #[arg(long, short, value_name = "SIZE")]
    memory: Option<String>,
    /// Network; the only one when not given
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Do not attach to its console; it goes on by itself
    #[arg(long)]
    detach: bool,
}

impl Options {
    /// Its size and place.
    pub(super) fn size(&self) -> WorkshopSize {
        WorkshopSize {
            cpus: self.cpus,
            memory: self.memory.clone(),
            network: self.network.clone(),
        }
    }
}

/// Starts the VM, stays at its console until it powers off, and shows the image that is made of it.
pub(super) fn run(
    request: ImageRequest,
    (image, options): (&str, &Options),
    context: &Context,
    terminal: &mut Terminal,
) -> Result<(), Failure> {
    let started = context.watch_vms(&Request::Image(request), &[], terminal)?;
    let Some(vm) = started.into_iter().next() else {
        return Err(Failure::internal("the daemon started no VM"));
    };
    if options.detach {
        return goes_on(&vm, image, terminal);
    }
    // One that has ended by now has no console any more, but has become something.
    if matches!(
        console::session(&vm.name, &console::Options::default(), context, terminal),
        Ok(End::Detached)
    ) {
        return goes_on(&vm, image, terminal);
    }
    let request = Request::Image(ImageRequest::Await { vm: vm.name });
    let images = context.images(&request, terminal)?;
    terminal.images(&images)
}

/// It goes on without anybody: what to do with it.
fn goes_on(vm: &VmInfo, image: &str, terminal: &mut Terminal) -> Result<(), Failure> {
    let name = &vm.name;
    terminal.answer(&format!(
        "{name} runs, and becomes image {image} when it powers itself off"
    ))?;
    terminal.say(&format!("  its console:  seedbed console {name}"));
    if !vm.keys.is_empty() {
        terminal.say(&format!("  log in:       seedbed ssh {name}"));
    }
    terminal.say(&format!("  power it off: seedbed stop {name}"));
    terminal.say(&format!("  give it up:   seedbed delete {name} --force"));
    Ok(())
}
