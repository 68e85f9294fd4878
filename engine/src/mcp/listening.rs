//! `subscriptions/listen` of modern clients: streams that stay open and bring changes.

use std::rc::Rc;

use corelane_protocol::binding::admission::ModernRequest;
use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::jsonrpc::{Id, OwnedId};
use corelane_protocol::mcp::capability::ClientCapability;
use corelane_protocol::mcp::subscription::{
    Filter, FilterLimits, write_ended, write_task, write_torn_down,
};

use super::context::{Context, invalid_params};
use super::delivery::Part;
use super::disposition::Disposition;
use super::exchange::{Exchange, StreamOwner};
use super::inbound::Inbound;
use super::outbox::Outbox;
use super::permissions::{Permissions, Use};
use super::requester::Requester;
use super::subscriptions::{
    Subscription, Subscriptions, TASK_REQUESTS_MAX, TaskSubscription, subscribed,
};
use super::task_id::TaskId;
use super::task_watch::{SubscriptionId, TaskWatchMessage};
use crate::catalog::Catalog;
use crate::guard::holder::HolderKey;
use crate::meter::Counter;
use crate::upstream::port::UpstreamPort;

/// Opens and ends subscriptions, and delivers the statuses of tasks to them.
pub(super) struct Listening<'a> {
    pub(super) context: &'a Context,
    pub(super) catalog: &'a Catalog,
    pub(super) permissions: &'a mut Permissions,
    pub(super) subscriptions: &'a mut Subscriptions,
    pub(super) outbox: &'a mut Outbox,
    pub(super) port: Option<&'a Rc<UpstreamPort>>,
}

impl Listening<'_> {
    /// Opens a stream that stays open.
    pub(super) fn open(
        &mut self,
        inbound: Inbound<'_>,
        request: &ModernRequest<'_>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let (id, context) = (request.id, self.context);
        if !inbound.exchange.takes_events {
            let reason = Reason::NotAcceptable("text/event-stream");
            return context.refuse(Some(id), reason, out);
        }
        if context.is_draining() {
            return context.refuse(Some(id), Reason::Draining, out);
        }
        let limits = FilterLimits {
            uris_max: context.settings.subscriptions_per_session_max,
            task_ids_max: context.settings.tasks_per_listen_max,
        };
        let mut filter = match Filter::read(request.params, limits) {
            Ok(filter) => filter,
            Err(error) => return invalid_params(id, &error.to_string(), out),
        };
        self.keep_honoured(&mut filter, inbound.requester);
        let needed = ClientCapability::Tasks;
        if !filter.task_ids.is_empty() && !request.envelope.capabilities.contains(needed) {
            return context.refuse(Some(id), Reason::MissingCapability(needed), out);
        }
        let tasks = TaskSubscription::of(&filter.task_ids, context.settings.shards);
        if let Some(tasks) = &tasks
            && !self.can_request(tasks)
        {
            let reason = Reason::Overloaded("too many requests wait at the shards of the tasks");
            return context.refuse(Some(id), reason, out);
        }
        let Some(holder) = inbound.requester.holder() else {
            return context.need_peer(Counter::RequestsModern);
        };
        if self.subscriptions.shares.is_at_share(holder) {
            return self.refuse_for_share(holder, id, out);
        }
        let exchange = inbound.exchange;
        // The client sees in the acknowledgement which ones are left out.
        let uris = filter.uris.iter();
        let uris = uris.filter_map(|uri| subscribed(self.catalog, self.port, uri));
        let uris = uris.collect();
        let place = self.subscriptions.insert(Subscription {
            id: OwnedId::from(id),
            exchange,
            lists: filter.lists,
            uris,
            tasks,
            holder,
            configuration: self.subscriptions.configuration,
        });
        // The head of the stream is written before any delivery.
        self.begin(SubscriptionId { place, exchange }, inbound.principal());
        Disposition::Stream(StreamOwner::Listen(place))
    }

    #[cold]
    fn refuse_for_share(&self, holder: HolderKey, id: Id<'_>, out: &mut Vec<u8>) -> Disposition {
        let shares = &self.subscriptions.shares;
        let text = self.context.format(format_args!(
            "the client has {} listen streams, its share of the {} connections of the shard \
             (ring.descriptors)",
            shares.held_by(holder),
            shares.max()
        ));
        self.context.refuse(Some(id), Reason::Overloaded(text), out)
    }

    /// Removes from a filter the changes that this server never sends, and those of resources that
    /// the requester may not see.
    fn keep_honoured(&mut self, filter: &mut Filter, requester: &Requester<'_>) {
        let offer = self.catalog.offer();
        filter.lists.retain(offer.lists());
        filter.uris.retain(|uri| {
            let entry = Use::Resource(uri);
            let is_permitted = self
                .permissions
                .check(self.catalog, requester, entry)
                .is_ok();
            is_permitted && self.catalog.has_resource(uri)
        });
        if !offer.tasks {
            filter.task_ids.clear();
        }
    }

    /// Whether requests can go to the homes of all these tasks without piling up.
    fn can_request(&self, tasks: &TaskSubscription) -> bool {
        let shard = self.context.settings.shard;
        let far = tasks.homes().iter().filter(|home| **home != shard).count();
        let subscriptions = &self.subscriptions;
        let unanswered = subscriptions.requests_unanswered + far;
        far == 0 || !subscriptions.has_full_lane && unanswered <= TASK_REQUESTS_MAX
    }

    /// Sends requests to the homes of the tasks that a subscription names; without any it is
    /// acknowledged.
    fn begin(&mut self, id: SubscriptionId, principal: Option<&str>) {
        let Some(tasks) = self.subscriptions.tasks_of(id) else {
            return self.acknowledge(id);
        };
        let homes = tasks.homes().iter();
        let requests: Vec<_> = homes.map(|home| (*home, tasks.tasks_at(*home))).collect();
        for (home, tasks) in requests {
            if home != self.context.settings.shard {
                self.subscriptions.requests_unanswered += 1;
            }
            let message = TaskWatchMessage::Subscribe {
                subscription: id,
                principal: principal.map(Box::from),
                tasks,
            };
            self.outbox.send_task_watch(home, message);
        }
    }

    /// Takes the answer of a home shard: the tasks that exist. The client's answer follows the last
    /// one.
    pub(super) fn on_subscribed(&mut self, id: SubscriptionId, home: u16, known: &[TaskId]) {
        if home != self.context.settings.shard {
            // The answer to a request of an earlier life of this shard was not counted in this one.
            let unanswered = &mut self.subscriptions.requests_unanswered;
            *unanswered = unanswered.saturating_sub(1);
        }
        let Some(tasks) = self.subscriptions.tasks_of(id) else {
            return;
        };
        if !tasks.on_answer(home, known) {
            return;
        }
        let homes = tasks.homes().to_vec();
        self.acknowledge(id);
        for home in homes {
            let message = TaskWatchMessage::Credit { subscription: id };
            self.outbox.send_task_watch(home, message);
        }
    }

    fn acknowledge(&mut self, id: SubscriptionId) {
        if let Some(subscription) = self.subscriptions.find(id) {
            subscription.acknowledge(self.outbox);
        }
    }

    /// Holds the status of a task until the stream of its subscription has capacity.
    pub(super) fn hold_status(&mut self, id: SubscriptionId, home: u16, members: Vec<u8>) {
        if let Some(tasks) = self.subscriptions.tasks_of(id) {
            tasks.held.push_back((home, members));
            self.subscriptions.holding.push_back(id);
        }
    }

    /// Sends the next waiting status if the connection of its subscription has capacity, or puts it
    /// behind the others. After one is sent, its home may send another.
    pub(super) fn send_held_status(&mut self, has_capacity: impl Fn(Exchange) -> bool) {
        let Some(id) = self.subscriptions.holding.pop_front() else {
            return;
        };
        let present = self.subscriptions.configuration;
        let Some(subscription) = self.subscriptions.find(id) else {
            return;
        };
        if subscription.configuration != present {
            return self.end_one(id.place);
        }
        let exchange = subscription.exchange;
        if !has_capacity(exchange) {
            return self.subscriptions.holding.push_back(id);
        }
        let tasks = subscription.tasks.as_mut();
        let held = tasks.and_then(|tasks| tasks.held.pop_front());
        if let Some((home, members)) = held {
            let mut message = Vec::with_capacity(members.len() + 128);
            write_task(&mut message, &members, subscription.id.as_id());
            self.outbox.push_message(exchange, message);
            let message = TaskWatchMessage::Credit { subscription: id };
            self.outbox.send_task_watch(home, message);
        }
    }

    /// The connection of a subscription is gone.
    pub(super) fn connection_gone(&mut self, place: u32) {
        if let Some(subscription) = self.subscriptions.remove(place) {
            self.unsubscribe_from_tasks(place, &subscription);
        }
    }

    /// Ends one subscription with its result: its client sends no more.
    pub(super) fn end_one(&mut self, place: u32) {
        if let Some(subscription) = self.subscriptions.remove(place) {
            self.end(place, &subscription);
        }
    }

    /// Ends the subscriptions that an earlier configuration of access control permitted and that a
    /// change was for, which their clients may not be permitted to know any more.
    pub(super) fn end_outdated(&mut self) {
        for place in std::mem::take(&mut self.subscriptions.outdated) {
            self.end_one(place);
        }
    }

    /// Ends every subscription with its result: the server shuts down. On a channel, which has no
    /// stream to close, the subscription is cancelled first (MCP 2026-07-28
    /// basic/patterns/cancellation); after the result its id would name no request.
    pub(super) fn end_all(&mut self) {
        for (place, subscription) in std::mem::take(&mut self.subscriptions.open) {
            self.subscriptions.shares.give_back(subscription.holder, 1);
            self.end(place as u32, &subscription);
        }
        self.subscriptions.broadcasts.clear();
    }

    /// Ends every subscription to tasks that were lost with the shard `home`.
    pub(super) fn end_those_of(&mut self, home: u16) {
        let open = self.subscriptions.open.iter();
        let ended = open.filter(|(_, subscription)| {
            let tasks = subscription.tasks.as_ref();
            tasks.is_some_and(|tasks| tasks.homes().contains(&home))
        });
        let ended: Vec<u32> = ended.map(|(place, _)| place as u32).collect();
        for place in ended {
            if let Some(subscription) = self.subscriptions.remove(place) {
                self.end(place, &subscription);
            }
        }
    }

    /// Ends a subscription that was removed.
    fn end(&mut self, place: u32, subscription: &Subscription) {
        if !subscription.is_acknowledged() {
            subscription.acknowledge(self.outbox);
        }
        self.unsubscribe_from_tasks(place, subscription);
        if subscription.exchange.is_on_channel {
            let mut message = Vec::new();
            write_torn_down(&mut message, subscription.id.as_id());
            self.outbox.push_message(subscription.exchange, message);
        }
        let mut body = Vec::new();
        let trailer = &self.context.trailer;
        write_ended(&mut body, subscription.id.as_id(), trailer);
        let refused = None;
        let part = Part::Final { refused, body };
        self.outbox.push(subscription.exchange, part);
    }

    fn unsubscribe_from_tasks(&mut self, place: u32, subscription: &Subscription) {
        let Some(tasks) = &subscription.tasks else {
            return;
        };
        let exchange = subscription.exchange;
        for home in tasks.homes() {
            let subscription = SubscriptionId { place, exchange };
            let message = TaskWatchMessage::Unsubscribe { subscription };
            self.outbox.send_task_watch(*home, message);
        }
    }
}
