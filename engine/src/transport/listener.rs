//! The listening sockets of a shard.
//!
//! Every shard has its own for each address of TCP, all bound with `SO_REUSEPORT`: the kernel
//! spreads connections over the shards, and no shard ever hands a socket to another (socket(7)). A
//! Unix socket cannot be bound twice: all shards accept from one.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use corelane_io::ring::AddressFamily;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use super::unix::{self, SocketFile, UnixListenError};
use crate::profile::{Binding, ListenAddress, Transport, Unix};

/// Bytes that the kernel accepts for a peer beyond the peer's receive window; accepted sockets
/// inherit it. Without it the kernel accepts up to the last number of `net.ipv4.tcp_wmem`, 4 MiB,
/// for each peer that reads nothing, and such a peer looks fast at first. Bytes on their way to the
/// peer do not count, so that a long path loses no throughput (TCP_NOTSENT_LOWAT in linux/tcp.h).
const KERNEL_UNSENT_BYTES_MAX: u32 = 16 * 1024;

/// How long an address may be taken by a process that has ended: a busy host takes some 100 ms.
const TAKEN_FOR: Duration = Duration::from_secs(2);

/// A connection of lines that is idle for so long is probed, as often as this.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Socket,
    /// The number of its address in the profile.
    number: u8,
    /// With the port that was bound.
    address: ListenAddress,
}

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
    /// A Unix socket.
    #[error(transparent)]
    Unix(#[from] UnixListenError),
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

/// The listeners of a server.
#[derive(Debug)]
pub(crate) struct Listeners {
    /// Of each shard, in the order of the addresses.
    pub(crate) of_shards: Vec<Vec<Listener>>,
    /// Those of Unix sockets.
    pub(crate) files: Vec<SocketFile>,
}

/// The properties that all listeners of a server share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListenOptions<'a> {
    /// Connections that wait to be accepted, of each listener.
    pub(crate) backlog: u32,
    /// After so long the kernel ends a connection if its peer takes no bytes that were sent.
    pub(crate) write_timeout: Duration,
    pub(crate) unix: &'a Unix,
}

/// The listeners of `shards` shards on `addresses`; with port 0, on a port that is free. Those
/// sockets of each address are used that an earlier process has left.
///
/// # Errors
/// [`ListenError`] when an address is taken or not ours.
pub(crate) fn listen(
    addresses: &[ListenAddress],
    shards: usize,
    options: ListenOptions<'_>,
    mut inherited: Vec<Vec<OwnedFd>>,
) -> Result<Listeners, ListenError> {
    let mut listeners = Listeners {
        of_shards: (0..shards).map(|_| Vec::new()).collect(),
        files: Vec::new(),
    };
    inherited.resize_with(addresses.len(), Vec::new);
    let mut further = Vec::new();
    for ((number, address), inherited) in (0..).zip(addresses).zip(inherited) {
        let inherited: Vec<Socket> = inherited.into_iter().map(Socket::from).collect();
        let (mut sockets, transport) = match &address.transport {
            Transport::Tcp(requested) => {
                let (sockets, bound) = listen_tcp(*requested, shards, options, inherited)?;
                if address.binding == Binding::Lines {
                    keep_alive(&sockets).map_err(|error| listen_error(bound, error))?;
                }
                (sockets, Transport::Tcp(bound))
            }
            Transport::Unix(name) => {
                let (socket, file) = match inherited.into_iter().next() {
                    None => unix::listen(name, options.unix, options.backlog)?,
                    Some(socket) => unix::go_on_listening(name, socket, options.backlog)?,
                };
                listeners.files.extend(file);
                let sockets = (0..shards).map(|_| socket.try_clone());
                let sockets = sockets.collect::<io::Result<_>>().map_err(|error| {
                    let name = name.clone();
                    UnixListenError::Refused { name, error }
                })?;
                (sockets, address.transport.clone())
            }
        };
        let address = ListenAddress {
            transport,
            ..*address
        };
        let more = sockets.split_off(shards.min(sockets.len()));
        let listener = |socket| Listener {
            socket,
            number,
            address: address.clone(),
        };
        for (of_shard, socket) in listeners.of_shards.iter_mut().zip(sockets) {
            of_shard.push(listener(socket));
        }
        further.extend(more.into_iter().map(listener));
    }
    // Of more shards before: to close a socket would reset the connections that wait in it.
    for (at, listener) in further.into_iter().enumerate() {
        listeners.of_shards[at % shards].push(listener);
    }
    Ok(listeners)
}

/// `count` sockets that listen on one address, and that address.
fn listen_tcp(
    mut address: SocketAddr,
    count: usize,
    options: ListenOptions<'_>,
    inherited: Vec<Socket>,
) -> Result<(Vec<Socket>, SocketAddr), ListenError> {
    let mut sockets = Vec::with_capacity(count.max(inherited.len()));
    for socket in inherited {
        let bound = go_on_listening(&socket, options);
        address = bound.map_err(|error| listen_error(address, error))?;
        sockets.push(socket);
    }
    // SO_REUSEPORT lets a second server of the same user share the port silently; a bind without it
    // finds out whether the port is taken.
    if address.port() != 0 && sockets.is_empty() {
        probe(address).map_err(|error| listen_error(address, error))?;
    }
    // A further socket of the address would get connections before this process may accept any.
    let inherited = sockets.len();
    while sockets.len() < count && inherited > 0 {
        let further = sockets[sockets.len() % inherited].try_clone();
        sockets.push(further.map_err(|error| listen_error(address, error))?);
    }
    while sockets.len() < count {
        let opened = open(address, options);
        let (socket, bound) = opened.map_err(|error| listen_error(address, error))?;
        address = bound;
        sockets.push(socket);
    }
    Ok((sockets, address))
}

/// Binds an address and lets it go again. One that is taken is tried for a while: the kernel closes
/// the sockets in the rings of a process that was killed after it has ended.
fn probe(address: SocketAddr) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match socket(address).and_then(|socket| socket.bind(&address.into())) {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse && begun.elapsed() < TAKEN_FOR =>
            {
                thread::sleep(TAKEN_FOR / 100);
            }
            bound => return bound,
        }
    }
}

/// Lets the kernel look after connections of lines that are idle, on which the server sends nothing
/// by itself: accepted sockets inherit it. A peer that answers none of the probes within the time
/// for unsent bytes has vanished (TCP_USER_TIMEOUT in tcp(7)).
fn keep_alive(sockets: &[Socket]) -> io::Result<()> {
    let settings = TcpKeepalive::new()
        .with_time(KEEP_ALIVE_AFTER)
        .with_interval(KEEP_ALIVE_INTERVAL);
    let mut sockets = sockets.iter();
    sockets.try_for_each(|socket| socket.set_tcp_keepalive(&settings))
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
    if let SocketAddr::V6(address) = address {
        // `[::]` takes the connections of IPv4 too, for any value of net.ipv6.bindv6only.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    Ok(socket)
}

fn open(address: SocketAddr, options: ListenOptions<'_>) -> io::Result<(Socket, SocketAddr)> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    let bound = go_on_listening(&socket, options)?;
    Ok((socket, bound))
}

/// Listens on a socket that is bound, with these options.
fn go_on_listening(socket: &Socket, options: ListenOptions<'_>) -> io::Result<SocketAddr> {
    // Accepted sockets inherit this: answers are whole when they are sent, so waiting for more
    // bytes to fill a segment would only delay them.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(KERNEL_UNSENT_BYTES_MAX)?;
    // And this: a peer that vanished without a packet acknowledges nothing. Its connection, and the
    // stream or call on it, would otherwise stay for the quarter of an hour in which the kernel
    // repeats the last segment (TCP_USER_TIMEOUT in tcp(7)).
    socket.set_tcp_user_timeout(Some(options.write_timeout))?;
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    let bound = socket.local_addr()?.as_socket();
    Ok(bound.ok_or(io::ErrorKind::AddrNotAvailable)?)
}

impl Listener {
    /// Where it listens.
    pub(crate) fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// Whether it is a Unix socket, from which all shards accept.
    pub(crate) fn is_unix(&self) -> bool {
        matches!(self.address.transport, Transport::Unix(_))
    }

    /// The protocol of its connections.
    pub(crate) fn binding(&self) -> Binding {
        self.address.binding
    }

    /// Whether TLS comes first.
    pub(crate) fn is_tls(&self) -> bool {
        self.address.tls
    }

    /// Lets sockets that are accepted from now on poll their network card for so many microseconds
    /// before they wait: they inherit it.
    ///
    /// # Errors
    /// [`ListenError::BusyPoll`] without CAP_NET_ADMIN.
    pub(crate) fn set_busy_poll(&self, time_us: u32) -> Result<(), ListenError> {
        if time_us == 0 || self.is_unix() {
            return Ok(());
        }
        let set = self.socket.set_busy_poll(time_us);
        set.map_err(|error| ListenError::BusyPoll { time_us, error })
    }

    /// The kind of address that its peers have.
    pub(crate) fn peer_family(&self) -> AddressFamily {
        match self.address.transport {
            Transport::Tcp(SocketAddr::V4(_)) => AddressFamily::V4,
            Transport::Tcp(SocketAddr::V6(_)) => AddressFamily::V6,
            Transport::Unix(_) => AddressFamily::Unix,
        }
    }

    /// The number of its address in the profile.
    pub(crate) fn number(&self) -> u8 {
        self.number
    }

    /// A further descriptor of the socket.
    ///
    /// # Errors
    /// The process has too many.
    pub(crate) fn share(&self) -> io::Result<OwnedFd> {
        self.socket.as_fd().try_clone_to_owned()
    }

    /// The socket, to accept from.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::{ListenOptions, Listener, listen};
    use crate::profile::{ListenAddress, Unix};
    use socket2::{Domain, SockRef, Socket, Type};
    use std::io::{ErrorKind, Write};
    use std::net::{IpAddr, SocketAddr, TcpStream};
    use std::time::Duration;

    const WRITE_TIMEOUT: Duration = Duration::from_secs(7);

    fn listener(address: &str) -> Listener {
        let address: ListenAddress = address.parse().expect("an address");
        let options = ListenOptions {
            backlog: 1,
            write_timeout: WRITE_TIMEOUT,
            unix: &Unix::default(),
        };
        let mut listeners = listen(&[address], 1, options, Vec::new()).expect("a free port");
        listeners.of_shards.remove(0).remove(0)
    }

    fn bound(listener: &Listener) -> SocketAddr {
        listener.address().socket_addr().expect("it is of TCP")
    }

    #[test]
    fn accepted_sockets_end_when_their_peer_has_gone() {
        let listener = listener("127.0.0.1:0");
        let _client = TcpStream::connect(bound(&listener)).expect("it listens");
        let (peer, _) = listener.socket.accept().expect("it is connected");
        let found = peer.tcp_user_timeout();
        assert_eq!(found.expect("a socket"), Some(WRITE_TIMEOUT));
    }

    #[test]
    fn idle_peers_of_lines_are_probed_and_those_of_http_are_not() {
        for (address, is_probed) in [("tcp://127.0.0.1:0", true), ("127.0.0.1:0", false)] {
            let listener = listener(address);
            let _client = TcpStream::connect(bound(&listener)).expect("it listens");
            let (peer, _) = listener.socket.accept().expect("it is connected");
            assert_eq!(peer.keepalive().expect("a socket"), is_probed);
        }
    }

    #[test]
    fn a_peer_that_reads_nothing_is_noticed_before_the_kernel_holds_much_for_it() {
        let listener = listener("127.0.0.1:0");
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        client.set_recv_buffer_size(4096).expect("a size");
        client
            .connect(&bound(&listener).into())
            .expect("it listens");
        let (mut peer, _) = listener.socket.accept().expect("it is connected");
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
        let listener = listener("127.0.0.1:0");
        listener.set_busy_poll(0).expect("nothing is set");
        match listener.set_busy_poll(50) {
            Ok(()) => {
                let _client = TcpStream::connect(bound(&listener)).expect("it listens");
                let (peer, _) = listener.socket.accept().expect("it is connected");
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

    #[test]
    fn all_addresses_of_ipv6_are_those_of_ipv4_too() {
        for (address, other) in [
            ("[::]:0", "127.0.0.1"),
            ("[::]:0", "::1"),
            ("[::1]:0", "::1"),
        ] {
            let listener = listener(address);
            let ip: IpAddr = other.parse().expect("an address");
            let client = TcpStream::connect((ip, bound(&listener).port()));
            assert!(client.is_ok(), "{address} {other}: {client:?}");
        }
    }
}
