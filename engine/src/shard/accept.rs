//! Accepting connections without ever accepting one that has no slot; see [`Accepts`].
//!
//! With several rings this holds for the ring that accepts; `Rings` chooses it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::accepting::{Accepting, Accepts, FreeSlots, ONE_BY_ONE_MAX};
use super::kept::Kept;
use super::work::Shard;
use crate::connection::http::Connection;
use crate::connection::source::Source;
use crate::guard::peer::KnownPeer;
use crate::guard::principal::is_principal;
use crate::meter::Counter;
use crate::transport::listener::Listener;
use corelane_io::slots::SlotKey;

/// After a failure to accept, accepting waits this long.
const RETRY_MS: u64 = 100;
/// Between two warnings of a full table.
const TABLE_WARNING_INTERVAL_MS: u64 = 60_000;

/// The variable of the environment that names the principal of standard input and output.
const PRINCIPAL_VARIABLE: &str = "CORELANE_PRINCIPAL";

impl Shard {
    /// Accepts in the way the free slots allow. Called once per turn.
    pub(super) fn continue_accepting(&mut self) {
        let count = self.listeners.len();
        let has_moved = self.rings.choose_accepting(count.max(1) as u32);
        // Of the ring that accepts: fewer only if no ring has as many.
        let free = self.rings.free_to_accept() as usize;
        self.note_table(free < count);
        let under_way = self.listeners.iter().map(|it| it.under_way).sum();
        let mut slots = FreeSlots {
            free,
            few: count * self.backlog + ONE_BY_ONE_MAX,
            spare: free.saturating_sub(under_way),
            share: free / count.max(1),
        };
        let ring = self.rings.accepting();
        for accepts in &mut self.listeners {
            if !(has_moved && accepts.ring_changed(self.now_ms)) {
                accepts.go_on(ring, &mut slots, self.now_ms);
                accepts.go_on_last(ring, &mut slots, self.backlog);
            }
        }
        if self.listeners.iter().any(|it| it.is_starved(&slots)) {
            self.listeners
                .iter()
                .for_each(|it| it.give_way(ring, &slots));
        }
    }

    /// Accepts no more than the connections that wait in the backlogs already.
    pub(super) fn begin_last_accepts(&mut self) {
        let ring = self.rings.accepting();
        self.listeners.iter_mut().for_each(|it| it.begin_last(ring));
        self.continue_accepting();
    }

    /// Whether connections may still be accepted.
    pub(super) fn is_listening(&self) -> bool {
        self.listeners.iter().any(|it| it.listener.is_some())
    }

    pub(super) fn accepted(&mut self, listener: u8, index: u32, more: bool) {
        let accepts = &mut self.listeners[usize::from(listener)];
        let source = accepts.source;
        if !more && accepts.mode == Accepting::Many && self.rings.is_accepting(index) {
            // The kernel ended accepting by itself, as it does when completions overflow.
            accepts.mode = Accepting::RetryAt(self.now_ms);
        }
        if !more {
            accepts.note_end();
            self.note_paused();
        }
        self.admit(index, source);
    }

    pub(super) fn accepted_one(&mut self, listener: u8, outcome: Result<u32, i32>) {
        let accepts = &mut self.listeners[usize::from(listener)];
        let source = accepts.source;
        accepts.under_way -= 1;
        accepts.note_end();
        self.note_paused();
        let accepts = &mut self.listeners[usize::from(listener)];
        match outcome {
            Ok(index) => self.admit(index, source),
            Err(libc::ECANCELED) if matches!(accepts.mode, Accepting::Last(_)) => {
                accepts.mode = Accepting::Last(0);
            }
            Err(errno) => self.accept_ended(listener, errno),
        }
    }

    /// Begins to accept from listeners that let `backlog` connections wait each.
    pub(super) fn accept_from(&mut self, listeners: Vec<Kept<Listener>>, backlog: u32) {
        self.backlog = backlog as usize;
        let numbered = (0..).zip(listeners);
        self.listeners = numbered.map(|(n, it)| Accepts::from(it, n)).collect();
        if self.hand_over.is_held() {
            self.pause_accepting();
        }
        self.continue_accepting();
    }

    /// Opens the only connection of the shard, of lines on `socket`.
    ///
    /// # Errors
    /// The error of the kernel.
    pub(super) fn open_channel(&mut self, socket: OwnedFd) -> io::Result<()> {
        const INDEX: u32 = 0;
        self.rings.first().install(INDEX, socket.as_fd())?;
        let key = self.insert(INDEX, Connection::from(Source::STDIO));
        if self.handling.access.is_configured() {
            let name = std::env::var(PRINCIPAL_VARIABLE).ok();
            let name = name.as_deref().filter(|name| is_principal(name));
            let parent = KnownPeer::parent(name, rustix::process::getuid().as_raw());
            self.handling.peers.insert(INDEX, parent);
        }
        self.channel = Some(key);
        self.begin_reading(key);
        Ok(())
    }

    /// Puts a connection into its slot, and counts it.
    pub(super) fn insert(&mut self, index: u32, connection: Connection) -> SlotKey {
        self.handling.meter.count(Counter::ConnectionsAccepted);
        self.handling.meter.count(Counter::ConnectionsOpen);
        let is_tls = connection.source.is_tls();
        let key = self.slots.insert_at(index, connection);
        if is_tls {
            self.secured.insert(key);
        }
        key
    }

    /// Reads the bytes that the peer of a connection sends.
    pub(super) fn begin_reading(&mut self, key: SlotKey) {
        self.rings.of(key).watch(key);
        self.set_timer(key);
        if self.handling.is_draining {
            // Its first request may be there, and then it is served.
            self.rings.of(key).receive(key);
        }
    }

    pub(super) fn accept_ended(&mut self, listener: u8, errno: i32) {
        let accepts = &mut self.listeners[usize::from(listener)];
        accepts.note_end();
        self.note_paused();
        if errno == libc::ECANCELED || self.handling.is_draining {
            return;
        }
        let accepts = &mut self.listeners[usize::from(listener)];
        if accepts.mode == Accepting::Paused {
            return;
        }
        accepts.mode = Accepting::RetryAt(self.now_ms + RETRY_MS);
        if errno == libc::ENFILE {
            let meter = &self.handling.meter;
            meter.count(Counter::ConnectionsRefusedDescriptors);
            return self.note_table(true);
        }
        if let Some(suppressed) = self.warnings.accept.admit(self.now_ms) {
            let (shard, error) = (self.handling.shard, io::Error::from_raw_os_error(errno));
            tracing::warn!(
                shard,
                suppressed,
                %error,
                "accepting failed; trying again each {RETRY_MS} ms"
            );
        }
    }

    /// Counts each time the table of connections fills up, and warns of it now and then.
    fn note_table(&mut self, is_full: bool) {
        let was_full = std::mem::replace(&mut self.is_table_full, is_full);
        if was_full || !is_full || !self.is_listening() {
            return;
        }
        self.handling.meter.count(Counter::ConnectionsTableFull);
        if self.now_ms < self.table_warning_due_ms {
            return;
        }
        self.table_warning_due_ms = self.now_ms + TABLE_WARNING_INTERVAL_MS;
        tracing::warn!(
            shard = self.handling.shard,
            connections = self.slots.capacity(),
            backlog = self.backlog,
            "the shard holds as many connections as it can; other clients wait in the backlog of \
             the listener. For more, raise `descriptors` in [ring] of the profile, the limit of \
             open files (ulimit -n, or LimitNOFILE= in the service file), or start more shards"
        );
    }
}
