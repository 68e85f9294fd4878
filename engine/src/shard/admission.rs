//! The connections that are closed as soon as they are accepted, because the process or their
//! address has as many as it may, or the shard holds too much memory. A few of them stay for one
//! request, so that probes of supervisors are answered.
//!
//! Simple version: leave them in the backlog, as with a full table. Deviation: there they wait
//! until others leave, and keep everyone behind them waiting too. Without the two limits nothing is
//! counted or looked up.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use super::work::Shard;
use crate::connection::http::Connection;
use crate::connection::source::Source;
use crate::guard::holder::HolderKey;
use crate::guard::network::Network;
use crate::guard::peer::KnownPeer;
use crate::meter::Counter;
use crate::profile::Binding;
use corelane_io::ring::Peer;
use corelane_io::slots::SlotKey;

impl Shard {
    /// Opens a connection that was accepted, or refuses it.
    pub(super) fn admit(&mut self, index: u32, source: Source) {
        if self.memory.is_out {
            return self.refuse_connection((index, source), Counter::ConnectionsRefusedMemory);
        }
        if self.is_process_full() {
            return self.refuse_connection((index, source), Counter::ConnectionsRefusedLimit);
        }
        if self.clients.are_announced() && self.have_addresses(source) {
            return self.await_peer(index, source);
        }
        let key = self.insert(index, Connection::from(source));
        self.note_connections();
        self.begin(key, source);
    }

    /// Looks up the peer of a connection as far as that is needed, and reads from it.
    pub(super) fn begin(&mut self, key: SlotKey, source: Source) {
        // The look-up is over before the first bytes of the client are received.
        let is_counted = self.profile.overload.connections_per_address_max > 0;
        if source.names_peer_first() || source.is_tls() || is_counted {
            self.look_up_peer(key);
        }
        if !source.names_peer_first() {
            self.begin_reading(key);
        }
    }

    /// Begins to read from a connection after its peer was looked up.
    pub(super) fn open_for(&mut self, key: SlotKey, peer: Option<Peer>, holder: HolderKey) {
        let Some(connection) = self.slots.get(key) else {
            return;
        };
        let source = connection.source;
        let needs_addresses = self.handling.access.needs_addresses();
        if !source.names_peer_first() && !needs_addresses {
            return;
        }
        let address = match peer {
            Some(Peer::Address(address)) if needs_addresses => Some(address),
            _ => None,
        };
        if let Some(known) = self.handling.peers.get_mut(&key.index) {
            known.address = known.address.or(address);
            return;
        }
        let known = match peer {
            Some(Peer::User(user)) if self.handling.rules.user_is_principal => {
                KnownPeer::user(user)
            }
            _ => KnownPeer {
                address,
                is_unix: source.is_unix(),
                ..KnownPeer::anonymous(holder)
            },
        };
        if source.is_unix() && peer.is_none() {
            self.warn_of_unknown_peer("the principal of its requests is not known");
        }
        self.handling.peers.insert(key.index, known);
        if source.names_peer_first() {
            self.begin_reading(key);
        }
    }

    /// Warns that the kernel does not name peers.
    fn warn_of_unknown_peer(&mut self, consequence: &str) {
        if let Some(suppressed) = self.warnings.unknown_address.admit(self.now_ms) {
            tracing::warn!(
                shard = self.handling.shard,
                suppressed,
                "the peer of a connection cannot be looked up, which needs Linux 6.7: {consequence}"
            );
        }
    }

    /// Looks up the peer of an open connection.
    pub(super) fn look_up_peer(&mut self, key: SlotKey) {
        let Some(connection) = self.slots.get(key) else {
            return;
        };
        let listener = usize::from(connection.source.listener());
        if let Some(accepts) = self.listeners.get(listener) {
            self.rings.of(key).look_up_peer(key, accepts.peer_family);
        }
    }

    /// Whether the process has as many connections as it may.
    fn is_process_full(&self) -> bool {
        let max = self.profile.overload.connections_max;
        if max == 0 {
            return false;
        }
        let counts = self.control.open_connections.iter();
        let all: u64 = counts
            .map(|count| u64::from(count.load(Ordering::Relaxed)))
            .sum();
        all >= u64::from(max)
    }

    /// Closes a connection that is one too many, or keeps it for a probe.
    fn refuse_connection(&mut self, (index, source): (u32, Source), reason: Counter) {
        self.handling.meter.count(reason);
        let is_http = source.binding() == Binding::Http && !source.is_tls() && !source.is_unix();
        if is_http && self.handling.for_probes.len() < self.profile.overload.probe_connections {
            let key = self.insert(index, Connection::awaited(source));
            self.handling.for_probes.push(key);
            self.begin_reading(key);
        } else {
            let key = self.insert(index, Connection::from(source));
            self.close(key, Counter::ClosedRefused);
        }
        if reason == Counter::ConnectionsRefusedLimit
            && let Some(suppressed) = self.warnings.limit.admit(self.now_ms)
        {
            tracing::warn!(
                shard = self.handling.shard,
                suppressed,
                "the process has as many connections as overload.connections_max allows; others \
                 are refused"
            );
        }
    }

    /// Counts a connection when its address is known, or closes it because the address has too
    /// many. A later look-up of the same connection changes nothing.
    pub(super) fn admit_address(&mut self, key: SlotKey, address: Option<IpAddr>) {
        let max = self.profile.overload.connections_per_address_max;
        let of_unix = |connection: &Connection| connection.source.is_unix();
        if max == 0 || self.slots.get(key).is_none_or(of_unix) || self.addresses.has(key.index) {
            return;
        }
        let Some(address) = address else {
            return self.warn_of_unknown_peer(
                "it does not count for overload.connections_per_address_max",
            );
        };
        if self.clients.is_forwarding(address) {
            return;
        }
        let network = Network::from(address);
        let counted = self.handling.endpoint.holder_of(Some(network));
        if self.addresses.add(key.index, counted, max) {
            return;
        }
        self.handling
            .meter
            .count(Counter::ConnectionsRefusedAddress);
        self.close(key, Counter::ClosedRefused);
        if let Some(suppressed) = self.warnings.address.admit(self.now_ms) {
            tracing::warn!(
                shard = self.handling.shard,
                suppressed,
                %address,
                "an address has as many connections as overload.connections_per_address_max \
                 allows; others of it are closed"
            );
        }
    }

    /// Subtracts a connection that was closed.
    pub(super) fn forget_admitted(&mut self, key: SlotKey) {
        self.handling.for_probes.retain(|it| *it != key);
        self.clients.forget(key.index);
        self.note_connections();
        self.handling.peers.remove(&key.index);
        if self.profile.overload.connections_per_address_max > 0 {
            self.addresses.remove(key.index);
        }
    }

    /// Lets the other shards know how many connections there are.
    pub(super) fn note_connections(&self) {
        if self.profile.overload.connections_max == 0 {
            return;
        }
        let shard = usize::from(self.handling.shard);
        if let Some(count) = self.control.open_connections.get(shard) {
            let served = self.slots.len() - self.handling.for_probes.len();
            count.store(served as u32, Ordering::Relaxed);
        }
    }
}
