//! The metadata sockets over a restart: the service manager keeps them meanwhile (systemd's file descriptor store, and
//! `sd_listen_fds(3)` on the way back), so that a guest that asks then waits a moment instead of being refused.
//!
//! A refused guest would be lost: cloud-init takes it for a machine without metadata, and sets it up as another one. Should the
//! daemon not come back, the manager closes what it keeps, and guests are refused after all instead of waiting for ever.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::time::timeout;

use crate::metadata::socket::Socket;
use crate::model::Network;

/// How long the service manager may take to close a socket.
const PATIENCE: Duration = Duration::from_secs(5);

/// The listening sockets that the process was started with.
#[derive(Debug, Default)]
pub(super) struct Inherited(Vec<(SocketAddr, TcpListener)>);

impl Inherited {
    /// Those that the service manager passed. What is no listening TCP socket is told of, and closed.
    pub(super) fn of_process() -> Self {
        let mut passed = ListenFd::from_env();
        let mut listeners = Vec::new();
        for index in 0..passed.len() {
            let taken = passed.take_tcp_listener(index).and_then(|listener| {
                let Some(listener) = listener else { return Ok(None) };
                Ok(Some((listener.local_addr()?, listener)))
            });
            match taken {
                Ok(found) => listeners.extend(found),
                Err(error) => tracing::warn!("a socket that was passed to the daemon is not used: {error}."),
            }
        }
        Self(listeners)
    }

    /// The one that listens where a network's metadata is served.
    pub(super) fn take(&mut self, network: &Network) -> Option<TcpListener> {
        let wanted = SocketAddr::from((network.subnet.gateway(), Network::METADATA_PORT));
        let index = self.0.iter().position(|(address, _)| *address == wanted)?;
        Some(self.0.swap_remove(index).1)
    }

    /// Gives up those that no network wants (any more): nobody would answer there.
    pub(super) fn give_up(self) {
        for (address, _) in self.0 {
            tracing::info!("{address} is not served any more: its socket is closed.");
            forget(address);
        }
    }
}

/// Has the service manager close a socket that it keeps; it has when [`settled`].
pub(super) fn forget(address: SocketAddr) {
    tell(
        &[NotifyState::FdStoreRemove, NotifyState::FdName(&name(address))],
        &[],
    );
}

/// Waits until the service manager has done what it was told before (`sd_notify_barrier(3)`): it closes what it is given for this.
pub(super) async fn settled() {
    let Ok((ours, theirs)) = std::io::pipe() else {
        return;
    };
    tell(&[NotifyState::Custom("BARRIER=1")], &[theirs.as_fd()]);
    drop(theirs);
    let Ok(mut ours) = pipe::Receiver::from_owned_fd(ours.into()) else {
        return;
    };
    if timeout(PATIENCE, ours.read(&mut [0])).await.is_err() {
        tracing::warn!(
            "the service manager has not closed a socket within {} s.",
            PATIENCE.as_secs()
        );
    }
}

/// Gives the service manager a socket to keep, should this process end. One that it has already it keeps once.
pub(super) fn keep(socket: &Socket) {
    let name = name(socket.address().into());
    tell(
        &[NotifyState::FdStore, NotifyState::FdName(&name)],
        &[socket.as_fd()],
    );
}

/// Tells the service manager that the daemon is up.
pub(super) fn ready() {
    tell(&[NotifyState::Ready], &[]);
}

/// The name that a socket is kept under: printable, and without a colon (`sd_pid_notify_with_fds(3)`).
fn name(address: SocketAddr) -> String {
    format!("metadata-{}", address.ip())
}

/// Without a service manager nobody is told, and that is no error.
fn tell(states: &[NotifyState<'_>], sockets: &[BorrowedFd<'_>]) {
    let told = if sockets.is_empty() {
        sd_notify::notify(states)
    } else {
        sd_notify::notify_with_fds(states, sockets)
    };
    if let Err(error) = told {
        tracing::warn!("the service manager could not be told: {error}.");
    }
}
