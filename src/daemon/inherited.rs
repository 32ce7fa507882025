//! The metadata sockets over a restart: the service manager keeps them meanwhile (systemd's file descriptor store, and
//! `sd_listen_fds(3)` on the way back), so that a guest that asks then waits a moment instead of being refused.
//!
//! A refused guest would be lost: cloud-init takes it for a machine without metadata, and sets it up as another one. Should the
//! daemon not come back, the manager closes what it keeps, and guests are refused after all instead of waiting for ever.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, BorrowedFd};

use listenfd::ListenFd;
use sd_notify::NotifyState;

use crate::metadata::socket::Socket;
use crate::model::Network;

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

/// Has the service manager close a socket that it keeps.
pub(super) fn forget(address: SocketAddr) {
    tell(
        &[NotifyState::FdStoreRemove, NotifyState::FdName(&name(address))],
        &[],
    );
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
