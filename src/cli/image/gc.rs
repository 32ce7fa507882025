//! `seedbed image gc`: deletes generations that nobody needs.

use super::{Context, Failure, Terminal};
use crate::control::{ImageInfo, ImageRequest, Request};

/// Delete generations that are neither current nor the base of a VM's disk
///
/// Prints those that it deleted.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed image gc --dry-run\n  seedbed image gc debian-12 --keep 2")]
pub(in crate::cli) struct Args {
    /// Of which images; of all when none is given
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// How many of those of each image, the newest ones, to keep all the same
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    keep: usize,
    /// Only print what would be deleted
    #[arg(long, short = 'n')]
    dry_run: bool,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let names = args.names.clone();
    let request = ImageRequest::Collect {
        names: args.names,
        keep: args.keep,
        dry_run: args.dry_run,
    };
    let images = context.images(&Request::Image(request), terminal)?;
    terminal.images(&images)?;
    tell_kept(names, context, terminal);
    Ok(())
}

/// Says which generations are only kept because a deletion can be undone, and how to give that up.
fn tell_kept(names: Vec<String>, context: &Context, terminal: &mut Terminal) {
    if !terminal.is_for_people() {
        return;
    }
    // An image that was named may have no generation left.
    let Ok(left) = context.images(&Request::Image(ImageRequest::List { names }), terminal) else {
        return;
    };
    let kept = |image: &&ImageInfo| !image.current && image.used_by.is_empty() && !image.kept_for.is_empty();
    for image in left.iter().filter(kept) {
        let of = image.kept_for.join(" ");
        terminal.say(&format!(
            "{} is kept for deleted VMs that can be undone ({of}); to give them up: seedbed delete --deleted {of}",
            image.id()
        ));
    }
}
