//! Connections whose peers may be proxies that send a header of the PROXY protocol first.

use std::net::IpAddr;

use corelane_protocol::framing::proxy::ProxyFault;

use super::proxied::HeaderStep;
use super::work::Shard;
use crate::connection::http::Connection;
use crate::connection::source::Source;
use crate::guard::network::Network;
use crate::guard::peer::KnownPeer;
use crate::meter::Counter;
use corelane_io::slots::SlotKey;

impl Shard {
    /// Opens a connection that may be of a proxy: its peer is looked up before it is read.
    pub(super) fn await_peer(&mut self, index: u32, source: Source) {
        let key = self.insert(index, Connection::awaited(source));
        self.note_connections();
        self.set_timer(key);
        self.clients.need_peer(index);
        self.look_up_peer(key);
    }

    /// Whether peers of the listener have addresses; those of a Unix socket have none.
    pub(super) fn have_addresses(&self, source: Source) -> bool {
        let accepts = self.listeners.get(usize::from(source.listener()));
        let listener = accepts.and_then(|accepts| accepts.listener.as_ref());
        listener.is_some_and(|it| it.address().socket_addr().is_some())
    }

    /// The peer of a connection is known: a proxy, whose header follows, or a client.
    pub(super) fn peer_identified(&mut self, key: SlotKey, address: Option<IpAddr>) {
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        let Some(peer) = address else {
            if let Some(suppressed) = self.clients.warnings.admit(self.now_ms) {
                tracing::warn!(
                    shard = self.handling.shard,
                    suppressed,
                    "the address of a connection cannot be looked up, which needs Linux 6.7: it is \
                     closed, because server.proxy_protocol_from is set"
                );
            }
            return self.close(key, Counter::ClosedRefused);
        };
        if !self.clients.identify(key.index, peer) {
            connection.begin_requests();
            self.note_client(key, address);
        }
        if self.slots.get(key).is_some() {
            self.begin_reading(key);
        }
    }

    /// Counts a connection for the address of its client, for which it holds what it takes.
    fn note_client(&mut self, key: SlotKey, address: Option<IpAddr>) {
        self.admit_address(key, address);
        let Some(connection) = self.slots.get(key) else {
            return;
        };
        let source = connection.source;
        let holder = self.handling.endpoint.holder_of(address.map(Network::from));
        self.secured.identify(key, holder);
        if source.names_peer_first() {
            let known = KnownPeer::anonymous(holder);
            self.handling.peers.insert(key.index, known);
        }
    }

    /// Acts on the result of reading a header. Gives the bytes of the last piece that were of it,
    /// if requests follow.
    pub(super) fn header_read(&mut self, key: SlotKey, step: HeaderStep) -> Option<usize> {
        match step {
            HeaderStep::NeedMore => None,
            HeaderStep::Refused(fault) => {
                self.refuse_header(key, fault);
                None
            }
            HeaderStep::Done { consumed } => {
                self.slots.get_mut(key)?.begin_requests();
                self.note_client(key, self.clients.of(key.index));
                self.slots.get(key).is_some().then_some(consumed)
            }
        }
    }

    /// Closes a connection of a proxy that sent no header.
    fn refuse_header(&mut self, key: SlotKey, fault: ProxyFault) {
        if let Some(suppressed) = self.clients.warnings.admit(self.now_ms) {
            tracing::warn!(
                shard = self.handling.shard,
                suppressed,
                "a peer in server.proxy_protocol_from did not begin with the PROXY protocol: \
                 {fault}; let it send the header, or remove its network"
            );
        }
        self.close(key, Counter::ClosedRefused);
    }
}
