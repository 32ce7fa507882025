//! `seedbed image add`: a disk file becomes a base image.

use std::path::PathBuf;

use super::source::{Origin, Source, obtain};
use super::{Context, Failure, Terminal, absolute};
use crate::control::{AddImage, ImageRequest, Request};
use crate::model::image;

/// Add a base image from a disk file or a URL
///
/// The file is copied into the store and hashed. Its format is never guessed from what is in it: a raw disk that a guest
/// wrote could pretend to be anything.
///
/// A URL is downloaded first, checked, and kept. When that is cut short, the same command goes on with what is there. A file
/// whose name ends in .xz, .gz, .zst or .bz2 is unpacked.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    seedbed image add debian-12 debian-12-generic-amd64.qcow2\n  \
    seedbed image add noble noble-server-cloudimg-amd64.img --disk-format qcow2 --default-user ubuntu\n  \
    seedbed image add debian-12 https://example.org/debian-12.qcow2.xz --checksum-file SHA512SUMS\n  \
    seedbed image add alma-9.4 alma.qcow2 --view cidata --default-user almalinux\n  \
    seedbed image add coreos coreos.qcow2 --view ignition\n  \
    seedbed image add debian-12 debian-12-new.qcow2 --next\n  \
    seedbed image add tiny disk.raw --kernel vmlinuz --initrd initrd.gz --cmdline 'console=ttyS0'")]
pub(in crate::cli) struct Args {
    /// Its name
    name: String,
    /// The disk file, or its http or https URL
    #[arg(value_name = "FILE|URL")]
    source: PathBuf,
    /// Format of the disk file, unpacked; needed unless it is called *.qcow2 or *.raw (or *.qcow2.xz and the like)
    #[arg(long, value_enum, value_name = "FORMAT")]
    disk_format: Option<DiskFormat>,
    /// A kernel to start instead of the disk's boot loader
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Its initrd
    #[arg(long, value_name = "FILE", requires = "kernel")]
    initrd: Option<PathBuf>,
    /// Its command line
    #[arg(long, value_name = "TEXT", requires = "kernel")]
    cmdline: Option<String>,
    /// The account that gets the SSH keys; `core` with --view ignition, `root` with --view credentials and offline, else `debian`
    #[arg(long, value_name = "USER")]
    default_user: Option<String>,
    /// How its VMs learn who they are
    #[arg(long, value_enum, value_name = "VIEW")]
    view: Option<View>,
    /// The release of its cloud-init, such as 22.4: user-data is checked against what that one knows
    #[arg(long, value_name = "VERSION")]
    cloud_init: Option<String>,
    #[command(flatten)]
    next: super::Next,
    #[command(flatten)]
    origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum View {
    /// Whatever cloud-init finds over HTTP: right for most images
    Auto,
    #[value(name = "nocloud", help = "cloud-init's NoCloud, over HTTP")]
    NoCloud,
    #[value(name = "openstack", help = "OpenStack's metadata service, over HTTP")]
    OpenStack,
    /// EC2's metadata service, over HTTP
    Ec2,
    #[value(
        help = "cloud-init's NoCloud, on a disk: for cloud-init 23.4 to 23.4.3 and what can not ask over HTTP"
    )]
    Cidata,
    /// Ignition
    Ignition,
    /// systemd alone (252 or newer), for images without any agent
    Credentials,
    /// Written into their disks before they start, for images without cloud-init
    Offline,
    /// DHCP and DNS only
    None,
}

impl From<View> for image::View {
    fn from(view: View) -> Self {
        match view {
            View::Auto => Self::Auto,
            View::NoCloud => Self::NoCloud,
            View::OpenStack => Self::OpenStack,
            View::Ec2 => Self::Ec2,
            View::Cidata => Self::Cidata,
            View::Ignition => Self::Ignition,
            View::Credentials => Self::Credentials,
            View::Offline => Self::Offline,
            View::None => Self::None,
        }
    }
}

/// The account that gets the keys in most images of a view: the one their agent makes, or the only one there is.
const fn usual_user(view: Option<View>) -> &'static str {
    match view {
        Some(View::Ignition) => "core",
        Some(View::Credentials | View::Offline) => "root",
        _ => "debian",
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum DiskFormat {
    /// QEMU's copy-on-write format
    Qcow2,
    /// Plain sectors
    Raw,
}

impl DiskFormat {
    /// The format that a file's name declares.
    fn declared_by(name: &str) -> Option<Self> {
        match name.rsplit_once('.')? {
            (_, "qcow2") => Some(Self::Qcow2),
            (_, "raw") => Some(Self::Raw),
            _ => None,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        }
    }
}

/// Names that end so are archives: the disk is a file in them.
const ARCHIVES: [&str; 8] = [".tar", ".tgz", ".txz", ".zip", ".7z", ".ova", ".rar", ".box"];

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let source = Source::of(&args.source)?;
    let (inner, compression) = source.inner();
    let format = args
        .disk_format
        .or_else(|| DiskFormat::declared_by(&inner))
        .ok_or_else(|| unknown_format(&inner))?;
    let kernel = args.kernel.as_deref().map(absolute).transpose()?;
    let initrd = args.initrd.as_deref().map(absolute).transpose()?;
    if compression.is_some() || matches!(source, Source::Url(_)) {
        // Nobody waits for a download that could not be taken.
        free(&args, context, terminal)?;
    }
    let disk = obtain(&source, &args.origin, &args.name, context, terminal)?;
    let request = Request::Image(ImageRequest::Add(AddImage {
        name: args.name,
        origin: source.described(),
        file: disk.path.clone(),
        format: format.as_str().to_owned(),
        kernel,
        initrd,
        cmdline: args.cmdline,
        default_user: args
            .default_user
            .unwrap_or_else(|| usual_user(args.view).to_owned()),
        view: args.view.map(|view| image::View::from(view).as_str().to_owned()),
        cloud_init: args.cloud_init,
        next: args.next.next,
        no_promote: args.next.no_promote,
    }));
    let images = context.images(&request, terminal)?;
    drop(disk);
    terminal.images(&images)
}

/// Whether there is a daemon, and no image in the way.
fn free(args: &Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let all = Request::Image(ImageRequest::List { names: Vec::new() });
    let images = context.images(&all, terminal)?;
    if args.next.next || images.iter().all(|image| image.name != args.name) {
        return Ok(());
    }
    Err(
        Failure::refused(format!("there is an image `{}` already", args.name))
            .hint("add it as the next generation of that one with --next, or choose another name"),
    )
}

fn unknown_format(name: &str) -> Failure {
    if ARCHIVES.iter().any(|ending| name.ends_with(ending)) {
        return Failure::usage(format!(
            "{name} is an archive, and an image is made of a disk file"
        ))
        .hint("take the disk file out of it and give that: tar -xf FILE, unzip FILE");
    }
    Failure::usage(format!("the name of {name} does not say its format"))
        .hint("add --disk-format qcow2 or --disk-format raw; `qemu-img info` tells which")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_file_name_declares_a_format() {
        for (name, format) in [
            ("a.qcow2", Some(DiskFormat::Qcow2)),
            ("a.raw", Some(DiskFormat::Raw)),
            ("a.img", None),
            ("qcow2", None),
        ] {
            assert_eq!(DiskFormat::declared_by(name), format, "{name}");
        }
    }
}
