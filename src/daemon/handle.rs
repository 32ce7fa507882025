//! The door: each request to the function that carries it out.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{
    Daemon, adopt, check, delete, images, info, launch, machines, networks, plugs, power, records, register,
    render, replace, ring, selection, several, snapshots, templates, twin, undelete, waiting,
};
use crate::control::serve::{Handle, ProgressSink};
use crate::control::{Answer, Refusal, Request, Select, StopVms};
use crate::model::Vm;

/// The daemon as the admin API sees it.
#[derive(Debug)]
pub(super) struct Door(pub(super) Arc<Daemon>);

#[async_trait]
impl Handle for Door {
    async fn handle(&self, request: Request, progress: ProgressSink) -> Result<Answer, Refusal> {
        let daemon = &self.0;
        match request {
            Request::Hello => Ok(hello()),
            Request::Launch(request) => Ok(vms(daemon, &launch::launch(daemon, request, progress).await?)),
            Request::Add(request) => Ok(vms(daemon, &register::add(daemon, request).await?)),
            Request::Import {
                rows,
                network,
                dry_run,
            } => register::import(daemon, rows, network.as_ref(), dry_run).await,
            Request::Set(request) => register::set(daemon, request).await.map(Answer::Vms),
            Request::List { names } => Ok(vms(daemon, &selection::vms_or_all(&daemon.directory(), &names)?)),
            Request::Start(select) => start(daemon, &select, &progress).await,
            Request::Stop(request) => stop(daemon, &request, &progress).await,
            Request::Restart(request) => restart(daemon, &request, &progress).await,
            Request::ReplaceDisks(request) => replace::replace(daemon, request, progress)
                .await
                .map(Answer::Done),
            Request::Delete(request) => delete::delete(daemon, request).await.map(Answer::Done),
            Request::Wait(request) => {
                let chosen = selection::vms(&daemon.directory(), &request.names)?;
                let timeout = Duration::from_secs(request.timeout_seconds);
                waiting::wait_for(daemon, &chosen, request.rung, timeout, &progress).await?;
                Ok(vms(daemon, &several::current(daemon, &chosen)))
            }
            Request::Render { names, view, secrets } => {
                render::render(daemon, &names, view, secrets).map(Answer::Text)
            }
            Request::Volume { name, secrets } => render::volume(daemon, name, secrets).map(Answer::Bytes),
            Request::Leases => Ok(records::leases(daemon)),
            Request::Networks { names } => networks::shown(daemon, &names),
            Request::Discovered => Ok(adopt::discovered(daemon)),
            Request::Adopt { mac, register } => Ok(vms(daemon, &adopt::adopt(daemon, &mac, register).await?)),
            Request::AddRecord(written) => records::add(daemon, written).await.map(Answer::Done),
            Request::Records { network } => records::list(daemon, network.as_ref()),
            Request::RemoveRecords {
                network,
                owner,
                kind,
                value,
            } => records::remove(daemon, network.as_ref(), (&owner, kind, value))
                .await
                .map(Answer::Done),
            Request::Ring(request) => ring::handle(daemon, request).await,
            Request::Template(request) => templates::handle(daemon, request).await,
            Request::Hosts => Ok(networks::hosts(daemon)),
            Request::Export { form, network } => {
                networks::export(daemon, form, network.as_ref()).map(Answer::Text)
            }
            Request::Image(request) => images::handle(daemon, request, progress).await,
            Request::Power(request) => power::handle(daemon, request).await,
            Request::Snapshot(request) => snapshots::handle(daemon, request, &progress).await,
            Request::Clone(request) => Ok(vms(daemon, &twin::clone(daemon, request, progress).await?)),
            Request::Undelete(request) => undelete::undelete(daemon, request).await.map(Answer::Done),
            Request::Deleted { names } => undelete::shown(daemon, &names),
            Request::Port(request) => plugs::handle(daemon, request).await,
            Request::Check { names } => check::check(daemon, &names).await,
        }
    }
}

fn hello() -> Answer {
    Answer::Hello {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
    }
}

async fn start(daemon: &Arc<Daemon>, select: &Select, progress: &ProgressSink) -> Result<Answer, Refusal> {
    let chosen = selection::selected(&daemon.directory(), select)?;
    let results = power::start(daemon, &chosen, Some(progress)).await;
    finished(daemon, &chosen, results)
}

async fn stop(daemon: &Arc<Daemon>, request: &StopVms, progress: &ProgressSink) -> Result<Answer, Refusal> {
    let chosen = selection::selected(&daemon.directory(), &request.select)?;
    let deadline = Duration::from_secs(request.deadline_seconds);
    let stops = chosen.iter().map(|vm| {
        progress.line(vm.name.as_str(), "stopping");
        machines::stop(daemon, vm, request.force, deadline)
    });
    finished(daemon, &chosen, futures_util::future::join_all(stops).await)
}

async fn restart(
    daemon: &Arc<Daemon>,
    request: &StopVms,
    progress: &ProgressSink,
) -> Result<Answer, Refusal> {
    let chosen = selection::selected(&daemon.directory(), &request.select)?;
    let deadline = Duration::from_secs(request.deadline_seconds);
    let restarts = chosen.iter().map(|vm| {
        progress.line(vm.name.as_str(), "restarting");
        machines::restart(daemon, vm, request.force, deadline)
    });
    finished(daemon, &chosen, futures_util::future::join_all(restarts).await)
}

fn finished(
    daemon: &Daemon,
    chosen: &[Arc<Vm>],
    results: Vec<Result<(), Refusal>>,
) -> Result<Answer, Refusal> {
    several::answer(daemon, chosen, results)
}

fn vms(daemon: &Daemon, vms: &[Arc<Vm>]) -> Answer {
    Answer::Vms(info::vms(daemon, vms))
}
