//! One shard's MCP server: whole messages in, dispositions and deliveries out.

mod changes;
mod cluster;
mod departures;
mod draining;
mod forwarded;
pub(crate) mod handover;
mod large_messages;
mod memory;
mod settings;

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use corelane_protocol::binding::admission::SessionClaim;
use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::jsonrpc::{Decoder, Document, Id, IdScanner, OwnedId};

use super::broadcasting::TurnShare;
use super::calls::{Calls, HandlerParts};
use super::clustered::Clustered;
use super::context::Context;
use super::decoding::Decoding;
use super::delivery::{Delivery, Part};
use super::disposition::{Disposition, ForwardedKind};
use super::event_store::EventId;
use super::exchange::{Exchange, Opening};
use super::forward_budget::{ForwardedBody, PostedBody};
use super::inbound::{Beside, Inbound};
use super::outbox::Outbox;
use super::permissions::Permissions;
use super::questions::{Questions, unix_ms};
use super::rate_limits::RateLimits;
use super::services::{Routed, Services};
use super::sessions::Sessions;
use super::settings::EndpointSettings;
use super::streams::Streams;
use super::subscriptions::Subscriptions;
use super::task_watch::TaskWatchMessage;
use super::tasks::Tasks;
use crate::catalog::Catalog;
use crate::guard::limit::shard::LimitMessage;
use crate::handler::event_queue::{CallKey, EventQueue};
use crate::handler::offload::OffloadPort;
use crate::handler::state::StateMaker;
use crate::meter::ShardMeter;
use crate::upstream::port::UpstreamPort;

/// One shard's MCP server. It knows no socket: an [`Exchange`] names the place of an answer.
///
/// Its methods are of four kinds. `handle_*` take events: messages, lost connections, events of
/// calls, passed deadlines. Commands, such as [`Endpoint::begin_turn`] or [`Endpoint::drain`],
/// change its state. Getters read it. [`Endpoint::poll_output`] returns the output.
///
/// The caller's contract: call [`Endpoint::begin_turn`] first in each turn, and after any other
/// method that is not a getter call [`Endpoint::poll_output`] before the turn ends, until it
/// returns `None`.
pub(crate) struct Endpoint {
    /// Separate from the services: a message borrows its tape while they handle it.
    decoder: Decoder,
    /// For messages that are too large for it.
    decoding: Decoding,
    services: Services,
}

/// The output of an endpoint.
#[derive(Debug)]
pub(crate) enum Output {
    /// A part of an answer, to its place.
    Delivery(Delivery),
    /// A message about tasks, to another shard.
    TaskWatch(u16, TaskWatchMessage),
    /// A message about the limits of a client, to another shard.
    Limit(u16, LimitMessage),
}

impl Endpoint {
    /// An endpoint of the calling shard.
    pub(crate) fn new(
        settings: EndpointSettings,
        event_queue: Rc<EventQueue>,
        offload: Rc<OffloadPort>,
        meter: Rc<ShardMeter>,
    ) -> Endpoint {
        let shard = settings.shard;
        let parts = &settings.parts;
        let keys = Arc::clone(&parts.sealer);
        let mut sessions = Sessions::new(shard, settings.session_limits(), keys);
        let clustered = parts.cluster.clone().map(|board| {
            sessions.restorer.set_node(board.node);
            Box::new(Clustered::new(board, shard))
        });
        let handler_parts = HandlerParts {
            event_queue,
            offload,
            states: StateMaker::make_all(&parts.states),
        };
        Endpoint {
            decoder: Decoder::new(settings.json),
            decoding: Decoding::new(
                Rc::clone(&handler_parts.offload),
                settings.json,
                settings.batch_max,
                settings.inline_bytes_max,
            ),
            services: Services {
                catalog: Catalog::new(Arc::clone(&parts.plan), settings.tools, &meter),
                permissions: Permissions::new(settings.views_max),
                limits: RateLimits::new(
                    (shard, settings.shards),
                    settings.buckets_max,
                    (parts.quotas.clone(), settings.quota_interval_ms),
                ),
                questions: Questions::new(Arc::clone(&parts.sealer), settings.answer_timeout_ms),
                calls: Calls::new((shard, settings.calls), handler_parts, Rc::clone(&meter)),
                sessions,
                streams: Streams::new(shard, settings.events, Rc::clone(&meter)),
                subscriptions: Subscriptions::new(settings.connections_max),
                tasks: Tasks::new(shard, settings.tasks, Rc::clone(&meter)),
                outbox: Outbox::new(settings.batch_bytes_max),
                clustered,
                context: Context::new(settings, meter, unix_ms()),
            },
        }
    }

    /// Handles a message or a batch; an answer is appended to `out`.
    pub(crate) fn handle_message(
        &mut self,
        inbound: Inbound<'_>,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Disposition {
        match self.decoder.decode(body) {
            Ok(decoded) => {
                let posted = (decoded.document(), PostedBody::Text(body));
                self.services
                    .admit_any(inbound.with_text(Some(body)), posted, out)
            }
            Err(error) => {
                let reason = Reason::Undecodable(error);
                self.services.context.refuse(None, reason, out)
            }
        }
    }

    /// Handles a message or a batch of a channel; an answer is appended to `out`. Gives the id of a
    /// request that waits for its answer.
    pub(crate) fn handle_channel_message(
        &mut self,
        inbound: Inbound<'_>,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> (Disposition, Option<OwnedId>) {
        match self.decoder.decode(body) {
            Ok(decoded) => {
                let posted = (decoded.document(), PostedBody::Text(body));
                let inbound = inbound.with_text(Some(body));
                self.services.admit_on_channel(inbound, posted, out)
            }
            Err(error) => {
                let (id, reason) = (IdScanner::id_of(body), Reason::Undecodable(error));
                let id = id.as_ref().map(OwnedId::as_id);
                (self.services.context.refuse(id, reason, out), None)
            }
        }
    }

    /// Opens a stream for the messages of a session, or resumes one after the last event that its
    /// client received.
    pub(crate) fn handle_open_stream(
        &mut self,
        inbound: Inbound<'_>,
        (claim, last_event_id): (SessionClaim<'_>, Option<&[u8]>),
        out: &mut Vec<u8>,
    ) -> Disposition {
        let opening = match last_event_id.map(EventId::parse) {
            None => Opening::Fresh,
            Some(Some(event)) => Opening::After(event),
            Some(None) => Opening::AfterUnnamed,
        };
        let kind = ForwardedKind::OpenStream(opening);
        match self
            .services
            .route_session(inbound, claim, None, |_| Ok(kind), out)
        {
            Routed::Here(session) => {
                self.services.recheck_subscriptions(session, inbound);
                let mut streams = self.services.session_streams();
                streams.open(inbound, session, opening, out)
            }
            Routed::Unknown => self.refuse(None, Reason::SessionUnknown, out),
            Routed::NotHere(forward) => forward,
        }
    }

    /// Ends a session.
    pub(crate) fn handle_delete_session(
        &mut self,
        inbound: Inbound<'_>,
        claim: SessionClaim<'_>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let kind = ForwardedKind::EndSession;
        match self
            .services
            .route_session(inbound, claim, None, |_| Ok(kind), out)
        {
            Routed::Here(session) => self.services.delete_session(session, inbound, out),
            Routed::Unknown => self.refuse(None, Reason::SessionUnknown, out),
            Routed::NotHere(forward) => forward,
        }
    }

    /// Lets `handle` handle a body from another shard, which decoded the very same bytes.
    fn with_document(
        &mut self,
        mut body: ForwardedBody,
        handle: impl FnOnce(&mut Services, Option<Document<'_>>, Beside<'_>) -> Disposition,
    ) -> Disposition {
        let services = &mut self.services;
        if let Some(message) = body.take() {
            let beside = Beside {
                ahead: Some(message.ahead()),
                text: message.text(),
            };
            let disposition = handle(services, Some(message.document()), beside);
            self.decoding.free(message);
            return disposition;
        }
        let text = body.text();
        let decoded = self.decoder.decode(text.unwrap_or_default());
        let document = decoded.as_ref().ok().map(|it| it.document());
        handle(services, document, Beside { ahead: None, text })
    }

    /// Handles a message about tasks from another shard.
    pub(crate) fn handle_task_watch(&mut self, message: TaskWatchMessage) {
        let services = &mut self.services;
        match message {
            TaskWatchMessage::Subscribe {
                subscription,
                principal,
                tasks,
            } => services
                .task_watching()
                .subscribe(subscription, principal, tasks),
            TaskWatchMessage::Subscribed {
                subscription,
                home,
                tasks,
            } => services
                .listening()
                .on_subscribed(subscription, home, &tasks),
            TaskWatchMessage::Credit { subscription } => {
                services.tasks.watchers.ready(subscription);
            }
            TaskWatchMessage::Update {
                subscription,
                home,
                members,
            } => services
                .listening()
                .hold_status(subscription, home, members),
            TaskWatchMessage::Unsubscribe { subscription } => {
                services.tasks.watchers.forget(subscription);
            }
        }
    }

    /// Handles the events of calls since the last turn.
    ///
    /// `has_capacity` returns whether the connection of an exchange takes more messages now; a call
    /// whose connection does not goes to `stalled`, to be pumped later.
    pub(crate) fn handle_call_events(
        &mut self,
        has_capacity: impl Fn(Exchange) -> bool,
        stalled: &mut VecDeque<CallKey>,
    ) {
        self.services
            .call_events()
            .handle_all(has_capacity, stalled);
    }

    /// Handles passed deadlines of calls, tasks and sessions.
    pub(crate) fn handle_deadlines(&mut self) {
        self.services.endings().expire();
        self.tend_cluster();
    }

    /// Takes the next output, in the order of the events.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        loop {
            if let Some(delivery) = self.services.outbox.pop_delivery() {
                return Some(Output::Delivery(delivery));
            }
            if let Some((to, message)) = self.services.limits.poll_message() {
                return Some(Output::Limit(to, message));
            }
            let (to, message) = self.services.outbox.pop_task_watch()?;
            if to != self.services.context.settings.shard {
                return Some(Output::TaskWatch(to, message));
            }
            self.handle_task_watch(message);
        }
    }

    /// Begins a turn: sets the clock, in milliseconds since the shard started, and records whether
    /// messages to other shards wait for their lanes.
    pub(crate) fn begin_turn(&mut self, now_ms: u64, has_full_lane: bool) {
        self.services.context.begin_turn(now_ms);
        self.services.calls.shedding.begin_turn();
        self.services.subscriptions.has_full_lane = has_full_lane;
    }

    /// Continues broadcasts and statuses of tasks, at most a turn's share, which is smaller while
    /// requests wait.
    pub(crate) fn continue_broadcasts(&mut self, requests_wait: bool) {
        let services = &mut self.services;
        let share = TurnShare::new(requests_wait);
        let mut statuses = share.statuses_first;
        services.task_watching().send_statuses(&mut statuses);
        let mut budget = share.messages - share.statuses_first + statuses;
        services.broadcasting().run(&mut budget);
        services.listening().end_outdated();
        services.task_watching().send_statuses(&mut budget);
    }

    /// Moves the waiting messages of a stalled call to its connection if that has capacity; returns
    /// whether it has.
    pub(crate) fn pump(&mut self, key: CallKey, has_capacity: impl Fn(Exchange) -> bool) -> bool {
        let mut events = self.services.call_events();
        let has_room = events.takes_messages(key, has_capacity);
        if has_room {
            events.pump(key);
        }
        has_room
    }

    /// Sends the next held status of a task if the connection of its subscription has capacity.
    pub(crate) fn send_held_status(&mut self, has_capacity: impl Fn(Exchange) -> bool) {
        self.services.listening().send_held_status(has_capacity);
    }

    /// Refuses a message: writes the error and counts it.
    #[cold]
    pub(crate) fn refuse(
        &self,
        id: Option<Id<'_>>,
        reason: Reason<'_>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        self.services.context.refuse(id, reason, out)
    }

    /// Refuses a request that was accepted before, because it cannot be forwarded.
    pub(crate) fn refuse_later(
        &mut self,
        exchange: Exchange,
        id: Option<Id<'_>>,
        reason: Reason<'_>,
    ) {
        let refused = Some(reason.category());
        let mut body = Vec::new();
        self.refuse(id, reason, &mut body);
        let part = Part::Final { refused, body };
        self.services.outbox.push(exchange, part);
    }

    /// Serves one of so many new calls, and refuses the others because the shard is overloaded.
    pub(crate) fn serve_one_of(&mut self, calls: u32) {
        self.services.calls.shedding.serve_one_of(calls);
    }

    /// Frees the memory of an unusually large message. Called once a second.
    pub(crate) fn trim(&mut self) {
        self.decoder.trim();
    }

    /// The time of this turn, in milliseconds since the shard started.
    pub(crate) fn now_ms(&self) -> u64 {
        self.services.context.now_ms()
    }

    /// Whether changed resources can be handled: no others are being broadcast.
    pub(crate) fn takes_updates(&self) -> bool {
        !self.services.subscriptions.broadcasts.has_updates()
    }

    /// Whether there is something to broadcast.
    pub(crate) fn has_broadcasts(&self) -> bool {
        let services = &self.services;
        !services.subscriptions.broadcasts.is_empty() || services.tasks.watchers.has_due()
    }

    /// The number of statuses of tasks that wait for capacity.
    pub(crate) fn statuses_held(&self) -> usize {
        self.services.subscriptions.holding.len()
    }

    /// Whether calls wait.
    pub(crate) fn has_calls(&self) -> bool {
        !self.services.calls.is_empty()
    }

    /// Whether handlers of this process wait.
    pub(crate) fn has_handlers(&self) -> bool {
        self.services.calls.has_handlers()
    }

    /// Sends calls of entries that upstreams have through `port`.
    pub(crate) fn set_port(&mut self, port: Rc<UpstreamPort>) {
        self.services.calls.set_port(port);
    }

    /// Whether calls have events, so that the shard must not sleep.
    pub(crate) fn has_call_events(&self) -> bool {
        self.services.calls.has_events()
    }

    /// Whether nothing waits to be answered or sent.
    pub(crate) fn is_quiet(&self) -> bool {
        self.services.calls.is_empty() && self.services.outbox.is_empty()
    }

    /// When the next call or task runs out of time, in milliseconds since the shard started.
    pub(crate) fn next_deadline_ms(&self) -> Option<u64> {
        let services = &self.services;
        let expiry_ms = services.tasks.table.next_expiry_ms();
        let expiry_ms = expiry_ms.map(|unix_ms| services.context.since_start_ms(unix_ms));
        let clustered = services.clustered.as_deref();
        let cluster_ms = clustered.and_then(Clustered::next_deadline_ms);
        let deadlines_ms = [services.calls.next_deadline_ms(), expiry_ms, cluster_ms];
        deadlines_ms.into_iter().flatten().min()
    }
}

#[cfg(test)]
impl Endpoint {
    /// Puts in a part of an answer, as if a call had ended.
    pub(crate) fn queue_delivery(&mut self, Delivery { exchange, part }: Delivery) {
        self.services.outbox.push(exchange, part);
    }

    /// The services, for tests that look inside.
    pub(super) fn services(&mut self) -> &mut Services {
        &mut self.services
    }
}
