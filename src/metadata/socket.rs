//! The metadata service's listening socket: bound anew, or taken over from the daemon before.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crate::model::{BridgeName, Network};

/// A bound socket of one network.
#[derive(Debug)]
pub struct Socket {
    pub(super) network: Arc<Network>,
    pub(super) listener: TcpListener,
    pub(super) address: SocketAddrV4,
}

/// Why the socket could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program serves there.
    #[error("can not serve metadata on {0}: another program listens there")]
    Taken(SocketAddrV4),
    /// The bridge does not have the address (yet).
    #[error("can not serve metadata on {0}: this host does not have that address")]
    NoAddress(SocketAddrV4),
    /// Anything else.
    #[error("can not serve metadata on {address}: {source}")]
    Socket {
        /// Where.
        address: SocketAddrV4,
        /// Why.
        source: io::Error,
    },
}

/// What the kernel holds for a guest that reads slowly.
const SEND_BUFFER: usize = 128 << 10;
/// Connections that wait to be accepted: a thousand guests start at once.
const BACKLOG: i32 = 1_024;

/// Binds the metadata service of a network: port 80 of the gateway address, reachable by the bridge only.
pub fn bind(network: &Network) -> Result<Socket, BindError> {
    let address = SocketAddrV4::new(network.subnet.gateway(), Network::METADATA_PORT);
    bind_at(network, address, Some(&network.bridge))
}

/// Binds the metadata service of a network somewhere else; port 0 takes a free one. Without a bridge every interface of the
/// host that leads to the address is served.
pub fn bind_at(
    network: &Network,
    address: SocketAddrV4,
    bridge: Option<&BridgeName>,
) -> Result<Socket, BindError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::Taken(address),
        io::ErrorKind::AddrNotAvailable => BindError::NoAddress(address),
        _ => BindError::Socket { address, source },
    };
    let listener = listen(network, address, bridge).map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    Ok(Socket {
        network: Arc::new(network.clone()),
        listener,
        address: SocketAddrV4::new(*address.ip(), port),
    })
}

/// Takes over the socket that an earlier daemon listened on, with its connections that nobody has answered yet; `None` where it
/// is not the one that [`bind`] would make, because its bridge is gone or is another one.
pub fn take_over(network: &Network, listener: TcpListener) -> io::Result<Option<Socket>> {
    let SocketAddr::V4(address) = listener.local_addr()? else {
        return Ok(None);
    };
    let socket = socket2::SockRef::from(&listener);
    // The kernel names the interface of that number: one that was made anew has another.
    let device = socket.device().ok().flatten();
    if device.as_deref() != Some(network.bridge.as_str().as_bytes()) {
        return Ok(None);
    }
    socket.set_ttl_v4(network.metadata.ttl.into())?;
    socket.set_nonblocking(true)?;
    Ok(Some(Socket {
        network: Arc::new(network.clone()),
        listener,
        address,
    }))
}

fn listen(network: &Network, address: SocketAddrV4, bridge: Option<&BridgeName>) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    // A restarted daemon must not wait for the old one's closed connections.
    socket.set_reuse_address(true)?;
    if let Some(bridge) = bridge {
        socket.bind_device(Some(bridge.as_str().as_bytes()))?;
    }
    // A guest is one hop away. What a guest forwards for someone behind it (a container, a VPN) gets no answer unless the
    // operator wants it to.
    socket.set_ttl_v4(network.metadata.ttl.into())?;
    // Inherited by every connection: how far the kernel runs ahead of a guest that reads slowly, and so how coarsely its
    // progress is seen. A bridge needs no more.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::V4(address).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

impl Socket {
    /// Where it listens.
    pub const fn address(&self) -> SocketAddrV4 {
        self.address
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::seed::tests::network;

    #[test]
    fn a_taken_port_is_told_with_its_address() {
        let network = network("127.0.0.1/8");
        let first = bind_at(&network, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), None).unwrap();
        let error = bind_at(&network, first.address(), None).unwrap_err();
        assert!(
            matches!(error, BindError::Taken(address) if address == first.address()),
            "{error}"
        );
        let nowhere = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 0);
        assert!(matches!(
            bind_at(&network, nowhere, None),
            Err(BindError::NoAddress(_))
        ));
    }

    #[test]
    fn a_socket_that_belongs_to_no_bridge_is_not_taken_over() {
        let network = network("127.0.0.1/8");
        let kept = bind_at(&network, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), None).unwrap();
        assert!(take_over(&network, kept.listener).unwrap().is_none());
    }
}
