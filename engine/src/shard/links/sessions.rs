//! Sessions with upstreams of the legacy era: their handshakes, the calls that wait for them, their
//! losses and their ends.

use std::borrow::Cow;

use corelane_gateway::relay::{Executed, Failure, Reason, RelayedPart};
use corelane_gateway::session::{Admitted, EndedSession};
use corelane_io::chunk::Chunk;
use corelane_protocol::jsonrpc::encode::{self, ObjectWriter};
use corelane_protocol::jsonrpc::{Id, find_members};
use corelane_protocol::mcp::capability::ClientCapabilities;
use corelane_protocol::mcp::legacy_session::SessionRequest;
use corelane_protocol::mcp::revision::Revision;

use super::Links;
use crate::breaker::CallSign;
use crate::upstream::board::{ControlAnswer, ControlEvent};
use crate::upstream::endpoint::Carrier;
use crate::upstream::owner::SessionOwner;
use crate::upstream::port::LegacyFields;
use crate::upstream::relay::{Handshake, LegacyCall, Recipient, Relay, RelayKey};

/// The error of a request about a task whose session is gone.
const SESSION_OVER: &[u8] = br#"{"code":-32602,"message":"no such task: its session is over"}"#;
/// The method of the notification that a request is cancelled.
const CANCELLED: &str = "notifications/cancelled";

impl Links {
    /// Lets a call of an upstream with sessions go on, if its session is open. Returns whether it
    /// has its request.
    pub(super) fn admit(&mut self, key: RelayKey) -> bool {
        let Some(relay) = self.port.find(key) else {
            return false;
        };
        let upstream = relay.upstream;
        let Some(legacy) = relay.legacy.as_deref().filter(|it| !it.is_admitted) else {
            return true;
        };
        let (owner, number) = (legacy.owner.clone(), legacy.number);
        let exchanged = relay.exchanged.clone();
        drop(relay);
        if let Some(exchanged) = exchanged {
            let bearers = &mut self.endpoint(upstream).bearers;
            bearers.insert(owner.clone(), exchanged);
        }
        let now_ms = self.now_ms;
        // Only the session that the task was made in has it.
        let present = self.endpoint(upstream).sessions.number(&owner);
        if number.is_some_and(|number| present != Some(number)) {
            self.lose_task(key);
            return false;
        }
        match self.endpoint(upstream).sessions.admit(&owner, key, now_ms) {
            Admitted::Ready => self.write_legacy(key, &owner),
            Admitted::Opens => {
                self.shake_hands(upstream, &owner);
                false
            }
            Admitted::Waits => false,
            Admitted::Full => {
                self.fail(key, &Failure::unsent(Reason::Busy));
                false
            }
        }
    }

    /// Answers a request about a task whose session is gone.
    fn lose_task(&mut self, key: RelayKey) {
        if let Some(mut relay) = self.port.remove(key) {
            self.count_end(relay.upstream, relay.admitted.take(), CallSign::Unknown);
            relay.answer_with_error(SESSION_OVER, self.port.event_queue());
        }
    }

    /// Writes the request of a call whose session is open.
    fn write_legacy(&mut self, key: RelayKey, owner: &SessionOwner) -> bool {
        let table = self.port.table();
        let Some(mut relay) = self.port.find(key) else {
            return false;
        };
        let endpoint = &table.endpoints[usize::from(relay.upstream)];
        let sessions = &self.endpoints[usize::from(relay.upstream)].sessions;
        let (Some((revision, id)), Some(legacy)) = (sessions.head(owner), relay.legacy.as_deref())
        else {
            return false;
        };
        // Without a message it is the stream of the session.
        let (head, body) = match legacy.body.is_empty() {
            true => (&endpoint.heads.get, None),
            false => (&endpoint.heads.post, Some(&*legacy.body)),
        };
        let fields = (Some("tools/call"), revision, id);
        let bearer: &[u8] = match &relay.exchanged {
            Some(exchanged) => exchanged.line(),
            None if *owner == SessionOwner::Control => &endpoint.heads.service,
            None => self.bearer_line(relay.upstream, owner),
        };
        let more = bearer.len() + legacy.forwarded.len();
        // Lines have no heads.
        let head = match head.is_empty() || more == 0 {
            true => Cow::Borrowed(&**head),
            false => Cow::Owned([head, bearer, &*legacy.forwarded].concat()),
        };
        match self.port.legacy_request(&head, fields, body) {
            Ok(request) => {
                relay.set_request(request, id);
                if let Some(number) = sessions.number(owner) {
                    relay.set_session_number(number);
                }
                true
            }
            Err(_) => false,
        }
    }

    /// Sends the next request of the handshake of a session.
    pub(super) fn shake_hands(&mut self, upstream: u16, owner: &SessionOwner) {
        let sessions = &self.endpoints[usize::from(upstream)].sessions;
        let Some(step) = sessions.poll_request(owner) else {
            return;
        };
        let (revision, session) = match sessions.head(owner) {
            Some((revision, id)) => (revision, id.map(Box::<str>::from)),
            None => return,
        };
        let id = self.port.next_id();
        let (method, body) = match step {
            SessionRequest::Initialize(revision) => (
                "initialize",
                initialize(id, revision, owner, &self.port.table().client_info),
            ),
            SessionRequest::Initialized => {
                let body = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
                ("notifications/initialized", body.to_vec())
            }
            SessionRequest::Delete => return,
        };
        let handshake = Handshake {
            owner: owner.clone(),
            answer: None,
            session: None,
            is_initialize: method == "initialize",
            is_accepted: false,
        };
        let fields = (Some(method), revision, session.as_deref());
        let recipient = Recipient::Handshake(Box::new(handshake));
        self.send_legacy((upstream, owner), id, recipient, (fields, &body));
    }

    /// Opens the session of the control side with this upstream or replica. The control side waits
    /// for the result of `initialize`.
    pub(super) fn open_control_at(&mut self, upstream: u16) {
        let now_ms = self.now_ms;
        let endpoint = self.endpoint(upstream);
        endpoint.is_initializing = true;
        if let Some(ended) = endpoint.sessions.open(&SessionOwner::Control, now_ms) {
            self.send_delete(upstream, &ended);
        }
        self.shake_hands(upstream, &SessionOwner::Control);
    }

    /// Opens the stream of the session of the control side.
    pub(super) fn open_stream(
        &mut self,
        upstream: u16,
        recipient: Recipient,
        due_ms: u64,
    ) -> RelayKey {
        let id = self.port.next_id();
        let key = self
            .port
            .add_written((id, upstream), recipient, None, due_ms);
        if let Some(mut relay) = self.port.find(key) {
            let legacy = LegacyCall {
                owner: SessionOwner::Control,
                body: Box::default(),
                forwarded: Box::default(),
                is_admitted: false,
                session: None,
                number: None,
                was_lost: false,
            };
            relay.set_legacy(legacy, false);
            relay.is_placed = false;
        }
        self.timed.push(key);
        key
    }

    /// Gives the control side the answer to `initialize`, if it waits for that.
    fn answer_initialize(&mut self, upstream: u16, answer: Option<RelayedPart>, failure: &Failure) {
        if !std::mem::take(&mut self.endpoint(upstream).is_initializing) {
            return;
        }
        let answer = match answer {
            Some(part) => ControlAnswer::Message(part),
            None => ControlAnswer::Failed {
                status: None,
                failure: failure.clone(),
            },
        };
        let of = self.port.borrow_table().endpoints[usize::from(upstream)].upstream;
        self.board.send(ControlEvent::Answer(of, answer));
    }

    /// A handshake had no answer.
    pub(super) fn handshake_failed(
        &mut self,
        upstream: u16,
        owner: &SessionOwner,
        failure: &Failure,
    ) {
        let is_control = *owner == SessionOwner::Control;
        if is_control && !self.initializes_another(upstream, failure) {
            self.answer_initialize(upstream, None, failure);
        }
        self.session_failed(upstream, owner, failure);
    }

    /// Sends a message in a session that is no call.
    pub(super) fn send_legacy(
        &mut self,
        (upstream, owner): (u16, &SessionOwner),
        id: u64,
        recipient: Recipient,
        (fields, body): (LegacyFields<'_>, &[u8]),
    ) {
        let table = self.port.table();
        let head = &table.endpoints[usize::from(upstream)].heads.post;
        let head = self.with_bearer(head, upstream, owner);
        if let Ok(request) = self.port.legacy_request(&head, fields, Some(body)) {
            self.send_written((id, upstream), recipient, request);
        }
    }

    fn send_written(&mut self, of: (u64, u16), recipient: Recipient, request: Chunk) {
        let time_ms = match self.carrier(of.1) {
            // It may have to be installed first.
            Carrier::Program => self.settings.start_ms,
            Carrier::Http | Carrier::Lines | Carrier::Events => self.settings.list_ms,
        };
        let due_ms = self.now_ms + time_ms;
        let key = self.port.add_written(of, recipient, Some(request), due_ms);
        self.timed.push(key);
    }

    /// A step of a handshake was answered.
    pub(super) fn end_handshake(&mut self, upstream: u16, handshake: Handshake, failure: &Failure) {
        let owner = handshake.owner;
        let sessions = &mut self.endpoint(upstream).sessions;
        if !handshake.is_initialize {
            match handshake.is_accepted {
                true => self.session_opened(upstream, &owner),
                false => self.session_failed(upstream, &owner, failure),
            }
            return;
        }
        let version = handshake.answer.as_ref().and_then(version_of);
        let opened = version.map(|version| {
            sessions.handle_initialized(&owner, &version, handshake.session.as_deref())
        });
        if owner == SessionOwner::Control {
            self.answer_initialize(upstream, handshake.answer, failure);
        }
        match opened {
            Some(Ok(())) => self.shake_hands(upstream, &owner),
            Some(Err(fault)) => {
                let failure = failure.clone().with_detail(fault.to_string());
                self.session_failed(upstream, &owner, &failure);
            }
            None => self.session_failed(upstream, &owner, failure),
        }
    }

    /// The handshake of a session has failed, and the calls that waited for it.
    pub(super) fn session_failed(
        &mut self,
        upstream: u16,
        owner: &SessionOwner,
        failure: &Failure,
    ) {
        let failure = Failure {
            executed: Executed::No,
            ..failure.clone()
        };
        for call in self.endpoint(upstream).sessions.handle_failed(owner) {
            self.fail_or_move(call, &failure);
        }
    }

    /// The upstream has forgotten the session of a call: it is opened again, and the call is begun
    /// again, once, if it was not executed or changes nothing.
    pub(super) fn reopen(&mut self, key: RelayKey) {
        let Some(mut relay) = self.port.find(key) else {
            return;
        };
        let (upstream, is_repeatable) = (relay.upstream, relay.is_repeatable_in_session());
        let Some(legacy) = relay.legacy.as_deref_mut() else {
            return;
        };
        let (owner, session) = (legacy.owner.clone(), legacy.session.take());
        let was_lost = std::mem::replace(&mut legacy.was_lost, true);
        legacy.is_admitted = false;
        relay.link = None;
        drop(relay);
        let now_ms = self.now_ms;
        let sessions = &mut self.endpoint(upstream).sessions;
        sessions.release(&owner, false, now_ms);
        let lost = sessions.handle_lost(&owner, session.as_deref().unwrap_or_default());
        if lost == Ok(true) {
            // Other calls may wait for it, whatever becomes of this one.
            self.shake_hands(upstream, &owner);
        }
        if lost.is_ok() && !was_lost {
            return match is_repeatable {
                true => self.port.begin_again(key),
                false => self.fail(key, &Failure::new(Reason::Lost, Executed::Unknown)),
            };
        }
        let failure = Failure::unsent(Reason::Protocol);
        let failure = failure.with_detail("it does not know the session that it opened");
        if lost.is_err() {
            self.session_failed(upstream, &owner, &failure);
        }
        self.fail(key, &failure);
    }

    /// A call that was taken out has no part in its session any more.
    pub(super) fn leave_session(&mut self, relay: &Relay) {
        if relay.is_session_questions() {
            return self.session_stream_ended(relay);
        }
        let Some(legacy) = relay.legacy.as_deref().filter(|it| it.is_admitted) else {
            return;
        };
        let (upstream, now_ms) = (relay.upstream, self.now_ms);
        let sessions = &mut self.endpoint(upstream).sessions;
        sessions.release(&legacy.owner, relay.knows_session(), now_ms);
        if matches!(legacy.owner, SessionOwner::Call(..)) {
            self.end_session_of(upstream, &legacy.owner);
        }
    }

    /// Notifies the upstream of a session that a call is cancelled.
    pub(super) fn send_cancelled(&mut self, relay: &Relay) {
        let Some(legacy) = relay.legacy.as_deref().filter(|it| !it.body.is_empty()) else {
            return;
        };
        let sessions = &self.endpoints[usize::from(relay.upstream)].sessions;
        let Some((revision, id)) = sessions.head(&legacy.owner) else {
            return;
        };
        let session = id.map(Box::<str>::from);
        let body = cancelled(relay.id);
        let fields = (Some(CANCELLED), revision, session.as_deref());
        let id = self.port.next_id();
        let of = (relay.upstream, &legacy.owner);
        self.send_legacy(of, id, Recipient::Nobody, (fields, &body));
    }

    /// Ends the sessions of a client session.
    pub(super) fn end_sessions(&mut self, random: u128, declared: ClientCapabilities) {
        let owner = SessionOwner::Session(random, declared);
        for upstream in 0..self.endpoints.len() {
            self.end_session_of(upstream as u16, &owner);
        }
    }

    pub(super) fn end_session_of(&mut self, upstream: u16, owner: &SessionOwner) {
        if let Some(ended) = self.endpoint(upstream).sessions.end(owner) {
            self.send_delete(upstream, &ended);
        }
    }

    /// Ends a session at its upstream. The answer does not matter.
    pub(super) fn send_delete(&mut self, upstream: u16, ended: &EndedSession<SessionOwner>) {
        let table = self.port.table();
        let head = &table.endpoints[usize::from(upstream)].heads.delete;
        let head = self.with_bearer(head, upstream, &ended.owner);
        let fields = (None, ended.revision, Some(&*ended.id));
        if let Ok(request) = self.port.legacy_request(&head, fields, None) {
            let id = self.port.next_id();
            self.send_written((id, upstream), Recipient::Nobody, request);
        }
    }
}

/// The notification that a request is cancelled.
pub(super) fn cancelled(id: u64) -> Vec<u8> {
    let mut body = Vec::new();
    encode::begin_notification(&mut body, CANCELLED);
    let mut params = ObjectWriter::begin(&mut body);
    encode::write_unsigned(params.name("requestId"), id);
    params.end();
    encode::end(&mut body);
    body
}

/// The body of `initialize`, with the capabilities of the owner of the session.
fn initialize(id: u64, revision: Revision, owner: &SessionOwner, client_info: &str) -> Vec<u8> {
    let mut body = Vec::new();
    encode::begin_request(&mut body, Id::Unsigned(id), "initialize");
    let mut params = ObjectWriter::begin(&mut body);
    encode::write_string(params.name("protocolVersion"), revision.as_str());
    let capabilities = owner.capabilities();
    capabilities.write_requests(params.name("capabilities"));
    let info = params.name("clientInfo");
    info.extend_from_slice(client_info.as_bytes());
    params.end();
    encode::end(&mut body);
    body
}

/// The revision in a result of `initialize`.
fn version_of(part: &RelayedPart) -> Option<String> {
    let RelayedPart::Result { json, .. } = part else {
        return None;
    };
    let [version] = find_members(json, 0..json.len(), ["protocolVersion"]).ok()?;
    serde_json::from_slice(&json[version?]).ok()
}
