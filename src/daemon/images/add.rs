//! A disk file becomes a base image.

use std::path::Path;
use std::sync::Arc;

use super::super::{Daemon, failpoint, selection};
use crate::control::serve::ProgressSink;
use crate::control::{AddImage, Refusal};
use crate::image::AddSource;
use crate::model::image::{DiskFormat, View};
use crate::model::{Bytes, Image, ImageId, ImageName};

/// Copies a disk file into the store, hashed and read-only, and registers it.
pub(super) async fn add(
    daemon: &Arc<Daemon>,
    request: AddImage,
    progress: ProgressSink,
) -> Result<Arc<Image>, Refusal> {
    let name: ImageName = selection::parse(&request.name)?;
    let directory = daemon.directory();
    if directory.current(&name).is_some() && !request.next {
        return Err(Refusal::request(format!("there is an image `{name}` already")).hint(format!(
            "add it as the next generation of that one with --next, or choose another name, or delete the image first: \
             seedbed image delete {name}"
        )));
    }
    let next = directory.next_generation(&name);
    let id = ImageId::new(name, next);
    let source = source(&request, id)?;
    let (store, now, name) = (daemon.store.clone(), daemon.clock.now(), source.id.name().clone());
    let told = move |done: u64, total: u64| {
        failpoint::reach("image copying");
        // One line for each tenth: it is copied by the mebibyte, which nobody wants to read.
        let tenth = |bytes: u64| bytes.saturating_mul(10) / total.max(1);
        if tenth(done) != tenth(done.saturating_sub(1 << 20)) {
            progress.line(
                name.as_str(),
                format!("importing, {} % of {}", tenth(done) * 10, Bytes(total)),
            );
        }
    };
    let image = tokio::task::spawn_blocking(move || store.add(&source, now, told)).await??;
    failpoint::reach("image added");
    super::register(daemon, image, !request.no_promote).await
}

fn source(request: &AddImage, id: ImageId) -> Result<AddSource, Refusal> {
    let format = match request.format.as_str() {
        "qcow2" => DiskFormat::Qcow2,
        "raw" => DiskFormat::Raw,
        other => {
            return Err(Refusal::request(format!(
                "`{}` is not a disk format: say qcow2 or raw",
                other.escape_debug()
            )));
        }
    };
    for path in [
        Some(&request.file),
        request.kernel.as_ref(),
        request.initrd.as_ref(),
    ]
    .into_iter()
    .flatten()
    {
        absolute(path)?;
    }
    if request.kernel.is_none() && (request.initrd.is_some() || request.cmdline.is_some()) {
        return Err(Refusal::request(
            "an initrd or a kernel command line needs a kernel: give --kernel too",
        ));
    }
    account(&request.default_user)?;
    Ok(AddSource {
        id,
        origin: request.origin.clone(),
        file: request.file.clone(),
        format,
        kernel: request.kernel.clone(),
        initrd: request.initrd.clone(),
        cmdline: request.cmdline.clone(),
        default_user: request.default_user.clone(),
        view: view(request.view.as_deref())?,
        cloud_init: selection::parse_opt(request.cloud_init.as_ref())?,
    })
}

fn view(name: Option<&str>) -> Result<View, Refusal> {
    let Some(name) = name else { return Ok(View::Auto) };
    View::named(name).ok_or_else(|| {
        let known: Vec<_> = View::ALL.into_iter().map(View::as_str).collect();
        Refusal::request(format!("`{}` is no view of a VM", name.escape_debug()))
            .hint(format!("there are {}", known.join(", ")))
    })
}

/// A login name as `useradd(8)` takes it: it goes into the seed and to ssh.
pub(in crate::daemon) fn account(name: &str) -> Result<(), Refusal> {
    let first = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let rest = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
    if first && rest && name.len() <= 32 {
        return Ok(());
    }
    Err(Refusal::request(format!("`{}` is not a login name", name.escape_debug()))
        .hint("use lower-case letters, digits, `_` and `-`, starting with a letter; Debian's images have `debian`"))
}

pub(in crate::daemon) fn absolute(path: &Path) -> Result<(), Refusal> {
    if path.is_absolute() {
        return Ok(());
    }
    Err(
        Refusal::request(format!("{} is not an absolute path", path.display()))
            .hint("the daemon runs elsewhere: give the whole path, from / on"),
    )
}
