//! Workshops: VMs whose disk becomes an image when they power off. In one a system is installed, in another an image is changed.
//!
//! ```text
//!   begin: Register (phase Launching) -> disk -> start QEMU -> Launched        (as any launch, and undone as one)
//!   end:   the guest powers off -> one whole disk -> next generation -> the VM is deleted
//!          it ends in any other way, or nobody saw how -> the VM is deleted
//! ```
//!
//! The daemon does all of it: a client that goes away harms nothing. What was cut short by the daemon's own end is removed by
//! [`super::recover`]; the base is only ever read.

use std::sync::Arc;

use super::{Daemon, failpoint, images, launch, machines, register, selection};
use crate::control::serve::ProgressSink;
use crate::control::{AddVms, CustomSettings, EditImage, InstallImage, InstallMedia, Refusal, WorkshopSize};
use crate::image::media::{Media, command_line};
use crate::model::image::{Boot, DiskFormat, View};
use crate::model::workshop::{Answers, Family, Install, Work};
use crate::model::{
    Bytes, Hosting, Image, ImageId, ImageName, Machine, Network, Phase, Timestamp, Vm, Workshop,
};
use crate::registry::Change;
use crate::seed::install::answers_url;

mod finish;
mod outcome;

pub(super) use finish::{began, ended};
pub(super) use outcome::{Outcomes, outcome};

/// The size of a disk that a system is installed on; those of its clones are as large as they are wanted.
const DISK: Bytes = Bytes::gib(8);

/// Starts an installer, in a VM of its own.
pub(super) async fn install(
    daemon: &Arc<Daemon>,
    request: InstallImage,
    progress: ProgressSink,
) -> Result<Arc<Vm>, Refusal> {
    let image: ImageName = selection::parse(&request.image)?;
    let media = opened(request.media.clone()).await?;
    let network = network(daemon, &request.size)?;
    let (family, label) = (media.family(), media.label().to_owned());
    let answers = answers(&request)?;
    let url = answers.is_some().then(|| answers_url(&network));
    let default_user = request.default_user.clone();
    let default_user = default_user.unwrap_or_else(|| family.default_user().to_owned());
    images::account(&default_user)?;
    let install = Install {
        family,
        cmdline: command_line(family, &label, url.as_deref()),
        default_user,
        has_media: media.has_drive(),
        answers,
    };
    let next = daemon.directory().next_generation(&image);
    let machine = Machine {
        image: ImageId::new(image.clone(), next),
        cpus: request.size.cpus.unwrap_or(daemon.config.defaults.cpus),
        memory: memory(daemon, &request.size, Some(family))?,
        disk: selection::size(request.disk.as_ref(), DISK)?,
        swap: Bytes(0),
        phase: Phase::Launching,
        workshop: Some(Box::new(Workshop {
            image: image.clone(),
            work: Work::Install(install),
        })),
        hardware: None,
        policy: None,
        history: None,
    };
    begin(
        daemon,
        ("install", &image),
        (machine, AddVms::default()),
        Some(media),
        (&network, &progress),
    )
    .await
}

/// Starts a clone of an image's current generation, to change it.
pub(super) async fn edit(
    daemon: &Arc<Daemon>,
    request: EditImage,
    progress: ProgressSink,
) -> Result<Arc<Vm>, Refusal> {
    let base = machines::image_named(daemon, &request.image)?;
    let image = base.id.name();
    let network = network(daemon, &request.size)?;
    let machine = Machine {
        image: base.id.clone(),
        cpus: request.size.cpus.unwrap_or(daemon.config.defaults.cpus),
        memory: memory(daemon, &request.size, None)?,
        disk: base.virtual_size,
        swap: Bytes(0),
        phase: Phase::Launching,
        workshop: Some(Box::new(Workshop {
            image: image.clone(),
            work: Work::Edit,
        })),
        hardware: None,
        policy: None,
        history: None,
    };
    let who = AddVms {
        keys: request.keys,
        custom: CustomSettings {
            ring: Some(request.ring),
            ..CustomSettings::default()
        },
        ..AddVms::default()
    };
    begin(
        daemon,
        ("edit", image),
        (machine, who),
        None,
        (&network, &progress),
    )
    .await
}

/// Registers a workshop, and makes and starts it, or undoes that.
async fn begin(
    daemon: &Arc<Daemon>,
    (work, image): (&str, &ImageName),
    (machine, who): (Machine, AddVms),
    media: Option<Media>,
    (network, progress): (&Network, &ProgressSink),
) -> Result<Arc<Vm>, Refusal> {
    selection::check_size(machine.cpus, machine.memory)?;
    let add = AddVms {
        // A VM's name is a label: it has no dots.
        names: vec![format!("{work}-{}", image.as_str().replace('.', "-"))],
        network: Some(network.name.to_string()),
        ..who
    };
    let vms = register::planned(daemon, &add, &Hosting::from(machine)).await?;
    let committed = daemon.commit(Change::Register { vms }).await?;
    failpoint::reach("registered");
    daemon.exported(committed.revision).await;
    let Some(vm) = committed.vms.first() else {
        return Err(Refusal::internal("a workshop was registered without a VM"));
    };
    daemon.outcomes.begin(&vm.name);
    launch::launch_one(daemon, (vm, Ok(())), media, progress).await?;
    daemon.still(vm)
}

/// Looks into install media.
async fn opened(media: InstallMedia) -> Result<Media, Refusal> {
    match media {
        InstallMedia::Iso(path) => {
            images::absolute(&path)?;
            Ok(tokio::task::spawn_blocking(move || Media::open(&path)).await??)
        }
        InstallMedia::Debian { kernel, initrd } => {
            images::absolute(&kernel)?;
            images::absolute(&initrd)?;
            Ok(Media::Files {
                family: Family::Debian,
                kernel,
                initrd,
            })
        }
    }
}

fn answers(request: &InstallImage) -> Result<Option<Answers>, Refusal> {
    match (&request.mirror, request.unattended) {
        (Some(_), false) => Err(Refusal::request(
            "a mirror is told to an unattended installer only: add --unattended, or type it when the installer asks",
        )),
        (mirror, unattended) => {
            let mirror = selection::parse_opt(mirror.as_ref())?;
            Ok(unattended.then_some(Answers { mirror }))
        }
    }
}

/// The network of a workshop: the one that is named, or the only one.
fn network(daemon: &Daemon, size: &WorkshopSize) -> Result<Arc<Network>, Refusal> {
    let directory = daemon.directory();
    let named = selection::network(&directory, size.network.as_ref())?;
    let mut fitting = directory
        .networks()
        .filter(|network| named.as_ref().is_none_or(|name| *name == network.name));
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Ok(Arc::clone(only)),
        (None, _) => Err(Refusal::request("the configuration has no network")),
        (Some(_), Some(_)) => {
            Err(Refusal::request("there are several networks").hint("say which with --network"))
        }
    }
}

/// The memory of a workshop: what is asked for, or the usual, and no less than an installer needs.
fn memory(daemon: &Daemon, size: &WorkshopSize, family: Option<Family>) -> Result<Bytes, Refusal> {
    let needed = family.map_or(Bytes(0), |family| Bytes::mib(family.memory_mib()));
    selection::size(size.memory.as_ref(), daemon.config.defaults.memory.max(needed))
}

/// What a machine that a system is installed in becomes, as far as that is known before.
pub(super) fn unborn(machine: &Machine, install: &Install) -> Image {
    Image {
        id: machine.image.clone(),
        promoted: 0,
        origin: String::new(),
        format: DiskFormat::Qcow2,
        sha256: String::new(),
        virtual_size: machine.disk,
        file_size: Bytes(0),
        stamp: None,
        default_user: install.default_user.clone(),
        boot: Boot::Disk,
        view: View::Auto,
        cloud_init: None,
        created: Timestamp(0),
    }
}

/// Refuses what would start a workshop a second time: its first power-off was its end.
pub(super) fn refuse(vm: &Vm) -> Result<(), Refusal> {
    let Some(workshop) = vm.workshop() else {
        return Ok(());
    };
    Err(Refusal::request(format!(
        "{} is not started again: its disk becomes image {} as soon as it has powered itself off",
        vm.name, workshop.image
    ))
    .hint(format!(
        "reboot it from inside, or give it up: seedbed delete {} --force",
        vm.name
    )))
}
