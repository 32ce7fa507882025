//! The key ring: what `seedbed key` adds, shows and deletes. Whatever it changes is served from the next request on.

use std::sync::Arc;

use super::info::rfc3339;
use super::{Daemon, selection};
use crate::control::{AddKey, Answer, KeyInfo, PublicKeyInfo, Refusal, RingRequest};
use crate::model::{Directory, KeyName, KeyRing, RingKey, SshKey, Vm};
use crate::registry::Change;

/// The longest word on where keys came from.
const SOURCE: usize = 128;

/// Carries out a request about the key ring.
pub(super) async fn handle(daemon: &Arc<Daemon>, request: RingRequest) -> Result<Answer, Refusal> {
    match request {
        RingRequest::Add(written) => add(daemon, written).await.map(Answer::Done),
        RingRequest::List { names } => list(daemon, &names),
        RingRequest::Remove { names } => remove(daemon, &names).await.map(Answer::Done),
    }
}

/// Adds keys.
async fn add(daemon: &Arc<Daemon>, written: AddKey) -> Result<String, Refusal> {
    let AddKey {
        name,
        owner,
        keys,
        source,
        replace,
    } = written;
    let key = RingKey {
        name: selection::parse(&name)?,
        owner: selection::parse_opt(owner.as_ref())?,
        keys: selection::keys(&keys)?,
        source: source
            .chars()
            .filter(|c| !c.is_control())
            .take(SOURCE)
            .collect::<String>()
            .into(),
        added: daemon.clock.now(),
    };
    let name = key.name.clone();
    daemon.commit(Change::AddKey { key, replace }).await?;
    let directory = daemon.directory();
    let key = directory.site().ring.get(&name);
    let count = key.map_or(0, |key| users(&directory, key).count());
    Ok(format!(
        "{name} is in the key ring; it may log in to {}",
        vms(count)
    ))
}

/// The keys of these names, or all.
fn list(daemon: &Daemon, names: &[String]) -> Result<Answer, Refusal> {
    let directory = daemon.directory();
    let names = read(names)?;
    let ring = &directory.site().ring;
    if let Some(unknown) = names.iter().find(|name| ring.get(name).is_none()) {
        return Err(
            Refusal::not_found(format!("the key ring has no keys named {unknown}"))
                .hint("`seedbed key list` shows those there are"),
        );
    }
    let wanted = |key: &&Arc<RingKey>| names.is_empty() || names.contains(&key.name);
    let now = daemon.clock.now();
    let shown = ring.iter().filter(wanted).map(|key| KeyInfo {
        name: key.name.to_string(),
        owner: key.owner.as_ref().map(ToString::to_string),
        keys: key.keys.iter().map(public).collect(),
        source: key.source.to_string(),
        added: rfc3339(key.added),
        age_seconds: key.added.age(now).as_secs(),
        used_by: users(&directory, key).map(|vm| vm.name.to_string()).collect(),
    });
    Ok(Answer::Keys(shown.collect()))
}

/// Deletes keys.
async fn remove(daemon: &Arc<Daemon>, names: &[String]) -> Result<String, Refusal> {
    let names = read(names)?;
    let directory = daemon.directory();
    let ring = &directory.site().ring;
    let mut affected: Vec<_> = names
        .iter()
        .filter_map(|name| ring.get(name))
        .flat_map(|key| users(&directory, key))
        .map(|vm| &vm.name)
        .collect();
    affected.sort_unstable();
    affected.dedup();
    let (count, sentence) = (affected.len(), listed(&names));
    daemon.commit(Change::RemoveKeys { names }).await?;
    // What a running guest wrote into its authorized_keys at its first boot stays there.
    Ok(match count {
        0 => format!("{sentence} deleted; no VM was served it"),
        _ => format!(
            "{sentence} deleted; {} served it no longer, but guests that booted with it have it in their authorized_keys",
            if count == 1 {
                "1 VM is".to_owned()
            } else {
                format!("{count} VMs are")
            }
        ),
    })
}

fn listed(names: &[KeyName]) -> String {
    let verb = if names.len() == 1 { "is" } else { "are" };
    let names: Vec<_> = names.iter().map(KeyName::as_str).collect();
    format!("{} {verb}", names.join(", "))
}

fn read(names: &[String]) -> Result<Vec<KeyName>, Refusal> {
    names.iter().map(|name| selection::parse(name)).collect()
}

/// The VMs that these keys may log in to, by name.
fn users<'a>(directory: &'a Directory, key: &'a RingKey) -> impl Iterator<Item = &'a Arc<Vm>> {
    let uses = |vm: &&Arc<Vm>| vm.access().is_some_and(|access| KeyRing::serves(key, access));
    directory.vms().filter(uses)
}

fn public(key: &SshKey) -> PublicKeyInfo {
    PublicKeyInfo {
        fingerprint: key.fingerprint(),
        kind: key.kind().to_owned(),
        comment: key.comment().to_owned(),
    }
}

fn vms(count: usize) -> String {
    match count {
        0 => "no VM yet".to_owned(),
        1 => "1 VM".to_owned(),
        _ => format!("{count} VMs"),
    }
}
