//! The parts that the peers on axum share, so that they differ only in their answers: the
//! address they take, the runtime they run on, the line that says ready.
//!
//! One thread does everything: tokio's `current_thread` runtime, because a peer is compared with
//! one core of Corelane, and a runtime of many threads held to one core only adds switches between
//! them. The backlog, TCP_NODELAY and the ready line are those of the baseline.
//!
//! It lacks TLS, deadlines, limits and a graceful shutdown (a signal ends the process, the
//! kernel cleans up). Never expose a peer beyond loopback: none listens elsewhere.

use std::io;
use std::net::{AddrParseError, SocketAddr};

use axum::Router;
use tokio::net::{TcpListener, TcpSocket};

/// Connections the kernel holds for us between their handshake and our accept.
const BACKLOG: u32 = 4096;

/// Why an address is not one to listen on.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AddressError {
    /// Not ADDRESS:PORT.
    #[error(transparent)]
    Malformed(#[from] AddrParseError),
    /// Others than this machine could connect to it.
    #[error("{0} is not a loopback address")]
    NotLoopback(SocketAddr),
}

/// Reads ADDRESS:PORT.
///
/// # Errors
/// It is something else, or an address that is not of this machine alone.
pub fn loopback_address(text: &str) -> Result<SocketAddr, AddressError> {
    let address: SocketAddr = text.parse()?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err(AddressError::NotLoopback(address))
    }
}

/// Says on standard output where the server is; scripts wait for this line.
pub fn say_ready(address: SocketAddr) {
    println!("listening on http://{address}/mcp");
}

/// Answers by `router` on this thread until the process is killed. Calls `on_ready` with the
/// address when connections can be made.
///
/// # Errors
/// The runtime cannot be made, or the address is taken.
pub fn serve(
    listen: SocketAddr,
    router: Router,
    on_ready: impl FnOnce(SocketAddr),
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = bind(listen)?;
        on_ready(listener.local_addr()?);
        axum::serve(listener, router).await
    })
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit this. A stream of events written in pieces would else wait for the
    // acknowledgement of each.
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::{AddressError, loopback_address};

    #[test]
    fn takes_only_addresses_of_this_machine_alone() {
        for text in ["127.0.0.1:0", "127.1.2.3:81", "[::1]:81"] {
            assert_eq!(loopback_address(text), Ok(text.parse().unwrap()));
        }
        for text in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1"] {
            let address = text.parse().unwrap();
            let expected = Err(AddressError::NotLoopback(address));
            assert_eq!(loopback_address(text), expected);
        }
        for text in ["", "localhost:1", "127.0.0.1"] {
            let refused = loopback_address(text);
            assert!(matches!(refused, Err(AddressError::Malformed(_))), "{text}");
        }
    }
}
