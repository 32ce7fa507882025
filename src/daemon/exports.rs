//! Keeps the generated files (hosts, `known_hosts`) equal to the registry, one atomic rewrite per change.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::export;
use crate::model::directory::Published;
use crate::model::{Directory, Places, Revision};

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
    loop {
        changed.mark_unchanged();
        let snapshot = directory.load_full();
        let revision = snapshot.revision();
        let target = places.clone();
        let result = tokio::task::spawn_blocking(move || write(&target, &snapshot)).await;
        let wait = match result {
            Ok(Ok(())) => {
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
    Ok(())
}
