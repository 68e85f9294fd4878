//! Who hears of changes, and telling them: listen streams of modern clients, GET streams of
//! sessions.
//!
//! Changes are told in shares of a turn, so that a hundred thousand streams do not hold up a call:
//! a telling remembers how far it came. A stream that opens meanwhile may hear of a change that
//! is older than itself, which only makes its client ask once more.

mod broadcast;
pub(super) mod task_subscription;

use corelane_protocol::binding::accept::Accept;
use corelane_protocol::binding::http::ModernRequest;
use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::framing::http1::{RequestHead, Status};
use corelane_protocol::jsonrpc::OwnedId;
use corelane_protocol::mcp::capability::ClientCapability;
use corelane_protocol::mcp::subscription::{
    Filter, FilterLimits, ListKind, ListKinds, write_ended,
};
use slab::Slab;
use std::collections::VecDeque;

use super::dispatch::invalid_params;
use super::endpoint::Core;
use super::task_watch::SubscriptionId;
use super::{Delivery, Disposition, Exchange, Part, StreamOwner};
use broadcast::Broadcasts;
use task_subscription::TaskSubscription;

/// One `subscriptions/listen`.
#[derive(Debug)]
struct Listener {
    /// Id of its request, which every message on it repeats.
    id: OwnedId,
    exchange: Exchange,
    /// Few streams ask for resources: the lists stand apart from them.
    lists: ListKinds,
    uris: Box<[Box<str>]>,
    /// Fewer ask for tasks.
    tasks: Option<Box<TaskSubscription>>,
}

impl Listener {
    /// Whether it was told what of its filter is honoured; nothing else comes before that.
    fn is_acknowledged(&self) -> bool {
        let tasks = self.tasks.as_ref();
        tasks.is_none_or(|tasks| tasks.is_acknowledged())
    }
}

/// Who listens on this shard, and what is being told.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    listeners: Slab<Listener>,
    broadcasts: Broadcasts,
    /// Listeners with the status of a task that waits for room, once for each status.
    holding: VecDeque<SubscriptionId>,
    /// Questions to other shards that they have not answered, of listeners who left as well.
    asked: usize,
    /// Whether what this shard sends to others waits for room in their lanes.
    has_full_lane: bool,
}

impl Core {
    /// `subscriptions/listen` of `principal`: a stream that stays open.
    pub(super) fn listen(
        &mut self,
        (head, principal): (&RequestHead<'_>, Option<&str>),
        request: &ModernRequest<'_>,
        exchange: Exchange,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let id = request.id;
        if !Accept::read(head.accept).event_stream {
            let reason = Reason::NotAcceptable("text/event-stream");
            return self.refuse(Some(id), reason, out);
        }
        if self.is_draining {
            return self.refuse(Some(id), Reason::Draining, out);
        }
        let limits = FilterLimits {
            uris_max: self.settings.subscriptions_per_session_max,
            task_ids_max: self.settings.tasks_per_listen_max,
        };
        let mut filter = match Filter::read(request.params, limits) {
            Ok(filter) => filter,
            Err(error) => return invalid_params(id, &error.to_string(), out),
        };
        self.keep_what_is_honoured(&mut filter);
        let needed = ClientCapability::Tasks;
        if !filter.task_ids.is_empty() && !request.envelope.capabilities.contains(needed) {
            return self.refuse(Some(id), Reason::MissingCapability(needed), out);
        }
        let tasks = TaskSubscription::of(&filter.task_ids, self.settings.shards);
        if let Some(interest) = &tasks
            && !self.can_ask_homes(interest)
        {
            let reason = Reason::Overloaded("too much is asked of the shards of the tasks");
            return self.refuse(Some(id), reason, out);
        }
        let key = self.subscriptions.listeners.insert(Listener {
            id: OwnedId::from(id),
            exchange,
            lists: filter.lists,
            uris: filter.uris.into(),
            tasks,
        });
        let place = key as u32;
        // What is delivered comes when the head of the stream is written.
        self.begin_to_listen(SubscriptionId { place, exchange }, principal);
        Disposition::Stream(StreamOwner::Listen(place))
    }

    /// Takes what this server never tells out of a filter.
    fn keep_what_is_honoured(&self, filter: &mut Filter) {
        let offer = self.catalog.offer();
        let mut lists = ListKinds::default();
        for kind in ListKind::ALL {
            let is_offered = match kind {
                ListKind::Tools => true,
                ListKind::Prompts => offer.prompts,
                ListKind::Resources => offer.resources,
            };
            if is_offered && filter.lists.contains(kind) {
                lists.insert(kind);
            }
        }
        filter.lists = lists;
        filter.uris.retain(|uri| self.has_resource(uri));
        if !offer.tasks {
            filter.task_ids.clear();
        }
    }

    /// The stream of a listener is gone.
    pub(crate) fn listener_gone(&mut self, place: u32) {
        let gone = self.subscriptions.listeners.try_remove(place as usize);
        if let Some(listener) = gone {
            self.unsubscribe_from_tasks(place, &listener);
        }
    }

    /// Ends every listen stream with its result: the server goes away.
    pub(super) fn end_subscriptions(&mut self) {
        let listeners = std::mem::take(&mut self.subscriptions.listeners);
        for (key, listener) in listeners {
            if !listener.is_acknowledged() {
                self.acknowledge(&listener);
            }
            self.unsubscribe_from_tasks(key as u32, &listener);
            let mut body = Vec::new();
            write_ended(&mut body, listener.id.as_id(), &self.trailer);
            let status = Status::Ok;
            self.deliveries.push_back(Delivery {
                exchange: listener.exchange,
                part: Part::Final { status, body },
            });
        }
        self.subscriptions.broadcasts.clear();
    }
}
