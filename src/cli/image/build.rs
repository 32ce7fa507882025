//! `seedbed image build`: a base image from Debian packages.

use std::path::{Path, PathBuf};

use super::{Context, Failure, Terminal};
use crate::control::{AddImage, ImageRequest, ProgressLine, Request};
use crate::image::build::{self, BuildError, Step, Suite};

/// Build a base image from Debian packages
///
/// Needs mmdebstrap, e2fsprogs, fdisk and qemu-utils on this host, and root. The image has cloud-init, an SSH server, a
/// serial console, a root that grows, and a boot loader of its own: a kernel upgraded inside a guest is what its next
/// boot runs. Takes one to three minutes; a built image is kept in the cache and used again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sudo seedbed image build debian-12 --suite bookworm")]
pub(in crate::cli) struct Args {
    /// Its name
    name: String,
    /// The Debian release: bullseye (11), bookworm (12) or trixie (13)
    #[arg(long)]
    suite: String,
    /// Where built images are kept
    #[arg(long, value_name = "DIR", default_value = "/var/cache/seedbed")]
    cache: PathBuf,
    /// Build it even if the cache has one
    #[arg(long)]
    fresh: bool,
    #[command(flatten)]
    next: super::Next,
    /// Only build it into the cache, and print the file's name; needs no daemon
    #[arg(long)]
    build_only: bool,
}

pub(super) fn run(args: &Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let suite: Suite = args
        .suite
        .parse()
        .map_err(|error: build::UnknownSuite| Failure::usage(error.to_string()))?;
    let file = std::path::absolute(build::cached(&args.cache, suite, |name| std::env::var_os(name)))
        .map_err(|error| Failure::io(format!("can not use {}", args.cache.display()), &error))?;
    if file.is_file() && !args.fresh {
        terminal.say(&format!(
            "using {}, which was built before (--fresh builds it anew)",
            file.display()
        ));
    } else {
        build(args, suite, &file, terminal)?;
    }
    if args.build_only {
        return terminal.answer(&file.display().to_string());
    }
    let request = Request::Image(ImageRequest::Add(AddImage {
        name: args.name.clone(),
        origin: format!("built from packages of {}", suite.as_str()),
        file,
        format: "qcow2".to_owned(),
        kernel: None,
        initrd: None,
        cmdline: None,
        default_user: suite.default_user().to_owned(),
        view: None,
        cloud_init: Some(suite.cloud_init().to_owned()),
        next: args.next.next,
        no_promote: args.next.no_promote,
    }));
    let images = context.images(&request, terminal)?;
    terminal.images(&images)
}

fn build(args: &Args, suite: Suite, file: &Path, terminal: &mut Terminal) -> Result<(), Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err(
            Failure::permission("an image can be built by root only").hint(format!(
                "sudo seedbed image build {} --suite {}",
                args.name,
                suite.as_str()
            )),
        );
    }
    let mut progress = terminal.progress(std::slice::from_ref(&args.name));
    let mut phase = String::new();
    let result = build::build(suite, file, |step| {
        let stage = match step {
            Step::Phase { number, of, what } => {
                phase = format!("[{number}/{of}] {what}");
                phase.clone()
            }
            Step::Detail(what) => format!("{phase}: {what}"),
        };
        progress.line(&ProgressLine {
            subject: args.name.clone(),
            stage,
        });
    });
    progress.end();
    result.map_err(|error| match error {
        BuildError::Io { path, source } => Failure::io(format!("can not use {}", path.display()), &source),
        error @ (BuildError::Shell(_) | BuildError::Failed(_)) => Failure::refused(error.to_string()),
    })
}
