//! `seedbed image install`: a base image from install media.

use std::path::PathBuf;

use super::netboot;
use super::workshop::{self, Options};
use super::{Context, Failure, Terminal};
use crate::control::{ImageRequest, InstallImage, InstallMedia};

/// Install a system from its install media, as a base image
///
/// The installer starts in VM install-NAME, in a text console, here: kernel and initrd are read out of the ISO (Debian, Ubuntu
/// Server, RHEL and its family, Alpine). When it powers off or reboots, the disk becomes generation 1 of NAME, and the VM is
/// deleted. With --unattended it is told what it would ask, from a template (seed-templates/install).
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    seedbed image install debian-12 --iso debian-12.11.0-amd64-netinst.iso\n  \
    seedbed image install debian-12 --netboot debian-12 --unattended\n  \
    seedbed image install alma-9 --iso AlmaLinux-9-latest-x86_64-dvd.iso --unattended --default-user almalinux --detach")]
#[command(group = clap::ArgGroup::new("media").required(true))]
pub(in crate::cli) struct Args {
    /// The image's name
    name: String,
    /// An ISO image of the installer
    #[arg(long, value_name = "FILE", group = "media")]
    iso: Option<PathBuf>,
    /// Debian's installer of this release, which gets all else over the network: debian-12
    #[arg(long, value_name = "RELEASE", group = "media")]
    netboot: Option<String>,
    /// Where installers from Debian packages are kept
    #[arg(long, value_name = "DIR", default_value = "/var/cache/seedbed")]
    cache: PathBuf,
    /// Ask nobody: the installer is told its answers
    #[arg(long)]
    unattended: bool,
    /// Where an unattended installer gets its packages, such as `http://mirror.example.org/debian`
    #[arg(long, value_name = "URL", requires = "unattended")]
    mirror: Option<String>,
    /// The account that gets the SSH keys of clones; `debian`, `ubuntu`, `cloud-user` or `alpine` when not given
    #[arg(long, value_name = "USER")]
    default_user: Option<String>,
    /// Size of the disk; 8G when not given
    #[arg(long, short, value_name = "SIZE")]
    disk: Option<String>,
    #[command(flatten)]
    options: Options,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let media = match (&args.iso, &args.netboot) {
        (Some(iso), _) => InstallMedia::Iso(super::absolute(iso)?),
        (None, Some(release)) => netboot::installer(release, &args.cache, terminal)?,
        (None, None) => return Err(Failure::usage("say what to install from: --iso or --netboot")),
    };
    let request = ImageRequest::Install(InstallImage {
        image: args.name.clone(),
        media,
        unattended: args.unattended,
        mirror: args.mirror,
        default_user: args.default_user,
        size: args.options.size(),
        disk: args.disk,
    });
    workshop::run(request, (&args.name, &args.options), context, terminal)
}
