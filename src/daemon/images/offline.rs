//! What is in an image's disk: looked at, and sealed into the next generation.

use std::sync::Arc;

use super::super::{Daemon, door, failpoint, machines};
use crate::control::serve::ProgressSink;
use crate::control::{FindingInfo, LintInfo, Refusal};
use crate::image::Making;
use crate::model::cloud_init::Release;
use crate::model::image::Boot;
use crate::model::{Image, ImageId};
use crate::offline::door::DoorError;
use crate::offline::job::{Disk, Outcome, Task};
use crate::offline::lint::{Finding, Report};

/// Rules about booting from the disk, which an image with a kernel of its own does not.
const OF_DISK_BOOT: [&str; 3] = ["boot-loader", "serial-console", "disk-names"];

impl From<DoorError> for Refusal {
    fn from(error: DoorError) -> Self {
        match error {
            DoorError::Failed(why) => Self::request(why),
            other => Self::host(other.to_string()),
        }
    }
}

/// Says what in images would hurt their clones.
pub(super) async fn lint(daemon: &Arc<Daemon>, names: &[String]) -> Result<Vec<LintInfo>, Refusal> {
    let mut shown = Vec::new();
    for name in names {
        let image = machines::image_named(daemon, name)?;
        let report = look(daemon, &image).await?;
        shown.push(info(&image, report, None));
    }
    Ok(shown)
}

/// Makes the next generation of an image without what would hurt its clones; none where there is no such thing.
pub(super) async fn seal(
    daemon: &Arc<Daemon>,
    name: &str,
    promote: bool,
    progress: &ProgressSink,
) -> Result<LintInfo, Refusal> {
    let image = machines::image_named(daemon, name)?;
    let told = |what: &str| progress.line(image.id.name().as_str(), what.to_owned());
    told("looking at it");
    let report = look(daemon, &image).await?;
    if !report.findings.iter().any(|finding| finding.sealed) {
        return Ok(info(&image, report, None));
    }
    told("copying it");
    let next = daemon.directory().next_generation(image.id.name());
    let (store, base) = (daemon.store.clone(), Arc::clone(&image));
    let id = ImageId::new(image.id.name().clone(), next);
    let making = tokio::task::spawn_blocking(move || {
        let mut making = store.make(&id)?;
        making.copy_disk(&store, &base)?;
        Ok::<_, Refusal>(making)
    })
    .await??;
    failpoint::reach("seal copied");
    told("sealing the copy");
    let report = seal_made(daemon, &making).await?;
    failpoint::reach("seal done");
    let (store, like, now) = (daemon.store.clone(), Arc::clone(&image), daemon.clock.now());
    let origin = format!("{}, sealed", image.id);
    let made = tokio::task::spawn_blocking(move || making.finish(&store, &like, origin, now)).await??;
    let made = super::register(daemon, made, promote).await?;
    Ok(info(&image, report, Some(&made)))
}

/// Seals the disk of a generation that is being made. What can not be sealed is told and stays as it is: hours of somebody's work
/// may be in it. Returns the release of its cloud-init, where it was found.
pub(super) async fn seal_or_tell(
    daemon: &Arc<Daemon>,
    making: &Making,
    progress: &ProgressSink,
) -> Option<Release> {
    match seal_made(daemon, making).await {
        Ok(report) => {
            for finding in &report.findings {
                let by = if finding.sealed { "seal" } else { "lint" };
                progress.line(by, format!("{}: {}", finding.what, finding.seal));
            }
            report.facts.cloud_init?.parse().ok()
        }
        Err(refusal) => {
            tracing::warn!("{} was not sealed: {refusal}.", making.disk().display());
            progress.line("seal", format!("it was not sealed: {refusal}"));
            None
        }
    }
}

/// Seals the disk of a generation that is being made; says what was done.
async fn seal_made(daemon: &Arc<Daemon>, making: &Making) -> Result<Report, Refusal> {
    let disk = Disk {
        path: making.disk(),
        format: making.format().into(),
    };
    report(daemon, disk, Task::Seal).await
}

async fn look(daemon: &Arc<Daemon>, image: &Arc<Image>) -> Result<Report, Refusal> {
    super::verified(daemon, image).await?;
    let disk = Disk {
        path: daemon.config.places.image_disk(&image.id),
        format: image.format.into(),
    };
    let mut report = report(daemon, disk, Task::Lint).await?;
    if matches!(image.boot, Boot::Kernel { .. }) {
        report
            .findings
            .retain(|finding| !OF_DISK_BOOT.contains(&finding.rule.as_str()));
    }
    Ok(report)
}

async fn report(daemon: &Arc<Daemon>, disk: Disk, task: Task) -> Result<Report, Refusal> {
    match door::work(daemon, disk, None, task).await?? {
        Outcome::Report(report) => Ok(report),
        Outcome::Failed(why) => Err(Refusal::request(why)),
        Outcome::Customized(_) => Err(Refusal::internal(
            "the worker for disks did something else than was asked",
        )),
    }
}

fn info(image: &Image, report: Report, made: Option<&Image>) -> LintInfo {
    let Report { facts, findings } = report;
    LintInfo {
        image: image.id.to_string(),
        made: made.map(|made| made.id.to_string()),
        distribution: facts.distribution,
        cloud_init: facts.cloud_init,
        systemd: facts.systemd,
        network: facts.network,
        boot_loader: facts.boot_loader,
        views: facts.views,
        findings: findings.into_iter().map(finding).collect(),
    }
}

fn finding(finding: Finding) -> FindingInfo {
    FindingInfo {
        rule: finding.rule,
        what: finding.what,
        paths: finding.paths,
        why: finding.why,
        seal: finding.seal,
        sealed: finding.sealed,
    }
}
