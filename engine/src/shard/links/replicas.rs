//! Which replica of an upstream gets a request, and which requests go to another one.
//!
//! A replica has links, sessions and a breaker of its own, as an upstream without others has.

use corelane_gateway::link::{Choice, Replica, choose_replica};
use corelane_gateway::relay::{Executed, Failure, Reason};

use super::Links;
use super::endpoint_links::Leaving;
use super::signs::sign_of;
use crate::meter::Counter;
use crate::upstream::owner::SessionOwner;
use crate::upstream::relay::RelayKey;

/// Replicas that a request goes to at most.
const REPLICAS_TRIED_MAX: u32 = 3;

impl Links {
    /// Chooses a replica, or one of the processes that share the calls, for a request, once.
    /// Returns whether it is sent there although the replica keeps failing, as too many do.
    pub(super) fn place(&mut self, key: RelayKey) -> bool {
        let Some(mut relay) = self.port.find(key).filter(|it| !it.is_placed) else {
            return false;
        };
        relay.is_placed = true;
        let (before, tried) = (relay.upstream, relay.tried);
        let table = self.port.borrow_table();
        let upstream = table.endpoints[usize::from(before)].upstream;
        let has_replicas = table.has_replicas(upstream);
        drop(table);
        if !has_replicas {
            drop(relay);
            self.choose_process(key);
            return false;
        }
        let choice = match relay.owner() {
            // Each replica has a session for these.
            None | Some(SessionOwner::Everyone(_) | SessionOwner::Call(..)) => {
                Choice::drawn(key.id)
            }
            Some(owner) => Choice::of_key(&owner),
        };
        drop(relay);
        let Some((place, chosen, is_needed)) = self.choose(upstream, tried, choice) else {
            return false;
        };
        let Some(mut relay) = self.port.find(key) else {
            return false;
        };
        let has_head = match &mut relay.request {
            Some(request) if chosen != before => self.port.change_head(request, (before, chosen)),
            _ => true,
        };
        if has_head {
            relay.upstream = chosen;
            relay.tried |= 1 << place;
        }
        is_needed && has_head
    }

    /// The place, and the number, of the replica for a request that was at those of `tried`, and
    /// whether it keeps failing; none if the request was at all of them.
    fn choose(&self, upstream: u16, tried: u32, choice: Choice) -> Option<(usize, u16, bool)> {
        let table = self.port.borrow_table();
        let numbers: Vec<u16> = table.replicas(upstream).collect();
        let replicas = numbers.iter().enumerate().map(|(place, number)| {
            let links = &self.endpoints[usize::from(*number)];
            let pool = &links.pool;
            Replica {
                hash: table.endpoints[usize::from(*number)].hash,
                requests: pool.links() - pool.idle() + pool.waiting(),
                refuses_ms: links.breaker.refuses_ms(self.now_ms),
                // The number of one that is drained may belong to another upstream soon.
                was_tried: tried & (1 << place) != 0 || links.leaving == Leaving::Over,
            }
        });
        let replicas: Vec<Replica> = replicas.collect();
        let place = choose_replica(&replicas, choice)?;
        Some((place, numbers[place], replicas[place].refuses_ms > 0))
    }

    /// Fails a call that has no link, or begins it at another replica if the one that failed has
    /// taken nothing of it.
    pub(super) fn fail_or_move(&mut self, key: RelayKey, failure: &Failure) {
        match self.may_move(key, failure) {
            true => {
                self.meter.count(Counter::UpstreamRepeats);
                self.leave_replica(key, failure);
                self.port.begin_again(key);
            }
            false => self.fail(key, failure),
        }
    }

    fn may_move(&mut self, key: RelayKey, failure: &Failure) -> bool {
        let now_ms = self.now_ms;
        let Some(relay) = self.port.find(key) else {
            return false;
        };
        let table = self.port.borrow_table();
        let upstream = table.endpoints[usize::from(relay.upstream)].upstream;
        let count = table.replicas(upstream).count() as u32;
        drop(table);
        let is_untaken = failure.executed == Executed::No && !relay.was_sent;
        let is_of_replica = matches!(
            failure.reason,
            Reason::Connect | Reason::Closed | Reason::Unavailable
        );
        let has_another = relay.tried.count_ones() < count.min(REPLICAS_TRIED_MAX);
        // A handshake stays with the session that it opens, and a task is at one replica.
        let is_placeable =
            relay.tried > 0 && !relay.is_about_task() && is_untaken && is_of_replica && has_another;
        let repeats = &mut self.endpoints[usize::from(relay.upstream)].repeats;
        is_placeable && repeats.take(now_ms)
    }

    /// A request leaves the replica where it failed, and another one is chosen for it. With the
    /// session that it has there, it stays, unless it cannot be sent.
    pub(super) fn leave_replica(&mut self, key: RelayKey, failure: &Failure) {
        let now_ms = self.now_ms;
        let Some(mut relay) = self.port.find(key).filter(|it| it.tried > 0) else {
            return;
        };
        let upstream = relay.upstream;
        if let Some(legacy) = relay.legacy.as_deref_mut() {
            if failure.executed != Executed::No {
                return;
            }
            legacy.session = None;
            if std::mem::take(&mut legacy.is_admitted) {
                let sessions = &mut self.endpoints[usize::from(upstream)].sessions;
                sessions.release(&legacy.owner, false, now_ms);
            }
        }
        (relay.link, relay.is_placed) = (None, false);
        let admitted = relay.admitted.take();
        drop(relay);
        self.count_end(upstream, admitted, sign_of(failure));
    }

    /// Opens the session of the control side with an upstream, at one of its replicas.
    pub(super) fn open_control(&mut self, upstream: u16) {
        self.endpoint(upstream).initialized = 0;
        if !self.open_control_at_another(upstream) {
            self.open_control_at(upstream);
        }
    }

    /// The control side has not opened its session at a replica. Returns whether it does at another
    /// one.
    pub(super) fn initializes_another(&mut self, replica: u16, failure: &Failure) -> bool {
        let is_of_replica = matches!(
            failure.reason,
            Reason::Connect | Reason::Closed | Reason::Unavailable | Reason::Timeout
        );
        let upstream = self.port.borrow_table().endpoints[usize::from(replica)].upstream;
        let begins = is_of_replica && self.endpoints[usize::from(replica)].is_initializing;
        if begins && self.open_control_at_another(upstream) {
            self.endpoint(replica).is_initializing = false;
            return true;
        }
        false
    }

    fn open_control_at_another(&mut self, upstream: u16) -> bool {
        if !self.port.borrow_table().has_replicas(upstream) {
            return false;
        }
        let tried = self.endpoint(upstream).initialized;
        let choice = Choice::of_key(&SessionOwner::Control);
        let Some((place, chosen, _)) = self.choose(upstream, tried, choice) else {
            return false;
        };
        self.endpoint(upstream).initialized |= 1 << place;
        self.open_control_at(chosen);
        true
    }
}
