//! One shard's MCP server: whole messages in, dispositions and deliveries out.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use corelane_protocol::binding::http::{self, Admitted, SessionHeaders, SessionMessage};
use corelane_protocol::binding::refusal::{Reason, Refusal};
use corelane_protocol::framing::http1::RequestHead;
use corelane_protocol::jsonrpc::{Decoded, Decoder, Id, JsonLimits, Message, OwnedId};
use corelane_protocol::mcp::result::ResultTrailer;
use corelane_protocol::mcp::revision::Revision;

use super::batch::Batches;
use super::call_table::CallTable;
use super::event_store::{EventId, EventLimits, EventStore};
use super::requester::Requester;
use super::round_trip::unix_ms;
use super::server_parts::ServerParts;
use super::session::Sessions;
use super::session_id::SessionId;
use super::subscription::Subscriptions;
use super::task_table::TaskLimits;
use super::task_watch::TaskWatchMessage;
use super::tasks::Tasks;
use super::{Delivery, Disposition, Exchange, Forwarded, ForwardedKind, Opening};
use crate::catalog::Catalog;
use crate::handler::Call;
use crate::handler::event_queue::{CallEvent, EventQueue};
use crate::handler::offload::OffloadPort;
use crate::handler::state::{StateMaker, States};
use crate::io::arena::Arena;
use crate::meter::{Counter, ShardMeter};
use crate::profile::ShardProfile;

/// What an endpoint is made from.
pub(crate) struct EndpointSettings {
    /// The shard this endpoint serves on.
    pub(crate) shard: u16,
    /// How many shards there are.
    pub(crate) shards: u16,
    /// What it has in common with the other shards.
    pub(crate) parts: ServerParts,
    /// How long a modern client may take to answer, in milliseconds.
    pub(crate) answer_timeout_ms: u64,
    /// Limits on JSON.
    pub(crate) json: JsonLimits,
    /// Messages in a batch.
    pub(crate) batch_max: usize,
    /// Bytes of answers past which a batch gets none but errors.
    pub(crate) batch_bytes_max: usize,
    /// Calls that may wait at once.
    pub(crate) calls_max: usize,
    /// How long a call may take, in milliseconds.
    pub(crate) call_timeout_ms: u64,
    /// Notifications of one call that may wait for the shard.
    pub(crate) events_max: usize,
    /// Sessions that may live at once.
    pub(crate) sessions_max: usize,
    /// Sessions of one principal among them.
    pub(crate) sessions_per_principal_max: usize,
    /// After this many milliseconds without use a session ends.
    pub(crate) session_idle_timeout_ms: u64,
    /// Resources one session may subscribe to.
    pub(crate) subscriptions_per_session_max: usize,
    /// Streams one session may hold open.
    pub(crate) streams_per_session_max: usize,
    /// Limits on tasks.
    pub(crate) tasks: TaskLimits,
    /// Tasks that one listen stream may name.
    pub(crate) tasks_per_listen_max: usize,
    /// How much of streams is kept for clients that lose them.
    pub(crate) events: EventLimits,
}

impl EndpointSettings {
    /// The settings of shard `.0` of `.1` as `profile` has them.
    pub(crate) fn new(
        (shard, shards): (u16, u16),
        parts: ServerParts,
        profile: &ShardProfile,
    ) -> EndpointSettings {
        EndpointSettings {
            shard,
            shards,
            parts,
            answer_timeout_ms: profile.calls.answer_timeout_ms,
            json: JsonLimits {
                depth_max: profile.json.depth_max,
                nodes_max: profile.json.nodes_max,
                id_bytes_max: profile.json.id_bytes_max,
                method_bytes_max: profile.json.method_bytes_max,
            },
            batch_max: profile.json.batch_max,
            batch_bytes_max: 2 * profile.connection.output_bytes_max,
            calls_max: profile.calls.in_flight_max,
            call_timeout_ms: profile.calls.timeout_ms,
            events_max: profile.calls.events_queued_max,
            sessions_max: profile.sessions.per_shard_max,
            sessions_per_principal_max: profile.sessions.per_principal_max,
            session_idle_timeout_ms: profile.sessions.idle_timeout_ms,
            subscriptions_per_session_max: profile.sessions.subscriptions_max,
            streams_per_session_max: profile.streams.per_session_max,
            tasks: TaskLimits {
                tasks_max: profile.tasks.per_shard_max,
                per_owner_max: profile.tasks.per_owner_max,
                ttl_default_ms: profile.tasks.ttl_default_ms,
                ttl_max_ms: profile.tasks.ttl_max_ms,
                result_bytes_max: profile.tasks.result_bytes_max,
                bytes_max: profile.tasks.bytes_max,
                poll_interval_ms: profile.tasks.poll_interval_ms,
            },
            tasks_per_listen_max: profile.tasks.per_listen_max,
            events: EventLimits {
                bytes_max: profile.streams.kept_bytes_max,
                // A replay is queued at once: a connection has to take it without being given up.
                bytes_per_session_max: profile
                    .streams
                    .kept_bytes_per_session_max
                    .min(profile.connection.output_bytes_max),
                events_per_stream_max: profile.streams.kept_events_per_stream_max,
                streams_per_session_max: profile.streams.kept_per_session_max,
            },
        }
    }
}

/// One shard's MCP server.
pub(crate) struct Endpoint {
    decoder: Decoder,
    core: Core,
}

/// Everything but the decoder, whose tape is borrowed while a message is handled.
pub(crate) struct Core {
    pub(super) settings: EndpointSettings,
    pub(super) trailer: ResultTrailer,
    pub(super) catalog: Catalog,
    pub(super) sessions: Sessions,
    pub(super) calls: CallTable,
    pub(super) subscriptions: Subscriptions,
    pub(super) tasks: Tasks,
    pub(super) events: EventStore,
    pub(super) batches: Batches,
    /// Calls that can serve another request.
    pub(super) spare_calls: Vec<Call>,
    pub(super) event_queue: Rc<EventQueue>,
    pub(super) offload: Rc<OffloadPort>,
    pub(super) states: Rc<States>,
    pub(super) news: Vec<CallEvent>,
    pub(super) deliveries: VecDeque<Delivery>,
    /// Notes for other shards, bounded by the listeners and by the questions of those who left.
    pub(super) notes: VecDeque<(u16, TaskWatchMessage)>,
    pub(super) meter: Rc<ShardMeter>,
    pub(super) arena: Arena,
    pub(super) now_ms: u64,
    pub(super) is_draining: bool,
}

impl Endpoint {
    /// An endpoint of the calling shard.
    pub(crate) fn new(
        settings: EndpointSettings,
        event_queue: Rc<EventQueue>,
        offload: Rc<OffloadPort>,
        meter: Rc<ShardMeter>,
    ) -> Endpoint {
        let parts = &settings.parts;
        Endpoint {
            decoder: Decoder::new(settings.json),
            core: Core {
                trailer: ResultTrailer::new(&parts.description.server_info(Revision::V2026_07_28)),
                catalog: Catalog::new(Arc::clone(&parts.plan)),
                sessions: Sessions::new(
                    settings.shard,
                    (settings.sessions_max, settings.sessions_per_principal_max),
                    settings.session_idle_timeout_ms,
                ),
                subscriptions: Subscriptions::default(),
                events: EventStore::new(settings.shard, settings.events),
                calls: CallTable::new(settings.calls_max, settings.call_timeout_ms),
                tasks: Tasks::new(settings.shard, settings.tasks, unix_ms()),
                batches: Batches::new(settings.batch_bytes_max),
                states: StateMaker::make_all(&parts.states),
                settings,
                spare_calls: Vec::new(),
                event_queue,
                offload,
                news: Vec::new(),
                deliveries: VecDeque::new(),
                notes: VecDeque::new(),
                meter,
                arena: Arena::default(),
                now_ms: 0,
                is_draining: false,
            },
        }
    }

    /// Handles the body of a POST of `requester` to the endpoint; an answer is appended to `out`.
    pub(crate) fn post(
        &mut self,
        (head, requester): (&RequestHead<'_>, &Requester<'_>),
        body: &[u8],
        exchange: Exchange,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let decoded = match self.decoder.decode(body) {
            Ok(decoded) => decoded,
            Err(error) => return self.core.refuse(None, Reason::Undecodable(error), out),
        };
        if decoded.is_batch() {
            let from = (head, requester);
            return self.core.post_batch(from, (body, &decoded), exchange, out);
        }
        let admitted = match decoded.message() {
            Ok(message) => http::classify(head, message),
            Err(error) => {
                return self
                    .core
                    .refuse(error.id, Reason::NotAMessage(error.fault), out);
            }
        };
        match admitted {
            Err(refusal) => self.core.refuse(refusal.id, refusal.reason, out),
            Ok(Admitted::Modern(request)) => match self.core.task_home(&request) {
                None => self.core.modern((head, requester), &request, exchange, out),
                Some(home) => {
                    let kind = ForwardedKind::Task(body.to_vec());
                    let to = (SessionId::none(home), requester);
                    self.core
                        .forward(to, None, exchange, Some(request.id), kind)
                }
            },
            Ok(Admitted::ModernNotification) => Disposition::Accepted,
            Ok(Admitted::Initialize { id, params }) => {
                self.core.initialize(requester.principal(), id, params, out)
            }
            Ok(Admitted::Session { headers, message }) => match self.core.locate(headers) {
                Located::Here(session) => {
                    let revision = headers.revision;
                    self.core
                        .session((session, requester), revision, message, exchange, out)
                }
                Located::Unknown => {
                    self.core
                        .refuse(message.request_id(), Reason::SessionUnknown, out)
                }
                Located::Elsewhere(session) => {
                    let kind = ForwardedKind::Post(body.to_vec());
                    let (to, id) = ((session, requester), message.request_id());
                    self.core.forward(to, headers.revision, exchange, id, kind)
                }
            },
        }
    }

    /// Handles a GET: a stream for the messages of a session, or the rest of one after the event
    /// that its client saw last.
    pub(crate) fn open_stream(
        &mut self,
        requester: &Requester<'_>,
        (headers, last_event_id): (SessionHeaders<'_>, Option<&[u8]>),
        exchange: Exchange,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let opening = match last_event_id.map(EventId::parse) {
            None => Opening::Fresh,
            Some(Some(event)) => Opening::After(event),
            Some(None) => Opening::AfterUnnamed,
        };
        match self.core.locate(headers) {
            Located::Here(session) => {
                let own = (session, requester.principal());
                self.core.open_stream(own, opening, exchange, out)
            }
            Located::Unknown => self.core.refuse(None, Reason::SessionUnknown, out),
            Located::Elsewhere(session) => {
                let (to, kind) = ((session, requester), ForwardedKind::OpenStream(opening));
                self.core
                    .forward(to, headers.revision, exchange, None, kind)
            }
        }
    }

    /// Handles a DELETE: the end of a session.
    pub(crate) fn end_session(
        &mut self,
        requester: &Requester<'_>,
        headers: SessionHeaders<'_>,
        exchange: Exchange,
        out: &mut Vec<u8>,
    ) -> Disposition {
        match self.core.locate(headers) {
            Located::Here(session) => self.core.end_session((session, requester.principal()), out),
            Located::Unknown => self.core.refuse(None, Reason::SessionUnknown, out),
            Located::Elsewhere(session) => {
                let (to, kind) = ((session, requester), ForwardedKind::EndSession);
                self.core
                    .forward(to, headers.revision, exchange, None, kind)
            }
        }
    }

    /// Handles a request that another shard sent here, the home of its session or task.
    pub(crate) fn forwarded(&mut self, request: Forwarded, out: &mut Vec<u8>) -> Disposition {
        let Forwarded {
            exchange,
            session,
            revision,
            caller_info,
            kind,
            ..
        } = request;
        let requester = &Requester::Elsewhere(caller_info.as_deref());
        let own = (session, requester.principal());
        debug_assert_eq!(
            session.home, self.core.settings.shard,
            "forwarded to the home shard"
        );
        match kind {
            ForwardedKind::OpenStream(opening) => {
                self.core.open_stream(own, opening, exchange, out)
            }
            ForwardedKind::EndSession => self.core.end_session(own, out),
            ForwardedKind::StreamGone => {
                self.core.stream_gone(session, exchange);
                Disposition::Done
            }
            ForwardedKind::Task(body) => {
                let decoded = self.decoder.decode(&body);
                let message = message_of(&decoded);
                self.core
                    .forwarded_task(requester.principal(), message, exchange, out)
            }
            ForwardedKind::Post(body) => {
                let decoded = self.decoder.decode(&body);
                if let Ok(batch) = &decoded
                    && batch.is_batch()
                {
                    return self.core.batch((session, requester), batch, exchange, out);
                }
                let message = message_of(&decoded);
                match message {
                    Some(message) => {
                        let message = SessionMessage::of(message);
                        self.core
                            .session((session, requester), revision, message, exchange, out)
                    }
                    None => self.core.refuse(None, Reason::SessionUnknown, out),
                }
            }
        }
    }

    /// The part that is independent of the decoder.
    pub(crate) fn core(&mut self) -> &mut Core {
        &mut self.core
    }

    /// Gives back memory that an unusually large message took. Called when the shard is idle.
    pub(crate) fn trim(&mut self) {
        self.decoder.trim();
    }
}

/// The message of a forwarded body, which is there: the shard that sent the body decoded and
/// classified the very same bytes.
fn message_of<'a, E>(decoded: &'a Result<Decoded<'a>, E>) -> Option<Message<'a>> {
    decoded.as_ref().ok()?.message().ok()
}

/// Where a session lives.
pub(super) enum Located {
    Here(SessionId),
    Elsewhere(SessionId),
    Unknown,
}

impl Core {
    /// Sends a request on to the home shard of a session; [`SessionId::none`] where it is about a
    /// task.
    pub(super) fn forward(
        &self,
        (session, requester): (SessionId, &Requester<'_>),
        revision: Option<Revision>,
        exchange: Exchange,
        id: Option<Id<'_>>,
        kind: ForwardedKind,
    ) -> Disposition {
        let request = Forwarded {
            exchange,
            session,
            revision,
            id: id.map(OwnedId::from),
            caller_info: requester.caller_info(&self.settings.parts.exposed),
            kind,
        };
        Disposition::Forward {
            home: session.home,
            request: Box::new(request),
        }
    }

    pub(super) fn locate(&self, headers: SessionHeaders<'_>) -> Located {
        match SessionId::parse(headers.session_id) {
            Some(id) if id.home == self.settings.shard => Located::Here(id),
            Some(id) if id.home < self.settings.shards => Located::Elsewhere(id),
            _ => Located::Unknown,
        }
    }

    /// Writes the refusal of a message.
    #[cold]
    pub(crate) fn refuse(
        &self,
        id: Option<Id<'_>>,
        reason: Reason<'_>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        self.meter.count(match reason {
            Reason::Forbidden(_) => Counter::RefusedOrigin,
            Reason::Principal(_) => Counter::RefusedPrincipal,
            Reason::Framing(_) => Counter::RefusedFraming,
            Reason::SessionMissing | Reason::SessionUnknown => Counter::RefusedSession,
            Reason::Overloaded(_) | Reason::Draining => Counter::RefusedOverload,
            _ => Counter::RefusedMessage,
        });
        let (status, field) = (reason.status(), reason.field());
        let message = self.arena.format(format_args!("{reason}"));
        Refusal { id, reason }.write(out, message);
        Disposition::Answer {
            status,
            session: None,
            field,
        }
    }

    /// The time of this turn, in milliseconds since the shard started.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Notes the time, in milliseconds since the shard started, and forgets the texts of the last
    /// turn. Called once per turn.
    pub(crate) fn begin_turn(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        self.arena.reset();
    }
}
