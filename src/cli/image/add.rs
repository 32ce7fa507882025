//! `seedbed image add`: a disk file becomes a base image.

use std::path::{Path, PathBuf};

use super::{Context, Failure, Terminal};
use crate::control::{AddImage, Request};

/// Add a base image from a disk file
///
/// The file is copied into the store and hashed. Its format is never guessed from what is in it: a raw disk that a guest
/// wrote could pretend to be anything.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    seedbed image add debian-12 debian-12-generic-amd64.qcow2\n  \
    seedbed image add noble noble-server-cloudimg-amd64.img --disk-format qcow2 --default-user ubuntu\n  \
    seedbed image add tiny disk.raw --kernel vmlinuz --initrd initrd.gz --cmdline 'console=ttyS0'")]
pub(in crate::cli) struct Args {
    /// Its name
    name: String,
    /// The disk file
    file: PathBuf,
    /// Format of the disk file; needed unless it is called *.qcow2 or *.raw
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
    /// The account that gets the SSH keys
    #[arg(long, value_name = "USER", default_value = "debian")]
    default_user: String,
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
    fn declared_by(file: &Path) -> Option<Self> {
        match file.extension()?.to_str()? {
            "qcow2" => Some(Self::Qcow2),
            "raw" => Some(Self::Raw),
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

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let format = args
        .disk_format
        .or_else(|| DiskFormat::declared_by(&args.file))
        .ok_or_else(|| {
            Failure::usage(format!(
                "the name of {} does not say its format",
                args.file.display()
            ))
            .hint("add --disk-format qcow2 or --disk-format raw; `qemu-img info` tells which")
        })?;
    let request = Request::ImageAdd(AddImage {
        name: args.name,
        file: absolute(&args.file)?,
        format: format.as_str().to_owned(),
        kernel: args.kernel.as_deref().map(absolute).transpose()?,
        initrd: args.initrd.as_deref().map(absolute).transpose()?,
        cmdline: args.cmdline,
        default_user: args.default_user,
    });
    let images = context.images(&request, terminal)?;
    terminal.images(&images)
}

/// The path as the daemon, which runs elsewhere, can open it.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    path.canonicalize()
        .map_err(|error| Failure::io(format!("can not find {}", path.display()), &error))
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
            assert_eq!(DiskFormat::declared_by(Path::new(name)), format, "{name}");
        }
    }
}
