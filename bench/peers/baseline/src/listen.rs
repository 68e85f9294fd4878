//! The listening socket.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections the kernel holds for us between their handshake and our accept.
const BACKLOG: i32 = 4096;

/// Runs the thread on this core, if there is one.
///
/// # Errors
/// It cannot run there.
pub fn pin(core: Option<usize>) -> io::Result<()> {
    match core {
        Some(id) if !core_affinity::set_for_current(core_affinity::CoreId { id }) => {
            Err(io::Error::other(format!("cannot run on core {id}")))
        }
        _ => Ok(()),
    }
}

/// Listens at `address`, which other sockets may share.
///
/// # Errors
/// The address is taken, or is none of this machine.
pub fn listen(address: SocketAddr, is_shared: bool) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(is_shared)?;
    // Accepted sockets inherit this.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
