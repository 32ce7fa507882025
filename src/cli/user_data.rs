//! The user's own user-data, checked before the daemon is asked for anything.

use std::path::{Path, PathBuf};

use super::context::Context;
use super::failure::Failure;
use super::terminal::Terminal;
use super::{host_cloud_init, input};
use crate::control::{Answer, ImageRequest, Request};
use crate::model::cloud_init::Release;
use crate::seed;

/// The options of every command that takes a user-data.
#[derive(Debug, clap::Args)]
pub(super) struct UserData {
    /// Your own cloud-init user-data; - for standard input
    #[arg(long, value_name = "FILE")]
    user_data: Option<PathBuf>,
    /// Go on with a user-data that says what cloud-init does not know
    #[arg(long, requires = "user_data")]
    pub(super) force: bool,
}

impl UserData {
    /// What the file says, for VMs of that image. What cloud-init can not read is refused, what it does not know too unless it is
    /// forced; all else that was found is told.
    pub(super) fn checked(
        &self,
        (context, terminal): (&Context, &mut Terminal),
        image: Option<&str>,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let Some(path) = &self.user_data else {
            return Ok(None);
        };
        let bytes = input::bytes(path)?;
        let name = shown(path);
        seed::check_user_data(&bytes)
            .map_err(|problem| Failure::refused(format!("{name} is not usable as user-data: {problem}")))?;
        let release = image.and_then(|image| release_of(context, image));
        let findings = seed::findings(&bytes, release);
        let host = context.block_on(host_cloud_init::findings(&bytes));
        for warning in findings.warnings().iter().chain(&host.warnings) {
            terminal.say(&format!("warning: {name}: {warning}"));
        }
        let mut problems = findings.problems();
        problems.extend(host.problems);
        if self.force {
            for problem in problems {
                terminal.say(&format!("warning: {name}: {problem} (taken by force)"));
            }
        } else if !problems.is_empty() {
            let message = format!("{name} is not usable as user-data: cloud-init would not do what it says");
            return Err(Failure::refused(message)
                .causes(problems)
                .hint("mend it, or go on with it as it is: --force"));
        }
        Ok(Some(bytes))
    }
}

/// The release of cloud-init that an image has. What is in the way of that is told when the image itself is asked for.
fn release_of(context: &Context, image: &str) -> Option<Release> {
    let names = vec![image.to_owned()];
    match context.ask(&Request::Image(ImageRequest::List { names })) {
        Ok(Answer::Images(images)) => {
            let meant = images.iter().find(|found| image.contains('@') || found.current);
            meant?.cloud_init.as_ref()?.parse().ok()
        }
        Ok(_) | Err(_) => None,
    }
}

fn shown(path: &Path) -> String {
    if path == Path::new("-") {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    }
}
