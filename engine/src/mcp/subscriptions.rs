//! Open `subscriptions/listen` streams of this shard, and the changes that are being broadcast.

mod broadcasts;
mod task_subscription;

pub(super) use broadcasts::{Broadcast, Broadcasts};
pub(super) use task_subscription::{TASK_REQUESTS_MAX, TaskSubscription};

use std::collections::VecDeque;
use std::rc::Rc;

use corelane_protocol::jsonrpc::OwnedId;
use corelane_protocol::mcp::subscription::{Filter, ListKinds, write_acknowledged};
use slab::Slab;

use super::exchange::Exchange;
use super::outbox::Outbox;
use super::task_watch::SubscriptionId;
use crate::catalog::Catalog;
use crate::guard::holder::HolderKey;
use crate::guard::shares::Shares;
use crate::upstream::interest::SubscribedUri;
use crate::upstream::port::UpstreamPort;

/// One `subscriptions/listen`.
#[derive(Debug)]
pub(super) struct Subscription {
    /// Id of its request, which every message on it repeats.
    pub(super) id: OwnedId,
    pub(super) exchange: Exchange,
    /// Few streams subscribe to resources: the lists are stored apart from them.
    pub(super) lists: ListKinds,
    pub(super) uris: Box<[SubscribedUri]>,
    /// Fewer subscribe to tasks.
    pub(super) tasks: Option<Box<TaskSubscription>>,
    /// Its holder.
    pub(super) holder: HolderKey,
    /// The configuration of access control that permitted it.
    pub(super) configuration: u32,
}

/// The subscription of a client to a resource that exists. None if its upstream reports no updates,
/// or clients have subscribed to too many others of it.
pub(super) fn subscribed(
    catalog: &Catalog,
    port: Option<&Rc<UpstreamPort>>,
    uri: &str,
) -> Option<SubscribedUri> {
    match catalog.upstream_of(uri) {
        None => Some(SubscribedUri::own(uri)),
        Some(upstream) => port?.subscribe(upstream, uri),
    }
}

impl Subscription {
    /// Whether its client knows the accepted part of its filter; no other message comes before
    /// that.
    pub(super) fn is_acknowledged(&self) -> bool {
        let tasks = self.tasks.as_ref();
        tasks.is_none_or(|tasks| tasks.is_acknowledged())
    }

    /// Sends the accepted part of its filter, the first message of its stream.
    pub(super) fn acknowledge(&self, outbox: &mut Outbox) {
        let tasks = self.tasks.iter();
        let honoured = Filter {
            lists: self.lists,
            uris: self.uris.iter().map(|uri| Box::from(&**uri)).collect(),
            task_ids: tasks.flat_map(|tasks| tasks.watched_ids()).collect(),
        };
        let mut message = Vec::new();
        write_acknowledged(&mut message, self.id.as_id(), &honoured);
        outbox.push_message(self.exchange, message);
    }
}

/// The subscriptions of a shard.
#[derive(Debug)]
pub(super) struct Subscriptions {
    pub(super) open: Slab<Subscription>,
    /// Every subscription is and was at a place below this.
    pub(super) places: usize,
    /// Streams of each holder.
    pub(super) shares: Shares,
    pub(super) broadcasts: Broadcasts,
    /// Subscriptions with a task status that waits for capacity, once for each status.
    pub(super) holding: VecDeque<SubscriptionId>,
    /// The present configuration of access control.
    pub(super) configuration: u32,
    /// Places of subscriptions that an earlier configuration permitted and that a change was for:
    /// they end, and their clients are checked when they subscribe again. At most as many as
    /// messages of a turn.
    pub(super) outdated: Vec<u32>,
    /// Requests to other shards without an answer, also of clients that left.
    pub(super) requests_unanswered: usize,
    /// Whether messages to other shards wait for their lanes.
    pub(super) has_full_lane: bool,
}

impl Subscriptions {
    /// No subscriptions, of which there may be as many as connections. Memory for all of them is
    /// reserved and touched as far as subscriptions were opened: nothing moves when their number
    /// grows.
    pub(super) fn new(connections_max: usize) -> Subscriptions {
        Subscriptions {
            open: Slab::with_capacity(connections_max),
            places: 0,
            shares: Shares::new(connections_max),
            broadcasts: Broadcasts::default(),
            holding: VecDeque::new(),
            configuration: 0,
            outdated: Vec::new(),
            requests_unanswered: 0,
            has_full_lane: false,
        }
    }

    /// The configuration of access control of what an earlier process permitted. With access
    /// control that is none of this one, so that it is checked again.
    pub(super) fn configuration_of_before(&self, has_access_control: bool) -> u32 {
        self.configuration
            .wrapping_sub(u32::from(has_access_control))
    }

    /// Keeps a subscription that was admitted; returns its place.
    pub(super) fn insert(&mut self, subscription: Subscription) -> u32 {
        self.shares.take(subscription.holder, 1);
        let place = self.open.insert(subscription);
        self.places = self.places.max(place + 1);
        place as u32
    }

    /// Removes a subscription, if it is still open.
    pub(super) fn remove(&mut self, place: u32) -> Option<Subscription> {
        let subscription = self.open.try_remove(place as usize)?;
        self.shares.give_back(subscription.holder, 1);
        Some(subscription)
    }

    /// A subscription that is still open.
    pub(super) fn find(&mut self, id: SubscriptionId) -> Option<&mut Subscription> {
        let subscription = self.open.get_mut(id.place as usize)?;
        (subscription.exchange == id.exchange).then_some(subscription)
    }

    /// The tasks of a subscription that is still open.
    pub(super) fn tasks_of(&mut self, id: SubscriptionId) -> Option<&mut TaskSubscription> {
        self.find(id)?.tasks.as_deref_mut()
    }
}
