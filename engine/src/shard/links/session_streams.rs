//! The streams of sessions with upstreams over HTTP, on which requests to their clients come that
//! are on the answer of no call (MCP 2025-11-25 basic/transports, "Listening for Messages from the
//! Server").
//!
//! A session that declares capabilities has one. It opens before the first call, because a server
//! drops such a request without it. A request on it is for the only call of the session; if there
//! are several, or none, it is refused.

use std::collections::VecDeque;

use super::Links;
use crate::upstream::endpoint::Carrier;
use crate::upstream::owner::SessionOwner;
use crate::upstream::relay::questions::Questions;
use crate::upstream::relay::{LegacyCall, Recipient, Relay, RelayKey};

/// How long the calls of a session wait for its stream, in milliseconds.
const STREAM_WAIT_MS: u64 = 250;

impl Links {
    /// A session is open: its calls go on, once its stream is open if it has one.
    pub(super) fn session_opened(&mut self, upstream: u16, owner: &SessionOwner) {
        let until_ms = self.now_ms + STREAM_WAIT_MS;
        let opens = self.open_session_stream(upstream, owner);
        let sessions = &mut self.endpoint(upstream).sessions;
        let calls = sessions.handle_accepted(owner);
        match opens {
            true => sessions.hold(owner, calls, until_ms),
            false => self.admit_again(calls),
        }
    }

    /// Opens the stream of a session. Returns whether it does.
    fn open_session_stream(&mut self, upstream: u16, owner: &SessionOwner) -> bool {
        let can_answer = !owner.capabilities().accepts_no_requests();
        // Streams leave half of the sockets to calls.
        let has_room = self.free.len() > self.indexes.len() / 2;
        if !can_answer || !has_room || self.carrier(upstream) != Carrier::Http {
            return false;
        }
        let table = self.port.table();
        let head = &table.endpoints[usize::from(upstream)].heads.get;
        let sessions = &self.endpoints[usize::from(upstream)].sessions;
        let Some((revision, id)) = sessions.head(owner) else {
            return false;
        };
        let head = self.with_bearer(head, upstream, owner);
        let Ok(request) = self.port.legacy_request(&head, (None, revision, id), None) else {
            return false;
        };
        let legacy = LegacyCall {
            owner: owner.clone(),
            body: Box::default(),
            forwarded: Box::default(),
            is_admitted: true,
            session: id.map(Box::from),
            number: None,
            was_lost: false,
        };
        let due_ms = self.now_ms + self.settings.list_ms;
        let of = (self.port.next_id(), upstream);
        let key = self
            .port
            .add_written(of, Recipient::SessionStream, Some(request), due_ms);
        if let Some(mut relay) = self.port.find(key) {
            relay.set_legacy(legacy, false);
        }
        self.timed.push(key);
        true
    }

    /// Looks at what has come on the stream of a session.
    pub(super) fn read_session_stream(&mut self, key: RelayKey) {
        let Some(mut relay) = self.port.find(key) else {
            return;
        };
        let (upstream, owner) = (relay.upstream, relay.owner());
        let Some(owner) = owner else { return };
        let is_open = relay.is_open();
        let questions = relay.questions();
        let requests = questions.map_or_else(Vec::new, Questions::take_apart);
        drop(relay);
        if is_open {
            self.let_go(upstream, &owner);
        }
        let table = self.port.table();
        for text in requests {
            // The stream itself refuses it.
            let of = self.port.only_call(upstream, &owner).unwrap_or(key);
            if let Some(mut relay) = self.port.find(of) {
                relay.take_question(&text, self.port.surroundings(&table, upstream));
                if relay.has_responses() {
                    self.port.respond(of);
                }
            }
        }
    }

    /// The stream of a session is over.
    pub(super) fn session_stream_ended(&mut self, relay: &Relay) {
        if let Some(owner) = relay.owner() {
            self.let_go(relay.upstream, &owner);
        }
    }

    /// Whether a relay is the stream of a session that has ended.
    pub(super) fn is_without_session(&self, key: RelayKey) -> bool {
        let relay = self.port.find(key);
        let Some(relay) = relay.filter(|it| it.is_session_questions()) else {
            return false;
        };
        let sessions = &self.endpoints[usize::from(relay.upstream)].sessions;
        let legacy = relay.legacy.as_deref();
        let present = legacy.and_then(|it| sessions.head(&it.owner));
        let id = present.and_then(|(_, id)| id);
        present.is_none() || id != legacy.and_then(|it| it.session.as_deref())
    }

    /// Calls that were held for long enough go on.
    pub(super) fn let_held_go(&mut self, upstream: u16) {
        let now_ms = self.now_ms;
        while let Some(calls) = self.endpoint(upstream).sessions.next_held(now_ms) {
            self.admit_again(calls);
        }
    }

    fn let_go(&mut self, upstream: u16, owner: &SessionOwner) {
        let calls = self.endpoint(upstream).sessions.let_go(owner);
        self.admit_again(calls);
    }

    fn admit_again(&self, calls: VecDeque<RelayKey>) {
        for call in calls {
            self.port.begin_again(call);
        }
    }
}
