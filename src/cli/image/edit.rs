//! `seedbed image edit`: changes a base image by hand.

use super::super::keys;
use super::workshop::{self, Options};
use super::{Context, Failure, Terminal};
use crate::control::{EditImage, ImageRequest};

/// Change a base image by hand, into its next generation
///
/// A clone of its current generation starts as VM edit-NAME, with its console here; `seedbed ssh edit-NAME` logs in too. When it
/// has powered itself off, its disk becomes the next generation, and the VM is deleted. The generation it began with stays as
/// it is. Killed, or with `seedbed delete edit-NAME --force`, it leaves nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    seedbed image edit debian-12\n  \
    seedbed image edit debian-12 --detach && seedbed ssh edit-debian-12 -- sudo apt-get install -y htop\n  \
    seedbed stop edit-debian-12")]
pub(in crate::cli) struct Args {
    /// The image's name
    name: String,
    /// Who may log in meanwhile: a file of keys, a key, or the name of one in the key ring; your own first key when not given
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
    #[command(flatten)]
    options: Options,
}

pub(super) fn run(args: &Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let given = keys::given(&args.key)?;
    let mut keys = given.lines;
    keys.extend(keys::own_unless(&args.key, terminal)?);
    let request = ImageRequest::Edit(EditImage {
        image: args.name.clone(),
        keys,
        ring: given.names,
        size: args.options.size(),
    });
    workshop::run(request, (&args.name, &args.options), context, terminal)
}
