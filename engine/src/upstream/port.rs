//! The port of a shard to its upstreams: services leave calls here, and the shard takes them.
//!
//! Invariant: a call that was begun is answered with one event, unless its ticket is dropped
//! before. Commands are bounded by the calls and the requests of upstreams: each call leaves one
//! that begins it and one that cancels it.

mod lookups;
mod new_relay;
mod ticket;

use std::borrow::Cow;
use std::cell::{Cell, Ref, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use corelane_gateway::config::Sessions;
use corelane_gateway::relay::{Hop, RelayedRequest, Replaced};
use corelane_gateway::relay::{TaskMode, write_body};
use corelane_io::chunk::{Chunk, SMALL_CHUNK_BYTES};
use corelane_protocol::binding::http_client::OutgoingMessage;
use corelane_protocol::framing::http1::{RequestFieldError, end_request_head, write_field};
use corelane_protocol::framing::line::write_line;
use corelane_protocol::mcp::capability::ClientCapabilities;
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::revision::Revision;
use slab::Slab;

pub(crate) use new_relay::{AboutTask, Bearer, BeginError, NewRelay};
pub(crate) use ticket::ParkedTicket;

use super::board::UpstreamBoard;
use super::endpoint::{Carrier, ListNotice, UpstreamTable};
use super::interest::SubscribedUri;
use super::owner::SessionOwner;
use super::relay::{LegacyCall, Recipient, Relay, RelayKey, Surroundings};
use crate::handler::event_queue::EventQueue;

/// Buffers of requests that are kept for the next ones.
const SPARE_CHUNKS_MAX: usize = 64;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct UpstreamPort {
    shard: u16,
    table: RefCell<Arc<UpstreamTable>>,
    message_bytes_max: usize,
    relays: RefCell<Slab<Relay>>,
    commands: RefCell<VecDeque<Command>>,
    last_id: Cell<u64>,
    body: RefCell<Vec<u8>>,
    spare: RefCell<Vec<Chunk>>,
    event_queue: Rc<EventQueue>,
    board: Arc<UpstreamBoard>,
}

/// The method, the revision and the id of the session of a legacy request, for its fields.
pub(crate) type LegacyFields<'a> = (Option<&'a str>, Revision, Option<&'a str>);

/// Something for the shard to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// It finds a link for a call.
    Begin(RelayKey),
    /// It ends a call without an answer.
    Cancel(RelayKey),
    /// It sends the responses to requests of the upstream of a call.
    Respond(RelayKey),
    /// It ends the sessions of a client session with these random bits and capabilities.
    EndSession(u128, ClientCapabilities),
}

/// A call on its way: dropping it cancels the call.
#[derive(Debug)]
pub(crate) struct RelayTicket {
    port: Rc<UpstreamPort>,
    key: RelayKey,
}

impl UpstreamPort {
    /// A port without calls. The messages of answers have at most `message_bytes_max` bytes.
    pub(crate) fn new(
        board: Arc<UpstreamBoard>,
        shard: u16,
        message_bytes_max: usize,
        event_queue: Rc<EventQueue>,
    ) -> UpstreamPort {
        UpstreamPort {
            shard,
            table: RefCell::new(board.present()),
            board,
            message_bytes_max,
            relays: RefCell::default(),
            commands: RefCell::default(),
            last_id: Cell::new(0),
            body: RefCell::default(),
            spare: RefCell::default(),
            event_queue,
        }
    }

    /// Begins a call of a client.
    ///
    /// # Errors
    /// The fault of the request, which is its client's.
    pub(crate) fn begin(
        self: &Rc<Self>,
        new: &NewRelay<'_>,
        recipient: Recipient,
    ) -> Result<RelayTicket, BeginError> {
        let key = self.add(new, recipient, None)?;
        let port = Rc::clone(self);
        Ok(RelayTicket { port, key })
    }

    /// Adds a call, which fails at `due_ms` if that is given.
    ///
    /// # Errors
    /// As for [`UpstreamPort::begin`].
    pub(crate) fn add(
        &self,
        new: &NewRelay<'_>,
        recipient: Recipient,
        due_ms: Option<u64>,
    ) -> Result<RelayKey, BeginError> {
        let id = self.last_id.get() + 1;
        self.write_body(id, new)?;
        let of = (id, new.upstream);
        let mut relay = Relay::new(of, recipient, None, self.message_bytes_max);
        match &new.owner {
            None => relay.request = Some(self.write(new)?),
            Some(owner) => {
                let legacy = LegacyCall {
                    owner: owner.clone(),
                    body: self.body.borrow().as_slice().into(),
                    forwarded: new.forwarded.into(),
                    is_admitted: false,
                    session: None,
                    number: new.about.and_then(|it| it.session),
                    was_lost: false,
                };
                relay.set_legacy(legacy, new.method == "resources/read");
            }
        }
        (relay.is_repeatable, relay.due_ms) = (new.is_repeatable, due_ms);
        if let Bearer::Client(Some(subject)) = new.bearer {
            relay.subject = Some(Box::new(subject.clone()));
        }
        relay.set_capabilities(new.capabilities);
        if new.task != TaskMode::None {
            relay.expect_task();
        }
        if let Some(about) = new.about {
            relay.set_about(about.name);
            // In the legacy era the replica follows from the owner of the session.
            if new.owner.is_none() && about.replica != new.upstream {
                let has_head = relay
                    .request
                    .as_mut()
                    .is_none_or(|request| self.change_head(request, (new.upstream, about.replica)));
                relay.upstream = if has_head {
                    about.replica
                } else {
                    new.upstream
                };
            }
            relay.is_placed = new.owner.is_none();
        }
        Ok(self.insert(relay))
    }

    /// Adds a request whose bytes are written, with the id that [`UpstreamPort::next_id`] gave.
    pub(crate) fn add_written(
        &self,
        (id, upstream): (u64, u16),
        recipient: Recipient,
        request: Option<Chunk>,
        due_ms: u64,
    ) -> RelayKey {
        let mut relay = Relay::new((id, upstream), recipient, request, self.message_bytes_max);
        (relay.due_ms, relay.is_placed) = (Some(due_ms), true);
        self.insert(relay)
    }

    /// The id of the next request.
    pub(crate) fn next_id(&self) -> u64 {
        self.last_id.get() + 1
    }

    fn insert(&self, relay: Relay) -> RelayKey {
        let id = relay.id;
        self.last_id.set(self.last_id.get().max(id));
        let index = self.relays.borrow_mut().insert(relay) as u32;
        let key = RelayKey { index, id };
        self.begin_again(key);
        key
    }

    /// Has the shard find a link for a call.
    pub(crate) fn begin_again(&self, key: RelayKey) {
        self.commands.borrow_mut().push_back(Command::Begin(key));
    }

    /// Has the shard send the responses to requests of the upstream of a call.
    pub(crate) fn respond(&self, key: RelayKey) {
        self.commands.borrow_mut().push_back(Command::Respond(key));
    }

    /// Ends the sessions of a client session that has ended, which has these random bits.
    pub(crate) fn end_session(&self, random: u128, capabilities: ClientCapabilities) {
        let table = self.table.borrow();
        if table.endpoints.iter().any(|it| it.era == Era::Legacy) {
            let mut commands = self.commands.borrow_mut();
            let capabilities = capabilities.to_requests();
            commands.push_back(Command::EndSession(random, capabilities));
        }
    }

    /// The owner of the session for a call of a client: with the random bits of its session, if it
    /// has one, and its principal and capabilities. None if the upstream has no sessions.
    pub(crate) fn owner(
        &self,
        upstream: u16,
        (session, principal): (Option<u128>, Option<&str>),
        declared: ClientCapabilities,
    ) -> Option<SessionOwner> {
        let table = self.table.borrow();
        let endpoint = &table.endpoints[usize::from(upstream)];
        if endpoint.era == Era::Modern {
            return None;
        }
        // A modern client answers in another request, for which its call stays open.
        let declared = match session.is_some() || endpoint.parks_calls {
            true => declared,
            false => ClientCapabilities::default(),
        };
        let of_principal = || SessionOwner::Principal(principal.map(Box::from), declared);
        let of_session = |random| SessionOwner::Session(random, declared);
        Some(match endpoint.sessions {
            Sessions::Client => session.map_or_else(of_principal, of_session),
            Sessions::Principal => of_principal(),
            Sessions::Shared if endpoint.carrier != Carrier::Http => self.shared_owner(upstream),
            Sessions::Shared => SessionOwner::Everyone(0),
            Sessions::Call => SessionOwner::Call(self.next_id(), declared),
        })
    }

    /// The owner of the connection with lines that all clients share: the one that reads the lists,
    /// if this shard has it.
    pub(crate) fn shared_owner(&self, upstream: u16) -> SessionOwner {
        match self.board.reads(upstream, self.shard) {
            true => SessionOwner::Control,
            false => SessionOwner::Everyone(0),
        }
    }

    /// The fields of a client that are passed on to an upstream, of which `value` gives those that
    /// are there.
    pub(crate) fn forwarded(
        &self,
        upstream: u16,
        value: impl Fn(&str) -> Option<String>,
    ) -> Vec<u8> {
        let table = self.table.borrow();
        let mut fields = Vec::new();
        for name in &*table.endpoints[usize::from(upstream)].forwarded {
            if let Some(value) = value(name) {
                // A client cannot have sent one that cannot be sent.
                let _ = write_field(&mut fields, name, value.as_bytes());
            }
        }
        fields
    }

    /// Writes the body of a request.
    fn write_body(&self, id: u64, new: &NewRelay<'_>) -> Result<(), BeginError> {
        let table = self.table.borrow();
        let mut body = self.body.borrow_mut();
        body.clear();
        let request = RelayedRequest {
            id,
            method: new.method,
            params: new.params,
            replaced: new.replaced,
            fixed: new.fixed,
            input: new.input,
            hop: Hop {
                era: match &new.owner {
                    Some(_) => Era::Legacy,
                    None => Era::Modern,
                },
                client_info: &table.client_info,
                capabilities: new.capabilities,
                log_level: new.log_level,
                has_progress: new.has_progress,
                task: new.task,
            },
        };
        Ok(write_body(&mut body, &request)?)
    }

    /// Writes a request whose body was written: the head of the upstream, the fields of the
    /// message, and the body.
    fn write(&self, new: &NewRelay<'_>) -> Result<Chunk, BeginError> {
        let table = self.table.borrow();
        let body = self.body.borrow();
        let mut out = self.chunk();
        let endpoint = &table.endpoints[usize::from(new.upstream)];
        let head = &endpoint.heads.post;
        if head.is_empty() {
            write_line(&mut out, &body);
            return Ok(out);
        }
        out.extend_from_slice(head);
        if matches!(new.bearer, Bearer::Server) {
            out.extend_from_slice(&endpoint.heads.service);
        }
        out.extend_from_slice(new.forwarded);
        let message = OutgoingMessage {
            revision: Revision::V2026_07_28,
            method: Some(new.method),
            name: new.replaced.and_then(Replaced::in_head),
            session: None,
        };
        for (name, value) in message.fields() {
            write_field(&mut out, name, value.as_bytes())?;
        }
        if !new.header_params.is_empty() {
            for (name, value) in new.mirrored() {
                write_field(&mut out, &name, value.as_bytes())?;
            }
        }
        end_request_head(&mut out, Some(body.len()));
        out.extend_from_slice(&body);
        Ok(out)
    }

    /// A request of the legacy era: the start of a head, the fields of its session, and the body of
    /// a message, if it has one.
    ///
    /// # Errors
    /// The id of the session cannot be sent; it was checked before.
    pub(crate) fn legacy_request(
        &self,
        head: &[u8],
        (method, revision, session): LegacyFields<'_>,
        body: Option<&[u8]>,
    ) -> Result<Chunk, RequestFieldError> {
        let mut out = self.chunk();
        if head.is_empty() {
            write_line(&mut out, body.unwrap_or_default());
            return Ok(out);
        }
        out.extend_from_slice(head);
        let message = OutgoingMessage {
            revision,
            method,
            name: None,
            session,
        };
        for (name, value) in message.fields() {
            write_field(&mut out, name, value.as_bytes())?;
        }
        end_request_head(&mut out, body.map(<[u8]>::len));
        out.extend_from_slice(body.unwrap_or_default());
        Ok(out)
    }

    /// A request that brings a message to an upstream of HTTP+SSE, at the request target that its
    /// stream has named.
    pub(crate) fn delivery(&self, upstream: u16, target: &str, body: &[u8]) -> Chunk {
        let mut out = self.chunk();
        let table = self.table.borrow();
        if let Some(heads) = &table.endpoints[usize::from(upstream)].heads.events {
            // The rest of the head is that of the stream.
            let line = heads
                .post
                .iter()
                .position(|byte| *byte == b'\n')
                .unwrap_or_default();
            for part in ["POST ", target, " HTTP/1.1\r"] {
                out.extend_from_slice(part.as_bytes());
            }
            out.extend_from_slice(&heads.post[line..]);
        }
        end_request_head(&mut out, Some(body.len()));
        out.extend_from_slice(body);
        out
    }

    /// Gives a request the head of another replica. Returns whether it had that of the first one.
    pub(crate) fn change_head(&self, request: &mut Chunk, (from, to): (u16, u16)) -> bool {
        let table = self.table.borrow();
        let [from, to] = [from, to].map(|it| &table.endpoints[usize::from(it)].heads.post);
        let has_head = request.starts_with(from);
        if has_head {
            request.splice(..from.len(), to.iter().copied());
        }
        has_head
    }

    /// The URI that an upstream has for one of a client; none if that is of another upstream.
    pub(crate) fn original_uri<'u>(&self, upstream: u16, uri: &'u str) -> Option<Cow<'u, str>> {
        self.table.borrow().endpoints[usize::from(upstream)].original_uri(uri)
    }

    /// Whether the tokens of clients are exchanged for this upstream.
    pub(crate) fn exchanges(&self, upstream: u16) -> bool {
        self.table.borrow().endpoints[usize::from(upstream)].exchanges
    }

    /// Whether the tokens of clients are exchanged for any upstream.
    pub(crate) fn exchanges_any(&self) -> bool {
        self.table.borrow().endpoints.iter().any(|it| it.exchanges)
    }

    /// An empty buffer for a request.
    pub(crate) fn chunk(&self) -> Chunk {
        let spare = self.spare.borrow_mut().pop();
        spare.unwrap_or_else(|| Chunk::from(Vec::with_capacity(SMALL_CHUNK_BYTES)))
    }

    /// A client subscribes to a resource of an upstream. None if that reports no updates, or if
    /// clients have subscribed to too many others of it.
    pub(crate) fn subscribe(&self, upstream: u16, uri: &str) -> Option<SubscribedUri> {
        let table = self.table.borrow();
        let endpoint = &table.endpoints[usize::from(upstream)];
        let has_updates = endpoint.has_updates && endpoint.original_uri(uri).is_some();
        has_updates.then(|| SubscribedUri::of(&self.board, &endpoint.name, uri))?
    }

    /// A client reads a list. Returns what it lacks.
    pub(crate) fn use_list(&self) -> ListNotice {
        self.board.use_list();
        self.table.borrow().notice.clone()
    }

    /// Takes the buffer of a request back.
    pub(crate) fn give(&self, mut chunk: Chunk) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_CHUNKS_MAX && chunk.capacity() == SMALL_CHUNK_BYTES {
            chunk.clear();
            spare.push(chunk);
        }
    }

    /// The name of an upstream.
    pub(crate) fn name_of(&self, upstream: u16) -> Ref<'_, str> {
        let table = self.table.borrow();
        Ref::map(table, |table| &*table.endpoints[usize::from(upstream)].name)
    }

    /// The present table.
    pub(crate) fn table(&self) -> Arc<UpstreamTable> {
        Arc::clone(&self.table.borrow())
    }

    /// The same, without a share of it.
    pub(crate) fn borrow_table(&self) -> Ref<'_, Arc<UpstreamTable>> {
        self.table.borrow()
    }

    /// Uses another table from now on.
    pub(crate) fn set_table(&self, table: Arc<UpstreamTable>) {
        self.table.replace(table);
    }

    /// The parts of the shard with which answers of an upstream are read.
    pub(crate) fn surroundings<'a>(
        &'a self,
        table: &'a UpstreamTable,
        upstream: u16,
    ) -> Surroundings<'a> {
        Surroundings {
            queue: &self.event_queue,
            server_info: &table.client_info,
            endpoint: &table.endpoints[usize::from(upstream)],
        }
    }

    /// Where events of calls go.
    pub(crate) fn event_queue(&self) -> &EventQueue {
        &self.event_queue
    }
}
