//! Clients behind proxies: named by a header of the PROXY protocol, or by `X-Forwarded-For`.
//!
//! Only a proxy that the operator names is believed, so the peer of a connection is looked up
//! before anything of it is read, if there are proxies with headers. Without such settings nothing
//! is looked up.

use std::collections::HashMap;
use std::net::IpAddr;

use corelane_protocol::framing::proxy::{self, ProxyFault, Step};

use crate::connection::body::PostponedRequest;
use crate::guard::forwarded;
use crate::guard::network::{NetworkError, Networks};
use crate::meter::throttle::Throttle;
use crate::profile::Server;

/// Between two warnings about headers.
const WARNING_INTERVAL_MS: u64 = 60_000;

/// The proxies that are believed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    /// They begin each connection with a header.
    pub(super) announcing: Networks,
    /// They name the client in each request.
    pub(super) forwarding: Networks,
}

impl Proxies {
    /// The proxies that a profile names.
    ///
    /// # Errors
    /// An entry names no network.
    pub(crate) fn new(server: &Server) -> Result<Proxies, NetworkError> {
        Ok(Proxies {
            announcing: Networks::new("server.proxy_protocol_from", &server.proxy_protocol_from)?,
            forwarding: Networks::new("server.forwarded_from", &server.forwarded_from)?,
        })
    }
}

/// The clients of the connections of a shard, as far as proxies name them.
#[derive(Debug)]
pub(super) struct ProxiedClients {
    proxies: Proxies,
    /// Connections by the indexes of their slots: at most as many as there are.
    connections: HashMap<u32, ProxiedConnection, foldhash::fast::RandomState>,
    pub(super) warnings: Throttle,
}

/// How much of the client of a connection is known.
#[derive(Debug)]
enum ProxiedConnection {
    /// The peer is being looked up; nothing is read.
    PeerNeeded,
    /// The peer is a proxy, and its header is not whole: at most
    /// [`HEADER_BYTES_MAX`](proxy::HEADER_BYTES_MAX) and what came with the last of them.
    HeaderNeeded { peer: IpAddr, input: Vec<u8> },
    /// The header names the client.
    Known(IpAddr),
}

/// The result of reading bytes of a connection while its header is not whole.
#[derive(Debug)]
pub(super) enum HeaderStep {
    /// It is not whole yet.
    NeedMore,
    /// There is none.
    Refused(ProxyFault),
    /// It is whole, and had these last bytes.
    Done {
        /// Bytes of the last piece.
        consumed: usize,
    },
}

impl ProxiedClients {
    pub(super) fn new(proxies: Proxies) -> ProxiedClients {
        ProxiedClients {
            proxies,
            connections: HashMap::default(),
            warnings: Throttle::new(WARNING_INTERVAL_MS),
        }
    }

    /// Whether some proxies begin connections with a header.
    pub(super) fn are_announced(&self) -> bool {
        !self.proxies.announcing.is_empty()
    }

    /// Whether the client of the connection at `index` is still to become known.
    #[inline]
    pub(super) fn is_awaited(&self, index: u32) -> bool {
        !self.connections.is_empty()
            && matches!(
                self.connections.get(&index),
                Some(ProxiedConnection::PeerNeeded | ProxiedConnection::HeaderNeeded { .. })
            )
    }

    /// Whether nothing is read from the connection at `index` because its peer is not known.
    pub(super) fn is_peer_needed(&self, index: u32) -> bool {
        let connection = self.connections.get(&index);
        matches!(connection, Some(ProxiedConnection::PeerNeeded))
    }

    /// Whether requests from `peer` are of many clients, which their headers name.
    pub(super) fn is_forwarding(&self, peer: IpAddr) -> bool {
        !self.proxies.forwarding.is_empty() && self.proxies.forwarding.contain(peer)
    }

    /// The client of a connection, if a header named it.
    pub(super) fn of(&self, index: u32) -> Option<IpAddr> {
        match self.connections.get(&index)? {
            ProxiedConnection::Known(client) => Some(*client),
            _ => None,
        }
    }

    /// The client of a request that came from `peer`.
    pub(super) fn named_in(&self, peer: IpAddr, request: &PostponedRequest) -> IpAddr {
        forwarded::client_of(peer, request.headers(), &self.proxies.forwarding)
    }

    /// Nothing is read from the connection at `index` until its peer is known.
    pub(super) fn need_peer(&mut self, index: u32) {
        self.connections
            .insert(index, ProxiedConnection::PeerNeeded);
    }

    /// The peer of the connection at `index` is known. Returns whether a header must follow.
    pub(super) fn identify(&mut self, index: u32, peer: IpAddr) -> bool {
        let is_proxy = self.proxies.announcing.contain(peer);
        if is_proxy {
            let input = Vec::new();
            let needed = ProxiedConnection::HeaderNeeded { peer, input };
            self.connections.insert(index, needed);
        } else {
            self.forget(index);
        }
        is_proxy
    }

    /// Reads more of the header of a connection that waits for it.
    pub(super) fn read_header(&mut self, index: u32, bytes: &[u8]) -> HeaderStep {
        let Some(ProxiedConnection::HeaderNeeded { peer, input }) =
            self.connections.get_mut(&index)
        else {
            unreachable!("nothing is received before the peer is known");
        };
        let before = input.len();
        input.extend_from_slice(bytes);
        match proxy::read(input) {
            Ok(Step::NeedMore) => HeaderStep::NeedMore,
            Ok(Step::Header { client, consumed }) => {
                let client = client.unwrap_or(*peer).to_canonical();
                self.connections
                    .insert(index, ProxiedConnection::Known(client));
                let consumed = consumed - before;
                HeaderStep::Done { consumed }
            }
            Err(fault) => HeaderStep::Refused(fault),
        }
    }

    /// The header of the connection at `index` was read by an earlier process.
    pub(super) fn set(&mut self, index: u32, client: IpAddr) {
        self.connections
            .insert(index, ProxiedConnection::Known(client));
    }

    /// Forgets a connection that was closed.
    pub(super) fn forget(&mut self, index: u32) {
        if !self.connections.is_empty() {
            self.connections.remove(&index);
        }
    }

    /// Whether no connection is known.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }
}
