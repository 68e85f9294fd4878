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
use crate::guard::network::Network;
use crate::meter::Counter;
use crate::profile::Binding;
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
        let key = self.open_with(index, Connection::from(source));
        self.note_connections();
        if self.profile.overload.connections_per_address_max > 0 {
            self.look_up_peer(key);
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
        let is_http = source.binding() == Binding::Http && !source.is_tls();
        if is_http && self.handling.for_probes.len() < self.profile.overload.probe_connections {
            let key = self.open_with(index, Connection::awaited(source));
            self.handling.for_probes.push(key);
        } else {
            let key = self.insert(index, Connection::from(source));
            self.close(key);
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
        if max == 0 || self.slots.get(key).is_none() || self.addresses.has(key.index) {
            return;
        }
        let Some(address) = address else {
            if let Some(suppressed) = self.warnings.unknown_address.admit(self.now_ms) {
                tracing::warn!(
                    shard = self.handling.shard,
                    suppressed,
                    "the address of a connection cannot be looked up, which needs Linux 6.7: it \
                     does not count for overload.connections_per_address_max"
                );
            }
            return;
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
        self.close(key);
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
