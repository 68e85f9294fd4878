//! The listening socket of a shard.
//!
//! Every shard has its own, all bound to one address with `SO_REUSEPORT`: the kernel spreads
//! connections over them, and no shard ever hands a socket to another (socket(7)).

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use corelane_io::ring::AddressFamily;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Bytes that the kernel accepts for a peer beyond the peer's receive window; accepted sockets
/// inherit it. Without it the kernel accepts up to the last number of `net.ipv4.tcp_wmem`, 4 MiB,
/// for each peer that reads nothing, and such a peer looks fast at first. Bytes on their way to the
/// peer do not count, so that a long path loses no throughput (TCP_NOTSENT_LOWAT in linux/tcp.h).
const KERNEL_UNSENT_BYTES_MAX: u32 = 16 * 1024;

/// A listening TCP socket.
#[derive(Debug)]
pub(crate) struct Listener(TcpListener);

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another program listens there.
    #[error(
        "{address} is taken: stop the program that listens there (ss -ltnp 'sport = :{}') or \
         choose another port with --listen {}:PORT",
        address.port(),
        address.ip()
    )]
    AddressInUse {
        /// The address.
        address: SocketAddr,
    },
    /// The port is below those that every user may listen on.
    #[error(
        "not allowed to listen on {address}: choose a port from 1024 on, give the program the \
         capability CAP_NET_BIND_SERVICE (setcap cap_net_bind_service=+ep FILE, or \
         AmbientCapabilities= of a systemd unit), or lower net.ipv4.ip_unprivileged_port_start"
    )]
    PortNotAllowed {
        /// The address.
        address: SocketAddr,
    },
    /// The address belongs to no interface.
    #[error(
        "cannot listen on {address}: no network interface has this address; choose one of those \
         that \"ip address\" lists, 127.0.0.1 for clients on this machine only, or 0.0.0.0 for all"
    )]
    AddressNotAvailable {
        /// The address.
        address: SocketAddr,
    },
    /// Sockets may not poll network cards.
    #[error(
        "cannot set SO_BUSY_POLL to ring.busy_poll_us = {time_us}: {error}; give the program the \
         capability CAP_NET_ADMIN (setcap cap_net_admin=+ep FILE, or AmbientCapabilities= of a \
         systemd unit), or remove the knob"
    )]
    BusyPoll {
        /// The knob.
        time_us: u32,
        /// The kernel's error.
        error: io::Error,
    },
    /// Any other refusal of the kernel.
    #[error("cannot listen on {address}: {error}")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// The kernel's error.
        error: io::Error,
    },
}

/// The listeners of `count` shards on `address`; with port 0, on a port that is free. The kernel
/// ends a connection whose peer takes nothing of what was sent to it for `write_timeout`.
///
/// # Errors
/// [`ListenError`] when the address is taken or not ours.
pub(crate) fn listen(
    address: SocketAddr,
    count: usize,
    backlog: u32,
    write_timeout: Duration,
) -> Result<Vec<Listener>, ListenError> {
    // SO_REUSEPORT lets a second server of the same user share the port silently; a bind without it
    // finds out whether the port is taken.
    if address.port() != 0 {
        let probe = socket(address).and_then(|socket| socket.bind(&address.into()));
        probe.map_err(|error| listen_error(address, error))?;
    }
    let mut address = address;
    let mut listeners = Vec::with_capacity(count);
    for _ in 0..count {
        let listener =
            open(address, backlog, write_timeout).map_err(|error| listen_error(address, error))?;
        address = listener
            .local_addr()
            .map_err(|error| listen_error(address, error))?;
        listeners.push(Listener(listener));
    }
    Ok(listeners)
}

fn listen_error(address: SocketAddr, error: io::Error) -> ListenError {
    match error.kind() {
        io::ErrorKind::AddrInUse => ListenError::AddressInUse { address },
        io::ErrorKind::PermissionDenied => ListenError::PortNotAllowed { address },
        io::ErrorKind::AddrNotAvailable => ListenError::AddressNotAvailable { address },
        _ => ListenError::Refused { address, error },
    }
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

fn open(address: SocketAddr, backlog: u32, write_timeout: Duration) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    // Accepted sockets inherit this: answers are whole when they are sent, so waiting for more
    // bytes to fill a segment would only delay them.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(KERNEL_UNSENT_BYTES_MAX)?;
    // And this: a peer that vanished without a packet acknowledges nothing. Its connection, and the
    // stream or call on it, would otherwise stay for the quarter of an hour in which the kernel
    // repeats the last segment (TCP_USER_TIMEOUT in tcp(7)).
    socket.set_tcp_user_timeout(Some(write_timeout))?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

impl Listener {
    /// Where it listens.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Lets sockets that are accepted from now on poll their network card for so many microseconds
    /// before they wait: they inherit it.
    ///
    /// # Errors
    /// [`ListenError::BusyPoll`] without CAP_NET_ADMIN.
    pub(crate) fn set_busy_poll(&self, time_us: u32) -> Result<(), ListenError> {
        if time_us == 0 {
            return Ok(());
        }
        let set = SockRef::from(&self.0).set_busy_poll(time_us);
        set.map_err(|error| ListenError::BusyPoll { time_us, error })
    }

    /// The kind of address that its peers have.
    pub(crate) fn peer_family(&self) -> AddressFamily {
        match self.local_addr() {
            Ok(SocketAddr::V6(_)) => AddressFamily::V6,
            _ => AddressFamily::V4,
        }
    }

    /// The socket, to accept from.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::listen;
    use socket2::{Domain, SockRef, Socket, Type};
    use std::io::{ErrorKind, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::time::Duration;

    #[test]
    fn accepted_sockets_end_when_their_peer_has_gone() {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let limit = Duration::from_secs(7);
        let listener = listen(any_port, 1, 1, limit)
            .expect("a free port")
            .remove(0)
            .0;
        let address = listener.local_addr().expect("it is bound");
        let _client = TcpStream::connect(address).expect("it listens");
        let (peer, _) = listener.accept().expect("it is connected");
        let found = Socket::from(peer).tcp_user_timeout();
        assert_eq!(found.expect("a socket"), Some(limit));
    }

    #[test]
    fn a_peer_that_reads_nothing_is_noticed_before_the_kernel_holds_much_for_it() {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener: TcpListener = listen(any_port, 1, 1, Duration::from_secs(30))
            .expect("a free port")
            .remove(0)
            .0;
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        client.set_recv_buffer_size(4096).expect("a size");
        let address = listener.local_addr().expect("it is bound");
        client.connect(&address.into()).expect("it listens");
        let (mut peer, _) = listener.accept().expect("it is connected");
        peer.set_nonblocking(true).expect("a socket");
        let mut sent_bytes = 0;
        let error = loop {
            match peer.write(&[0; 4096]) {
                Ok(bytes) => sent_bytes += bytes,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(sent_bytes < 256 * 1024, "the kernel took {sent_bytes}");
    }

    #[test]
    fn accepted_sockets_poll_their_card_or_the_capability_is_named() {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let write_timeout = Duration::from_secs(30);
        let listener = listen(any_port, 1, 1, write_timeout)
            .expect("a free port")
            .remove(0);
        listener.set_busy_poll(0).expect("nothing is set");
        match listener.set_busy_poll(50) {
            Ok(()) => {
                let address = listener.local_addr().expect("it is bound");
                let _client = std::net::TcpStream::connect(address).expect("it listens");
                let (peer, _) = listener.0.accept().expect("it is connected");
                assert_eq!(SockRef::from(&peer).busy_poll().expect("an option"), 50);
            }
            Err(error) => {
                let text = error.to_string();
                assert!(
                    text.contains("busy_poll_us = 50") && text.contains("NET_ADMIN"),
                    "{text}"
                );
            }
        }
    }
}
