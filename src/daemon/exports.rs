//! Keeps the generated files equal to the registry: hosts, `known_hosts` and `ssh_config` by one atomic rewrite per change, and those
//! of each network (zones, and what dnsmasq and Kea read) a little later.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::export;
use crate::model::directory::Published;
use crate::model::{Directory, Network, Places, Revision};

/// Tells up to which revision the files are written.
pub(super) type Written = watch::Receiver<Revision>;

/// How soon a failed write is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Writes the files now and after every change until it is told to stop.
pub(super) async fn keep(
    places: Places,
    directory: Arc<Published>,
    mut changed: watch::Receiver<Revision>,
    written: watch::Sender<Revision>,
    stop: CancellationToken,
) {
    let mut version = None;
    loop {
        changed.mark_unchanged();
        let snapshot = directory.load_full();
        let (revision, names) = (snapshot.revision(), snapshot.names_revision());
        let target = places.clone();
        let result = if version == Some(names) {
            Ok(Ok(()))
        } else {
            tokio::task::spawn_blocking(move || write(&target, &snapshot)).await
        };
        let wait = match result {
            Ok(Ok(())) => {
                version = Some(names);
                written.send_replace(revision);
                None
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "could not write the generated files: {error}.");
                Some(AGAIN)
            }
            Err(error) => {
                tracing::error!(%error, "the writer of the generated files ended: {error}.");
                Some(AGAIN)
            }
        };
        let again = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = again => {}
            next = changed.changed() => if next.is_err() { return },
        }
    }
}

fn write(places: &Places, directory: &Directory) -> Result<(), export::WriteError> {
    export::write_atomically(&places.hosts(), 0o644, |out| export::hosts(directory, out))?;
    export::write_atomically(&places.known_hosts(), 0o644, |out| {
        export::known_hosts(directory, out)
    })?;
    export::write_atomically(&places.ssh_config(), 0o644, |out| {
        export::ssh_config(directory, &places.known_hosts(), out)
    })?;
    Ok(())
}

/// How long the files of the networks may be behind: changes that come together are written together.
const TOGETHER: Duration = Duration::from_secs(1);
/// Of a large registry they take long to write: the writer rests for this many times as long.
const REST: u32 = 20;

/// Writes the files of each network a little after the start and after every change, until it is told to stop.
///
/// Nobody waits for them: no command is slower for them, and no guest.
pub(super) async fn keep_networks(
    places: Places,
    directory: Arc<Published>,
    mut changed: watch::Receiver<Revision>,
    stop: CancellationToken,
) {
    let (mut rest, mut version) = (TOGETHER, None);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(rest) => {}
        }
        changed.mark_unchanged();
        let (snapshot, target) = (directory.load_full(), places.clone());
        let names = snapshot.names_revision();
        let began = tokio::time::Instant::now();
        let result = if version == Some(names) {
            Ok(Ok(()))
        } else {
            tokio::task::spawn_blocking(move || write_networks(&target, &snapshot)).await
        };
        rest = TOGETHER.max(began.elapsed() * REST);
        match result {
            Ok(Ok(())) => version = Some(names),
            Ok(Err(error)) => {
                tracing::error!("could not write the generated files of the networks: {error}.");
                continue;
            }
            Err(error) => tracing::error!("the writer of the networks' files ended: {error}."),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            next = changed.changed() => if next.is_err() { return },
        }
    }
}

/// Why the files of a network are not as they should be.
#[derive(Debug, thiserror::Error)]
enum NetworkFilesError {
    #[error(transparent)]
    Write(#[from] export::WriteError),
    #[error("{}: {source}", path.display())]
    Folder { path: PathBuf, source: io::Error },
}

fn write_networks(places: &Places, directory: &Directory) -> Result<(), NetworkFilesError> {
    for network in directory.networks() {
        write_network(places, directory, network)?;
    }
    let known = |name: &OsStr| directory.networks().any(|network| network.name.as_str() == name);
    // Files of a network that is not in the configuration any more tell what is not so.
    sweep(&places.exports(), known, |path| fs::remove_dir_all(path))
}

type Content<'a> = Box<dyn Fn(&mut dyn io::Write) -> io::Result<()> + 'a>;

fn write_network(places: &Places, directory: &Directory, network: &Network) -> Result<(), NetworkFilesError> {
    let folder = places.exports_of(&network.name);
    fs::create_dir_all(&folder).map_err(|source| NetworkFilesError::Folder {
        path: folder.clone(),
        source,
    })?;
    let mut files: Vec<(String, Content<'_>)> = vec![
        (
            "zone".to_owned(),
            Box::new(|out| export::zone(directory, network, out)),
        ),
        (
            "dnsmasq-dhcp-hosts".to_owned(),
            Box::new(|out| export::dnsmasq_dhcp_hosts(directory, network, out)),
        ),
        (
            "dnsmasq-hosts".to_owned(),
            Box::new(|out| export::dnsmasq_hosts(directory, network, out)),
        ),
        (
            "kea-reservations.json".to_owned(),
            Box::new(|out| export::kea_reservations(directory, network, out)),
        ),
    ];
    files.extend(export::reverse_zones(network.subnet).map(|zone| {
        let content: Content<'_> = Box::new(move |out| export::reverse_zone(directory, network, zone, out));
        (format!("reverse-zone-{}", zone.name()), content)
    }));
    for (name, content) in &files {
        export::write_atomically(&folder.join(name), 0o644, content)?;
    }
    // Reverse zones of a subnet that the network had before.
    let known = |name: &OsStr| files.iter().any(|(file, _)| file.as_str() == name);
    sweep(&folder, known, |path| fs::remove_file(path))
}

/// Removes what nobody writes any more.
fn sweep(
    folder: &Path,
    known: impl Fn(&OsStr) -> bool,
    remove: impl Fn(&Path) -> io::Result<()>,
) -> Result<(), NetworkFilesError> {
    let failed = |path: &Path, source| NetworkFilesError::Folder {
        path: path.to_owned(),
        source,
    };
    let entries = fs::read_dir(folder).map_err(|source| failed(folder, source))?;
    for entry in entries {
        let entry = entry.map_err(|source| failed(folder, source))?;
        if !known(&entry.file_name()) {
            remove(&entry.path()).map_err(|source| failed(&entry.path(), source))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::examples;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn every_network_has_its_files_and_what_nobody_writes_any_more_goes() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places::new(folder.path(), folder.path());
        let write = |subnet: &str, name: &str| {
            let mut directory = Directory::of([examples::network(name, subnet)]);
            directory.put_vm(Arc::new(examples::vm("web1", "10.77.2.20")));
            write_networks(&places, &directory).unwrap();
        };
        write("10.77.2.1/23", "lab");
        let common = ["dnsmasq-dhcp-hosts", "dnsmasq-hosts", "kea-reservations.json"];
        let with = |more: &[&'static str]| [&common[..], more, &["zone"]].concat();
        assert_eq!(
            names(&places.exports().join("lab")),
            with(&[
                "reverse-zone-2.77.10.in-addr.arpa",
                "reverse-zone-3.77.10.in-addr.arpa"
            ])
        );
        write("10.77.2.1/24", "lab");
        assert_eq!(
            names(&places.exports().join("lab")),
            with(&["reverse-zone-2.77.10.in-addr.arpa"])
        );
        let zone = fs::read_to_string(places.exports().join("lab/zone")).unwrap();
        assert!(zone.contains("web1 IN A 10.77.2.20\n"), "{zone}");
        write("10.77.2.1/24", "other");
        assert_eq!(names(&places.exports()), ["other"]);
    }
}
